"""`carlaseg evaluate`: predictions and truth on disk to figures with intervals, and to a verdict on two runs."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np

from carlaseg.config import EvaluateConfig
from carlaseg.console import Progress, counted, result, say
from carlaseg.errors import DatasetError
from carlaseg.evaluation.answers import Answers, open_answers
from carlaseg.evaluation.bands import Bands, DepthFiles, choose_bands
from carlaseg.evaluation.compare import compared
from carlaseg.evaluation.files import Evaluation, name_of
from carlaseg.evaluation.groups import Resampling, group, groups_of
from carlaseg.evaluation.measure import Image, Tally, measured
from carlaseg.files import disk_fault, write_whole
from carlaseg.metrics import Scores

FEW_UNITS = 10
"""Below so many units an interval says little, and we say so."""


def evaluate(config: EvaluateConfig) -> Evaluation:
    """Score a results folder, and write what was found beside the results.

    Raises:
        ConfigError: it is no results folder, or the two cannot be compared.
        DatasetError: no prediction has truth, or there is no room for the files.
    """
    answers = open_answers(config.results, config.truth)
    other = None if config.against is None else open_answers(config.against, config.truth)
    say("results", f"{answers.folder}: {counted(len(answers.answers), 'image')} with truth, {answers.scheme}")
    if answers.without_truth:
        say("note", f"{answers.without_truth} images without truth or ids are left out")
    files = DepthFiles()
    depths = {answer.name: files.path(answer.sample) for answer in answers.answers}
    bands = choose_bands(list(depths.values()), config.bands)
    say("bands", bands.basis)
    tally = _tally(answers, depths, bands)
    damaged = [(image.answer.name, image.problem.message) for image in tally.images if image.problem is not None]
    scored = [image for image in tally.images if image.shows_anything]
    if not scored:
        raise DatasetError(
            f"{answers.folder}: expected at least one image that can be scored, received {len(damaged)} damaged ones"
            + (f"; the first: {damaged[0][1]}" if damaged else ", and void alone in the truth of the others.")
        )
    how = Resampling(config.resample, config.resamples, config.seed)
    sums = np.stack([image.sums for image in scored])
    drives = [image.answer.sample.drive for image in scored]
    _say_if_few(how, len(scored), len(set(drives)))
    groups = groups_of(sums, [_place(image) for image in scored], how)
    in_bands = np.stack([image.bands for image in scored])
    groups[bands.by] = [
        group(bands.by, name, in_bands[:, number], drives, how)
        for number, name in enumerate(bands.names)
        if in_bands[:, number, 1].any()
    ]
    evaluation = Evaluation(
        answers=answers,
        whole=group("", "", sums, drives, how),
        scores=Scores.from_confusion(tally.confusion, answers.names),
        groups=groups,
        basis=bands.basis,
        boundary=tally.boundary,
        reliability=tally.reliability,
        confusion=tally.confusion,
        worst=[_short(image) for image in sorted(scored, key=lambda image: image.mean_iou)[: config.worst]],
        damaged=damaged,
        how=how,
        against=None if other is None else compared(answers, tally.images, other, how),
    )
    _write(answers.folder / name_of(config.against), json.dumps(evaluation.to_json(), indent=2, ensure_ascii=False))
    _write(answers.folder / "by_class.csv", evaluation.by_class_csv())
    _write(answers.folder / "by_group.csv", evaluation.by_group_csv())
    return evaluation


def evaluate_command(config: EvaluateConfig) -> int:
    """`carlaseg evaluate`: prints the table, or the object of evaluation.json.

    Returns:
        0, or 5 when some files were damaged.
    """
    evaluation = evaluate(config)
    if config.json:
        result(json.dumps(evaluation.to_json(), ensure_ascii=False))
    else:
        for line in evaluation.table():
            result(line)
    say("wrote", f"{evaluation.answers.folder / name_of(config.against)}, by_class.csv, by_group.csv")
    if evaluation.damaged:
        say("damaged", f"{len(evaluation.damaged)} images were not scored; the first: {evaluation.damaged[0][1]}")
    if Path(evaluation.answers.run).is_dir():
        run, folder = shlex.quote(evaluation.answers.run), shlex.quote(str(config.results))
        say("next", f"carlaseg report {run} --results {folder}")
    return DatasetError.exit_code if evaluation.damaged else 0


def _tally(answers: Answers, depths: dict[str, Path | None], bands: Bands) -> Tally:
    tally = Tally(answers.num_classes)
    with Progress("score", len(answers.answers), "images") as progress:
        for image in measured(answers, depths, bands):
            tally.add(image)
            progress.advance()
    return tally


def _place(image: Image) -> dict[str, Any]:
    sample = image.answer.sample
    return {"drive": sample.drive, "town": sample.town, "weather": sample.weather}


def _short(image: Image) -> dict[str, Any]:
    line = image.answer.line
    keys = ("name", "image", "drive", "panel", "uncertainty")
    return {key: line[key] for key in keys if key in line} | {"mean_iou": image.mean_iou}


def _say_if_few(how: Resampling, images: int, drives: int) -> None:
    if how.unit == "images" and drives > 1:
        say(
            "note",
            f"intervals are over images; frames of one drive are alike: --resample drives uses the {drives} drives",
        )
    units = images if how.unit == "images" else drives
    if units < FEW_UNITS:
        say("note", f"intervals from {units} {how.unit} say little; {FEW_UNITS} or more are wanted")


def _write(path: Path, text: str) -> None:
    try:
        write_whole(path, (text if text.endswith("\n") else text + "\n").encode())
    except OSError as error:
        raise DatasetError(f"{path}: expected room to write the evaluation, received {disk_fault(error)}.") from error
