"""What lies in open country around the streets: a pond, a railway with a train on it, bales of hay.

All of it changes the ground or takes it before anything is built, and keeps well away from every road.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import shapely
from numpy.typing import NDArray

from carlaseg.simulator.ground import Ground
from carlaseg.simulator.lots import Lots, rectangle
from carlaseg.simulator.mesh import MeshBuilder, Model, strip
from carlaseg.simulator.pavement import Pavement
from carlaseg.simulator.polygon_mesh import tessellate
from carlaseg.simulator.poses import normalize_deg
from carlaseg.simulator.scene import LevelBox, Pose

Array = NDArray[np.float64]

TRAIN_TAG, OTHER_TAG, WATER_TAG, RAIL_TAG = 17, 22, 23, 27
_POND_RADII_M, _SHORE = (26.0, 9.0), 1.5
_TRACK_FROM_ROADS_M = 30.0
_TRACK_HALF_M, _BED_M, _GAUGE_HALF_M, _RAIL_M = 2.1, 0.45, 0.75, 0.16
_CARS, _CAR_M, _CAR_HALF_M, _CAR_HIGH_M = 5, 19.0, 1.42, 3.1
_CAR_COLORS = ((186, 44, 38), (208, 206, 198), (208, 206, 198), (58, 92, 140), (208, 206, 198))
_WATER_COLOR = (96, 120, 126)


@dataclass(frozen=True)
class Landscape:
    """Where the country's large things lie.

    Attributes:
        pond: outline, float64 (n, 2), or None where no place is wide enough.
        water_level: metres.
        track: the railway's course, float64 (n, 3).
    """

    pond: Array | None
    water_level: float
    track: Array


def shape_landscape(pavement: Pavement, ground: Ground, rng: np.random.Generator) -> Landscape:
    """Choose the places and shape the ground there: call it before the terrain is drawn."""
    track = _track(pavement, ground, rng)
    pond, level = None, 0.0
    place = _pond_place(pavement, ground, track, rng)
    if place is not None:
        middle, radius = place
        angle = np.linspace(0.0, 2 * np.pi, 40, endpoint=False)
        reach = radius * (1.0 + 0.16 * np.sin(2 * angle + rng.uniform(0, 6)) + 0.08 * np.sin(5 * angle))
        pond = middle + reach[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        level = ground.dig(middle, radius * 1.24, _SHORE)
    return Landscape(pond, level, track)


def _pond_place(
    pavement: Pavement, ground: Ground, track: Array, rng: np.random.Generator
) -> tuple[Array, float] | None:
    """The middle and radius of a pond as near to a road as it may be."""
    x0, y0, x1, y1 = ground.bounds
    spots = rng.uniform((x0, y0), (x1, y1), (1200, 2))
    points = shapely.points(spots)
    shapely.prepare(pavement.all)
    to_road = shapely.distance(points, pavement.all)
    inside = np.minimum(spots - [x0, y0], [x1, y1] - spots).min(axis=1)
    clear = np.minimum(inside, shapely.distance(points, shapely.LineString(track[:, :2])))
    largest, smallest = _POND_RADII_M
    for radius in np.linspace(largest, smallest, 6):
        banks = radius * 1.24 * _SHORE
        # They stay 5 m off the road, so that there is room for what lines it.
        fits = np.flatnonzero((clear > banks) & (to_road > banks + 5.0) & (to_road < banks + 19.0))
        if len(fits):
            return spots[fits[0]], float(radius)
    return None


def _track(pavement: Pavement, ground: Ground, rng: np.random.Generator) -> Array:
    """A straight course along one side of the town, 8 m a step, its bed levelled."""
    x0, y0, x1, y1 = pavement.all.bounds
    side = int(rng.integers(4))
    away = _TRACK_FROM_ROADS_M
    bx0, by0, bx1, by1 = ground.bounds
    if side % 2 == 0:
        along = np.arange(bx0, bx1 + 1, 8.0)
        places = np.stack([along, np.full_like(along, y0 - away if side == 0 else y1 + away)], axis=-1)
    else:
        along = np.arange(by0, by1 + 1, 8.0)
        places = np.stack([np.full_like(along, x0 - away if side == 1 else x1 + away), along], axis=-1)
    height = np.convolve(np.pad(ground.height(places), 12, mode="edge"), np.full(25, 1 / 25), mode="valid")
    track = np.column_stack([places, height])
    ground.level_along(track, _TRACK_HALF_M + 1.5)
    return track


def build_landscape(
    builder: MeshBuilder,
    landscape: Landscape,
    pavement: Pavement,
    ground: Ground,
    lots: Lots,
    boxes: list[LevelBox],
    rng: np.random.Generator,
) -> None:
    """Add water, track, train and hay, and take their ground."""
    if landscape.pond is not None:
        _water(builder, landscape.pond, landscape.water_level)
        lots.mark(shapely.Polygon(landscape.pond).buffer(1.0))
    _lay_track(builder, landscape.track)
    lots.mark(shapely.LineString(landscape.track[:, :2]).buffer(_TRACK_HALF_M + 2.5, cap_style="flat"))
    _train(builder, landscape.track, boxes, rng)
    _hay(builder, pavement, ground, lots, boxes, rng)


def _water(builder: MeshBuilder, pond: Array, level: float) -> None:
    # A little wider than the shore: where it meets the rising ground, the ground hides it.
    triangles = tessellate(shapely.Polygon(pond).buffer(3.0), 8.0)
    corners = np.concatenate([triangles, np.full((*triangles.shape[:2], 1), level)], axis=-1)
    builder.flat_triangles("water", WATER_TAG, corners, colors=_WATER_COLOR)


def _lay_track(builder: MeshBuilder, track: Array) -> None:
    ahead = np.gradient(track[:, :2], axis=0)
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    left = np.column_stack([-ahead[:, 1], ahead[:, 0], np.zeros(len(track))])
    up = np.array([0.0, 0.0, 1.0])
    instance = builder.new_instance()
    top = track + _BED_M * up
    shoulder = 1.4 * left
    # One texture across the bed; it starts over now and then, since large coordinates tear textures.
    start = np.arange(len(track) - 1) % 8 * 2.0
    zero = np.zeros_like(start)
    uv = np.stack(
        [np.stack([start, start + 2, start + 2, start], 1), np.stack([zero, zero, zero + 1, zero + 1], 1)], -1
    )
    builder.quads("sleepers", RAIL_TAG, strip(top - shoulder, top + shoulder), uv, instances=instance)
    low = track + left * _TRACK_HALF_M - 0.4 * up
    builder.quads("soil", RAIL_TAG, strip(top + shoulder, low), colors=(150, 144, 136), instances=instance)
    low = track - left * _TRACK_HALF_M - 0.4 * up
    builder.quads("soil", RAIL_TAG, strip(low, top - shoulder), colors=(150, 144, 136), instances=instance)
    for side in (-1, 1):
        rail = top + side * _GAUGE_HALF_M * left
        half = 0.05 * left
        head = rail + _RAIL_M * up
        steel = (168, 160, 152)
        faces = strip(head - half, head + half)
        builder.quads("metal", RAIL_TAG, faces, np.zeros((4, 2)), steel, instance)
        for line, turn in ((half, False), (-half, True)):
            face = strip(rail + line, head + line)
            face = face[:, [1, 0, 3, 2]] if not turn else face
            builder.quads("metal", RAIL_TAG, face, np.zeros((4, 2)), (120, 92, 74), instance, small=True)


def _train(builder: MeshBuilder, track: Array, boxes: list[LevelBox], rng: np.random.Generator) -> None:
    """An engine and some coaches that stand on the track."""
    heading = float(np.arctan2(*(track[1, :2] - track[0, :2])[::-1]))
    ahead = np.array([np.cos(heading), np.sin(heading)])
    length = _CARS * (_CAR_M + 1.0)
    first = len(track) * 8.0 * float(rng.uniform(0.4, 0.55)) - length / 2
    instance = builder.new_instance()
    for k, color in enumerate(_CAR_COLORS[:_CARS]):
        u = first + k * (_CAR_M + 1.0)
        place = track[0, :2] + ahead * u
        z = float(np.interp(u, np.arange(len(track)) * 8.0, track[:, 2])) + _BED_M + _RAIL_M
        builder.stamp(_car(color, k == 0), [(*place, z)], [heading], instances=np.array([instance], np.uint16))
        pose = Pose(
            float(place[0]), float(-place[1]), z + _CAR_HIGH_M / 2 + 0.5, yaw=normalize_deg(-float(np.degrees(heading)))
        )
        boxes.append(LevelBox(TRAIN_TAG, pose, (_CAR_M / 2, _CAR_HALF_M, _CAR_HIGH_M / 2 + 0.5)))


@cache
def _car(color: tuple[int, int, int], engine: bool) -> Model:
    """An engine or a coach on its wheels, along x."""
    builder = MeshBuilder()
    half, wide, floor = _CAR_M / 2, _CAR_HALF_M, 1.0
    top = floor + _CAR_HIGH_M
    middle = (0.0, 0.0, (floor + top) / 2)
    builder.box("metal", TRAIN_TAG, middle, (half, wide, _CAR_HIGH_M / 2), 0.0, color, bottom=True)
    builder.box("metal", TRAIN_TAG, (0, 0, top + 0.1), (half - 0.4, wide - 0.35, 0.12), 0.0, (120, 122, 124))
    for x in (-half * 0.68, half * 0.68):
        builder.box("metal", TRAIN_TAG, (x, 0, 0.5), (1.9, wide - 0.4, 0.5), 0.0, (52, 50, 50), small=True)
    glass = (44, 54, 64)
    windows = [(-half + 1.2, -half + 2.6), (half - 2.6, half - 1.2)] if engine else [
        (float(x), float(x) + 1.5) for x in np.arange(-half + 1.4, half - 2.0, 2.1)
    ]  # fmt: skip
    for a, b in windows:
        for y, (left, right) in ((-wide - 0.01, (a, b)), (wide + 0.01, (b, a))):
            low, high = floor + 1.3, floor + 2.3
            quad = [[(left, y, low), (right, y, low), (right, y, high), (left, y, high)]]
            builder.quads("plain", TRAIN_TAG, quad, np.zeros((4, 2)), glass, small=True)
    if engine:
        for x, (right, left) in ((half + 0.01, (-1.0, 1.0)), (-half - 0.01, (1.0, -1.0))):
            quad = [[(x, right, floor + 1.5), (x, left, floor + 1.5), (x, left, floor + 2.5), (x, right, floor + 2.5)]]
            builder.quads("plain", TRAIN_TAG, quad, np.zeros((4, 2)), glass, small=True)
    return builder.parts()


@cache
def _bale() -> Model:
    """A round bale of hay on its side, 1.3 m high."""
    builder = MeshBuilder()
    straw = (214, 186, 116)
    builder.tube("soil", OTHER_TAG, (-0.6, 0, 0.62), (0.6, 0, 0.62), 0.65, sides=9, colors=straw)
    angle = np.linspace(0, 2 * np.pi, 9)
    rim = np.stack([np.cos(angle) * 0.65, 0.62 + np.sin(angle) * 0.65], axis=-1)
    for x, turn in ((0.6, 1), (-0.6, -1)):
        fan = [[(x, 0, 0.62), (x, *a), (x, *b)][::turn] for a, b in pairwise(rim)]
        builder.flat_triangles("plain", OTHER_TAG, np.array(fan), colors=(196, 166, 98))
    return builder.parts()


def _hay(
    builder: MeshBuilder,
    pavement: Pavement,
    ground: Ground,
    lots: Lots,
    boxes: list[LevelBox],
    rng: np.random.Generator,
) -> None:
    """Meadows with bales, some paces behind roads that have no sidewalk or few neighbours."""
    places, turns = [], []
    for frontage in pavement.frontages:
        if frontage.length < 60.0 or rng.random() > 0.12:
            continue
        u, away = float(rng.uniform(15.0, frontage.length - 25.0)), float(rng.uniform(9.0, 16.0))
        for k in range(int(rng.integers(2, 6))):
            point, out = frontage.at(u + 4.5 * k)
            x, y = point[:2] + out * (away + rng.uniform(0.0, 5.0))
            if lots.take(rectangle(np.array([x, y]), 1.0, 1.0, 0.0), 5.0, 1.0):
                places.append((x, y))
                turns.append(float(rng.uniform(0, np.pi)))
    if not places:
        return
    z = ground.lot_height(np.array(places))
    builder.stamp(_bale(), np.column_stack([np.array(places), z]), np.array(turns))
    boxes.extend(
        LevelBox(OTHER_TAG, Pose(x, -y, float(h) + 0.65), (0.65, 0.65, 0.65))
        for (x, y), h in zip(places, z, strict=True)
    )
