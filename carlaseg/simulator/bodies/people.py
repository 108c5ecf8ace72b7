"""People on foot and on two wheels, and the two wheels. NumPy only."""

from __future__ import annotations

import itertools
import zlib
from math import cos, pi, sin

import numpy as np

from carlaseg.simulator.bodies.sketch import Color, Corners, Point, Sketch, scaled

_SKINS: tuple[Color, ...] = ((240, 200, 170), (214, 164, 128), (160, 112, 80), (104, 70, 52))
_HAIRS: tuple[Color, ...] = ((38, 30, 26), (92, 62, 38), (170, 130, 80), (150, 150, 150), (20, 20, 22))
_TROUSERS: tuple[Color, ...] = ((44, 52, 78), (36, 36, 40), (110, 98, 78), (70, 80, 96), (84, 60, 50))
_SHOES: Color = (30, 28, 28)


def _pick(options: tuple[Color, ...], variant: str, salt: str) -> Color:
    return options[zlib.crc32((variant + salt).encode()) % len(options)]


def draw_head_and_torso(sketch: Sketch, variant: str, extent: tuple[float, float, float], color: Color) -> None:
    """The parts of a pedestrian that do not swing; the origin is at the middle of the box."""
    height = 2 * extent[2]
    foot = -extent[2]
    half = max(extent[1], 0.1 * height)
    skin, hair = _pick(_SKINS, variant, "skin"), _pick(_HAIRS, variant, "hair")
    hip, shoulder = foot + 0.48 * height, foot + 0.815 * height
    depth = 0.062 * height
    sketch.ellipsoid((0, 0, shoulder - 0.035 * height), (depth, half * 0.82, 0.05 * height), color)
    girths = ((hip - 0.02 * height, 0.95, 0.60), (hip + 0.12 * height, 0.9, 0.56),
              (shoulder - 0.06 * height, 1.05, 0.78), (shoulder - 0.01 * height, 0.7, 0.6))  # fmt: skip
    sketch.loft([_oval(z, depth * deep, half * wide) for z, deep, wide in girths], color)
    sketch.tube((0, 0, shoulder - 0.01), (0, 0, foot + 0.86 * height), (0.034 * height, 0.03 * height), skin, sides=6)
    sketch.ellipsoid((0.008, 0, foot + 0.918 * height), (0.056 * height, 0.047 * height, 0.07 * height), skin)
    sketch.ellipsoid(
        (-0.012 * height, 0, foot + 0.937 * height), (0.055 * height, 0.052 * height, 0.063 * height), hair, rings=5
    )
    if zlib.crc32(variant.encode()) % 3 == 0:
        sketch.box((-depth - 0.07, 0, hip + 0.2 * height), (0.07, half * 0.5, 0.1 * height), scaled(color, 0.45))


def _oval(z: float, depth: float, half: float) -> Corners:
    angles = np.linspace(0, 2 * pi, 9)[:-1]
    return np.stack([depth * np.cos(angles), half * np.sin(angles), np.full(8, z)], axis=1)


def _leg(sketch: Sketch, hip: Point, knee: Point, ankle: Point, height: float, trousers: Color) -> None:
    sketch.tube(hip, knee, (0.052 * height, 0.038 * height), trousers, sides=6)
    sketch.tube(knee, ankle, (0.038 * height, 0.027 * height), trousers, sides=6)
    x, y, z = ankle
    sketch.box((x + 0.028 * height, y, z - 0.016 * height), (0.068 * height, 0.026 * height, 0.02 * height), _SHOES)


def _arm(sketch: Sketch, shoulder: Point, elbow: Point, hand: Point, height: float, sleeve: Color, skin: Color) -> None:
    sketch.tube(shoulder, elbow, (0.032 * height, 0.026 * height), sleeve, sides=6)
    sketch.tube(elbow, hand, (0.026 * height, 0.018 * height), sleeve, sides=6)
    sketch.ellipsoid(hand, (0.022 * height, 0.018 * height, 0.028 * height), skin, rings=4, sides=6)


