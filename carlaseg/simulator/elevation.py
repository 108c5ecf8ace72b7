"""How high the ground or a bridge under a place is: the town's grids, flat beyond their edges."""

from __future__ import annotations

import math

from carlaseg.simulator.scene import Town

Rows = list[list[float]]


class Elevation:
    """Ground height under any place in CARLA's frame, and that of decks above it."""

    def __init__(self, town: Town) -> None:
        grid = town.road_height_grid
        self._cell_m = town.road_height_cell_m
        self._x_min, self._y_min_town = town.bounds_town[0], town.bounds_town[1]
        self._rows: int = grid.shape[0]
        self._columns: int = grid.shape[1]
        # Lists of floats: a vehicle asks three times a tick, and plain numbers are read several times faster.
        self._heights: Rows = grid.tolist()
        self._decks: Rows | None = town.deck_height_grid.tolist() if town.deck_height_grid.size else None
        self.is_flat = bool(self._decks is None and (grid.size == 0 or float(grid.max()) - float(grid.min()) < 1e-4))
        self._level: float = float(grid.flat[0]) if grid.size else 0.0

    def height(self, x: float, y: float, near_z: float = -math.inf) -> float:
        """Return the height in metres at (x, y), interpolated; outside the town that of its edge.

        Args:
            x: place, metres.
            y: place, metres.
            near_z: where a deck runs above the ground, whichever is nearer to this height; the ground if left out.
        """
        if self.is_flat:
            return self._level
        column = (x - self._x_min) / self._cell_m
        row = (-y - self._y_min_town) / self._cell_m
        column = min(max(column, 0.0), self._columns - 1.0)
        row = min(max(row, 0.0), self._rows - 1.0)
        ground = self._interpolated(self._heights, column, row)
        if self._decks is None or near_z == -math.inf:
            return ground
        deck = self._interpolated(self._decks, column, row)
        # No deck is NaN, which is nearer to nothing.
        return deck if abs(deck - near_z) < abs(ground - near_z) else ground

    def _interpolated(self, heights: Rows, column: float, row: float) -> float:
        left, bottom = int(column), int(row)
        right, top = min(left + 1, self._columns - 1), min(bottom + 1, self._rows - 1)
        fx, fy = column - left, row - bottom
        lower = heights[bottom][left] * (1 - fx) + heights[bottom][right] * fx
        upper = heights[top][left] * (1 - fx) + heights[top][right] * fx
        return lower * (1 - fy) + upper * fy

    def pitch_deg(
        self, x: float, y: float, cos_yaw: float, sin_yaw: float, reach_m: float, near_z: float = -math.inf
    ) -> float:
        """Return the slope along a heading, measured `reach_m` before and behind, of what is nearest to `near_z`."""
        if self.is_flat:
            return 0.0
        ahead = self.height(x + cos_yaw * reach_m, y + sin_yaw * reach_m, near_z)
        behind = self.height(x - cos_yaw * reach_m, y - sin_yaw * reach_m, near_z)
        return math.degrees(math.atan2(ahead - behind, 2 * reach_m))
