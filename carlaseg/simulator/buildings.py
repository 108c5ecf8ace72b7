"""Buildings along the streets: a district's kind, a parcel, walls with storeys of three metres, a roof.

Facade textures repeat every 12 m and hold four windows each way, so storeys and bays are whole numbers of 3 m.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from carlaseg.simulator.ground import Ground
from carlaseg.simulator.lots import Lots
from carlaseg.simulator.mesh import MeshBuilder
from carlaseg.simulator.pavement import Frontage, Pavement
from carlaseg.simulator.poses import normalize_deg
from carlaseg.simulator.scene import LevelBox, Pose

Array = NDArray[np.float64]
District = Literal["core", "street", "suburb"]
RoofKind = Literal["flat", "gable", "hip"]

BUILDING_TAG, GROUND_TAG = 3, 25
_BAY_M, _STOREY_M = 3.0, 3.0
_TILE_M = 12.0
_PLINTH_M = 0.45
_FACADES: dict[str, tuple[tuple[int, int, int], ...]] = {
    "facade_brick": ((186, 112, 88), (168, 96, 78), (196, 150, 116), (150, 120, 106), (206, 182, 150)),
    "facade_plaster": (
        (236, 228, 208),
        (232, 202, 160),
        (206, 216, 220),
        (224, 176, 150),
        (204, 214, 184),
        (238, 218, 150),
    ),
    "facade_panel": ((206, 206, 204), (176, 188, 198), (212, 196, 172), (190, 180, 172)),
    "facade_glass": ((235, 245, 255), (215, 235, 230), (240, 240, 245)),
}
_ROOFS = ((190, 110, 90), (150, 96, 80), (130, 130, 136), (112, 104, 100), (170, 130, 100))
_DOORS = ((96, 60, 40), (50, 70, 60), (60, 62, 80), (120, 40, 36), (70, 70, 70))
_FLAT_ROOF_COLOR, _STEP_COLOR = (170, 168, 164), (170, 168, 162)
_FORECOURT_COLOR, _FORECOURT_STEP_M = (186, 170, 156), 0.3


@dataclass(frozen=True)
class _Style:
    """What one building looks like."""

    facade: str
    color: tuple[int, int, int]
    trim: Array
    floors: int
    roof: RoofKind
    roof_color: tuple[int, int, int]
    shop: bool
    balconies: bool


def build_buildings(
    builder: MeshBuilder,
    pavement: Pavement,
    ground: Ground,
    lots: Lots,
    boxes: list[LevelBox],
    rng: np.random.Generator,
) -> None:
    """Line every frontage with buildings and add their boxes to `boxes`."""
    middle = (
        np.mean([f.points.mean(axis=0) for f in pavement.frontages], axis=0)[:2] if pavement.frontages else np.zeros(2)
    )
    reach = max(
        (float(np.linalg.norm(f.points[:, :2] - middle, axis=1).max()) for f in pavement.frontages), default=1.0
    )
    for frontage in pavement.frontages:
        if frontage.is_highway and rng.random() < 0.5:
            continue
        district = _district(frontage, middle, reach, rng)
        u = float(rng.uniform(0.3, 2.0))
        while u < frontage.length - 6.0:
            u += _build_next(builder, frontage, u, district, ground, lots, boxes, rng)


def _district(frontage: Frontage, middle: Array, reach: float, rng: np.random.Generator) -> District:
    """Tall in the middle, gardens at the rim, with some luck either way."""
    point, out = frontage.at(frontage.length / 2)
    distance = float(np.linalg.norm(point[:2] - middle)) / max(reach, 1.0)
    faces_away = float(out @ (point[:2] - middle)) > 0
    score = 1.0 - distance - (0.25 if faces_away else 0.0) + float(rng.normal(0.0, 0.18))
    if not frontage.has_sidewalk:
        score -= 0.4
    if frontage.kind == "rural":
        return "street" if score > 0.65 else "suburb"
    if score > 0.5:
        return "core"
    return "street" if score > 0.1 else "suburb"


def _build_next(
    builder: MeshBuilder,
    frontage: Frontage,
    u: float,
    district: District,
    ground: Ground,
    lots: Lots,
    boxes: list[LevelBox],
    rng: np.random.Generator,
) -> float:
    """Try one building at `u`; returns how far along the frontage the next may begin."""
    if district == "core":
        bays, deep, setback = int(rng.integers(5, 10)), rng.uniform(12, 17), rng.choice([0.4, 1.0, 3.0])
    elif district == "street":
        bays, deep, setback = int(rng.integers(3, 7)), rng.uniform(9, 13), rng.choice([0.3, 0.3, 0.6, 2.5])
    else:
        bays, deep, setback = int(rng.integers(3, 5)), rng.uniform(8, 11), rng.uniform(4.5, 8.0)
    if not frontage.has_sidewalk:
        setback = setback + (rng.uniform(16.0, 36.0) if frontage.is_highway else rng.uniform(5.0, 16.0))
    style = _style(district, rng)
    gap = float(rng.choice([0.3, 0.3, 4.0]) if district != "suburb" else rng.uniform(5.0, 11.0))
    vacant = rng.random() < (0.06 if frontage.has_sidewalk else 0.75 if frontage.is_highway else 0.4)
    width = bays * _BAY_M
    if vacant:
        return width
    # A deep parcel on the inside of a bend may only fit when shallower or narrower.
    for shrink in (1.0, 0.75):
        across, back = max(6.0, round(width * shrink / _BAY_M) * _BAY_M), float(max(6.0, deep * shrink))
        if u + across > frontage.length + 4.0:
            continue
        point, out = frontage.at(min(u + across / 2, frontage.length))
        along = np.array([out[1], -out[0]])
        front = point[:2] + out * setback
        corners = np.array(
            [
                front - along * across / 2,
                front + along * across / 2,
                front + along * across / 2 + out * back,
                front - along * across / 2 + out * back,
            ]
        )
        if lots.take(corners, min(float(setback), 2.0) - 0.1, 0.25):
            floor = float(ground.lot_height(corners[:2]).max()) + 0.05
            foot = float(ground.lot_height(corners).min()) - 0.5
            _building(builder, corners, foot, floor, style, boxes, rng)
            if style.shop and setback > 0.8:
                _forecourt(builder, ground, lots, corners, float(setback), floor)
            return across + gap
    return 3.0


def _forecourt(builder: MeshBuilder, ground: Ground, lots: Lots, corners: Array, setback: float, floor: float) -> None:
    """Pave the ground between a shop and the sidewalk, where it is level."""
    front, end = corners[0], corners[1]
    out = (corners[3] - corners[0]) / np.linalg.norm(corners[3] - corners[0])
    edge = out * (setback - 0.06)
    ring = np.array([front - edge, end - edge, end - out * 0.02, front - out * 0.02])
    lowest = float(ground.lot_height(ring).min())
    if floor - lowest > _FORECOURT_STEP_M or not lots.take(ring, 0.01):
        return
    builder.walls("kerb", GROUND_TAG, ring, lowest - 0.3, floor, _FORECOURT_COLOR)
    builder.quads("paving", GROUND_TAG, [[(*corner, floor) for corner in ring]], colors=_FORECOURT_COLOR)


def _style(district: District, rng: np.random.Generator) -> _Style:
    if district == "core":
        facade = str(rng.choice(["facade_glass", "facade_panel", "facade_plaster", "facade_brick"]))
        floors, roof = int(rng.integers(4, 10)), "flat"
    elif district == "street":
        facade = str(rng.choice(["facade_brick", "facade_plaster", "facade_plaster", "facade_panel"]))
        floors = int(rng.integers(2, 6))
        roof = str(rng.choice(["flat", "gable", "gable", "hip"])) if floors < 5 else "flat"
    else:
        facade = str(rng.choice(["facade_brick", "facade_plaster"]))
        floors, roof = int(rng.integers(1, 3)), str(rng.choice(["gable", "hip"]))
    colors = _FACADES[facade]
    color = colors[int(rng.integers(len(colors)))]
    kind: RoofKind = "gable" if roof == "gable" else "hip" if roof == "hip" else "flat"
    return _Style(
        facade,
        color,
        np.clip(np.array(color) * rng.choice([0.45, 0.7, 0.95]), 0, 255),
        floors,
        kind,
        _ROOFS[int(rng.integers(len(_ROOFS)))],
        shop=district != "suburb" and bool(rng.random() < 0.5),
        balconies=facade in ("facade_panel", "facade_plaster") and floors >= 3 and bool(rng.random() < 0.5),
    )


def _building(
    builder: MeshBuilder,
    corners: Array,
    foot: float,
    floor: float,
    style: _Style,
    boxes: list[LevelBox],
    rng: np.random.Generator,
) -> None:
    """A building on its parcel (4, 2), whose first edge is its front, from below the ground to its roof."""
    instance = builder.new_instance()
    base = floor + _PLINTH_M
    top = base + style.floors * _STOREY_M
    builder.walls("wall_stone", BUILDING_TAG, corners, foot, base, style.trim, instance)
    _walls(builder, corners, base, top, style, instance, shift=float(rng.integers(4)) / 4)
    front = _Front(corners)
    if style.shop:
        _awning(builder, front, base, instance, rng)
    else:
        _door(builder, front, floor, instance, rng)
    if style.balconies:
        _balconies(builder, front, base, style, instance)
    height = _roof(builder, corners, top, style, instance, rng)
    x, y = corners.mean(axis=0)
    pose = Pose(float(x), float(-y), (foot + top + height) / 2, yaw=normalize_deg(-float(np.degrees(front.heading))))
    boxes.append(LevelBox(BUILDING_TAG, pose, (front.width / 2, front.depth / 2, (top + height - foot) / 2)))


class _Front:
    """The front of a building: where it begins, unit vectors along it and into the building, and how far they go."""

    def __init__(self, corners: Array) -> None:
        along, into = corners[1] - corners[0], corners[3] - corners[0]
        self.start = corners[0]
        self.width, self.depth = float(np.linalg.norm(along)), float(np.linalg.norm(into))
        self.along, self.into = along / self.width, into / self.depth
        self.heading = float(np.arctan2(self.along[1], self.along[0]))


def _walls(
    builder: MeshBuilder, corners: Array, base: float, top: float, style: _Style, instance: int, shift: float
) -> None:
    """All four, the ground floor apart: a shop's front is of glass. `shift` moves the windows' texture."""
    for k in range(4):
        a, b = corners[k], corners[(k + 1) % 4]
        ground_floor = "facade_glass" if style.shop and k == 0 else style.facade
        _facade(builder, ground_floor, a, b, base, base + _STOREY_M, base, style, instance, shift)
        if style.floors > 1:
            _facade(builder, style.facade, a, b, base + _STOREY_M, top, base, style, instance, shift)


def _awning(builder: MeshBuilder, front: _Front, base: float, instance: int, rng: np.random.Generator) -> None:
    color = rng.uniform(60, 220, 3)
    _slab(builder, front, (0.2, front.width - 0.2), (-0.25, 0.02), (base + 2.5, base + 3.05), color, instance)


def _door(builder: MeshBuilder, front: _Front, floor: float, instance: int, rng: np.random.Generator) -> None:
    """A door in one of the bays, and a step before it."""
    middle = (int(rng.integers(0, max(1, round(front.width / _BAY_M)))) + 0.5) * _BAY_M
    middle = min(middle, front.width - 1.0)
    color = np.array(_DOORS[int(rng.integers(len(_DOORS)))], np.float64)
    _slab(builder, front, (middle - 0.6, middle + 0.6), (-0.06, 0.02), (floor, floor + 2.45), color, instance)
    step = np.array(_STEP_COLOR, np.float64)
    _slab(builder, front, (middle - 0.8, middle + 0.8), (-0.28, 0.02), (floor - 0.3, floor + 0.16), step, instance)


def _balconies(builder: MeshBuilder, front: _Front, base: float, style: _Style, instance: int) -> None:
    """One in every second bay of every storey but the lowest."""
    for storey in range(1, style.floors):
        for bay in range(0, round(front.width / _BAY_M), 2):
            middle, z = (bay + 0.5) * _BAY_M, base + _STOREY_M * storey
            edges = (middle - 1.3, middle + 1.3)
            _slab(builder, front, edges, (-0.28, 0.02), (z - 0.15, z + 0.85), style.trim, instance)


def _facade(
    builder: MeshBuilder,
    material: str,
    a: Array,
    b: Array,
    low: float,
    high: float,
    base: float,
    style: _Style,
    instance: int,
    shift: float,
) -> None:
    """One wall between two heights, in pieces of at most a tile, windows counted from the building's base."""
    width = float(np.linalg.norm(b - a))
    bays = max(1, round(width / _BAY_M))
    cuts = np.append(np.arange(0, bays, 4), bays)
    points = a + (b - a) * (cuts / bays)[:, None]
    rises = np.append(np.arange(low, high - 0.1, _TILE_M), high)
    quads, uvs = [], []
    for k in range(len(cuts) - 1):
        u0, u1 = shift, shift + (cuts[k + 1] - cuts[k]) / 4
        for z0, z1 in pairwise(rises.tolist()):
            v0 = ((z0 - base) / _TILE_M) % 1.0
            v1 = v0 + (z1 - z0) / _TILE_M
            quads.append([(*points[k], z0), (*points[k + 1], z0), (*points[k + 1], z1), (*points[k], z1)])
            uvs.append([(u0, v0), (u1, v0), (u1, v1), (u0, v1)])
    builder.quads(material, BUILDING_TAG, quads, np.array(uvs), style.color, instance)


