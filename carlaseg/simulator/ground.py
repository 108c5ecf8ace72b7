"""Ground height everywhere: the roads' own under them, rolling into hills away from them; and its mesh."""

from __future__ import annotations

import cv2
import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray
from shapely.geometry.base import BaseGeometry

from carlaseg.errors import SimulatorError
from carlaseg.simulator.height_field import HeightField
from carlaseg.simulator.mesh import MeshBuilder, ground_uvs
from carlaseg.simulator.pavement import Pavement
from carlaseg.simulator.polygon_mesh import tessellate

Array = NDArray[np.float64]

TERRAIN_TAG = 10
HEIGHT_CELL_M = 4.0
# 64 square kilometres; each takes some 200 bytes while the town is built.
MAX_CELLS = 4_000_000
# A road this far above the ground below it is a bridge.
BRIDGE_M = 0.8
_STEEPEST_ROAD = 0.12
_NEAR_CELL_M = 8.0
_FAR_CELL_M = 32.0
_COARSE_CELL_M = 16.0
_UNDER_ROAD_M = 0.3
_MARGIN_M = 64.0
_FAR_M = 256.0
_CURB_M = 0.12
_VERGE_M = -0.03
_LEAST_BANK_M, _BANK_FOOT_M, _BANK_COLOR = 0.005, 0.05, (92, 100, 62)
_TUNNEL_M = 2.5
_RISE_BEYOND = 0.06
_FEWEST_DECK_POINTS = 8


