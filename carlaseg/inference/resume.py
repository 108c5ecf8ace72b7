"""Going on with an inference that ended early: what is done is not done again, and counts all the same.

An image is done when its line is in predictions.jsonl and every file that the line names is there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from carlaseg.config import InferConfig, from_mapping, to_json
from carlaseg.dataset import read_mask
from carlaseg.dataset.pictures import read_raw_mask
from carlaseg.errors import ConfigError, DatasetError
from carlaseg.files import disk_fault, write_whole
from carlaseg.inference.films import Film
from carlaseg.inference.inputs import Source
from carlaseg.metrics import confusion_matrix

FREE_TO_CHANGE = frozenset({"resume", "overwrite", "json", "batch_size", "output", "name", "runs"})
"""Settings that may differ: they do not change what is written for an image."""
FILES = ("ids", "colours", "panel", "confidence", "probabilities", "uncertainty", "entropy", "mutual_information")

Line = dict[str, Any]


def earlier_lines(folder: Path, settings: Line) -> dict[str, Line]:
    """What an earlier inference into this folder has finished, by name.

    Args:
        folder: the results folder.
        settings: of this inference.

    Raises:
        ConfigError: there is nothing to go on with, or it was made with other settings.
    """
    if not (folder / "predictions.jsonl").is_file():
        raise ConfigError(
            f"--resume {folder}: expected a results folder to go on with, received "
            f"{'something else' if folder.exists() else 'nothing there'}. Nothing was changed.",
            (("start it", "the same command without --resume"),),
        )
    _refuse_other_settings(folder, settings)
    lines = {}
    for line in read_lines(folder / "predictions.jsonl"):
        if all((folder / str(line[key])).is_file() for key in FILES if key in line):
            lines[str(line["name"])] = line
    return lines


def read_lines(path: Path) -> Iterator[Line]:
    """The whole lines of a predictions.jsonl; one that was cut off by a crash is left out."""
    try:
        with path.open(encoding="utf-8") as file:
            for text in file:
                try:
                    line = json.loads(text)
                except ValueError:
                    continue
                if isinstance(line, dict) and "name" in line and "image" in line:
                    yield line
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: expected a readable list of predictions, received {error}.") from error


def keep(folder: Path, lines: Sequence[Line]) -> None:
    """Write predictions.jsonl anew with these lines, all or nothing.

    Raises:
        DatasetError: there is no room.
    """
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    try:
        write_whole(folder / "predictions.jsonl", text.encode())
    except OSError as error:
        raise DatasetError(f"{folder}: expected room to write results, received {disk_fault(error)}.") from error


def done_of(source: Source, lines: Mapping[str, Line], folder: Path, wanted: frozenset[str]) -> list[Line]:
    """The lines of a source that need not be done again.

    Raises:
        ConfigError: it is live, so that what was seen cannot be seen again.
    """
    # A video of results is whole or not there; what is missing in it cannot be added.
    without_video = "video" in wanted and not (folder / "videos" / f"{source.name}.mp4").is_file()
    if isinstance(source, Film):
        if source.live:
            raise ConfigError(f"--resume: expected inputs that can be read again, received {source.where}.")
        prefix = f"{source.name}_"
        of_film = [line for name, line in lines.items() if name.startswith(prefix) and line["image"] == source.where]
        return [] if without_video else of_film
    scored = source.labelled > 0
    done = []
    for sample in source.samples:
        line = lines.get(sample.name)
        if line is None or line["image"] != str(sample.image_path):
            continue
        # Without its ids an image with truth could not be counted again.
        if "ids" in line or not (scored and sample.mask_path is not None):
            done.append(line)
    return [] if without_video or ("video" in wanted and len(done) < source.length) else done


def recounted(
    folder: Path, source: Source, done: Sequence[Line], table: NDArray[np.uint8] | None, num_classes: int
) -> NDArray[np.int64]:
    """The confusion matrix of what is done, counted again from the files; int64, (C, C)."""
    confusion = np.zeros((num_classes, num_classes), np.int64)
    if table is None or isinstance(source, Film):
        return confusion
    names = {str(line["name"]): line for line in done}
    for sample in source.samples:
        line = names.get(sample.name)
        if line is None or sample.mask_path is None or "mean_iou" not in line:
            continue
        ids = read_raw_mask(folder / str(line["ids"]), "ids", None)
        confusion += confusion_matrix(np.asarray(cv2.LUT(read_mask(sample), table), np.uint8), ids, num_classes)
    return confusion


def _refuse_other_settings(folder: Path, now: Line) -> None:
    path = folder / "config.json"
    try:
        earlier = to_json(from_mapping(InferConfig, json.loads(path.read_text(encoding="utf-8")), str(path)))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"--resume {folder}: expected the settings it was made with, received {error}. Nothing was changed.",
            (("start over", "the same command with --overwrite in place of --resume"),),
        ) from error
    for key in sorted(now.keys() - FREE_TO_CHANGE):
        if now[key] != earlier.get(key):
            raise ConfigError(
                f"--resume {folder}: expected the settings it was made with, received {key} {now[key]} in place of "
                f"{earlier.get(key)}. Nothing was changed.",
                (("start over", "with --overwrite in place of --resume"), ("or keep both", "--name ANOTHER_NAME")),
            )
