"""Street props by the last word of their blueprint. NumPy only."""

from __future__ import annotations

from carlaseg.simulator.bodies.sketch import Color, Sketch, scaled


def draw_prop(sketch: Sketch, variant: str, extent: tuple[float, float, float], color: Color) -> None:
    """A prop that stands on the ground and fills its box."""
    ex, ey, ez = extent
    height = 2 * ez
    radius = min(ex, ey)
    if "cone" in variant:
        sketch.box((0, 0, 0.03 * height), (ex, ey, 0.03 * height), (40, 40, 42))
        bands: tuple[tuple[float, float, Color], ...] = (
            (0.06, 0.4, (235, 96, 30)), (0.4, 0.6, (240, 240, 240)), (0.6, 1.0, (235, 96, 30)),
        )  # fmt: skip
        for low, high, band in bands:
            radii = (radius * 0.75 * (1.08 - low), radius * 0.75 * (1.08 - high))
            sketch.tube((0, 0, low * height), (0, 0, high * height), radii, band, sides=8)
    elif any(word in variant for word in ("barrel", "bin", "trashcan", "pot", "bucket")):
        sketch.tube((0, 0, 0), (0, 0, 0.94 * height), (0.9 * radius, radius), color, sides=10)
        sketch.tube((0, 0, 0.94 * height), (0, 0, height), (radius, 0.9 * radius), scaled(color, 0.7), sides=10)
    elif "bench" in variant:
        sketch.box((0, 0, 0.48 * height), (ex, ey, 0.04 * height), color)
        sketch.box((0, 0.9 * ey, 0.75 * height), (ex, 0.1 * ey, 0.24 * height), color)
        for side in (1, -1):
            sketch.box((side * 0.8 * ex, 0, 0.22 * height), (0.06 * ex, 0.9 * ey, 0.22 * height), (60, 60, 64))
    elif "barrier" in variant:
        sketch.box((0, 0, 0.5 * height), (ex, ey, 0.5 * height), color, taper=0.7)
    else:
        sketch.box((0, 0, 0.5 * height), (ex, ey, 0.5 * height), color, taper=0.97)
