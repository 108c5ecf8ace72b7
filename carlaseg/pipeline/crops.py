"""Crops of training frames, of which half look for a rare class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carlaseg.pipeline.augment import seed_of

SEEKING_SHARE = 0.5
"""Share of the crops that must show a rare class where the frame has one; all of them would hide how rare it is."""
STREAM = 7919
"""Keeps the crop's numbers apart from those of the augmentation of the same frame."""


@dataclass(frozen=True)
class Crop:
    """How frames are cut.

    Attributes:
        size: (height, width) of the crops.
        rare: bool, (256,): which ids are rare; None when none are sought.
        until_epoch: first epoch, from 0, that sees whole frames again; None when none does.
    """

    size: tuple[int, int]
    rare: NDArray[np.bool_] | None = None
    until_epoch: int | None = None

    def applies(self, epoch: int) -> bool:
        """Whether an epoch trains on crops."""
        return self.until_epoch is None or epoch < self.until_epoch

    def cut(
        self, image: NDArray[np.uint8], mask: NDArray[np.uint8], seed: int, epoch: int, index: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The crop of a frame: a pure function of (seed, epoch, index) and the mask.

        Args:
            image: uint8, (H, W, 3), at least as large as the crop.
            mask: uint8, (H, W).
            seed: the run's.
            epoch: from 0.
            index: position of the frame in the epoch.
        """
        rng = np.random.default_rng(seed_of(seed + STREAM, epoch, index))
        (height, width), (rows, columns) = self.size, mask.shape
        seeks, pick, at, down, right = rng.random(5)
        top, left = int(down * (rows - height + 1)), int(right * (columns - width + 1))
        if self.rare is not None and seeks < SEEKING_SHARE:
            present = np.unique(mask)
            present = present[self.rare[present]]
            if len(present):
                # A class first, then one of its pixels: a hundred pixels of a cyclist count as much as a fence.
                pixels = np.flatnonzero(mask == present[int(pick * len(present))])
                row, column = divmod(int(pixels[int(at * len(pixels))]), columns)
                top = min(max(row - int(down * height), 0), rows - height)
                left = min(max(column - int(right * width), 0), columns - width)
        where = np.s_[top : top + height, left : left + width]
        return np.ascontiguousarray(image[where]), np.ascontiguousarray(mask[where])