class Ground:
    """Height of the ground.

    Args:
        pavement: where the roads are.
        rng: draws the hills.

    Raises:
        SimulatorError: the roads reach farther than any town, or are nowhere.

    Attributes:
        bounds: (x_min, y_min, x_max, y_max), metres, whole numbers of the far cell.
        grid: float64 (rows, columns), height at `bounds` minimum + index * `HEIGHT_CELL_M`.
    """

    def __init__(self, pavement: Pavement, rng: np.random.Generator) -> None:
        self._pavement = pavement
        samples = _lowest_level(_of_a_town(pavement.samples()))
        low = np.floor((samples[:, :2].min(axis=0) - _MARGIN_M) / _FAR_CELL_M) * _FAR_CELL_M
        high = np.ceil((samples[:, :2].max(axis=0) + _MARGIN_M) / _FAR_CELL_M) * _FAR_CELL_M
        self.bounds = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
        self._waves = [
            (rng.uniform(0.01, 0.028), rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.0))
            for _ in range(6)
        ]
        self.grid, self._lift = self._heights(samples)

    def _heights(self, samples: Array) -> tuple[Array, Array]:
        """Height, and how far the terrain beside the pavement lies over it, at every corner of the grid."""
        x0, y0, x1, y1 = self.bounds
        columns = round((x1 - x0) / HEIGHT_CELL_M) + 1
        rows = round((y1 - y0) / HEIGHT_CELL_M) + 1
        gx, gy = np.meshgrid(x0 + np.arange(columns) * HEIGHT_CELL_M, y0 + np.arange(rows) * HEIGHT_CELL_M)
        places = np.column_stack([gx.ravel(), gy.ravel()])
        nearest = shapely.STRtree(shapely.points(samples[:, :2])).nearest(shapely.points(places))
        distance = np.linalg.norm(samples[nearest, :2] - places, axis=1).reshape(rows, columns)
        height = samples[nearest, 2].reshape(rows, columns)
        # Where the coarse terrain must not hide what lies on the ground.
        self._is_kept = distance < 1.5 * HEIGHT_CELL_M
        if np.ptp(samples[:, 2]) > 1e-6:
            height = _smoothed_away_from(height, distance)
        hills = self._hill(gx, gy) * np.clip((distance - 30.0) / 80.0, 0.0, 1.0) ** 1.5
        edges = self._pavement.edge_samples
        nearest = shapely.STRtree(shapely.points(edges.places)).nearest(shapely.points(places))
        lift = np.where(edges.beside_sidewalk[nearest], _CURB_M, _VERGE_M).reshape(rows, columns)
        return height + hills, lift

    def _hill(self, x: Array, y: Array) -> Array:
        total = np.zeros_like(x)
        for frequency, direction, phase, height in self._waves:
            total += height * np.sin(frequency * (x * np.cos(direction) + y * np.sin(direction)) + phase)
        return 3.0 * (total + 2.0)

    def height(self, places: ArrayLike) -> Array:
        """Ground height, metres, of places (..., 2); beyond `bounds` the edge's height goes on and hills rise."""
        p = np.asarray(places, np.float64)
        x0, y0, x1, y1 = self.bounds
        inside = np.stack([np.clip(p[..., 0], x0, x1), np.clip(p[..., 1], y0, y1)], axis=-1)
        result: Array = self._interpolated(self.grid, p) + np.linalg.norm(p - inside, axis=-1) * _RISE_BEYOND
        return result

    def _interpolated(self, grid: Array, places: Array) -> Array:
        """Bilinear values of a grid at places (..., 2); the edge's value beyond it."""
        rows, columns = grid.shape
        u = np.clip((places[..., 0] - self.bounds[0]) / HEIGHT_CELL_M, 0.0, columns - 1.0)
        v = np.clip((places[..., 1] - self.bounds[1]) / HEIGHT_CELL_M, 0.0, rows - 1.0)
        i = np.minimum(u.astype(int), columns - 2)
        j = np.minimum(v.astype(int), rows - 2)
        fu, fv = u - i, v - j
        low = grid[j, i] * (1 - fu) + grid[j, i + 1] * fu
        high = grid[j + 1, i] * (1 - fu) + grid[j + 1, i + 1] * fu
        result: Array = low * (1 - fv) + high * fv
        return result

    def lot_height(self, places: ArrayLike) -> Array:
        """Height of the terrain that is drawn beside the pavement: level with sidewalks, a little below bare roads."""
        p = np.asarray(places, np.float64)
        return self.height(p) + self._interpolated(self._lift, p)

    def dig(self, middle: Array, radius: float, shore: float) -> float:
        """Sink a basin into the ground and return the height of the water in it.

        Args:
            middle: place (2,).
            radius: of the water, metres; the banks reach to `shore` times as far.
            shore: at least 1.2.
        """
        gx, gy = self._corners()
        out = np.hypot(gx - middle[0], gy - middle[1]) / radius
        level = float(self.grid[out < shore].min(initial=float(self.height(middle)))) - 0.4
        bottom = level - 1.6 * np.clip(1.15 - out, 0.0, 1.0) + 1.6 * np.clip(out - 1.15, 0.0, None)
        hold = np.clip((shore - out) / (shore - 1.1), 0.0, 1.0)
        self._is_kept |= out < 1.1
        self.grid = self.grid * (1 - hold) + np.minimum(bottom, self.grid) * hold
        return level

    def level_along(self, line: Array, half_width: float) -> None:
        """Bring the ground beside a course (n, 3) to its height, and ease it into what is around."""
        gx, gy = self._corners()
        points = shapely.points(np.column_stack([gx.ravel(), gy.ravel()]))
        course = shapely.LineString(line)
        away = shapely.distance(points, shapely.LineString(line[:, :2])).reshape(gx.shape)
        near = away < half_width + 3 * HEIGHT_CELL_M
        at = shapely.line_interpolate_point(course, shapely.line_locate_point(course, points[near.ravel()]))
        self._is_kept |= near
        hold = np.clip((half_width + 3 * HEIGHT_CELL_M - away[near]) / (2 * HEIGHT_CELL_M), 0.0, 1.0)
        self.grid[near] = self.grid[near] * (1 - hold) + shapely.get_z(at) * hold

    def _corners(self) -> tuple[Array, Array]:
        """X and y of the grid's corners, each of its shape."""
        rows, columns = self.grid.shape
        gx, gy = np.meshgrid(
            self.bounds[0] + np.arange(columns) * HEIGHT_CELL_M, self.bounds[1] + np.arange(rows) * HEIGHT_CELL_M
        )
        return gx, gy

    def mesh(self, builder: MeshBuilder, rng: np.random.Generator) -> None:
        """Add the terrain: fine cells that leave the pavement out, coarse cells and hills around them."""
        x0, y0, x1, y1 = self.bounds
        whole = shapely.box(x0, y0, x1, y1)
        ground_level = self._pavement.all
        open_ground = whole.difference(ground_level.buffer(-0.03)).union(self._under_bridges())
        places, index = _welded(tessellate(open_ground, _NEAR_CELL_M))
        phase = rng.uniform(0, 2 * np.pi, 4)
        self._add(builder, places, index, self.lot_height(places), phase, small=True)
        self._banks(builder)
        places, index, z = self._coarse()
        self._add(builder, places, index, z, phase, stand_in=True)
        far = shapely.box(x0 - _FAR_M, y0 - _FAR_M, x1 + _FAR_M, y1 + _FAR_M).difference(whole)
        places, index = _welded(tessellate(far, _FAR_CELL_M))
        # A little lower at the seam, where the fine cells' edges have more corners.
        self._add(builder, places, index, self.height(places) + _VERGE_M, phase)

    def _banks(self, builder: MeshBuilder) -> None:
        """Close the gap where the terrain lies above the pavement beside it, with faces towards the pavement."""
        edges = self._pavement.edge_samples
        terrain = self.lot_height(edges.places)
        shows = terrain > edges.height + _LEAST_BANK_M
        first = np.flatnonzero(shows | shows[edges.following])
        second = edges.following[first]
        high = np.column_stack([edges.places, terrain])
        low = np.column_stack([edges.places, np.minimum(terrain, edges.height) - _BANK_FOOT_M])
        faces = np.stack([low[second], low[first], high[first], high[second]], axis=1)
        builder.quads("grass", TERRAIN_TAG, faces, colors=_BANK_COLOR, small=True)

    def decks(self) -> NDArray[np.float32]:
        """Height of what runs above the ground, at every corner of the grid; NaN where nothing does, empty for none."""
        points = []
        for lane in self._pavement.strips:
            for line in (lane.left, lane.right, (lane.left + lane.right) / 2):
                points += [line, (line[1:] + line[:-1]) / 2]
        lanes = np.concatenate(points)
        is_raised = lanes[:, 2] - self.height(lanes[:, :2]) > BRIDGE_M
        raised, low = lanes[is_raised], lanes[~is_raised]
        if len(raised) < _FEWEST_DECK_POINTS:
            return np.zeros((0, 0), np.float32)
        # Where a deck ends its road goes on falling: with a level continuation a car would hang in the air, then drop.
        reach_m = 3 * HEIGHT_CELL_M
        ends, nearest = shapely.STRtree(shapely.points(raised[:, :2])).query_nearest(
            shapely.points(low[:, :2]), max_distance=reach_m, all_matches=False
        )
        away_m = np.linalg.norm(low[ends, :2] - raised[nearest, :2], axis=1)
        goes_on = np.abs(low[ends, 2] - raised[nearest, 2]) < _STEEPEST_ROAD * away_m + BRIDGE_M / 2
        road = np.concatenate([raised, low[ends[goes_on]]])
        gx, gy = self._corners()
        places = np.column_stack([gx.ravel(), gy.ravel()])
        tree = shapely.STRtree(shapely.points(raised[:, :2]))
        near, _ = tree.query(shapely.points(places), predicate="dwithin", distance=1.5 * HEIGHT_CELL_M)
        result = np.full(len(places), np.nan, np.float32)
        near = np.unique(near)
        result[near] = HeightField(road)(places[near])
        return result.reshape(gx.shape)

    def _under_bridges(self) -> BaseGeometry:
        """What lies under raised lanes and under no other."""
        raised: list[BaseGeometry] = []
        low: list[BaseGeometry] = []
        for lane in self._pavement.strips:
            middle = (lane.left + lane.right) / 2
            high = middle[:, 2] - self.height(middle[:, :2]) > BRIDGE_M
            span = high[:-1] & high[1:]
            for pieces, wanted in ((raised, span), (low, ~span)):
                edges = np.flatnonzero(np.diff(np.concatenate([[False], wanted, [False]])))
                for first, last in zip(edges[::2], edges[1::2], strict=True):
                    ring = np.concatenate([lane.right[first : last + 1, :2], lane.left[first : last + 1, :2][::-1]])
                    pieces.append(shapely.make_valid(shapely.polygons(ring)))
        if not raised:
            return shapely.Polygon()
        decks = shapely.union_all(raised, grid_size=1e-3)
        hit = shapely.STRtree(low).query(decks, predicate="intersects")
        beside = shapely.union_all([low[k] for k in hit], grid_size=1e-3)
        return decks.difference(beside.buffer(-0.03))

    def _coarse(self) -> tuple[Array, NDArray[np.intp], Array]:
        """The terrain as seen from far away: it goes on under the pavement, deep enough to stay out of sight."""
        x0, y0, x1, y1 = self.bounds
        xs, ys = np.arange(x0, x1 + 1, _COARSE_CELL_M), np.arange(y0, y1 + 1, _COARSE_CELL_M)
        gx, gy = np.meshgrid(xs, ys)
        places = np.column_stack([gx.ravel(), gy.ravel()])
        step = round(_COARSE_CELL_M / HEIGHT_CELL_M)
        drawn = self.grid + self._lift
        reach = np.ones((2 * step + 1, 2 * step + 1), np.uint8)
        lowest = cv2.erode(np.where(self._is_kept, self.grid, np.inf).astype(np.float32), reach)
        z = np.minimum(drawn, np.where(np.isfinite(lowest), lowest - _UNDER_ROAD_M, np.inf))[::step, ::step].ravel()
        columns = len(xs)
        corner = (np.arange(len(ys) - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
        squares = np.stack([corner, corner + 1, corner + columns + 1, corner + columns], axis=1)
        return places, np.concatenate([squares[:, [0, 1, 2]], squares[:, [0, 2, 3]]]), z

    def _add(
        self,
        builder: MeshBuilder,
        places: Array,
        index: NDArray[np.intp],
        z: Array,
        phase: Array,
        *,
        small: bool = False,
        stand_in: bool = False,
    ) -> None:
        step = 1.0
        slope_x = (self.height(places + [step, 0]) - self.height(places - [step, 0])) / (2 * step)
        slope_y = (self.height(places + [0, step]) - self.height(places - [0, step])) / (2 * step)
        normals = np.stack([-slope_x, -slope_y, np.ones_like(z)], axis=-1)
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        dry = np.sin(places[:, 0] * 0.05 + phase[0]) * np.sin(places[:, 1] * 0.043 + phase[1])
        dry += 0.5 * np.sin(places[:, 0] * 0.17 + phase[2]) * np.sin(places[:, 1] * 0.13 + phase[3])
        colors = np.array([112.0, 130.0, 72.0]) + dry[:, None] * np.array([22.0, 6.0, 8.0])
        corners = np.column_stack([places, z])
        uvs = ground_uvs(corners, "grass")
        builder.add("grass", TERRAIN_TAG, corners, index, normals, uvs, colors, small=small, stand_in=stand_in)


def _welded(triangles: Array) -> tuple[Array, NDArray[np.intp]]:
    """Corners (n, 2) and triangles (m, 3) into them, near corners made one, slivers dropped."""
    places, index = np.unique(np.round(triangles.reshape(-1, 2), 4), axis=0, return_inverse=True)
    index = index.reshape(-1, 3)
    a, b = places[index[:, 1]] - places[index[:, 0]], places[index[:, 2]] - places[index[:, 0]]
    return places, index[a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0] > 1e-3]


def _of_a_town(samples: Array) -> Array:
    """The samples, if what they span is small enough to be filled with ground."""
    spans = np.ptp(samples[:, :2], axis=0) / HEIGHT_CELL_M + 1.0
    if not np.isfinite(samples).all() or spans.prod() > MAX_CELLS:
        width_m, height_m = spans * HEIGHT_CELL_M
        raise SimulatorError(
            f"OpenDRIVE: expected roads within {MAX_CELLS * HEIGHT_CELL_M**2 / 1e6:g} square kilometres, received some "
            f"{width_m / 1e3:.3g} by {height_m / 1e3:.3g} km. No town was built."
        )
    return samples


def _lowest_level(samples: Array) -> Array:
    """The samples without those that lie over others: decks of bridges do not lift the ground."""
    cell = np.floor(samples[:, :2] / 4.0).astype(np.int64)
    cell -= cell.min(axis=0) - 1
    lowest = np.full(cell.max(axis=0) + 2, np.inf)
    for dx in (-1, 0, 1):
        for dy in (-1, 0, 1):
            np.minimum.at(lowest, (cell[:, 0] + dx, cell[:, 1] + dy), samples[:, 2])
    return samples[samples[:, 2] < lowest[cell[:, 0], cell[:, 1]] + _TUNNEL_M]


def _smoothed_away_from(height: Array, distance: Array) -> Array:
    """Heights left as they are near roads and blurred by neighbours farther away."""
    weight = np.clip((distance - 4.0) / 12.0, 0.0, 1.0)
    smooth = height
    for _ in range(24):
        padded = np.pad(smooth, 1, mode="edge")
        mean = (padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]) / 4
        smooth = smooth * (1 - weight) + mean * weight
    return smooth
