"""Whether a mask fits its image: do its borders lie on edges of the picture, and better than when it is moved aside?

The score of a pair is the mean edge strength along the mask's borders, minus the best of the same after moving the
mask by a twentieth of the height in eight directions. Edge strength is a rank in the picture (0 the faintest pixel, 1
the strongest), so that night and noon, fog and sun are measured alike. A mask that fits is sharpest where it is; the
mask of another scene, or of a frame much earlier, is as good anywhere. The picture is its own measure: no second
picture, no training and no label scheme is needed.

Source: the idea of comparing edges is that of the people who found seven such pairs in a public CARLA data set; the
shifted comparison is chamfer matching's, turned into a difference.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from carlaseg.dataset.pictures import Mask, Picture, read_image, read_mask
from carlaseg.dataset.samples import Sample
from carlaseg.dataset.verify_report import Doubt

SURELY_DOUBTFUL = 0.01
"""A score below this is doubtful in any data set."""

NEVER_DOUBTFUL = 0.03
"""A score above this is doubtful in none."""

_SHARE_OF_MEDIAN = 0.3

_HEIGHT = 120
_SHIFT = 6
_FEWEST_BORDER_PIXELS = 40
_DIRECTIONS = ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))


def scored(sample: Sample) -> Doubt | None:
    """The pair with its score; None when it has no mask, or a mask with hardly any border to look at.

    Raises:
        DatasetError: a file is damaged.
    """
    if sample.mask_path is None:
        return None
    score = alignment_score(read_image(sample.image_path), read_mask(sample))
    return None if score is None else Doubt(sample.image_path, sample.mask_path, round(score, 4))


def doubtful_below(scores: Sequence[float]) -> float:
    """The score below which pairs of a data set are doubtful: a share of its median, within bounds.

    How sharp borders are differs between cameras and towns; a few wrong pairs do not move the median. The share and
    the bounds are from benchmarks/alignment.py, which swaps masks of real pairs.

    Args:
        scores: of all pairs of the data set.
    """
    if not scores:
        return SURELY_DOUBTFUL
    return min(max(_SHARE_OF_MEDIAN * statistics.median(scores), SURELY_DOUBTFUL), NEVER_DOUBTFUL)


def alignment_score(image: Picture, mask: Mask) -> float | None:
    """How much better a mask fits where it is than moved aside; about 0 for one that does not belong.

    Args:
        image: uint8 (H, W, 3) RGB.
        mask: uint8 (H, W), ids.

    Returns:
        -1 to 1, usually -0.05 to 0.2; None when the mask has hardly any border to look at.
    """
    width = max(3 * _SHIFT, round(image.shape[1] * _HEIGHT / image.shape[0]))
    strength = _edge_ranks(cv2.resize(image, (width, _HEIGHT), interpolation=cv2.INTER_AREA).astype(np.uint8))
    borders = _borders(cv2.resize(mask, (width, _HEIGHT), interpolation=cv2.INTER_NEAREST).astype(np.uint8))
    inside = (slice(_SHIFT, _HEIGHT - _SHIFT), slice(_SHIFT, width - _SHIFT))
    if np.count_nonzero(borders[inside]) < _FEWEST_BORDER_PIXELS:
        return None
    here = float(strength[inside][borders[inside]].mean())
    moved = [
        strength[inside][shifted].mean()
        for down, right in _DIRECTIONS
        if (shifted := np.roll(borders, (down * _SHIFT, right * _SHIFT), (0, 1))[inside]).any()
    ]
    return here - float(max(moved))


def _edge_ranks(image: Picture) -> NDArray[np.float32]:
    """Edge strength as rank in the picture, 0 to 1, a pixel wider than the edge: float32 (H, W)."""
    # CIELAB: a red sign before a green tree is an edge, though both are as bright.
    colors = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float32)
    slope = np.zeros(image.shape[:2], np.float32)
    for channel in range(3):
        plane = np.ascontiguousarray(colors[..., channel])
        slope += np.abs(cv2.Sobel(plane, cv2.CV_32F, 1, 0)) + np.abs(cv2.Sobel(plane, cv2.CV_32F, 0, 1))
    ranks = np.empty(slope.size, np.float32)
    ranks[np.argsort(slope, axis=None, kind="stable")] = np.linspace(0, 1, slope.size, dtype=np.float32)
    return cv2.dilate(ranks.reshape(slope.shape), np.ones((3, 3), np.uint8)).astype(np.float32)


def _borders(mask: Mask) -> NDArray[np.bool_]:
    """Pixels on either side of a border between two ids: bool (H, W)."""
    borders = np.zeros(mask.shape, bool)
    across, down = mask[:, 1:] != mask[:, :-1], mask[1:] != mask[:-1]
    borders[:, 1:] |= across
    borders[:, :-1] |= across
    borders[1:] |= down
    borders[:-1] |= down
    return borders
