"""`carlaseg infer`: a run and a folder of images in; ids, colours, panels and, with truth, scores out.

One flat story. Reading, the network and writing overlap: threads decode ahead and encode behind, the network runs in
the main thread, and memory is bounded by a few frames on each side.
"""

from __future__ import annotations

import json
import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carlaseg import labels
from carlaseg.backend import prepare_backend
from carlaseg.checkpoint import ModelCard, RunFolder, load_model
from carlaseg.config import InferConfig, to_json
from carlaseg.console import Progress, StopRequest, duration, result, say, stop_on_signal
from carlaseg.dataset import Dataset, open_dataset
from carlaseg.errors import CarlasegError, ConfigError, DatasetError, Interrupted
from carlaseg.inference.confusion import draw_confusion
from carlaseg.inference.panels import Legend
from carlaseg.inference.predictor import KerasPredictor
from carlaseg.inference.results import ResultsWriter, claim, refuse_taken, write_json, write_text
from carlaseg.metrics import Scores, confusion_csv, most_confused
from carlaseg.pipeline import for_inference

LISTED = 12
"""Best and worst images that metrics.json lists."""
PRINTED_CLASSES = 12
DAMAGED_PRINTED = 5
EXIT_DAMAGED = DatasetError.exit_code


@dataclass(frozen=True)
class InferResult:
    """What was done.

    Attributes:
        folder: the results folder.
        images: how many were segmented.
        damaged: file and reason of those that could not be, and of masks that could not be read.
        scores: with truth, its scores.
        seconds: from the first image to the last file.
        load_s: seconds to load and compile the network.
        read_s: seconds of the reading threads together.
        network_s: seconds of the network.
        write_s: seconds of the writing threads together.
    """

    folder: Path
    images: int
    damaged: tuple[tuple[str, str], ...]
    scores: Scores | None
    seconds: float
    load_s: float
    read_s: float
    network_s: float
    write_s: float

    @property
    def images_per_s(self) -> float:
        """Images a second, the loading of the network left out."""
        return self.images / self.seconds if self.seconds > 0 else 0.0

    def to_json(self) -> dict[str, Any]:
        """The result as plain JSON values; summary.json."""
        return {
            "format": 1,
            "folder": str(self.folder),
            "images": self.images,
            "damaged": [{"file": file, "reason": reason} for file, reason in self.damaged],
            "images_per_s": round(self.images_per_s, 3),
            "seconds": {
                "all": round(self.seconds, 3),
                "load": round(self.load_s, 3),
                "read": round(self.read_s, 3),
                "network": round(self.network_s, 3),
                "write": round(self.write_s, 3),
            },
            "scores": self.scores.to_json() if self.scores else None,
        }