def _slab(
    builder: MeshBuilder,
    front: _Front,
    across: tuple[float, float],
    deep: tuple[float, float],
    heights: tuple[float, float],
    color: Array,
    instance: int,
) -> None:
    """A box on the front wall: `across` along it, `deep` into the building (negative towards the street)."""
    center = front.start + front.along * sum(across) / 2 + front.into * sum(deep) / 2
    half = ((across[1] - across[0]) / 2, (deep[1] - deep[0]) / 2, (heights[1] - heights[0]) / 2)
    place = (float(center[0]), float(center[1]), sum(heights) / 2)
    builder.box("plain", BUILDING_TAG, place, half, front.heading, color, instance, bottom=True, small=True)


def _roof(
    builder: MeshBuilder, corners: Array, top: float, style: _Style, instance: int, rng: np.random.Generator
) -> float:
    """Add a roof and return its height over the walls."""
    make = _flat_roof if style.roof == "flat" else _pitched_roof
    return make(builder, corners, top, style, instance, rng)


def _flat_roof(
    builder: MeshBuilder, corners: Array, top: float, style: _Style, instance: int, rng: np.random.Generator
) -> float:
    """A parapet all round, and a box for the lift's engine on what is high."""
    center = corners.mean(axis=0)
    parapet = 0.6
    builder.walls("plain", BUILDING_TAG, corners, top, top + parapet, style.trim, instance)
    inner = center + (corners - center) * 0.95
    builder.walls("plain", BUILDING_TAG, inner[::-1], top, top + parapet, style.trim, instance)
    rim = [[(*corners[k], top + parapet), (*corners[(k + 1) % 4], top + parapet)] for k in range(4)]
    ring = [[*rim[k], (*inner[(k + 1) % 4], top + parapet), (*inner[k], top + parapet)] for k in range(4)]
    builder.quads("plain", BUILDING_TAG, ring, np.zeros((4, 2)), style.trim, instance)
    _roof_faces(builder, [[(*c, top + 0.1) for c in inner]], _FLAT_ROOF_COLOR, instance)
    if style.floors > 3:
        x, y = center + (corners[0] - center) * rng.uniform(-0.4, 0.4)
        size = (rng.uniform(1.2, 2.4), rng.uniform(1.0, 1.8), rng.uniform(0.7, 1.4))
        along = corners[1] - corners[0]
        heading = float(np.arctan2(along[1], along[0]))
        builder.box("metal", BUILDING_TAG, (x, y, top + size[2]), size, heading, (170, 172, 174), instance)
    return parapet


