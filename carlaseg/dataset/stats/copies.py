"""Frames that teach little: near-copies of the frame before, frames recorded while standing still, files twice."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from carlaseg.dataset.reader import read_lines
from carlaseg.dataset.stats.looks import Look, differing_bits

NEAR_COPY_BITS = 8
"""Neighbours whose hashes differ in at most so many of 256 places count as near-copies. A move of a third of a metre
changes 50 and more."""

STILL_M = 0.05
"""An ego vehicle that moved less than this since the frame before stood still."""


@dataclass(frozen=True)
class Run:
    """Frames in a row of one drive that are each much like the one before.

    Attributes:
        drive: the drive.
        first: name of the frame they are like.
        last: name of the last of them.
        frames: how many could go without much being lost: all but the first.
    """

    drive: str
    first: str
    last: str
    frames: int


class NearCopies:
    """Finds runs in pictures that come drive by drive, in order.

    Attributes:
        runs: those found.
    """

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self._drive: str | None = None
        self._before: Look | None = None
        self._names: list[str] = ["", ""]
        self._length = 0

    def add(self, drive: str, name: str, look: Look) -> None:
        """Add the next picture."""
        alike = (
            drive == self._drive and self._before is not None and differing_bits(self._before, look) <= NEAR_COPY_BITS
        )
        if alike:
            self._length += 1
            self._names[1] = name
        else:
            self.end()
            self._names = [name, name]
        self._drive, self._before = drive, look

    def end(self) -> None:
        """No more pictures: take the run that is under way."""
        if self._length and self._drive is not None:
            self.runs.append(Run(self._drive, self._names[0], self._names[1], self._length))
        self._length = 0

    @property
    def frames(self) -> int:
        """Near-copies in all."""
        return sum(run.frames for run in self.runs)


class SameFiles:
    """Counts files whose bytes are those of another, at eight bytes of memory a file."""

    def __init__(self) -> None:
        self._keys = array("Q")

    def add(self, look: Look) -> None:
        """Add the next picture."""
        self._keys.append(look.content & (1 << 64) - 1)

    @property
    def copies(self) -> int:
        """Files that could go: all of each kind but one."""
        return len(self._keys) - len(np.unique(np.array(self._keys, np.uint64)))


def standing_still(recording: Path) -> Iterator[int]:
    """Frames of a recording at which the ego had not moved since the frame before.

    Raises:
        DatasetError: a line is damaged.
    """
    before: tuple[float, float, float] | None = None
    for record in read_lines(recording):
        place = record.ego.location_m
        if before is not None and math.dist(before, place) < STILL_M:
            yield record.frame
        before = place
