"""One image to counts that add up; a few threads measure ahead of need."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carlaseg.errors import DatasetError
from carlaseg.evaluation.answers import Answer, Answers, read_confidence, read_pair
from carlaseg.evaluation.bands import Bands
from carlaseg.labels import IGNORE_ID
from carlaseg.metrics import BoundaryCounts, Reliability, boundary_counts, confusion_matrix, reliability, sums_of
from carlaseg.pipeline.batches import WORKERS, ahead


@dataclass(frozen=True)
class Image:
    """What is kept of one image: a few KB.

    Attributes:
        answer: the image.
        sums: float64, (3, C): hits, truth and predicted pixels.
        bands: float64, (bands, 3, C): the same of each band.
        problem: what is wrong with one of its files; all counts are then empty.
    """

    answer: Answer
    sums: NDArray[np.float64]
    bands: NDArray[np.float64]
    problem: DatasetError | None = None

    @property
    def shows_anything(self) -> bool:
        """Whether a pixel of it is scored."""
        return bool(self.sums[1].any())

    @property
    def mean_iou(self) -> float:
        """Mean IoU of this image alone, over the classes its truth shows; 0 when that is void alone."""
        hits, truth, predicted = self.sums
        shown = truth > 0
        return float((hits[shown] / (truth + predicted - hits)[shown]).mean()) if shown.any() else 0.0


@dataclass(frozen=True)
class Measured:
    """What one image says, all of it.

    Attributes:
        image: what is kept.
        confusion: int64, (C, C), rows truth.
        boundary: its borders.
        reliability: its confidences; None without them.
    """

    image: Image
    confusion: NDArray[np.int64]
    boundary: BoundaryCounts
    reliability: Reliability | None


class Tally:
    """Counts of all images together.

    Attributes:
        images: in order.
        confusion: int64, (C, C), rows truth.
        boundary: of all images.
        reliability: of those with confidences; None without any.
    """

    def __init__(self, num_classes: int) -> None:
        self.images: list[Image] = []
        self.confusion = np.zeros((num_classes, num_classes), np.int64)
        self.boundary = BoundaryCounts.none(num_classes)
        self.reliability: Reliability | None = None

    def add(self, measured: Measured) -> None:
        """Count an image."""
        self.images.append(measured.image)
        self.confusion += measured.confusion
        self.boundary += measured.boundary
        if measured.reliability is not None:
            self.reliability = (self.reliability or Reliability.none()) + measured.reliability


def measured(
    answers: Answers, depths: dict[str, Path | None], bands: Bands, workers: int = WORKERS
) -> Generator[Measured, None, None]:
    """Every image of the results, in order.

    Args:
        answers: the results.
        depths: depth picture of each image by name.
        bands: how pixels are sorted by distance.
        workers: threads.
    """
    classes = answers.num_classes

    def measure(answer: Answer) -> Measured:
        try:
            return _measure(answer, answers, depths.get(answer.name), bands)
        except DatasetError as error:
            image = Image(answer, np.zeros((3, classes)), np.zeros((len(bands.names), 3, classes)), error)
            return Measured(image, np.zeros((classes, classes), np.int64), BoundaryCounts.none(classes), None)

    return ahead(measure, answers.answers, workers)


def _measure(answer: Answer, answers: Answers, depth: Path | None, bands: Bands) -> Measured:
    classes = answers.num_classes
    truth, ids = read_pair(answer, answers.scheme, classes)
    band = bands.of(depth, (truth.shape[0], truth.shape[1]))
    in_bands = np.stack(
        [
            confusion_matrix(np.where(band == number, truth, IGNORE_ID).astype(np.uint8), ids, classes)
            for number in range(len(bands.names))
        ]
    )
    sure = None
    if answer.confidence_path is not None:
        sure = reliability(truth, ids, read_confidence(answer.confidence_path))
    # The bands share the image out among them, so that their sum is its matrix.
    confusion = in_bands.sum(axis=0)
    image = Image(answer, sums_of(confusion[None])[0], sums_of(in_bands))
    return Measured(image, confusion, boundary_counts(truth, ids, classes), sure)
