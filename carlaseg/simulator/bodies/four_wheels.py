"""Cars, vans, trucks and buses: a lofted hull, a glazed cabin, wheels and lights. NumPy only."""

from __future__ import annotations

import itertools
import zlib
from dataclasses import dataclass
from math import radians

import numpy as np

from carlaseg.simulator.bodies.sketch import Color, Corners, Point, Sketch, scaled

POSITION, LOW_BEAM, HIGH_BEAM, BRAKE, RIGHT_BLINKER, LEFT_BLINKER, REVERSE = 1, 2, 4, 8, 16, 32, 64

_GLASS: Color = (34, 44, 56)
_DARK: Color = (26, 27, 30)
_PLASTIC: Color = (46, 47, 50)
_BLUE_LAMP: Color = (40, 90, 235)
_RED_STRIPE: Color = (196, 40, 40)
# What stands on the roof of cars that serve the public: colour, and its half width as a share of the car's.
_ROOF_LAMPS: dict[str, tuple[Color, float]] = {"police": (_BLUE_LAMP, 0.45), "crown": ((250, 200, 60), 0.2)}


@dataclass(frozen=True)
class Style:
    """Side view of a car: places along the length from -1 (rear) to 1 (front), heights as shares of the height."""

    nose: float
    bonnet: float
    belt: float
    deck: float
    windscreen_foot: float
    windscreen_head: float
    roof_end: float
    rear_glass_foot: float
    roof_rear: float = 0.97


_STYLES = {
    "sedan": Style(0.40, 0.54, 0.60, 0.62, 0.40, 0.10, -0.42, -0.72),
    "hatchback": Style(0.40, 0.55, 0.58, 0.60, 0.48, 0.18, -0.72, -0.94),
    "estate": Style(0.46, 0.58, 0.59, 0.59, 0.42, 0.22, -0.86, -0.97),
    "coupe": Style(0.42, 0.56, 0.63, 0.64, 0.28, -0.06, -0.38, -0.80, 0.95),
    "wedge": Style(0.46, 0.60, 0.62, 0.64, 0.62, 0.02, -0.02, -0.94, 0.98),
}
_STYLE_OF = {
    "etron": "estate", "patrol": "estate", "wrangler": "estate", "grandtourer": "estate", "t2": "estate",
    "tt": "coupe", "mustang": "coupe", "mercedes.coupe": "coupe",
    "cybertruck": "wedge",
    "a2": "hatchback", "c3": "hatchback", "microlino": "hatchback", "cooper": "hatchback", "micra": "hatchback",
    "leon": "hatchback", "prius": "hatchback",
    "impala": "sedan", "charger": "sedan", "crown": "sedan", "mkz": "sedan", "model3": "sedan",
}  # fmt: skip


def style_of(variant: str) -> Style:
    """The side view for a blueprint: CARLA's own cars by name, others by a hash of theirs."""
    for name, style in _STYLE_OF.items():
        if name in variant:
            return _STYLES[style]
    names = ("sedan", "hatchback", "estate")
    return _STYLES[names[zlib.crc32(variant.encode()) % len(names)]]


def wheel_radius_m(kind: str, extent: tuple[float, float, float]) -> float:
    """Radius of the wheels of a vehicle of this size."""
    return min(0.54, 0.21 * 2 * extent[2]) if kind == "car" else min(0.55, 0.16 * 2 * extent[2] + 0.04)


def _axles(kind: str, extent: tuple[float, float, float]) -> tuple[float, ...]:
    ex = extent[0]
    if kind in ("truck", "bus") and ex > 3.4:
        return (0.66 * ex, -0.42 * ex, -0.62 * ex) if kind == "truck" else (0.62 * ex, -0.52 * ex)
    return 0.62 * ex, -0.60 * ex


def draw_wheels(
    sketch: Sketch, kind: str, extent: tuple[float, float, float], steer_deg: float, turn_rad: float
) -> None:
    """All wheels; those of the front axle are steered (clockwise seen from above, as in CARLA)."""
    radius = wheel_radius_m(kind, extent)
    half_width = 0.11 if kind == "car" else 0.15
    for index, x in enumerate(_axles(kind, extent)):
        steer = -radians(steer_deg) if index == 0 else 0.0
        for side in (1, -1):
            y = side * (extent[1] - half_width)
            sketch.wheel((x, y, radius), radius, half_width, turn_rad, steer)


