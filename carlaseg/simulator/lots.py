"""Which ground is still free: off the pavement, and not taken by anything placed before."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

from carlaseg.simulator.pavement import Pavement

Array = NDArray[np.float64]
_BUCKET_M = 24.0


def rectangle(center: Array, half_length: float, half_width: float, heading: float) -> Array:
    """Corners (4, 2) of a turned rectangle, counter-clockwise from its rear right one."""
    cos, sin = np.cos(heading), np.sin(heading)
    local = np.array(
        [[-half_length, -half_width], [half_length, -half_width], [half_length, half_width], [-half_length, half_width]]
    )
    corners: Array = local @ np.array([[cos, sin], [-sin, cos]]) + center
    return corners


class Lots:
    """A ledger of taken ground.

    Args:
        pavement: never available.
    """

    def __init__(self, pavement: Pavement) -> None:
        self._pavement = pavement
        self._taken: dict[tuple[int, int], list[BaseGeometry]] = {}

    def take(self, corners: Array, pavement_clearance: float = 0.05, gap: float = 0.0) -> bool:
        """Take a polygon (n, 2) if it is free, and say whether it was.

        Args:
            corners: its outline.
            pavement_clearance: metres to stay off roads and sidewalks.
            gap: metres to stay off what was taken before.
        """
        shape = Polygon(corners)
        if not self._pavement.is_free(shape, pavement_clearance) or self._touches(shape, gap):
            return False
        self.mark(shape)
        return True

    def take_spot(self, x: float, y: float, radius: float, pavement_clearance: float) -> bool:
        """Take a round spot if nothing was placed within `radius` and the pavement is far enough from its middle."""
        middle = shapely.Point(x, y)
        if not self._pavement.is_free(middle, pavement_clearance) or self._touches(middle, radius):
            return False
        self.mark(middle.buffer(radius, quad_segs=2))
        return True

    def is_open(self, shape: BaseGeometry, gap: float = 0.0) -> bool:
        """Whether nothing was placed within `gap` metres of a shape; the pavement does not matter."""
        return not self._touches(shape, gap)

    def mark(self, shape: BaseGeometry) -> None:
        """Take a shape without asking."""
        for bucket in self._buckets(shape, 0.0):
            self._taken.setdefault(bucket, []).append(shape)

    def _touches(self, shape: BaseGeometry, gap: float) -> bool:
        for bucket in self._buckets(shape, gap):
            for other in self._taken.get(bucket, ()):
                if shape.distance(other) <= gap:
                    return True
        return False

    @staticmethod
    def _buckets(shape: BaseGeometry, gap: float) -> list[tuple[int, int]]:
        x0, y0, x1, y1 = (np.array(shape.bounds) + [-gap, -gap, gap, gap]) // _BUCKET_M
        return [(i, j) for i in range(int(x0), int(x1) + 1) for j in range(int(y0), int(y1) + 1)]
