"""The parity report: an artefact against the checkpoint it came from, on the same pictures, in the same minutes."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carlaseg.inference.artefact import ArtefactCard
from carlaseg.inference.exporting.pictures import Labelled
from carlaseg.inference.predictor import Runtime
from carlaseg.inference.runtimes import ArtefactPredictor
from carlaseg.metrics import Scores, confusion_matrix

ROUNDS, ROUNDS_MIN = 15, 3
"""Pictures timed one by one, checkpoint and artefact in turn; medians are taken."""
SETTLE_S = 0.02
"""Before each: threads of the other side, which wait for more work by spinning, have then gone to sleep."""
STREAM = 8
"""Pictures in a row to time throughput."""
STREAMS = 3
TIMING_S = 10.0
"""Timing of large pictures ends early, after so many seconds of each kind."""
LOGITS_PICTURES = 16
"""Pictures whose logits are compared number by number."""

Logits = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True)
class Speed:
    """How fast one side is here.

    Attributes:
        latency_ms: median milliseconds from a picture to its ids, one picture at a time.
        images_per_s: images a second of a stream of pictures, one after the other.
    """

    latency_ms: float
    images_per_s: float


@dataclass(frozen=True)
class Parity:
    """What the comparison found.

    Attributes:
        images: pictures compared.
        labelled: where they are from.
        logits_max: largest absolute difference of a logit; None for an artefact that gives ids.
        logits_mean: mean absolute difference.
        logits_scale: largest absolute logit of the checkpoint, to see the differences against.
        same_class: share of pixels with the same class, 0 to 1.
        mean_iou: of the artefact, 0 to 1.
        checkpoint_mean_iou: of the checkpoint.
    """

    images: int
    labelled: str
    logits_max: float | None
    logits_mean: float | None
    logits_scale: float | None
    same_class: float
    mean_iou: float
    checkpoint_mean_iou: float

    @property
    def miou_drop(self) -> float:
        """Loss of mean IoU, in points of 100; negative for a gain."""
        return 100.0 * (self.checkpoint_mean_iou - self.mean_iou)


class Reference:
    """The checkpoint's own answers to the labelled pictures, worked out once for all comparisons.

    Args:
        logits: the checkpoint, from uint8 (B, H, W, 3) to logits.
        labelled: pictures with truth.
        names: class names.
    """

    def __init__(self, logits: Logits, labelled: Labelled, names: tuple[str, ...]) -> None:
        self.labelled = labelled
        self.names = names
        self.ids: list[NDArray[np.uint8]] = []
        self.logits: list[NDArray[np.float32]] = []
        confusion = np.zeros((len(names), len(names)), np.int64)
        for place in range(len(labelled.images)):
            answer = logits(labelled.images[place : place + 1])[0]
            if place < LOGITS_PICTURES:
                self.logits.append(answer)
            self.ids.append(answer.argmax(axis=-1).astype(np.uint8))
            confusion += confusion_matrix(labelled.truth[place], self.ids[-1], len(names))
        self.mean_iou = Scores.from_confusion(confusion, names).mean_iou

    def compare(self, artefact: ArtefactPredictor) -> Parity:
        """An artefact's answers to the same pictures against these.

        Raises:
            CheckpointError: the artefact does not do what its metadata says.
        """
        gives_logits = artefact.card.output == "logits"
        confusion = np.zeros((len(self.names), len(self.names)), np.int64)
        largest = scale = total = 0.0
        numbers = same = 0
        for place, ids in enumerate(self.ids):
            answer = artefact.answer(self.labelled.images[place : place + 1])[0]
            if gives_logits and place < len(self.logits):
                difference = np.abs(answer - self.logits[place])
                largest = max(largest, float(difference.max()))
                scale = max(scale, float(np.abs(self.logits[place]).max()))
                total += float(difference.sum(dtype=np.float64))
                numbers += difference.size
            theirs = answer.argmax(axis=-1).astype(np.uint8) if gives_logits else answer
            same += int((theirs == ids).sum())
            confusion += confusion_matrix(self.labelled.truth[place], theirs, len(self.names))
        return Parity(
            images=len(self.ids),
            labelled=self.labelled.source,
            logits_max=largest if gives_logits else None,
            logits_mean=total / numbers if gives_logits else None,
            logits_scale=scale if gives_logits else None,
            same_class=same / (len(self.ids) * self.ids[0].size),
            mean_iou=Scores.from_confusion(confusion, self.names).mean_iou,
            checkpoint_mean_iou=self.mean_iou,
        )


def measure_speed(checkpoint: Runtime, artefact: Runtime, images: NDArray[np.uint8]) -> tuple[Speed, Speed]:
    """Both sides' speed, in turn, so that whatever else the machine does meets both alike.

    Args:
        checkpoint: one side.
        artefact: the other.
        images: uint8, (N, H, W, 3).
    """
    size = (images.shape[1], images.shape[2])
    sides = (checkpoint, artefact)
    stream = images[np.arange(STREAM) % len(images)]
    latencies: tuple[list[float], list[float]] = ([], [])
    streams: tuple[list[float], list[float]] = ([], [])
    for side in sides:
        side(images[:1], size)
    began_s = time.perf_counter()
    for turn in range(ROUNDS):
        if turn >= ROUNDS_MIN and time.perf_counter() - began_s > TIMING_S:
            break
        picture = images[turn % len(images)][None]
        for side, seconds in zip(sides, latencies, strict=True):
            time.sleep(SETTLE_S)
            seconds.append(_seconds(side, picture, size))
    began_s = time.perf_counter()
    for turn in range(STREAMS):
        if turn and time.perf_counter() - began_s > TIMING_S:
            break
        for side, seconds in zip(sides, streams, strict=True):
            # One image a batch is the quickest way of Keras on a processor, and the artefacts' only one.
            seconds.append(sum(_seconds(side, stream[i : i + 1], size) for i in range(STREAM)))
    first, second = (
        Speed(1e3 * statistics.median(alone), STREAM / statistics.median(together))
        for alone, together in zip(latencies, streams, strict=True)
    )
    return first, second


def _seconds(side: Runtime, picture: NDArray[np.uint8], size: tuple[int, int]) -> float:
    began_s = time.perf_counter()
    side(picture, size)
    return time.perf_counter() - began_s


@dataclass(frozen=True)
class Report:
    """The parity report.

    Attributes:
        card: what the artefact says of itself.
        artefact: its file name.
        runtime: what ran it.
        parity: the answers compared.
        floor: highest loss of mean IoU that was allowed, in points.
        artefact_bytes: its size on disk.
        checkpoint_bytes: the weights file's, optimiser left out.
        speed: the artefact's here.
        checkpoint_speed: the checkpoint's here, in the same minutes.
        checkpoint_runtime: what ran that.
        picture_size: (height, width) of the pictures.
        calibrated_with: int8: which pictures.
    """

    card: ArtefactCard
    artefact: str
    runtime: str
    parity: Parity
    floor: float
    artefact_bytes: int
    checkpoint_bytes: int
    speed: Speed
    checkpoint_speed: Speed
    checkpoint_runtime: str
    picture_size: tuple[int, int]
    calibrated_with: str | None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; parity.json."""
        values = asdict(self)
        values["parity"]["miou_drop"] = self.parity.miou_drop
        machine = {"machine": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}
        return {"format": 1, **values, "machine": machine}

    def to_markdown(self) -> str:
        """A page for people; parity.md."""
        parity, card = self.parity, self.card
        height, width = self.picture_size
        times = self.checkpoint_speed.latency_ms / self.speed.latency_ms
        rows = [("", "checkpoint", "artefact")]
        rows.append(("mean IoU", f"{parity.checkpoint_mean_iou:.4f}", f"{parity.mean_iou:.4f}"))
        rows.append(("size", f"{self.checkpoint_bytes / 1e6:.2f} MB", f"{self.artefact_bytes / 1e6:.2f} MB"))
        rows += [
            (what, getattr(self.checkpoint_speed, name), getattr(self.speed, name))
            for what, name in (("ms an image, one at a time", "latency_ms"), ("images a second", "images_per_s"))
        ]
        lines = [
            f"# {self.artefact}: {card.network}, {card.precision}, against its checkpoint",
            "",
            f"Run {card.run}, {card.checkpoint} weights; {parity.images} pictures of {height}x{width} "
            f"({parity.labelled}).",
            "",
            *(f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows[:1]),
            "| --- | ---: | ---: |",
            *(f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows[1:]),
            "",
            f"* mean IoU {'drops' if parity.miou_drop >= 0 else 'rises'} by {abs(parity.miou_drop):.3f} points; "
            f"a drop of {self.floor:g} is allowed",
            f"* {100 * parity.same_class:.3f} % of the pixels have the same class",
        ]
        if parity.logits_max is not None:
            lines.append(
                f"* logits differ by {parity.logits_max:.3g} at most, {parity.logits_mean:.3g} on average "
                f"(the largest is {parity.logits_scale:.3g})"
            )
        lines.append(f"* {times:.2f} times the checkpoint's speed: {self.runtime} against {self.checkpoint_runtime}")
        if self.calibrated_with:
            lines.append(f"* calibrated with {self.calibrated_with}")
        if card.kept_float:
            lines.append(f"* left in float because eight bits cost too much there: {', '.join(card.kept_float)}")
        lines.append(f"* measured on {platform.machine()}, {os.cpu_count()} cores; speeds of another machine differ")
        return "\n".join(lines) + "\n"


def bytes_of(path: Path) -> int:
    """Size of an artefact: a file, with the .bin beside an .xml, or a folder's files together."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    beside = path.with_suffix(".bin")
    return path.stat().st_size + (beside.stat().st_size if path.suffix == ".xml" and beside.is_file() else 0)


def _cell(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.1f}"
