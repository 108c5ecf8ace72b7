"""Sliding windows over an image that is too large for one look, their logits blended where they overlap.

Tiles are laid evenly, the last one ends at the edge, so all have one size and the network is compiled once. A tile's
weight falls linearly to its border over the overlap, and the weights of all tiles add up to 1 at every pixel. Memory
does not hold the logits of the image: what no later tile touches is given out at once, and what is kept is the overlap
with the next row of tiles (overlap height x image width x classes x 4 bytes) and one row's last tile.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

Logits = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""From images, uint8 (B, H, W, 3), to logits, float32 (B, H, W, C)."""


def blended(
    image: NDArray[np.uint8], logits_of: Logits, tile: tuple[int, int], overlap: float, batch_size: int = 1
) -> Iterator[tuple[slice, slice, NDArray[np.float32]]]:
    """The logits of an image, cell by cell; every pixel is in exactly one cell.

    Args:
        image: uint8, (H, W, 3).
        logits_of: the network.
        tile: (height, width) of the windows; a smaller image is seen at once.
        overlap: share of a tile that it has in common with the next one at least, 0 to 0.5.
        batch_size: tiles of a row that the network sees at once.

    Yields:
        Rows and columns of the image, and their logits, float32 (rows, columns, C).
    """
    height, width = min(tile[0], image.shape[0]), min(tile[1], image.shape[1])
    tops, row_weights = windows(image.shape[0], height, overlap)
    lefts, column_weights = windows(image.shape[1], width, overlap)
    from_above: NDArray[np.float32] | None = None
    for row, top in enumerate(tops):
        below = tops[row + 1] if row + 1 < len(tops) else image.shape[0]
        to_below: NDArray[np.float32] | None = None
        from_left: NDArray[np.float32] | None = None
        band = image[top : top + height]
        for column, (left, logits) in enumerate(_row(band, lefts, width, logits_of, batch_size)):
            right = lefts[column + 1] if column + 1 < len(lefts) else image.shape[1]
            block = logits * (row_weights[row][:, None] * column_weights[column])[..., None]
            if from_left is not None:
                block[:, : from_left.shape[1]] += from_left
            done = right - left
            from_left = block[:, done:].copy()
            finished = block[:, :done]
            if from_above is not None:
                finished[: len(from_above)] += from_above[:, left:right]
            if height > below - top:
                if to_below is None:
                    to_below = np.empty((height - (below - top), image.shape[1], block.shape[2]), np.float32)
                to_below[:, left:right] = finished[below - top :]
            yield slice(top, below), slice(left, right), finished[: below - top]
        from_above = to_below


def windows(length: int, window: int, overlap: float) -> tuple[list[int], NDArray[np.float32]]:
    """Where windows begin along one side, and their weights.

    Args:
        length: of the side.
        window: of a window, at most `length`.
        overlap: share in common with the next one at least.

    Returns:
        N beginnings, rising, the first 0 and the last `length - window`; weights, float32 (N, window), which add up to
        1 at every place.
    """
    step = max(1, math.floor(window * (1 - overlap)))
    count = math.ceil((length - window) / step) + 1
    beginnings = [round(place) for place in np.linspace(0, length - window, count)]
    ramp = max(1.0, window * overlap)
    places = np.arange(window) + 0.5
    weight = np.minimum(1.0, np.minimum(places, window - places) / ramp)
    total = np.zeros(length)
    for beginning in beginnings:
        total[beginning : beginning + window] += weight
    weights = np.stack([weight / total[beginning : beginning + window] for beginning in beginnings])
    return beginnings, weights.astype(np.float32)


def _row(
    band: NDArray[np.uint8], lefts: list[int], width: int, logits_of: Logits, batch_size: int
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    for first in range(0, len(lefts), batch_size):
        some = lefts[first : first + batch_size]
        yield from zip(some, logits_of(np.stack([band[:, left : left + width] for left in some])), strict=True)