def draw_limbs(
    sketch: Sketch, variant: str, extent: tuple[float, float, float], color: Color, stride_rad: float
) -> None:
    """Legs and arms of a pedestrian, `stride_rad` into a step of two paces."""
    height, foot = 2 * extent[2], -extent[2]
    half = max(extent[1], 0.1 * height)
    skin, trousers = _pick(_SKINS, variant, "skin"), _pick(_TROUSERS, variant, "trousers")
    sleeve = scaled(color, 0.92)
    for side, phase in ((1, stride_rad), (-1, stride_rad + pi)):
        swing = 0.42 * sin(phase)
        bend = 0.5 * max(0.0, cos(phase)) * (0.3 + abs(swing))
        y = side * 0.42 * half
        hip = (0.0, y, foot + 0.49 * height)
        knee = (0.23 * height * sin(swing), y, foot + 0.49 * height - 0.23 * height * cos(swing))
        lower = swing - 2 * bend
        ankle = (
            knee[0] + 0.215 * height * sin(lower),
            y,
            max(knee[2] - 0.215 * height * cos(lower), foot + 0.036 * height),
        )
        _leg(sketch, hip, knee, ankle, height, trousers)
        arm = -0.8 * swing
        shoulder = (0.0, side * 0.80 * half, foot + 0.785 * height)
        elbow = (0.165 * height * sin(arm), side * 0.88 * half, shoulder[2] - 0.165 * height * cos(arm))
        forearm = arm + 0.35
        hand = (elbow[0] + 0.15 * height * sin(forearm), side * 0.84 * half, elbow[2] - 0.15 * height * cos(forearm))
        _arm(sketch, shoulder, elbow, hand, height, sleeve, skin)


def _wheel_places(kind: str, extent: tuple[float, float, float]) -> tuple[float, float]:
    """Distance of the axles from the middle, and the radius, of a two-wheeler."""
    radius = min(0.34 if kind == "bicycle" else 0.32, 0.42 * extent[0])
    return extent[0] - radius, radius


def draw_bike_wheels(sketch: Sketch, kind: str, extent: tuple[float, float, float], turn_rad: float) -> None:
    """Both wheels of a bicycle or motorcycle."""
    reach, radius = _wheel_places(kind, extent)
    for x in (reach, -reach):
        if kind == "motorcycle":
            sketch.wheel((x, 0, radius), radius, 0.07, turn_rad)
        else:
            _draw_spoked_wheel(sketch, x, radius, turn_rad)


def _draw_spoked_wheel(sketch: Sketch, x: float, radius: float, turn_rad: float) -> None:
    sides = 14
    angles = np.linspace(0, 2 * pi, sides + 1)
    for first, second in itertools.pairwise(angles):
        for side in (1, -1):
            y = side * 0.022
            ring = [np.array((x + share * radius * cos(a), y, radius + share * radius * sin(a)))
                    for share, a in ((1, first), (0.86, first), (0.86, second), (1, second))]  # fmt: skip
            sketch.face(np.stack(ring if side > 0 else ring[::-1]), (26, 26, 28))
        outer = [np.array((x + radius * cos(a), y, radius + radius * sin(a)))
                 for a, y in ((first, 0.022), (second, 0.022), (second, -0.022), (first, -0.022))]  # fmt: skip
        inner = [np.array((x + 0.86 * radius * cos(a), y, radius + 0.86 * radius * sin(a)))
                 for a, y in ((first, -0.022), (second, -0.022), (second, 0.022), (first, 0.022))]  # fmt: skip
        sketch.face(np.stack(outer), (26, 26, 28))
        sketch.face(np.stack(inner), (120, 122, 126))
    for spoke in range(3):
        angle = turn_rad + spoke * pi / 3
        dx, dz = 0.86 * radius * cos(angle), 0.86 * radius * sin(angle)
        sketch.tube((x - dx, 0, radius - dz), (x + dx, 0, radius + dz), (0.006, 0.006), (170, 170, 174), sides=3)


def draw_bicycle(sketch: Sketch, extent: tuple[float, float, float], color: Color) -> None:
    """The frame of a bicycle."""
    reach, radius = _wheel_places("bicycle", extent)
    saddle, bar = (-0.35 * reach, 0.0, radius + 0.55), (0.62 * reach, 0.0, radius + 0.62)
    crank, front, rear = (-0.05 * reach, 0.0, radius - 0.05), (reach, 0.0, radius), (-reach, 0.0, radius)
    head = (0.68 * reach, 0.0, radius + 0.40)
    seat = (-0.28 * reach, 0.0, radius + 0.4)
    for start, end in ((crank, saddle), (crank, head), (seat, head), (front, bar), (rear, crank), (rear, seat)):
        sketch.tube(start, end, (0.022, 0.022), color, sides=5)
    sketch.box(saddle, (0.12, 0.06, 0.03), (30, 30, 32))
    sketch.tube((bar[0], -0.24, bar[2]), (bar[0], 0.24, bar[2]), (0.016, 0.016), (50, 50, 52), sides=5)
    sketch.tube((crank[0], -0.1, crank[2]), (crank[0], 0.1, crank[2]), (0.09, 0.09), (60, 60, 64), sides=8)


