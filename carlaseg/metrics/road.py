"""How well one class is told from the rest, whatever threshold is put on its probability: KITTI Road's measures.

Probabilities are counted by the 256 thresholds 0/255 to 255/255. Counts add up.

Source: Fritsch, Kuehnl, Geiger, "A New Performance Measure and Evaluation Benchmark for Road Detection Algorithms",
    ITSC 2013: maximum F1 and average precision. There they are taken in the bird's-eye view, here in the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carlaseg.labels import IGNORE_ID

LEVELS = 256
RECALLS = 11
"""Recalls at which the average precision is taken: 0, 0.1 to 1 (as PASCAL VOC 2007, which the paper follows)."""


@dataclass(frozen=True)
class RoadCounts:
    """Labelled pixels by the largest threshold that their probability reaches.

    Attributes:
        road: int64, (256,): pixels that are of the class.
        other: int64, (256,): pixels that are not.
    """

    road: NDArray[np.int64]
    other: NDArray[np.int64]

    def __add__(self, other: RoadCounts) -> RoadCounts:
        return RoadCounts(self.road + other.road, self.other + other.other)

    @property
    def precision(self) -> NDArray[np.float64]:
        """Float64, (256,), by threshold; 1 where nothing reaches it."""
        found, wrong = _reaching(self.road), _reaching(self.other)
        return np.where(found + wrong > 0, found / np.maximum(found + wrong, 1), 1.0)

    @property
    def recall(self) -> NDArray[np.float64]:
        """Float64, (256,), by threshold."""
        return _reaching(self.road) / max(1, int(self.road.sum()))

    @property
    def max_f1(self) -> tuple[float, float]:
        """The largest F1 of all thresholds, and its threshold, both 0 to 1."""
        both = self.precision + self.recall
        f1 = np.where(both > 0, 2 * self.precision * self.recall / np.maximum(both, 1e-12), 0.0)
        best = int(np.argmax(f1))
        return float(f1[best]), best / (LEVELS - 1)

    @property
    def average_precision(self) -> float:
        """Mean over eleven recalls of the best precision at that recall or a higher one."""
        wanted = np.linspace(0, 1, RECALLS)
        return float(np.mean([self.precision[self.recall >= low - 1e-12].max(initial=0.0) for low in wanted]))

    def to_json(self) -> dict[str, Any]:
        """The figures as plain JSON values."""
        f1, threshold = self.max_f1
        at = round(threshold * (LEVELS - 1))
        return {
            "max_f1": f1,
            "threshold": threshold,
            "precision": float(self.precision[at]),
            "recall": float(self.recall[at]),
            "average_precision": self.average_precision,
        }


def road_counts(probability: NDArray[np.floating[Any]], truth: NDArray[np.uint8], class_id: int = 1) -> RoadCounts:
    """The counts of some pixels.

    Args:
        probability: float, any shape, 0 to 1: of the class.
        truth: uint8, the same shape: class ids; 255 is in no count.
        class_id: the class.
    """
    level = np.floor(np.clip(probability, 0, 1) * (LEVELS - 1)).astype(np.int64)
    is_road, is_other = truth == class_id, (truth != class_id) & (truth != IGNORE_ID)
    return RoadCounts(np.bincount(level[is_road], minlength=LEVELS), np.bincount(level[is_other], minlength=LEVELS))


def _reaching(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many reach each threshold."""
    reaching: NDArray[np.int64] = np.cumsum(counts[::-1])[::-1]
    return reaching