def _pitched_roof(
    builder: MeshBuilder, corners: Array, top: float, style: _Style, instance: int, rng: np.random.Generator
) -> float:
    """Two slopes, or four on a hipped one, that reach over the walls, and perhaps a chimney."""
    eaves = 0.45
    across, deep = corners[1] - corners[0], corners[3] - corners[0]
    width, depth = float(np.linalg.norm(across)), float(np.linalg.norm(deep))
    across, deep = across / width, deep / depth
    rise = min(depth, 11.0) * rng.uniform(0.32, 0.5)
    a, b, c, d = (
        corner + across * eaves * sx + deep * eaves * sy
        for corner, (sx, sy) in zip(corners, ((-1, -1), (1, -1), (1, 1), (-1, 1)), strict=True)
    )
    inset = 0.0 if style.roof == "gable" else min(depth / 2, width / 2 - 1.0)
    left, right = (a + d) / 2 + across * inset, (b + c) / 2 - across * inset
    low, high = top - 0.15, top + rise
    eave = [(*p, low) for p in (a, b, c, d)]
    ridge = [(*left, high), (*right, high)]
    _roof_faces(
        builder,
        [[eave[0], eave[1], ridge[1], ridge[0]], [eave[2], eave[3], ridge[0], ridge[1]]],
        style.roof_color,
        instance,
    )
    # The underside of the eaves shows from the street.
    builder.quads("plain", BUILDING_TAG, [[eave[3], eave[2], eave[1], eave[0]]], np.zeros((4, 2)), style.trim, instance)
    ends = [[eave[1], eave[2], ridge[1]], [eave[3], eave[0], ridge[0]]]
    if style.roof == "hip":
        uv = np.array([(0.0, 0.0), (depth / 4, 0.0), (depth / 8, rise / 4)])
        builder.flat_triangles("roof", BUILDING_TAG, ends, np.stack([uv, uv]), style.roof_color, instance)
    else:
        builder.flat_triangles("plain", BUILDING_TAG, ends, np.zeros((2, 3, 2)), np.array(style.color) * 0.9, instance)
    if rng.random() < 0.5:
        x, y = (left * 0.7 + right * 0.3) + deep * 0.8
        builder.box("facade_brick", BUILDING_TAG, (x, y, high - 0.3), (0.35, 0.35, 1.0), 0.0, (200, 150, 130), instance)
    return rise


def _roof_faces(
    builder: MeshBuilder, faces: list[list[tuple[float, ...]]], color: tuple[int, int, int], instance: int
) -> None:
    for face in faces:
        p = np.array(face)
        width = float(np.linalg.norm(p[1] - p[0])) / 4.0
        slope = float(np.linalg.norm(p[3] - p[0])) / 4.0
        builder.quads(
            "roof", BUILDING_TAG, [face], np.array([(0, 0), (width, 0), (width, slope), (0, slope)]), color, instance
        )
