"""The classes of a run's masks, counted before it starts.

Nothing is trained before every mask was read once, and every image's beginning and end: a file that was cut short or a
strange id ends the run here, not in epoch 7.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from carlaseg import labels
from carlaseg.console import Progress
from carlaseg.dataset import Sample, picture_size, read_mask
from carlaseg.errors import DatasetError
from carlaseg.pipeline.batches import WORKERS, ahead
from carlaseg.pipeline.selection import Selection

MANY = 2000
"""Masks whose reading takes seconds; fewer need no progress line."""
RARE_SHARE = 0.001
"""A class with a smaller share of the pixels is named before the training: its IoU will be poor."""


@dataclass(frozen=True)
class ClassCounts:
    """Pixels of the training masks, at the size they have on disk.

    Attributes:
        pixels: int64, (C,): pixels of each class.
        pixels_where_shown: int64, (C,): labelled pixels of the frames that show the class.
        void: pixels of no class.
    """

    pixels: NDArray[np.int64]
    pixels_where_shown: NDArray[np.int64]
    void: int

    @property
    def shares(self) -> NDArray[np.float64]:
        """Share of the labelled pixels a class, 0 to 1."""
        return self.pixels / max(1, int(self.pixels.sum()))


def count_classes(selection: Selection) -> ClassCounts:
    """Read every mask of both parts, and count the classes of the training part.

    Raises:
        DatasetError: a damaged mask, an image that is cut short or of another size than its mask, an id outside the
            scheme (names file, pixel and id), or void alone.
    """
    num_classes = selection.target.num_classes
    pixels = np.zeros(num_classes, np.int64)
    shown = np.zeros(num_classes, np.int64)
    void = validated = 0

    def histogram(sample: Sample) -> NDArray[np.int64]:
        table, mask = selection.tables[sample.scheme or ""], read_mask(sample)
        height, width = picture_size(sample.image_path)
        if mask.shape != (height, width):
            raise DatasetError(
                f"{sample.mask_path}: expected a mask of its image's size, {height}x{width}, received "
                f"{mask.shape[0]}x{mask.shape[1]}. Nothing was trained."
            )
        return np.bincount(table[mask].ravel(), minlength=256).astype(np.int64)

    samples = chain(selection.train, selection.validation)
    total = len(selection.train) + len(selection.validation)
    with Progress("checks", total, "masks") if total > MANY else nullcontext() as progress:
        for index, counts in enumerate(ahead(histogram, samples, WORKERS)):
            if index < len(selection.train):
                own = counts[:num_classes]
                pixels += own
                shown[own > 0] += own.sum()
                void += int(counts[labels.IGNORE_ID])
            else:
                validated += int(counts[:num_classes].sum())
            if progress is not None:
                progress.advance()
    parts = (("training", selection.train, pixels.any()), ("validation", selection.validation, validated))
    for part, its_samples, labelled in parts:
        if not labelled:
            raise DatasetError(
                f"{its_samples[0].mask_path}: expected pixels of {selection.target.name} in the {len(its_samples)} "
                f"{part} masks, received void alone."
            )
    return ClassCounts(pixels, shown, void)
