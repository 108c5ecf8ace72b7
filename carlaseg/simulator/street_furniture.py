"""Small things along the street: lamps, bins, benches, boxes, fences, hedges, low walls, street trees."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from shapely.geometry import LineString, Point

from carlaseg.simulator.ground import BRIDGE_M, Ground
from carlaseg.simulator.lots import Lots
from carlaseg.simulator.mesh import MeshBuilder, Model
from carlaseg.simulator.pavement import SIDEWALK_M, Frontage, Pavement
from carlaseg.simulator.plants import Planting, hedge
from carlaseg.simulator.scene import LevelBox, Pose

Array = NDArray[np.float64]

WALL_TAG, FENCE_TAG, POLE_TAG, STATIC_TAG, DYNAMIC_TAG, GUARD_RAIL_TAG = 4, 5, 6, 20, 21, 28
_LAMP_HEIGHT_M, _LAMP_ARM_M = 7.0, 1.7
_PIECE_M = 4.0


@cache
def lamp_model() -> Model:
    """A street lamp; its arm reaches along x."""
    builder = MeshBuilder()
    grey = (176, 176, 172)
    foot, bend, tip = (0, 0, -0.3), (0, 0, _LAMP_HEIGHT_M - 0.3), (_LAMP_ARM_M, 0, _LAMP_HEIGHT_M)
    for sides, near in ((8, True), (3, False)):
        builder.tube("pole_metal", POLE_TAG, foot, bend, 0.1, 0.06, sides, grey, small=near, stand_in=not near)
        arm = (0, 0, _LAMP_HEIGHT_M - 0.35)
        builder.tube("pole_metal", POLE_TAG, arm, tip, 0.05, 0.04, min(sides, 6), grey, small=near, stand_in=not near)
    builder.tube("pole_metal", POLE_TAG, (0, 0, 0), (0, 0, 0.9), 0.15, 0.13, 8, grey, small=True)
    builder.box("metal", POLE_TAG, (_LAMP_ARM_M, 0, _LAMP_HEIGHT_M), (0.38, 0.14, 0.06), 0.0, (120, 124, 126))
    face = [(_LAMP_ARM_M - 0.3, 0.1), (_LAMP_ARM_M + 0.3, 0.1), (_LAMP_ARM_M + 0.3, -0.1), (_LAMP_ARM_M - 0.3, -0.1)]
    glass = [[(x, y, _LAMP_HEIGHT_M - 0.065) for x, y in face]]
    builder.quads("lamp_glass", POLE_TAG, glass, np.full((4, 2), 0.5), (226, 222, 206), small=True)
    return builder.parts()


@cache
def prop_model(kind: str) -> Model:
    """A bench, bin, electric box, planter, bollard, hydrant or wheeled bin; it looks along x, towards the street."""
    builder = MeshBuilder()
    tag = DYNAMIC_TAG if kind == "wheeled bin" else STATIC_TAG
    if kind == "bench":
        for z, x in ((0.45, -0.05), (0.45, 0.12), (0.45, 0.29)):
            builder.box("fence_wood", tag, (x, 0, z), (0.07, 0.8, 0.025), 0.0, (150, 106, 66), bottom=True, small=True)
        for z in (0.62, 0.8):
            builder.box(
                "fence_wood", tag, (-0.18, 0, z), (0.025, 0.8, 0.07), 0.0, (150, 106, 66), bottom=True, small=True
            )
        for y in (-0.65, 0.65):
            builder.box("metal", tag, (0.05, y, 0.2), (0.22, 0.03, 0.22), 0.0, (60, 62, 64), small=True)
    elif kind == "bin":
        builder.tube("metal", tag, (0, 0, 0), (0, 0, 0.85), 0.24, 0.28, 8, (52, 92, 66), small=True)
        builder.box("metal", tag, (0, 0, 0.9), (0.2, 0.2, 0.05), 0.4, (40, 60, 48), bottom=True, small=True)
    elif kind == "box":
        builder.box("metal", tag, (0, 0, 0.6), (0.22, 0.5, 0.62), 0.0, (136, 146, 134), small=True)
    elif kind == "planter":
        builder.box("kerb", tag, (0, 0, 0.25), (0.45, 0.45, 0.27), 0.0, (170, 166, 158), small=True)
        builder.box("hedge", 9, (0, 0, 0.65), (0.36, 0.36, 0.28), 0.5, (106, 136, 66), small=True)
    elif kind == "wheeled bin":
        builder.box("metal", tag, (0, 0, 0.55), (0.27, 0.25, 0.45), 0.0, (62, 84, 62), bottom=True, small=True)
        builder.box("metal", tag, (0, 0, 1.03), (0.32, 0.28, 0.04), 0.0, (44, 60, 46), bottom=True, small=True)
        builder.box("metal", tag, (-0.22, 0, 0.1), (0.1, 0.28, 0.1), 0.0, (32, 32, 34), small=True)
    elif kind == "hydrant":
        builder.tube("metal", tag, (0, 0, 0), (0, 0, 0.62), 0.13, 0.1, 8, (196, 44, 36), small=True)
        builder.box("metal", tag, (0, 0, 0.48), (0.07, 0.2, 0.06), 0.0, (190, 40, 34), bottom=True, small=True)
    else:
        builder.tube("metal", tag, (0, 0, 0), (0, 0, 0.95), 0.07, 0.07, 6, (70, 74, 78), small=True)
        builder.box("metal", tag, (0, 0, 0.96), (0.06, 0.06, 0.02), 0.0, (214, 214, 210), small=True)
    return builder.parts()


@cache
def shelter_model() -> Model:
    """A bus shelter, 3.6 m long, open along x."""
    builder = MeshBuilder()
    steel = (96, 100, 106)
    for y in (-1.75, 1.75):
        for x in (-0.6, 0.6):
            builder.box("metal", STATIC_TAG, (x, y, 1.15), (0.04, 0.04, 1.2), 0.0, steel)
        builder.box("facade_glass", STATIC_TAG, (0.0, y, 1.25), (0.55, 0.02, 0.9), 0.0, (190, 205, 210), bottom=True)
    builder.box("facade_glass", STATIC_TAG, (-0.6, 0, 1.25), (0.02, 1.7, 0.9), 0.0, (190, 205, 210), bottom=True)
    builder.box("metal", STATIC_TAG, (0.05, 0, 2.42), (0.8, 1.95, 0.07), 0.0, (70, 90, 120), bottom=True)
    builder.box("fence_wood", STATIC_TAG, (-0.35, 0, 0.48), (0.18, 1.2, 0.03), 0.0, (150, 110, 72), bottom=True)
    return builder.parts()


def furnish(
    builder: MeshBuilder,
    pavement: Pavement,
    ground: Ground,
    lots: Lots,
    planting: Planting,
    boxes: list[LevelBox],
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Add what lines the streets.

    Returns:
        float32 (L, 3), town frame, where street lamps shine.
    """
    lamps: list[tuple[Array, float]] = []
    props: dict[str, list[tuple[Array, float]]] = {}
    for frontage in pavement.frontages:
        _lamps(frontage, pavement, lots, lamps, boxes)
    for frontage in pavement.frontages:
        _props(frontage, ground, lots, props, boxes, rng)
        if frontage.has_sidewalk:
            _garden_edge(builder, frontage, pavement, ground, lots, rng)
        elif frontage.is_highway:
            _barrier(builder, frontage, pavement, ground, rng)
        _trees(frontage, planting, rng)
    if lamps:
        builder.stamp(lamp_model(), np.array([place for place, _ in lamps]), np.array([turn for _, turn in lamps]))
    for kind in sorted(props):
        model = shelter_model() if kind == "shelter" else prop_model(kind)
        builder.stamp(model, np.array([p for p, _ in props[kind]]), np.array([turn for _, turn in props[kind]]))
    heads = [
        place + [_LAMP_ARM_M * np.cos(turn), _LAMP_ARM_M * np.sin(turn), _LAMP_HEIGHT_M - 0.1] for place, turn in lamps
    ]
    return np.array(heads, np.float32).reshape(-1, 3)


