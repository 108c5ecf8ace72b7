"""Pixels and images a class, and loss weights from them.

Source: median-frequency weights: Eigen and Fergus 2015 as used by SegNet; the frequency of a class is its pixels over
    the pixels of the images it occurs in. Inverse log: ENet, c = 1.02.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carlaseg.labels import IGNORE_ID, LabelScheme

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class ClassStats:
    """One class of a dataset, or of a part of it.

    Attributes:
        class_id: its id.
        name: its name.
        pixels: pixels of the class.
        images: images that have at least one.
        share: its share of all pixels that are not void, 0 to 1.
        median_weight: median-frequency loss weight, None when the class never occurs.
        inverse_log_weight: 1 / ln(1.02 + share).
    """

    class_id: int
    name: str
    pixels: int
    images: int
    share: float
    median_weight: float | None
    inverse_log_weight: float

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "id": self.class_id,
            "name": self.name,
            "pixels": self.pixels,
            "images": self.images,
            "share": self.share,
            "median_weight": self.median_weight,
            "inverse_log_weight": self.inverse_log_weight,
        }


class Tally:
    """Counts of the masks seen so far: of a whole dataset, a drive, a town, a weather.

    Attributes:
        masks: how many.
    """

    def __init__(self) -> None:
        self.masks = 0
        self._pixels: Counts = np.zeros(256, np.int64)
        self._images: Counts = np.zeros(256, np.int64)
        self._pixels_where_present: Counts = np.zeros(256, np.int64)

    def add(self, counts: Counts) -> None:
        """Add one mask: int64 (256,), pixels by id, void as `IGNORE_ID`."""
        present = counts > 0
        self.masks += 1
        self._pixels += counts
        self._images += present
        self._pixels_where_present += present * (counts.sum() - counts[IGNORE_ID])

    @property
    def void_pixels(self) -> int:
        """Pixels nobody scores."""
        return int(self._pixels[IGNORE_ID])

    def classes(self, scheme: LabelScheme) -> tuple[ClassStats, ...]:
        """A row a class of the scheme, absent ones included."""
        total = int(self._pixels.sum()) - self.void_pixels
        frequency = {
            label.class_id: float(self._pixels[label.class_id] / self._pixels_where_present[label.class_id])
            for label in scheme.classes
            if self._pixels[label.class_id]
        }
        median = float(np.median(list(frequency.values()))) if frequency else 0.0
        rows = []
        for label in scheme.classes:
            share = float(self._pixels[label.class_id]) / max(total, 1)
            own = frequency.get(label.class_id)
            rows.append(
                ClassStats(
                    class_id=label.class_id,
                    name=label.name,
                    pixels=int(self._pixels[label.class_id]),
                    images=int(self._images[label.class_id]),
                    share=share,
                    median_weight=None if own is None else median / own,
                    inverse_log_weight=float(1 / np.log(1.02 + share)),
                )
            )
        return tuple(rows)
