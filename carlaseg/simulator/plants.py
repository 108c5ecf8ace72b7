"""Models of trees, bushes and hedges, and where they grow.

Crowns are quads with an alpha-cut leaf texture, one whole texture a quad; their normals point away from the crown's
middle, so that light falls on them as on a ball.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import shapely
from numpy.typing import NDArray

from carlaseg.simulator.ground import Ground
from carlaseg.simulator.lots import Lots
from carlaseg.simulator.mesh import MeshBuilder, Model
from carlaseg.simulator.pavement import Pavement
from carlaseg.simulator.scene import LevelBox, Pose

Array = NDArray[np.float64]

VEGETATION_TAG = 9
_LEAF, _DARK_LEAF, _BARK = (104, 140, 62), (62, 100, 58), (112, 88, 66)
_UNIT_UV = np.array([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)])
_OUT_THERE_M = 45.0


def _leaf_quads(
    builder: MeshBuilder,
    quads: Array,
    middle: Array,
    color: tuple[int, int, int],
    *,
    small: bool = False,
) -> None:
    normals = quads - middle
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9)
    normals = normals * [1.0, 1.0, 0.8] + [0.0, 0.0, 0.35]
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    # Darker below and inside: what a crown shades of itself.
    height = np.ptp(quads[..., 2])
    shade = 0.72 + 0.36 * (quads[..., 2:] - quads[..., 2].min()) / max(height, 1e-6)
    builder.quads(
        "leaves",
        VEGETATION_TAG,
        quads,
        _UNIT_UV,
        np.array(color) * shade,
        normals=normals,
        small=small,
        two_sided=True,
    )


def _trunk(builder: MeshBuilder, height: float, radii: tuple[float, float], color: tuple[int, int, int]) -> None:
    builder.tube("bark", VEGETATION_TAG, (0, 0, -0.4), (0, 0, height), *radii, 6, color, small=True)


def _from_afar(builder: MeshBuilder, height: float, radius: float, color: tuple[int, int, int]) -> None:
    """A whole tree on two boards, whose texture shows a crown over a trunk."""
    middle = np.array([0.0, 0.0, height / 2])
    boards = _cross(middle, radius, height / 2 + 0.15, 2)
    normals = np.tile([0.0, 0.0, 1.0], (2, 4, 1)) + (boards - middle) * [0.5, 0.5, 0.0] / radius
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    builder.quads("tree", VEGETATION_TAG, boards, _UNIT_UV, color, normals=normals, two_sided=True, stand_in=True)


def _cross(center: Array, radius: float, half_height: float, turns: int, start: float = 0.0) -> Array:
    """Upright quads through one axis, (turns, 4, 3)."""
    angle = start + np.arange(turns) * np.pi / turns
    d = np.stack([np.cos(angle), np.sin(angle), np.zeros(turns)], axis=-1) * radius
    up = np.array([0.0, 0.0, half_height])
    return np.stack([center - d - up, center + d - up, center + d + up, center - d + up], axis=1)


@cache
def broadleaf(variant: int) -> Model:
    """A tree some 7 m high with a crown of about 2.3 m radius, built of several clumps."""
    rng = np.random.default_rng(variant)
    builder = MeshBuilder()
    _trunk(builder, 3.6, (0.2, 0.11), _BARK)
    middle = np.array([0.0, 0.0, 4.7])
    quads = [_cross(middle, 1.95, 1.9, 2, rng.uniform(0, 1))]
    for k in range(4):
        angle = k * 2 * np.pi / 4 + rng.uniform(-0.3, 0.3)
        spot = middle + [1.1 * np.cos(angle), 1.1 * np.sin(angle), rng.uniform(-0.8, 0.9)]
        # One board a clump, across the way out: seen from the side the others show.
        quads.append(_cross(spot, 1.25, 1.15, 1, angle + np.pi / 2 + rng.uniform(-0.4, 0.4)))
    quads.append(_cross(middle + [0, 0, 1.2], 1.3, 1.1, 2, 0.4))
    _leaf_quads(builder, np.concatenate(quads), middle, _LEAF, small=True)
    _from_afar(builder, 7.1, 2.3, _LEAF)
    return builder.parts()


@cache
def slender(variant: int) -> Model:
    """A narrow tree some 7 m high, crown of 1.2 m radius."""
    rng = np.random.default_rng(100 + variant)
    builder = MeshBuilder()
    _trunk(builder, 3.0, (0.14, 0.08), _BARK)
    middle = np.array([0.0, 0.0, 4.6])
    stack = [
        _cross(np.array([0, 0, z]), r, 1.3, 2, rng.uniform(0, 1.5)) for z, r in ((3.2, 1.0), (4.5, 1.2), (5.8, 0.9))
    ]
    _leaf_quads(builder, np.concatenate(stack), middle, (118, 146, 70), small=True)
    _from_afar(builder, 7.1, 1.3, (118, 146, 70))
    return builder.parts()


@cache
def conifer() -> Model:
    """A dark conifer some 9 m high."""
    builder = MeshBuilder()
    _trunk(builder, 7.5, (0.19, 0.05), (92, 74, 60))
    layers = ((1.9, 2.1, 1.3), (3.6, 1.75, 1.3), (5.2, 1.35, 1.2), (6.7, 0.95, 1.2), (8.1, 0.5, 1.0))
    quads = [_cross(np.array([0, 0, z]), r, h, 2, 0.6 * k) for k, (z, r, h) in enumerate(layers)]
    middle = np.array([0.0, 0.0, 3.0])
    _leaf_quads(builder, np.concatenate(quads), middle, _DARK_LEAF, small=True)
    _from_afar(builder, 9.1, 1.9, _DARK_LEAF)
    return builder.parts()


@cache
def distant_tree() -> Model:
    """Two quads and no trunk to speak of, for woods on the horizon."""
    builder = MeshBuilder()
    middle = np.array([0.0, 0.0, 4.2])
    _leaf_quads(builder, _cross(middle, 3.4, 4.4, 2), middle, (84, 116, 58))
    return builder.parts()


@cache
def bush() -> Model:
    """A bush 1.3 m high."""
    builder = MeshBuilder()
    middle = np.array([0.0, 0.0, 0.45])
    _leaf_quads(builder, _cross(middle, 0.85, 0.8, 3), middle, (98, 128, 64), small=True)
    return builder.parts()


def hedge(builder: MeshBuilder, a: Array, b: Array, height: float) -> None:
    """A clipped hedge between two places (3,)."""
    length = float(np.linalg.norm(b[:2] - a[:2]))
    middle = (a + b) / 2
    heading = float(np.arctan2(b[1] - a[1], b[0] - a[0]))
    center = (float(middle[0]), float(middle[1]), float(middle[2]) + height / 2 - 0.1)
    half = (length / 2, 0.32, height / 2 + 0.1)
    builder.box("hedge", VEGETATION_TAG, center, half, heading, (92, 122, 58), builder.new_instance())


@dataclass(frozen=True, slots=True)
class _Plant:
    x: float
    y: float
    turn: float
    scale: float
    tint: Array


class Planting:
    """Collects trees and stamps them all at the end, a call a model.

    Args:
        lots: what is free.
    """

    def __init__(self, lots: Lots) -> None:
        self._lots = lots
        self._plants: dict[str, list[_Plant]] = {}

    def plant(self, kind: str, x: float, y: float, scale: float, rng: np.random.Generator) -> None:
        """Grow one here, whatever stands there."""
        tint = rng.uniform(0.8, 1.2) * (1.0 + rng.uniform(-0.1, 0.1, 3) * [1.6, 0.6, 1.0])
        turn = float(rng.uniform(0, 2 * np.pi))
        self._plants.setdefault(kind, []).append(_Plant(x, y, turn, scale, tint))

    def try_plant(self, kind: str, place: Array, scale: float, rng: np.random.Generator, crown_m: float) -> bool:
        """Grow one at `place` (2,) if its crown stays off the pavement and its trunk off what was placed before."""
        x, y = float(place[0]), float(place[1])
        if not self._lots.take_spot(x, y, min(crown_m, 0.85) * scale, crown_m * scale + 0.2):
            return False
        self.plant(kind, x, y, scale, rng)
        return True

    def has_room(self, x: float, y: float, radius: float) -> bool:
        """Whether nothing was placed within `radius` of a place."""
        return self._lots.is_open(shapely.Point(x, y), radius)

    def stamp(self, builder: MeshBuilder, ground: Ground, boxes: list[LevelBox]) -> None:
        """Add all of them, and a box for each tree that is not part of a distant wood."""
        for kind in sorted(self._plants):
            plants = self._plants[kind]
            places = np.array([(p.x, p.y) for p in plants])
            z = ground.height(places) - 0.3 if kind == "distant" else ground.lot_height(places)
            turns = np.array([p.turn for p in plants])
            scales = np.array([p.scale for p in plants])
            tints = np.array([p.tint for p in plants])
            models = _models(kind)
            for k, model in enumerate(models):
                mine = slice(k, None, len(models))
                at = np.column_stack([places, z])[mine]
                builder.stamp(model, at, turns[mine], scales[mine], tints[mine])
            if kind in _CROWNS_M:
                for p, height in zip(plants, z, strict=True):
                    half, up = _CROWNS_M[kind] * p.scale, 3.4 * p.scale
                    boxes.append(LevelBox(VEGETATION_TAG, Pose(p.x, -p.y, float(height) + up), (half, half, up)))


_CROWNS_M = {"slender": 1.2, "broadleaf": 2.3, "conifer": 2.1}


def _models(kind: str) -> list[Model]:
    if kind == "broadleaf":
        return [broadleaf(k) for k in range(3)]
    if kind == "slender":
        return [slender(k) for k in range(2)]
    return [{"conifer": conifer, "distant": distant_tree, "bush": bush}[kind]()]


def plant_open_ground(planting: Planting, pavement: Pavement, ground: Ground, rng: np.random.Generator) -> None:
    """Trees in yards and parks, and woods around the town."""
    x0, y0, x1, y1 = ground.bounds
    step = 7.0
    gx, gy = np.meshgrid(np.arange(x0 + step / 2, x1, step), np.arange(y0 + step / 2, y1, step))
    spots = np.column_stack([gx.ravel(), gy.ravel()]) + rng.uniform(-2.6, 2.6, (gx.size, 2))
    points = shapely.points(spots)
    shapely.prepare(pavement.all)
    distance = shapely.distance(points, pavement.all)
    wood = np.sin(spots[:, 0] * 0.045 + rng.uniform(0, 6)) + np.sin(spots[:, 1] * 0.04 + rng.uniform(0, 6))
    draw = rng.random(len(spots))
    for k in np.flatnonzero(distance > 2.6):
        x, y = float(spots[k, 0]), float(spots[k, 1])
        if distance[k] > _OUT_THERE_M:
            if draw[k] < 0.12 + 0.3 * max(0.0, wood[k]) and planting.has_room(x, y, 3.0):
                planting.plant("distant", x, y, float(rng.uniform(0.7, 1.35)), rng)
        elif draw[k] < 0.32 + 0.2 * max(0.0, wood[k]):
            kind = "conifer" if rng.random() < 0.2 else "broadleaf"
            planting.try_plant(kind, spots[k], float(rng.uniform(0.75, 1.25)), rng, 2.4)
    far = rng.uniform(0, 1, (700, 2)) * [x1 - x0 + 300, y1 - y0 + 300] + [x0 - 150, y0 - 150]
    outside = (far[:, 0] < x0) | (far[:, 0] > x1) | (far[:, 1] < y0) | (far[:, 1] > y1)
    for x, y in far[outside]:
        if planting.has_room(float(x), float(y), 4.0):
            planting.plant("distant", float(x), float(y), float(rng.uniform(0.9, 1.7)), rng)