def infer(config: InferConfig) -> InferResult:
    """Segment a folder of images.

    Raises:
        CheckpointError: no such run, or its weights cannot be used.
        DatasetError: the input is not a dataset, or its truth cannot be compared with the network's classes.
        ConfigError: the results folder exists.
        Interrupted: Ctrl-C; what was predicted is on disk.
    """
    run = RunFolder.find(config.run, config.runs)
    card = run.model_card()
    size = tuple(config.size or card.size)
    say("model", _model_line(run, card, config, (size[0], size[1])))

    data = open_dataset(config.input, config.scheme, config.split)
    table = _truth_table(data, card)
    name = config.name or f"{run.name}_{_input_name(config)}"
    folder = config.output / name
    refuse_taken(folder, config.overwrite)

    began_s = time.perf_counter()
    try:
        prepare_backend()
        predict = KerasPredictor(load_model(run, config.checkpoint))
    except KeyboardInterrupt:
        raise Interrupted("stopped while loading the network; nothing was predicted or changed.") from None
    load_s = time.perf_counter() - began_s
    # Only now: a run that cannot be loaded must not cost anybody the results of an earlier one.
    claim(folder, config.overwrite)
    write_json(folder / "config.json", to_json(config) | {"run": str(run.path)})
    say("out", str(folder.absolute()))
    legend = Legend(card.class_names, _palette(card))
    batches = for_inference(data.samples, (size[0], size[1]), config.batch_size, table)
    damaged: list[tuple[str, str]] = []
    done = 0
    read_s = network_s = 0.0
    with stop_on_signal("the images in work") as stop:
        # The first batch compiles the network; the clock starts with what comes after, as it does for a large folder.
        began_s = time.perf_counter()
        with (
            Progress("infer", len(data.samples), "images") as progress,
            ResultsWriter(folder, legend, config.panels) as writer,
        ):
            try:
                for batch in batches:
                    for frame in (*batch.damaged, *batch.frames):
                        read_s += frame.read_s
                        if frame.problem is not None:
                            damaged.append((str(frame.sample.image_path), frame.problem.message))
                            if len(damaged) <= DAMAGED_PRINTED:
                                progress.note(f"skipped {frame.problem.message}")
                    if batch.frames:
                        shape = _shape_of(batch.frames[0].image)
                        if done == 0:
                            warm_s = predict.warm(batch.images.shape, shape)
                            load_s += warm_s
                            began_s += warm_s
                        before_s = time.perf_counter()
                        ids = predict(batch.images, shape)
                        network_s += time.perf_counter() - before_s
                        for frame, prediction in zip(batch.frames, ids, strict=True):
                            writer.add(frame, prediction)
                    done += len(batch.frames)
                    progress.advance(len(batch.frames) + len(batch.damaged))
                    if stop.requested:
                        break
            finally:
                batches.close()
        seconds = time.perf_counter() - began_s
        scores = write_scores(folder, writer, run, card, config, data, complete=not stop.requested)
        outcome = InferResult(folder, done, tuple(damaged), scores, seconds, load_s, read_s, network_s, writer.write_s)
        write_json(folder / "summary.json", outcome.to_json())
        if stop.requested:
            raise _interrupted(stop, outcome, len(data.samples))
    if done == 0:
        raise DatasetError(
            f"{config.input}: expected at least one image that can be read, received {len(damaged)} damaged ones; "
            f"the first: {damaged[0][1]}",
            (("all of them", f"carlaseg verify {config.input} --deep"),),
        )
    return outcome


def infer_command(config: InferConfig) -> int:
    """`carlaseg infer`: prints the scores (or the object that summary.json holds) and says what to do next.

    Returns:
        0, or 5 when some files were damaged.
    """
    outcome = infer(config)
    if config.json:
        result(json.dumps(outcome.to_json(), ensure_ascii=False))
    elif outcome.scores is not None:
        for line in outcome.scores.table(limit=PRINTED_CLASSES):
            result(line)
    else:
        result(str(outcome.folder))
    _say_done(outcome)
    if outcome.damaged:
        say("damaged", f"{len(outcome.damaged)} files, listed in summary.json; the rest is done")
    run = RunFolder.find(config.run, config.runs)
    say("next", f"carlaseg report {shlex.quote(str(run))} --results {shlex.quote(str(outcome.folder))}")
    return EXIT_DAMAGED if outcome.damaged else 0


def _say_done(outcome: InferResult) -> None:
    say(
        "done",
        f"{outcome.images} images in {duration(outcome.seconds)}, {outcome.images_per_s:.1f} images/s   "
        f"network {outcome.network_s:.1f} s; beside it read {outcome.read_s:.1f} s, write {outcome.write_s:.1f} s"
        f"   (loading and compiling {outcome.load_s:.1f} s apart)",
    )
    say("wrote", str(outcome.folder.absolute()))


def _model_line(run: RunFolder, card: ModelCard, config: InferConfig, size: tuple[int, int]) -> str:
    best = [r for r in run.metrics() if r.get("best")] if config.checkpoint == "best" else run.metrics()
    epoch = f" of epoch {best[-1]['epoch']}" if best and "epoch" in best[-1] else ""
    return (
        f"{run}, {config.checkpoint} weights{epoch}: {card.network}, {card.parameters:,} parameters, "
        f"{card.num_classes} classes ({card.scheme}), sees {size[0]}x{size[1]}"
    )