def _ring(x: float, bottom: float, side: float, top: float, width: float) -> Corners:
    """A cross-section with a waist: anticlockwise seen from +x (y left, z up)."""
    waist = bottom + (side - bottom) * 0.55
    half = [(0.88, bottom), (0.985, bottom + (waist - bottom) * 0.5), (1.0, waist), (0.95, side), (0.72, top)]
    right = [(-w * width, z) for w, z in half]
    left = [(w * width, z) for w, z in reversed(half)]
    loop = [*right[::-1], *left[::-1]]
    return np.array([(x, y, z) for y, z in loop])


def draw_car(sketch: Sketch, variant: str, extent: tuple[float, float, float], color: Color, lights: int) -> None:
    """A passenger car without its wheels."""
    ex, ey, ez = extent
    height = 2 * ez
    style = style_of(variant)
    clearance = 0.13 * height
    width = ey * 0.975
    belt = style.belt * height
    stations = [
        (-1.0, 0.26, style.deck * 0.80, style.deck * 0.84, 0.86),
        (-0.965, 0.17, style.deck * 0.95, style.deck, 0.95),
        (-0.80, 0.13, style.belt, style.deck + 0.005, 0.99),
        (-0.30, 0.13, style.belt, style.belt + 0.01, 1.0),
        (style.windscreen_foot, 0.13, style.belt - 0.02, style.bonnet + 0.02, 1.0),
        (0.74, 0.13, style.bonnet - 0.05, style.bonnet - 0.01, 0.99),
        (0.94, 0.15, style.nose + 0.03, style.nose + 0.07, 0.94),
        (1.0, 0.24, style.nose - 0.04, style.nose - 0.02, 0.84),
    ]
    # The hull ends a little before its box, where the lamps and bumpers end.
    rings = [_ring(x * 0.972 * ex, b * height, s * height, t * height, w * width) for x, b, s, t, w in stations]
    sketch.loft(rings, color)
    sketch.box((0, 0, clearance + 0.02), (ex * 0.9, width * 0.86, 0.05), _DARK)
    _draw_cabin(sketch, style, extent, color, belt)
    radius = wheel_radius_m("car", extent)
    for x in _axles("car", extent):
        _draw_arch(sketch, x, radius, width)
    _draw_face(sketch, (ex, ey, ez), style.nose, style.deck, lights)
    for name, (lamp, share) in _ROOF_LAMPS.items():
        if name in variant:
            middle = (style.windscreen_head + style.roof_end) / 2 * ex
            sketch.box((middle, 0, height + 0.02), (0.12, share * ey, 0.04), lamp, "lamp_glass")
    for side in (1, -1):
        sketch.box(
            (style.windscreen_foot * ex * 0.86, side * ey * 0.965, belt * 1.05),
            (0.09, ey * 0.035, 0.06),
            scaled(color, 0.8),
        )
        sketch.box((-0.02 * ex, side * width * 0.985, belt * 0.88), (0.07, 0.012, 0.015), _PLASTIC)


def _draw_cabin(sketch: Sketch, style: Style, extent: tuple[float, float, float], color: Color, belt: float) -> None:
    ex, ey, ez = extent
    roof, rear = 2 * ez, 2 * ez * style.roof_rear
    foot, head = style.windscreen_foot * ex, style.windscreen_head * ex
    end, back = style.roof_end * ex, style.rear_glass_foot * ex
    low, high = ey * 0.925, ey * 0.70
    belt -= 0.02
    glass, pale = _GLASS, scaled(_GLASS, 1.55)
    fl, fr = (foot, low, belt), (foot, -low, belt)
    hl, hr = (head, high, roof), (head, -high, roof)
    el, er = (end, high, rear), (end, -high, rear)
    bl, br = (back, low, belt), (back, -low, belt)
    sketch.panel((fr, fl, hl, hr), color, [(0.06, 0.94, 0.05, 0.93, pale, "plain")])
    sketch.panel((bl, br, er, el), color, [(0.07, 0.93, 0.10, 0.90, glass, "plain")])
    sketch.quad(er, hr, hl, el, scaled(color, 1.04))
    _line(sketch, ((fr, fl, hl, hr), (bl, br, er, el), (br, fr, hr, er), (fl, bl, el, hl), (er, hr, hl, el)))
    windows = [(0.05, 0.46, 0.08, 0.88, glass, "plain"), (0.50, 0.93, 0.08, 0.88, glass, "plain")]
    sketch.panel((br, fr, hr, er), color, windows)
    sketch.panel(
        (fl, bl, el, hl), color, [(0.07, 0.50, 0.08, 0.88, glass, "plain"), (0.54, 0.95, 0.08, 0.88, glass, "plain")]
    )