def draw_motorcycle(sketch: Sketch, extent: tuple[float, float, float], color: Color, lights: int) -> None:
    """Engine, tank, seat, fork and lamps of a motorcycle."""
    reach, radius = _wheel_places("motorcycle", extent)
    sketch.box((0.0, 0, radius + 0.08), (0.42 * reach, 0.13, 0.17), (52, 53, 58))
    sketch.ellipsoid((0.2 * reach, 0, radius + 0.45), (0.36 * reach, 0.15, 0.14), color)
    sketch.box((-0.5 * reach, 0, radius + 0.42), (0.5 * reach, 0.12, 0.05), (28, 28, 30), taper=0.9)
    sketch.box((-0.95 * reach, 0, radius + 0.40), (0.2 * reach, 0.1, 0.07), color, taper=0.7)
    for side in (1, -1):
        sketch.tube(
            (reach, side * 0.09, radius),
            (0.66 * reach, side * 0.09, radius + 0.62),
            (0.03, 0.03),
            (130, 132, 138),
            sides=5,
        )
        sketch.tube(
            (-reach, side * 0.1, radius), (-0.2 * reach, side * 0.1, radius + 0.1), (0.04, 0.03), (70, 72, 76), sides=5
        )
    sketch.tube(
        (-0.95 * reach, -0.17, radius), (0.1 * reach, -0.15, radius - 0.1), (0.06, 0.04), (150, 152, 156), sides=6
    )
    sketch.tube(
        (0.58 * reach, -0.36, radius + 0.68), (0.58 * reach, 0.36, radius + 0.68), (0.02, 0.02), (40, 40, 42), sides=5
    )
    sketch.box((0.78 * reach, 0, radius + 0.5), (0.1, 0.13, 0.13), color, taper=0.8)
    lit = bool(lights & 6)
    sketch.box((0.78 * reach + 0.1, 0, radius + 0.5), (0.03, 0.09, 0.08), (255, 250, 225) if lit else (220, 224, 228),
               "lamp_glass" if lit else "plain")  # fmt: skip
    sketch.box(
        (-0.95 * reach - 0.2 * reach, 0, radius + 0.42),
        (0.02, 0.07, 0.04),
        (220, 40, 36) if lights & 9 else (150, 20, 22),
    )


def draw_rider(sketch: Sketch, kind: str, variant: str, extent: tuple[float, float, float], crank_rad: float) -> None:
    """The person on a two-wheeler, hands on the bar; on a bicycle the legs pedal."""
    reach, radius = _wheel_places(kind, extent)
    skin, trousers = _pick(_SKINS, variant, "skin"), _pick(_TROUSERS, variant, "trousers")
    shirt = _pick(((190, 60, 50), (60, 110, 170), (220, 200, 80), (70, 72, 78), (90, 150, 90)), variant, "shirt")
    height = 1.72
    bicycle = kind == "bicycle"
    hip = (-0.35 * reach, 0.0, radius + (0.66 if bicycle else 0.52))
    bar = (0.6 * reach, radius + (0.64 if bicycle else 0.70))
    top = max(2 * extent[2], hip[2] + 0.72)
    shoulder = (hip[0] + 0.30, 0.0, top - 0.30)
    sketch.tube(hip, shoulder, (0.15, 0.17), shirt, sides=8)
    sketch.ellipsoid(shoulder, (0.12, 0.2, 0.1), shirt)
    head = (shoulder[0] + 0.09, 0.0, top - 0.12)
    sketch.tube(shoulder, head, (0.055, 0.05), skin, sides=6)
    helmet = _pick(((30, 30, 34), (220, 220, 222), (180, 40, 40), (50, 80, 150)), variant, "helmet")
    sketch.ellipsoid(head, (0.1, 0.085, 0.11), skin)
    sketch.ellipsoid((head[0] - 0.015, 0, head[2] + 0.03), (0.125, 0.105, 0.1), helmet, rings=5)
    for side, phase in ((1, crank_rad), (-1, crank_rad + pi)):
        hand = (bar[0], side * 0.22, bar[1])
        elbow = ((shoulder[0] + hand[0]) / 2 - 0.03, side * 0.25, (shoulder[2] + hand[2]) / 2 - 0.08)
        _arm(sketch, (shoulder[0], side * 0.18, shoulder[2] - 0.02), elbow, hand, height, shirt, skin)
        if bicycle:
            pedal = (-0.05 * reach + 0.16 * cos(phase), side * 0.11, max(radius - 0.05 + 0.16 * sin(phase), 0.12))
        else:
            pedal = (-0.05 * reach, side * 0.2, max(radius - 0.06, 0.12))
        knee = (hip[0] + 0.36 + 0.1 * (pedal[0] - hip[0]), side * 0.15, (hip[2] + pedal[2]) / 2 + 0.12)
        _leg(sketch, (hip[0], side * 0.1, hip[2]), knee, pedal, height, trousers)