def _truth_table(data: Dataset, card: ModelCard) -> NDArray[np.uint8] | None:
    """How to turn the input's ids into the network's classes; None without truth. Says what the input is."""
    where = f"{data.folder}: {len(data.samples)} images ({data.layout})"
    if not data.labelled:
        say("data", f"{where}, no truth: no scores")
        return None
    if data.scheme is None:
        raise DatasetError(
            f"{data.folder}: expected to find out the label scheme of its masks, received {'; '.join(data.evidence)}. "
            "Nothing was predicted.",
            (("name it", f"--scheme {' | '.join(labels.SCHEMES)}"),),
        )
    of_network = labels.scheme(card.scheme)
    try:
        remap = labels.remap(data.scheme, of_network)
    except ConfigError as error:
        raise DatasetError(
            f"{data.folder}: expected truth that can be compared with the network's classes ({card.scheme}), "
            f"received {data.scheme.name}: {error.message} Nothing was predicted."
        ) from error
    say("data", f"{where}, truth for {data.labelled} of them, {data.scheme.name}")
    if data.scheme != of_network:
        say("truth", f"{data.scheme.name} -> {of_network.name} by meaning" + ("; it loses:" if remap.lossy else ""))
        for sentence in remap.lossy:
            say("", sentence)
    table = of_network.void_table[remap.table]
    return np.where(table < card.num_classes, table, labels.IGNORE_ID).astype(np.uint8)


def _input_name(config: InferConfig) -> str:
    name = config.input.resolve().name or "input"
    return f"{name}_{config.split}" if config.split else name


def _palette(card: ModelCard) -> NDArray[np.uint8]:
    """uint8, (256, 3): the run's colours; void and whatever lies above the table is black."""
    palette = np.zeros((256, 3), np.uint8)
    palette[: card.num_classes] = card.palette
    return palette


def _shape_of(image: NDArray[np.uint8] | None) -> tuple[int, int]:
    assert image is not None
    return image.shape[0], image.shape[1]


def write_scores(
    folder: Path,
    writer: ResultsWriter,
    run: RunFolder,
    card: ModelCard,
    config: InferConfig,
    data: Dataset,
    complete: bool,
) -> Scores | None:
    """metrics.json, per_class.csv, confusion.csv and confusion.png, all of the same counts; nothing without truth."""
    if not writer.confusion.any():
        return None
    names = card.class_names
    scores = Scores.from_confusion(writer.confusion, names)
    ranked = sorted((line for line in writer.lines if "mean_iou" in line), key=lambda line: line["mean_iou"])
    keys = ("name", "mean_iou", "pixel_accuracy", "panel")
    short = [{key: line[key] for key in keys if key in line} for line in ranked]
    write_json(
        folder / "metrics.json",
        {
            "format": 1,
            "run": str(run),
            "weights": config.checkpoint,
            "input": str(config.input),
            "truth_scheme": data.scheme.name if data.scheme else None,
            "scheme": card.scheme,
            "complete": complete,
            "images_scored": len(ranked),
            **scores.to_json(),
            "most_confused": [vars(pair) for pair in most_confused(writer.confusion, names)],
            "worst": short[:LISTED],
            "best": short[::-1][:LISTED],
            "confusion": writer.confusion.tolist(),
        },
    )
    write_text(folder / "per_class.csv", scores.csv())
    write_text(folder / "confusion.csv", confusion_csv(writer.confusion, names))
    try:
        draw_confusion(writer.confusion, names, folder / "confusion.png", f"{run.name} on {config.input}")
    except Exception as error:  # a picture must never cost anybody the numbers
        say("note", f"confusion.png was not drawn: {error}; confusion.csv has the numbers")
    return scores


def _interrupted(stop: StopRequest, outcome: InferResult, total: int) -> CarlasegError:
    return stop.interrupted(
        f"stopped after {outcome.images} of {total} images; their results are whole in {outcome.folder}.",
        ("start over", f"carlaseg infer --config {shlex.quote(str(outcome.folder / 'config.json'))} --overwrite"),
    )