def _line(sketch: Sketch, faces: tuple[tuple[Point, Point, Point, Point], ...]) -> None:
    """A dark inner skin: corners lie on whole pixels, and where panes meet frames the world must not shine through."""
    middle = np.mean([corner for face in faces for corner in face], axis=0)
    for face in faces:
        outward = np.array(face) - middle
        sketch.face(middle + outward * (1 - 0.03 / np.linalg.norm(outward, axis=1, keepdims=True)), _DARK)


def _draw_arch(sketch: Sketch, x: float, radius: float, width: float) -> None:
    """A dark half disc above each wheel."""
    angles = np.linspace(-0.25, np.pi + 0.25, 9)
    for side in (1, -1):
        y = side * (width + 0.006)
        rim = [np.array((x + 1.17 * radius * np.cos(a), y, radius + 1.17 * radius * np.sin(a))) for a in angles]
        middle = np.array((x, y, radius))
        for first, second in itertools.pairwise(rim):
            corners = np.stack([middle, second, first] if side > 0 else [middle, first, second])
            sketch.face(corners, _DARK)


def _lamp(sketch: Sketch, center: Point, half: Point, off: Color, on: Color, lit: bool) -> None:
    sketch.box(center, half, on if lit else off, "lamp_glass" if lit else "plain")


def _draw_face(sketch: Sketch, extent: tuple[float, float, float], nose: float, deck: float, lights: int) -> None:
    """Head and tail lamps, grille, bumpers and plates."""
    ex, ey, ez = extent
    height = 2 * ez
    headlit, taillit = bool(lights & (LOW_BEAM | HIGH_BEAM)), bool(lights & (POSITION | LOW_BEAM | HIGH_BEAM))
    z_front, z_rear = (nose - 0.055) * height, (deck * 0.80 - 0.06) * height
    for side, blinker in ((1, LEFT_BLINKER), (-1, RIGHT_BLINKER)):
        _lamp(sketch, (0.953 * ex, side * 0.66 * ey, z_front), (0.046 * ex, 0.17 * ey, 0.038 * height),
              (226, 230, 234), (255, 250, 225), headlit)  # fmt: skip
        _lamp(sketch, (0.93 * ex, side * 0.86 * ey, z_front - 0.02), (0.04 * ex, 0.05 * ey, 0.03 * height),
              (214, 130, 50), (255, 176, 30), bool(lights & blinker))  # fmt: skip
        braking = bool(lights & BRAKE)
        tail: Color = (255, 60, 50) if braking else (200, 30, 30)
        _lamp(sketch, (-0.965 * ex, side * 0.66 * ey, z_rear), (0.034 * ex, 0.19 * ey, 0.045 * height),
              (158, 18, 22), tail, braking or taillit)  # fmt: skip
        _lamp(sketch, (-0.96 * ex, side * 0.40 * ey, z_rear), (0.032 * ex, 0.05 * ey, 0.03 * height),
              (205, 205, 205), (255, 255, 255), bool(lights & REVERSE))  # fmt: skip
        _lamp(sketch, (-0.95 * ex, side * 0.84 * ey, z_rear - 0.01), (0.035 * ex, 0.04 * ey, 0.035 * height),
              (190, 100, 40), (255, 176, 30), bool(lights & blinker))  # fmt: skip
    sketch.box((0.965 * ex, 0, z_front - 0.015), (0.036 * ex, 0.40 * ey, 0.045 * height), _DARK)
    sketch.box((0.95 * ex, 0, 0.21 * height), (0.046 * ex, 0.74 * ey, 0.045 * height), _PLASTIC)
    sketch.box((-0.95 * ex, 0, 0.23 * height), (0.046 * ex, 0.76 * ey, 0.045 * height), _PLASTIC)
    sketch.box((-0.975 * ex, 0, 0.36 * height), (0.022 * ex, 0.24, 0.055), (222, 224, 226))


