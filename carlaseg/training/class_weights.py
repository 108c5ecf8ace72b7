"""Weights a class in the loss, from how often the training set shows it."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray


def class_weights(
    kind: Literal["none", "median", "inverse-log"], pixels: NDArray[np.int64], pixels_where_shown: NDArray[np.int64]
) -> list[float] | None:
    """Weights a class in the loss, from counts of the training set; 0 for a class it never shows.

    Args:
        kind: `median` is the median of the frequencies over the class's own, a frequency being the class's share of the
            pixels of the frames that show it; `inverse-log` is 1 / ln(1.02 + share of all pixels).
        pixels: int64, (C,): pixels of each class.
        pixels_where_shown: int64, (C,): labelled pixels of the frames that show the class.

    Source:
        Median: Eigen & Fergus 2015, as used by SegNet. Inverse log: ENet (Paszke et al. 2016), section 5.2.
    """
    if kind == "none":
        return None
    shown = pixels > 0
    weights = np.zeros(len(pixels))
    if kind == "median":
        frequency = pixels[shown] / pixels_where_shown[shown]
        weights[shown] = np.median(frequency) / frequency
    else:
        weights[shown] = 1 / np.log(1.02 + pixels[shown] / pixels.sum())
    return [float(weight) for weight in weights]
