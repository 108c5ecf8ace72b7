"""Cleaning a prediction: specks away, class borders to the edges of the image."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

MEDIAN_SIZE = 5
"""Side of the median window, in pixels. Odd, so that the median is always an id that is in the window."""
GUIDED_RADIUS = 8
GUIDED_EPS = 1e-3
"""Variance of the image (values 0 to 1) below which a window counts as flat: 0.03 squared, weak edges still hold."""


def median_filtered(ids: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The mask without specks: each pixel takes the median id of its window. Only ids of the window can come out.

    Args:
        ids: uint8, (H, W).
    """
    return np.asarray(cv2.medianBlur(ids, MEDIAN_SIZE), np.uint8)


def guided_filtered(ids: NDArray[np.uint8], image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The mask with class borders drawn to edges of the image: a guided filter of each class, the largest one wins.

    Args:
        ids: uint8, (H, W), class ids.
        image: uint8, (H, W, 3), RGB; its brightness guides.

    Returns:
        uint8, (H, W); no id that was not there.

    Source:
        He, Sun, Tang, "Guided Image Filtering", ECCV 2010, algorithm 1.
    """
    guide = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.float32) / np.float32(255)
    mean = _mean(guide)
    variance = _mean(guide * guide) - mean * mean
    best = np.full(ids.shape, -np.inf, np.float32)
    cleaned = ids.copy()
    for class_id in np.unique(ids).tolist():
        share = (ids == class_id).astype(np.float32)
        mean_share = _mean(share)
        slope = (_mean(guide * share) - mean * mean_share) / (variance + GUIDED_EPS)
        offset = mean_share - slope * mean
        score = _mean(np.asarray(slope, np.float32)) * guide + _mean(np.asarray(offset, np.float32))
        better = score > best
        best[better] = score[better]
        cleaned[better] = class_id
    return cleaned


def _mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
    side = 2 * GUIDED_RADIUS + 1
    return np.asarray(cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT), np.float32)