def draw_van(sketch: Sketch, variant: str, extent: tuple[float, float, float], color: Color, lights: int) -> None:
    """A panel van: short bonnet, high box; an ambulance has stripes and blue lamps."""
    ex, ey, ez = extent
    height, width = 2 * ez, ey * 0.975
    # Before its lamps and bumper, which end where its box does.
    rear = -0.985
    stations = [
        (rear, 0.16, 0.97, 0.99, 0.95), (rear + 0.03, 0.12, 0.98, 1.0, 0.99), (0.30, 0.12, 0.98, 1.0, 1.0),
    ]  # fmt: skip
    sketch.loft([_box_ring(x * ex, b * height, t * height, w * width) for x, b, _, t, w in stations], color)
    nose = [(0.30, 0.12, 0.50, 0.50, 1.0), (0.70, 0.12, 0.48, 0.48, 1.0), (0.95, 0.13, 0.36, 0.38, 0.95),
            (1.0, 0.2, 0.30, 0.32, 0.88)]  # fmt: skip
    sketch.loft([_ring(x * ex, b * height, s * height, t * height, w * width) for x, b, s, t, w in nose], color)
    belt, low, high = 0.47 * height, width * 0.97, width * 0.9
    foot, head, back, roof = 0.72 * ex, 0.36 * ex, 0.29 * ex, 0.985 * height
    glass, pale = _GLASS, scaled(_GLASS, 1.55)
    sketch.panel(((foot, -low, belt), (foot, low, belt), (head, high, roof), (head, -high, roof)), color,
                 [(0.05, 0.95, 0.04, 0.80, pale, "plain")])  # fmt: skip
    sketch.quad((back, -high, roof), (head, -high, roof), (head, high, roof), (back, high, roof), color)
    sketch.panel(((back, -low, belt), (foot, -low, belt), (head, -high, roof), (back, -high, roof)), color,
                 [(0.12, 0.86, 0.06, 0.74, glass, "plain")])  # fmt: skip
    sketch.panel(((foot, low, belt), (back, low, belt), (back, high, roof), (head, high, roof)), color,
                 [(0.14, 0.88, 0.06, 0.74, glass, "plain")])  # fmt: skip
    for side in (1, -1):
        sketch.box((rear * ex, side * 0.42 * width, 0.72 * height), (0.012, 0.32 * width, 0.14 * height), glass)
        sketch.box((-0.2 * ex, side * width, 0.45 * height), (0.55 * ex, 0.008, 0.012), scaled(color, 0.7))
    if "ambulance" in variant:
        for side in (1, -1):
            sketch.box((-0.2 * ex, side * width, 0.58 * height), (0.72 * ex, 0.01, 0.05 * height), _RED_STRIPE)
            sketch.box((0.2 * ex, side * 0.5 * width, height), (0.12, 0.3 * width, 0.06), _BLUE_LAMP, "lamp_glass")
    for x in _axles("van", extent):
        _draw_arch(sketch, x, wheel_radius_m("van", extent), width)
    _draw_face(sketch, extent, 0.36, 0.50, lights)


def _box_ring(x: float, bottom: float, top: float, width: float) -> Corners:
    bevel = 0.06
    loop = [(-width, bottom), (width, bottom), (width, top - bevel), (width - bevel, top), (-width + bevel, top),
            (-width, top - bevel)]  # fmt: skip
    return np.array([(x, y, z) for y, z in loop])


