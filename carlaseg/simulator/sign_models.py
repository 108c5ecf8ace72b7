"""Small models of what traffic is told by: lamp heads and sign plates, looking along x."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from carlaseg.simulator.mesh import MeshBuilder, Model

Array = NDArray[np.float64]

_POLE_TAG, _LIGHT_TAG, _SIGN_TAG = 6, 7, 8
_WHITE, _RED, _BLACK, _GREY = (240, 240, 236), (196, 28, 30), (24, 24, 26), (140, 142, 144)
LAMP_OFFSETS_M = {"red": 0.31, "yellow": 0.0, "green": -0.31}
"""Height of each lamp over the middle of its head."""
LAMP_RADIUS_M = 0.12
_UNLIT = {"red": (70, 14, 12), "yellow": (72, 54, 10), "green": (10, 60, 30)}
# Which of the seven strokes make a digit: top, upper left, upper right, middle, lower left, lower right, bottom.
_STROKES = {
    "0": (1, 1, 1, 0, 1, 1, 1),
    "1": (0, 0, 1, 0, 0, 1, 0),
    "2": (1, 0, 1, 1, 1, 0, 1),
    "3": (1, 0, 1, 1, 0, 1, 1),
    "4": (0, 1, 1, 1, 0, 1, 0),
    "5": (1, 1, 0, 1, 0, 1, 1),
    "6": (1, 1, 0, 1, 1, 1, 1),
    "7": (1, 0, 1, 0, 0, 1, 0),
    "8": (1, 1, 1, 1, 1, 1, 1),
    "9": (1, 1, 1, 1, 0, 1, 1),
}


@cache
def light_head() -> Model:
    """A head of three unlit lamps, its middle at the origin."""
    builder = MeshBuilder()
    builder.box("metal", _LIGHT_TAG, (0, 0, 0), (0.13, 0.19, 0.52), 0.0, (40, 42, 42), bottom=True)
    builder.box("metal", _LIGHT_TAG, (-0.14, 0, 0), (0.01, 0.3, 0.64), 0.0, (20, 20, 20), bottom=True)
    for name, z in LAMP_OFFSETS_M.items():
        _disc(builder, "lamp_glass", _LIGHT_TAG, 0.135, z, _ring(LAMP_RADIUS_M, 10), _UNLIT[name], small=True)
        visor = (0.22, 0.0, z + LAMP_RADIUS_M + 0.015)
        builder.box("metal", _LIGHT_TAG, visor, (0.09, 0.13, 0.012), 0.0, (30, 32, 32), bottom=True, small=True)
    return builder.parts()


@cache
def sign_model(kind: str) -> Model:
    """A plate on a pole, foot at the origin: "stop", "yield" or "speed 50"."""
    builder = MeshBuilder()
    builder.tube("pole_metal", _POLE_TAG, (0, 0, -0.3), (0, 0, 2.75), 0.04, sides=6, colors=_GREY)
    middle, name, _ = 2.4, *(kind.split(" ") + [""])[:2]
    if name == "stop":
        shape = _ring(0.4, 8, np.pi / 8)
        _plate(builder, middle, shape, _WHITE)
        _disc(builder, "sign_face", _SIGN_TAG, 0.062, middle, shape * 0.9, _RED)
        for y in (-0.19, -0.063, 0.063, 0.19):
            _rectangle(builder, middle, y - 0.04, y + 0.04, -0.09, 0.09, _WHITE)
    elif name == "yield":
        shape = np.array([(-0.45, 0.26), (0.0, -0.52), (0.45, 0.26)])
        _plate(builder, middle + 0.05, shape, _RED)
        _disc(builder, "sign_face", _SIGN_TAG, 0.062, middle + 0.05, shape * 0.62, _WHITE)
    else:
        _plate(builder, middle, _ring(0.36, 14), _RED)
        _disc(builder, "sign_face", _SIGN_TAG, 0.062, middle, _ring(0.28, 14), _WHITE)
        digits = kind.split(" ")[-1][:3]
        for k, digit in enumerate(digits):
            # y grows to the right as one looks at the plate: digits run from left to right.
            _digit(builder, middle, k * 0.18 - (len(digits) - 1) * 0.09, digit)
    return builder.parts()


def _ring(radius: float, corners: int, start: float = 0.0) -> Array:
    angle = start + np.arange(corners) / corners * 2 * np.pi
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])


def _disc(
    builder: MeshBuilder,
    material: str,
    tag: int,
    x: float,
    z: float,
    shape: Array,
    color: tuple[int, int, int],
    *,
    small: bool = False,
) -> None:
    """A convex face (n, 2) in y and z that looks along +x; its corners may run either way."""
    corners = np.column_stack([np.full(len(shape), x), shape[:, 0], z + shape[:, 1]])
    middle = corners.mean(axis=0)
    fan = np.stack([np.repeat(middle[None], len(shape), 0), corners, np.roll(corners, -1, axis=0)], axis=1)
    if np.cross(fan[0, 1] - fan[0, 0], fan[0, 2] - fan[0, 0])[0] < 0:
        fan = fan[:, ::-1]
    builder.flat_triangles(material, tag, fan, np.full((len(fan), 3, 2), 0.5), color, small=small)


def _plate(builder: MeshBuilder, z: float, shape: Array, color: tuple[int, int, int]) -> None:
    _disc(builder, "sign_face", _SIGN_TAG, 0.055, z, shape, color)
    corners = np.column_stack([np.full(len(shape), 0.05), shape[:, 0], z + shape[:, 1]])
    middle = corners.mean(axis=0)
    fan = np.stack([np.repeat(middle[None], len(shape), 0), np.roll(corners, -1, axis=0), corners], axis=1)
    if np.cross(fan[0, 1] - fan[0, 0], fan[0, 2] - fan[0, 0])[0] > 0:
        fan = fan[:, ::-1]
    builder.flat_triangles("metal", _SIGN_TAG, fan, np.full((len(fan), 3, 2), 0.5), _GREY)


def _rectangle(
    builder: MeshBuilder, z: float, y0: float, y1: float, z0: float, z1: float, color: tuple[int, int, int]
) -> None:
    x = 0.068
    corners = [(x, y0, z + z0), (x, y1, z + z0), (x, y1, z + z1), (x, y0, z + z1)]
    builder.quads("sign_face", _SIGN_TAG, [corners], np.full((4, 2), 0.5), color)


def _digit(builder: MeshBuilder, z: float, y: float, digit: str) -> None:
    wide, tall, thick = 0.055, 0.12, 0.018
    strokes = (
        (-wide, wide, tall - thick, tall + thick),
        (-wide - thick, -wide + thick, 0.0, tall),
        (wide - thick, wide + thick, 0.0, tall),
        (-wide, wide, -thick, thick),
        (-wide - thick, -wide + thick, -tall, 0.0),
        (wide - thick, wide + thick, -tall, 0.0),
        (-wide, wide, -tall - thick, -tall + thick),
    )
    for on, (y0, y1, z0, z1) in zip(_STROKES.get(digit, (0,) * 7), strokes, strict=True):
        if on:
            _rectangle(builder, z, y + y0, y + y1, z0, z1, _BLACK)
