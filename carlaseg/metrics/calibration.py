"""Whether a network's confidence means what it says: of the pixels it is 80 % sure of, 80 % should be right.

Pixels are sorted into bins of equal width by confidence. The expected calibration error (ECE) is the mean distance
between confidence and accuracy in a bin, weighted by the bin's share of the pixels. Counts add up.

Source: Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017; 15 bins as there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carlaseg.labels import IGNORE_ID

BINS = 15
"""Source: Guo et al. 2017, section 2."""


@dataclass(frozen=True)
class Reliability:
    """Pixels by confidence.

    Attributes:
        pixels: int64, (BINS,): how many.
        right: int64, (BINS,): of these, how many are of the true class.
        confidence: float64, (BINS,): sum of their confidences.
    """

    pixels: NDArray[np.int64]
    right: NDArray[np.int64]
    confidence: NDArray[np.float64]

    @classmethod
    def none(cls) -> Reliability:
        """No pixel counted yet."""
        return cls(np.zeros(BINS, np.int64), np.zeros(BINS, np.int64), np.zeros(BINS))

    def __add__(self, other: Reliability) -> Reliability:
        return Reliability(self.pixels + other.pixels, self.right + other.right, self.confidence + other.confidence)

    @property
    def error(self) -> float | None:
        """Expected calibration error, 0 to 1; None without a pixel."""
        total = int(self.pixels.sum())
        return float(np.abs(self.confidence - self.right).sum()) / total if total else None

    @property
    def overconfidence(self) -> float | None:
        """Mean confidence less accuracy: above 0 the network promises too much; None without a pixel."""
        total = int(self.pixels.sum())
        return float(self.confidence.sum() - self.right.sum()) / total if total else None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        filled = np.maximum(self.pixels, 1)
        return {
            "expected_calibration_error": self.error,
            "overconfidence": self.overconfidence,
            "bins": [
                {
                    "from": index / BINS,
                    "to": (index + 1) / BINS,
                    "pixels": int(self.pixels[index]),
                    "confidence": float(self.confidence[index] / filled[index]) if self.pixels[index] else None,
                    "accuracy": float(self.right[index] / filled[index]) if self.pixels[index] else None,
                }
                for index in range(BINS)
            ],
        }


def reliability(
    truth: NDArray[np.uint8],
    prediction: NDArray[np.uint8],
    confidence: NDArray[np.floating[Any]],
    ignore_id: int = IGNORE_ID,
) -> Reliability:
    """Count the pixels of one image by confidence; void is left out.

    Args:
        truth: uint8, (H, W), class ids, `ignore_id` for void.
        prediction: uint8, (H, W), class ids.
        confidence: float, (H, W), 0 to 1: the probability the network gave to its prediction.
        ignore_id: void in the truth.

    Raises:
        ValueError: the shapes differ.
    """
    if not truth.shape == prediction.shape == confidence.shape:
        raise ValueError(
            f"expected one shape, received truth {truth.shape}, prediction {prediction.shape}, "
            f"confidence {confidence.shape}."
        )
    scored = truth != ignore_id
    sure = confidence[scored].astype(np.float64)
    right = (truth == prediction)[scored]
    # A confidence of exactly 1 belongs to the last bin.
    bins = np.minimum((sure * BINS).astype(np.int64), BINS - 1)
    return Reliability(
        np.bincount(bins, minlength=BINS).astype(np.int64),
        np.bincount(bins[right], minlength=BINS).astype(np.int64),
        np.bincount(bins, weights=sure, minlength=BINS).astype(np.float64),
    )
