"""Counts of many images to figures with intervals: of all of them, and of each drive, town, weather and band."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from carlaseg.metrics import Interval, bootstrap

Unit = Literal["images", "drives"]
GROUPED_BY = ("drive", "town", "weather")


@dataclass(frozen=True)
class Resampling:
    """How intervals are made."""

    unit: Unit
    resamples: int
    seed: int


@dataclass(frozen=True)
class Group:
    """Figures of some of the images, or of some of the pixels of all of them.

    Attributes:
        by: what groups them ("drive", "town", "weather", "distance", "rows").
        name: of the group.
        images: how many have a pixel in it.
        pixels: scored pixels.
        figures: an interval a figure of `carlaseg.metrics.FIGURES`.
        classes: an interval a class, of its IoU.
    """

    by: str
    name: str
    images: int
    pixels: int
    figures: dict[str, Interval]
    classes: tuple[Interval, ...]

    @property
    def classes_present(self) -> int:
        """How many classes the truth of the group shows."""
        return sum(interval.value is not None for interval in self.classes)

    def to_json(self, names: Sequence[str]) -> dict[str, Any]:
        """As plain JSON values; classes that the truth does not show are left out."""
        return {
            "name": self.name,
            "images": self.images,
            "pixels": self.pixels,
            "classes_present": self.classes_present,
            "figures": {name: interval.to_json() for name, interval in self.figures.items()},
            "iou": {
                name: interval.to_json()
                for name, interval in zip(names, self.classes, strict=True)
                if interval.value is not None
            },
        }


def group(by: str, name: str, sums: NDArray[np.float64], drives: Sequence[str], how: Resampling) -> Group:
    """Figures of some images.

    Args:
        by: what groups them.
        name: of the group.
        sums: float64, (N, 3, C), of `carlaseg.metrics.sums_of`.
        drives: drive of each image.
        how: intervals are made.
    """
    shown = sums[:, 1].sum(axis=1) > 0
    kept = [drive for drive, there in zip(drives, shown, strict=True) if there]
    units = None if how.unit == "images" else units_of(kept)
    figures, classes = bootstrap(sums[shown], units, how.resamples, how.seed)
    return Group(by, name, int(shown.sum()), int(sums[:, 1].sum()), figures, classes)


def groups_of(sums: NDArray[np.float64], lines: Sequence[dict[str, Any]], how: Resampling) -> dict[str, list[Group]]:
    """Figures by drive, town and weather; what nobody knows of an image is in no group.

    Args:
        sums: float64, (N, 3, C).
        lines: what is known of each image.
        how: intervals are made.
    """
    found: dict[str, list[Group]] = {}
    drives = [str(line.get("drive") or "") for line in lines]
    for by in GROUPED_BY:
        known = [line.get(by) for line in lines]
        for value in sorted({str(value) for value in known if value}):
            chosen = np.array([str(v) == value for v in known])
            if sums[chosen, 1].any():
                of_group = [drive for drive, inside in zip(drives, chosen, strict=True) if inside]
                found.setdefault(by, []).append(group(by, value, sums[chosen], of_group, how))
    return found


def units_of(drives: Sequence[str]) -> NDArray[np.int64]:
    """A number a drive, int64, (N,)."""
    numbers = {drive: number for number, drive in enumerate(dict.fromkeys(drives))}
    return np.array([numbers[drive] for drive in drives], np.int64)