def _lamps(
    frontage: Frontage, pavement: Pavement, lots: Lots, lamps: list[tuple[Array, float]], boxes: list[LevelBox]
) -> None:
    gap = 30.0
    # The two sides of a street take turns.
    for u in np.arange(6.0 if frontage.side > 0 else 6.0 + gap / 2, frontage.length - 4.0, gap):
        point, out = frontage.at(float(u))
        place = point + [0, 0, SIDEWALK_M] - 0.3 * np.array([*out, 0.0])
        if not frontage.has_sidewalk:
            place = point + 1.2 * np.array([*out, 0.0])
        spot = Point(place[0], place[1])
        if not lots.is_open(spot, 0.12) or pavement.is_on_road(place[:2]):
            continue
        lots.mark(spot.buffer(0.3, quad_segs=1))
        lamps.append((place, float(np.arctan2(-out[1], -out[0]))))
        pose = Pose(float(place[0]), float(-place[1]), float(place[2]) + _LAMP_HEIGHT_M / 2)
        boxes.append(LevelBox(POLE_TAG, pose, (0.1, 0.1, _LAMP_HEIGHT_M / 2)))


def _props(
    frontage: Frontage,
    ground: Ground,
    lots: Lots,
    props: dict[str, list[tuple[Array, float]]],
    boxes: list[LevelBox],
    rng: np.random.Generator,
) -> None:
    if not frontage.has_sidewalk:
        return
    if frontage.length > 50.0 and rng.random() < 0.3:
        _prop("shelter", frontage, float(rng.uniform(18, frontage.length - 18)), 0.95, ground, lots, props, boxes)
    kinds = ("bench", "bin", "wheeled bin", "wheeled bin", "box", "planter", "planter", "hydrant", "bollard")
    for u in np.arange(float(rng.uniform(3, 9)), frontage.length - 2.0, 7.5):
        if rng.random() < 0.6:
            kind = kinds[int(rng.integers(len(kinds)))]
            _prop(kind, frontage, float(u + rng.uniform(-2, 2)), 0.7, ground, lots, props, boxes)


