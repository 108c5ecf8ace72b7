"""Height between scattered points of roads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from carlaseg.simulator.pavement import LaneStrip

Array = NDArray[np.float64]
_PLANE_POINTS = 8
# Distances that are looked at together: memory for them, whatever the junction.
_MOST_PLACES, _MOST_PAIRS = 512, 1 << 22


class HeightField:
    """Height at any place, from planes through the nearest points, so that slopes reach the edge.

    Args:
        points: float64 (n, 3), at least eight.
    """

    def __init__(self, points: Array) -> None:
        self._points = points
        self._level = bool(np.ptp(self._points[:, 2]) < 1e-6)

    @classmethod
    def of_lanes(cls, strips: list[LaneStrip]) -> HeightField:
        """The height of some lanes' surface."""
        lines = [line for lane in strips for line in (lane.left, lane.right, (lane.left + lane.right) / 2)]
        return cls(np.concatenate([*lines, *((line[1:] + line[:-1]) / 2 for line in lines)]))

    def __call__(self, places: Array) -> Array:
        """Heights (n,) at places (n, 2)."""
        if self._level:
            return np.full(len(places), self._points[0, 2])
        z = np.empty(len(places))
        step = min(max(_MOST_PAIRS // len(self._points), 1), _MOST_PLACES)
        for start in range(0, len(places), step):
            z[start : start + step] = self._on_planes(places[start : start + step])
        return z

    def _on_planes(self, places: Array) -> Array:
        squared = ((places[:, None] - self._points[None, :, :2]) ** 2).sum(axis=-1)
        nearest = np.argpartition(squared, _PLANE_POINTS, axis=1)[:, :_PLANE_POINTS]
        near = self._points[nearest]
        weight = 1.0 / (np.take_along_axis(squared, nearest, axis=1) + 1e-4)
        weight /= weight.sum(axis=1, keepdims=True)
        middle = (near * weight[..., None]).sum(axis=1)
        offset = near - middle[:, None]
        # Weighted least squares of two slopes; the ridge keeps points in one line from tilting the plane.
        spread = np.einsum("nk,nki,nkj->nij", weight, offset[..., :2], offset[..., :2]) + 0.02 * np.eye(2)
        rise = np.einsum("nk,nki,nk->ni", weight, offset[..., :2], offset[..., 2])
        slope = np.linalg.solve(spread, rise[..., None])[..., 0]
        heights: Array = middle[:, 2] + ((places - middle[:, :2]) * slope).sum(axis=1)
        return heights
