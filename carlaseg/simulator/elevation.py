"""How high the ground under a place is: the town's grid, flat beyond its edges."""

from __future__ import annotations

import math

from carlaseg.simulator.scene import Town


class Elevation:
    """Ground height under any place in CARLA's frame."""

    def __init__(self, town: Town) -> None:
        grid = town.road_height_grid
        self._cell_m = town.road_height_cell_m
        self._x_min, self._y_min_town = town.bounds_town[0], town.bounds_town[1]
        self._rows: int = grid.shape[0]
        self._columns: int = grid.shape[1]
        # Lists of floats: a vehicle asks three times a tick, and plain numbers are read several times faster.
        self._heights: list[list[float]] = grid.tolist()
        self.is_flat = bool(grid.size == 0 or float(grid.max()) - float(grid.min()) < 1e-4)
        self._level: float = float(grid.flat[0]) if grid.size else 0.0

    def height(self, x: float, y: float) -> float:
        """Return the ground's height in metres at (x, y), interpolated; outside the town that of its edge."""
        if self.is_flat:
            return self._level
        column = (x - self._x_min) / self._cell_m
        row = (-y - self._y_min_town) / self._cell_m
        column = min(max(column, 0.0), self._columns - 1.0)
        row = min(max(row, 0.0), self._rows - 1.0)
        left, bottom = int(column), int(row)
        right, top = min(left + 1, self._columns - 1), min(bottom + 1, self._rows - 1)
        fx, fy = column - left, row - bottom
        lower = self._heights[bottom][left] * (1 - fx) + self._heights[bottom][right] * fx
        upper = self._heights[top][left] * (1 - fx) + self._heights[top][right] * fx
        return lower * (1 - fy) + upper * fy

    def pitch_deg(self, x: float, y: float, cos_yaw: float, sin_yaw: float, reach_m: float) -> float:
        """Return the slope along a heading, measured `reach_m` before and behind."""
        if self.is_flat:
            return 0.0
        ahead = self.height(x + cos_yaw * reach_m, y + sin_yaw * reach_m)
        behind = self.height(x - cos_yaw * reach_m, y - sin_yaw * reach_m)
        return math.degrees(math.atan2(ahead - behind, 2 * reach_m))