def _prop(
    kind: str,
    frontage: Frontage,
    u: float,
    beyond: float,
    ground: Ground,
    lots: Lots,
    props: dict[str, list[tuple[Array, float]]],
    boxes: list[LevelBox],
) -> None:
    """Put one beside the sidewalk, or at its outer edge where there is no room and the thing is small."""
    point, out = frontage.at(u)
    side = np.array([*out, 0.0])
    place = point + beyond * side
    if lots.take_spot(float(place[0]), float(place[1]), min(beyond, 1.9) - 0.1, beyond - 0.25):
        place[2] = float(ground.lot_height(place[None, :2])[0])
    elif kind in ("bin", "wheeled bin", "hydrant", "bollard", "box"):
        place = point - 0.3 * side + [0, 0, SIDEWALK_M]
        if not lots.is_open(Point(place[0], place[1]), 0.3):
            return
    else:
        return
    props.setdefault(kind, []).append((place, float(np.arctan2(-out[1], -out[0]))))
    tag = DYNAMIC_TAG if kind == "wheeled bin" else STATIC_TAG
    boxes.append(LevelBox(tag, Pose(float(place[0]), float(-place[1]), float(place[2]) + 0.5), (0.4, 0.4, 0.5)))


def _trees(frontage: Frontage, planting: Planting, rng: np.random.Generator) -> None:
    if frontage.is_highway:
        _wood(frontage, planting, rng)
        return
    kind = str(rng.choice(["slender", "slender", "broadleaf"]))
    crown = 1.25 if kind == "slender" else 2.4
    for u in np.arange(float(rng.uniform(4, 8)), frontage.length - 3.0, 8.0):
        point, out = frontage.at(float(u + rng.uniform(-0.7, 0.7)))
        scale = float(rng.uniform(0.85, 1.15))
        place = point[:2] + out * (crown * scale + 0.35)
        planting.try_plant(kind, place, scale, rng, crown)
    for u in np.arange(float(rng.uniform(2, 5)), frontage.length - 2.0, 5.0):
        if rng.random() < 0.35:
            point, out = frontage.at(float(u))
            place = point[:2] + out * rng.uniform(1.3, 3.0)
            planting.try_plant("bush", place, float(rng.uniform(0.6, 1.2)), rng, 0.8)