def draw_truck(sketch: Sketch, variant: str, extent: tuple[float, float, float], color: Color, lights: int) -> None:
    """A lorry: cab in front, load box behind; a fire engine has stripes and blue lamps."""
    ex, ey, ez = extent
    height, width = 2 * ez, ey * 0.97
    fire = "firetruck" in variant
    split = 0.42 * ex if ex > 3 else 0.3 * ex
    load: Color = color if fire or "cola" in variant else (224, 226, 228)
    chassis_top = 0.28 * height
    sketch.box((-0.02 * ex, 0, chassis_top - 0.12), (0.97 * ex, 0.6 * width, 0.12), _PLASTIC)
    sketch.loft([_box_ring(x, chassis_top, z * height, w * width) for x, z, w in
                 ((-ex, 0.99, 0.97), (-0.99 * ex, 1.0, 1.0), (split - 0.2, 1.0, 1.0))], load)  # fmt: skip
    cab_top = 0.80 * height
    low = 0.15 * height
    belt = low + (cab_top - low) * 0.5
    front = 0.985 * ex
    sketch.loft([_box_ring(x, low, belt, w * width) for x, w in ((split, 0.98), (0.9 * ex, 0.98), (front, 0.9))], color)
    a, b = 0.97 * width, 0.93 * width
    head = front - 0.14
    glass, pale = _GLASS, scaled(_GLASS, 1.55)
    c = 0.89 * width
    sketch.panel(((front, -c, belt), (front, c, belt), (head, b, cab_top), (head, -b, cab_top)), color,
                 [(0.05, 0.95, 0.06, 0.80, pale, "plain")])  # fmt: skip
    sketch.quad((split, -b, cab_top), (head, -b, cab_top), (head, b, cab_top), (split, b, cab_top), color)
    sketch.quad((split, a, low), (split, -a, low), (split, -b, cab_top), (split, b, cab_top), color)
    sketch.panel(((split, -a, belt), (front, -c, belt), (head, -b, cab_top), (split, -b, cab_top)), color,
                 [(0.22, 0.88, 0.06, 0.80, glass, "plain")])  # fmt: skip
    sketch.panel(((front, c, belt), (split, a, belt), (split, b, cab_top), (head, b, cab_top)), color,
                 [(0.12, 0.78, 0.06, 0.80, glass, "plain")])  # fmt: skip
    stripe: Color = (240, 240, 240) if fire else _RED_STRIPE
    for side in (1, -1):
        sketch.box((-0.3 * ex, side * width, 0.52 * height), (0.62 * ex, 0.012, 0.035 * height), stripe)
        if fire:
            sketch.box(
                (0.8 * ex, side * 0.5 * width, cab_top + 0.08), (0.12, 0.22 * width, 0.08), _BLUE_LAMP, "lamp_glass"
            )
    _draw_face(sketch, extent, 0.25, 0.36, lights)


def draw_bus(sketch: Sketch, extent: tuple[float, float, float], color: Color, lights: int) -> None:
    """A bus: one box with a band of windows and two doors on the right."""
    ex, ey, ez = extent
    height, width = 2 * ez, ey * 0.97
    low, top = 0.13 * height, height
    half, glass, pale = width, _GLASS, scaled(_GLASS, 1.5)
    rear, front = -0.985 * ex, 0.985 * ex
    windows = [(0.03 + 0.118 * i, 0.03 + 0.118 * i + 0.104, 0.46, 0.86, glass, "plain") for i in range(8)]
    with_doors = [
        (u0, u1, 0.05 if i in (4, 7) else v0, v1, scaled(glass, 0.8) if i in (4, 7) else shade, material)
        for i, (u0, u1, v0, v1, shade, material) in enumerate(windows)
    ]
    sketch.panel(((rear, -half, low), (front, -half, low), (front, -half, top), (rear, -half, top)), color, with_doors)
    sketch.panel(((front, half, low), (rear, half, low), (rear, half, top), (front, half, top)), color, windows)
    sketch.panel(((front, -half, low), (front, half, low), (front, half, top), (front, -half, top)), color,
                 [(0.05, 0.95, 0.36, 0.84, pale, "plain")])  # fmt: skip
    sketch.panel(((rear, half, low), (rear, -half, low), (rear, -half, top), (rear, half, top)), color,
                 [(0.10, 0.90, 0.52, 0.84, glass, "plain")])  # fmt: skip
    sketch.quad((rear, -half, top), (front, -half, top), (front, half, top), (rear, half, top), scaled(color, 0.95))
    sketch.quad((rear, half, low), (front, half, low), (front, -half, low), (rear, -half, low), _DARK)
    sketch.box((front + 0.004, 0, 0.92 * height), (0.012, 0.5 * half, 0.035 * height), (250, 190, 60), "lamp_glass")
    for x in _axles("bus", extent):
        _draw_arch(sketch, x, wheel_radius_m("bus", extent), width)
    _draw_face(sketch, extent, 0.25, 0.34, lights)
