"""A results folder as evaluation sees it: which images, their predictions, their truth, all read again from disk."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from carlaseg import labels
from carlaseg.config import nearest
from carlaseg.dataset import MaskEncoding, Sample, open_dataset, read_mask
from carlaseg.dataset.pictures import read_raw_mask
from carlaseg.errors import DatasetError
from carlaseg.labels import IGNORE_ID

ENCODINGS: tuple[MaskEncoding, ...] = ("ids", "red", "colors")


@dataclass(frozen=True)
class Answer:
    """One image: where its prediction and its truth lie, and what is known of it.

    Attributes:
        name: of its results.
        sample: the image and its truth; a mask without a scheme holds ids of the results.
        ids_path: its prediction.
        confidence_path: its confidence, None when that was not written.
        line: its line in predictions.jsonl.
    """

    name: str
    sample: Sample
    ids_path: Path
    confidence_path: Path | None
    line: Mapping[str, Any]


@dataclass(frozen=True)
class Answers:
    """A results folder.

    Attributes:
        folder: of the results.
        run: the run folder, the exported file, or the name of kept weights, as config.json says.
        scheme: label scheme of the predictions.
        names: of the classes.
        answers: the images with truth and a prediction, in order.
        without_truth: how many images have none.
    """

    folder: Path
    run: str
    scheme: str
    names: tuple[str, ...]
    answers: tuple[Answer, ...]
    without_truth: int

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.names)


def open_answers(folder: Path, truth: Path | None) -> Answers:
    """Read what a results folder says of itself; no picture is opened.

    Args:
        folder: of the results.
        truth: dataset with the truth, when it is no longer where inference found it.

    Raises:
        DatasetError: it is no results folder, or holds no prediction with truth.
    """
    if not (folder / "predictions.jsonl").is_file():
        known = [path.parent for path in folder.glob("*/predictions.jsonl")] if folder.is_dir() else []
        known += [path.parent for path in folder.parent.glob("*/predictions.jsonl")] if folder.parent.is_dir() else []
        near = nearest(str(folder), map(str, known)) or (str(known[0]) if known else None)
        raise DatasetError(
            f"{folder}: expected a results folder of carlaseg infer (it holds predictions.jsonl), received "
            f"{'a folder without' if folder.is_dir() else 'nothing there'}.",
            (("perhaps", f"carlaseg evaluate {shlex.quote(near)}"),)
            if near
            else (("make one", "carlaseg infer RUN --input FOLDER"),),
        )
    classes = _json(folder / "classes.json")
    try:
        scheme, names = str(classes["scheme"]), tuple(str(name) for name in classes["names"])
    except (KeyError, TypeError) as error:
        raise DatasetError(
            f"{folder}: expected classes.json with the scheme and names of its classes, received none. An earlier "
            "carlaseg made these results.",
            (("make them again", f"carlaseg infer --config {shlex.quote(str(folder / 'config.json'))} --overwrite"),),
        ) from error
    of_name = (
        {} if truth is None else {sample.name: sample for sample in open_dataset(truth, masks_required=True).samples}
    )
    answers, without = [], 0
    for line in _lines(folder / "predictions.jsonl"):
        sample = of_name.get(str(line["name"])) if truth is not None else _sample(folder, line)
        if sample is None or "ids" not in line:
            without += 1
            continue
        confidence = folder / str(line["confidence"]) if "confidence" in line else None
        answers.append(Answer(str(line["name"]), sample, folder / str(line["ids"]), confidence, line))
    if not answers:
        raise DatasetError(
            f"{folder}: expected predictions (ids/) with truth beside their images, received {without} without. "
            "Nothing was scored.",
            (("the truth lies elsewhere", f"carlaseg evaluate {shlex.quote(str(folder))} --truth DATASET"),),
        )
    settings = _json(folder / "config.json")
    run = str(settings.get("model") or settings.get("weights") or settings.get("run", ""))
    return Answers(folder, run, scheme, names, tuple(answers), without)


def read_pair(answer: Answer, scheme: str, num_classes: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Truth and prediction of an image, both in the classes of the results.

    Returns:
        uint8, (H, W), class ids with 255 for void; uint8, (H, W), class ids.

    Raises:
        DatasetError: a file is missing or damaged, or the two have different sizes.
    """
    ids = read_raw_mask(answer.ids_path, "ids", None)
    mask = read_mask(answer.sample)
    if answer.sample.scheme is not None:
        mask = labels.remap(labels.scheme(answer.sample.scheme), labels.scheme(scheme)).apply(mask)
    truth = np.where(mask < num_classes, mask, IGNORE_ID).astype(np.uint8)
    if truth.shape != ids.shape:
        raise DatasetError(
            f"{answer.sample.mask_path}: expected the size of its prediction, {ids.shape[0]}x{ids.shape[1]}, received "
            f"{truth.shape[0]}x{truth.shape[1]}."
        )
    return truth, ids


def read_confidence(path: Path) -> NDArray[np.float32]:
    """Confidence, float32, (H, W), 0 to 1.

    Raises:
        DatasetError: the file is missing or damaged.
    """
    try:
        pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    except (OSError, cv2.error) as error:
        raise DatasetError(f"{path}: expected a readable confidence, received {error}.") from error
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 2:
        raise DatasetError(f"{path}: expected a 16-bit PNG of one channel, received something else.")
    return np.asarray(pixels, np.float32) / np.float32(65535)


def _sample(folder: Path, line: Mapping[str, Any]) -> Sample | None:
    """The image of a line with its truth; None without truth."""
    if "truth" not in line:
        return None
    written_here = "truth_scheme" not in line
    encoding = line.get("truth_encoding", "ids")
    scheme = line.get("truth_scheme")
    return Sample(
        image_path=Path(str(line["image"])),
        mask_path=folder / str(line["truth"]) if written_here else Path(str(line["truth"])),
        mask_encoding=encoding if encoding in ENCODINGS else "ids",
        scheme=str(scheme) if scheme in labels.SCHEMES else None,
        drive=str(line.get("drive") or ""),
        frame=line.get("frame"),
        town=line.get("town"),
        weather=line.get("weather"),
        name=str(line["name"]),
    )


def _lines(path: Path) -> list[dict[str, Any]]:
    lines = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue  # the last line of an inference that was killed
        if isinstance(line, dict) and "name" in line and "image" in line:
            lines.append(line)
    return lines


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