def _wood(frontage: Frontage, planting: Planting, rng: np.random.Generator) -> None:
    """Conifers behind a highway's verge, in groups."""
    phase = rng.uniform(0, 6)
    for u in np.arange(float(rng.uniform(0, 6)), frontage.length, 6.0):
        if np.sin(u * 0.04 + phase) + rng.uniform(-1.0, 1.0) < 0.1:
            continue
        point, out = frontage.at(float(u))
        for away in rng.uniform(7.0, 26.0, 2):
            place = point[:2] + out * away
            planting.try_plant("conifer", place, float(rng.uniform(0.7, 1.6)), rng, 2.2)


def _garden_edge(
    builder: MeshBuilder,
    frontage: Frontage,
    pavement: Pavement,
    ground: Ground,
    lots: Lots,
    rng: np.random.Generator,
) -> None:
    """Where the ground behind the sidewalk is open: one kind of boundary for a stretch, then perhaps another."""
    kind = str(rng.choice(["hedge", "fence_mesh", "fence_wood", "wall", "none"], p=[0.3, 0.26, 0.14, 0.22, 0.08]))
    instance = 0
    for u in np.arange(2.0, frontage.length - 2.0 - _PIECE_M, _PIECE_M):
        if rng.random() < 0.16:
            kind = str(rng.choice(["hedge", "fence_mesh", "fence_wood", "wall", "none"]))
            instance = 0
        if kind == "none" or rng.random() < 0.1:
            continue
        (a, out_a), (b, out_b) = frontage.at(float(u)), frontage.at(float(u) + _PIECE_M)
        a = a + 0.5 * np.array([*out_a, 0.0])
        b = b + 0.5 * np.array([*out_b, 0.0])
        line = LineString([a[:2], b[:2]])
        if not lots.is_open(line, 0.35) or not pavement.is_free(line, 0.1):
            continue
        if a[2] - float(ground.height(a[None, :2])[0]) > BRIDGE_M:
            continue
        lots.mark(line.buffer(0.3, cap_style="flat"))
        a[2], b[2] = ground.lot_height(np.array([a[:2], b[:2]]))
        instance = instance or builder.new_instance()
        if kind == "hedge":
            hedge(builder, a, b, 1.15)
        elif kind == "wall":
            _low_wall(builder, a, b, instance)
        else:
            _fence(builder, kind, a, b, instance)


def _fence(builder: MeshBuilder, kind: str, a: Array, b: Array, instance: int) -> None:
    height = 1.25 if kind == "fence_mesh" else 1.5
    quad = np.array([a - [0, 0, 0.1], b - [0, 0, 0.1], b + [0, 0, height], a + [0, 0, height]])
    u = float(np.linalg.norm(b - a)) / 4.0
    # The mesh texture has rails at its foot and at half its height: one storey of it is one fence.
    v = 0.53 if kind == "fence_mesh" else height / 4.0
    uv = np.array([(0.0, 0.0), (u, 0.0), (u, v), (0.0, v)])
    color = (84, 90, 88) if kind == "fence_mesh" else (172, 132, 92)
    builder.quads(kind, FENCE_TAG, [quad], uv, color, instance, two_sided=True)
    builder.tube(
        "pole_metal",
        FENCE_TAG,
        a - [0, 0, 0.2],
        a + [0, 0, height + 0.08],
        0.035,
        sides=4,
        colors=(90, 94, 92),
        instance=instance,
    )


def _low_wall(builder: MeshBuilder, a: Array, b: Array, instance: int) -> None:
    middle = (a + b) / 2
    heading = float(np.arctan2(b[1] - a[1], b[0] - a[0]))
    half = float(np.linalg.norm(b[:2] - a[:2])) / 2
    x, y, z = (float(v) for v in middle)
    builder.box("wall_stone", WALL_TAG, (x, y, z + 0.4), (half, 0.13, 0.55), heading, (190, 180, 164), instance)
    builder.box("kerb", WALL_TAG, (x, y, z + 0.99), (half, 0.18, 0.05), heading, (176, 172, 166), instance, bottom=True)


def _barrier(
    builder: MeshBuilder, frontage: Frontage, pavement: Pavement, ground: Ground, rng: np.random.Generator
) -> None:
    """A barrier along a highway's edge: concrete, or rails on posts; not where lanes branch off or join."""
    us = np.arange(0.0, frontage.length, _PIECE_M)
    concrete = rng.random() < 0.5
    color = (232, 178, 70) if rng.random() < 0.35 else (186, 190, 192)
    away = 0.45 if concrete else 0.7
    line = np.array([(p + away * np.array([*out, 0.0])) for p, out in (frontage.at(float(u)) for u in us)])
    instance = builder.new_instance()
    for a, b in pairwise(line):
        piece = LineString([a[:2], b[:2]])
        if not pavement.is_free(piece, 0.2) or a[2] - float(ground.height(a[None, :2])[0]) > BRIDGE_M:
            continue
        if concrete:
            _concrete_piece(builder, a, b, instance)
        else:
            _rail_piece(builder, a, b, color, instance)


def _concrete_piece(builder: MeshBuilder, a: Array, b: Array, instance: int) -> None:
    """A stretch of concrete barrier, 0.85 m high, narrower above than below."""
    ahead = (b - a)[:2] / np.linalg.norm((b - a)[:2])
    side = np.array([-ahead[1], ahead[0], 0.0])
    profile = (
        (0.3, -0.4),
        (0.3, 0.1),
        (0.13, 0.35),
        (0.1, 0.85),
        (-0.1, 0.85),
        (-0.13, 0.35),
        (-0.3, 0.1),
        (-0.3, -0.4),
    )
    faces = []
    for (y0, z0), (y1, z1) in pairwise(profile):
        low, high = y0 * side + [0, 0, z0], y1 * side + [0, 0, z1]
        faces.append([b + low, a + low, a + high, b + high])
    length = float(np.linalg.norm(b - a)) / 4.0
    uv = np.array([(length, 0.0), (0.0, 0.0), (0.0, 0.1), (length, 0.1)])
    builder.quads("kerb", GUARD_RAIL_TAG, faces, uv, (214, 210, 202), instance)


def _rail_piece(builder: MeshBuilder, a: Array, b: Array, color: tuple[int, int, int], instance: int) -> None:
    """A stretch of steel rail and its post."""
    face = [a + [0, 0, 0.42], b + [0, 0, 0.42], b + [0, 0, 0.78], a + [0, 0, 0.78]]
    uv = np.array([(0.0, 0.0), (1.0, 0.0), (1.0, 0.1), (0.0, 0.1)])
    builder.quads("metal", GUARD_RAIL_TAG, [face], uv, color, instance, two_sided=True)
    foot, top = a - [0, 0, 0.5], a + [0, 0, 0.8]
    grey = (150, 152, 154)
    builder.tube("metal", GUARD_RAIL_TAG, foot, top, 0.06, sides=4, colors=grey, instance=instance, small=True)
