"""The table of materials: each name's procedural texture and how it is drawn. NumPy and OpenCV only.

A texture is multiplied with the colours of the geometry, which bring the hue: textures are near white and bring the
grain, the joints and the windows. One repeat covers 12 m of a facade (4 by 4 windows), 4 m of ground and 2 m of leaves,
hedges and bark.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

SIZE_PX = 256

Field = NDArray[np.float32]
Pixels = NDArray[np.uint8]
Painter = Callable[[np.random.Generator, bool], Field]


@dataclass(frozen=True)
class Material:
    """How a material is drawn.

    Attributes:
        paint: makes the texture, float32 (H, W, 3 or 4) 0-255, from a generator and whether it is night; None for none.
        alpha: pixels whose alpha is below a half are not drawn.
        glows: not shaded: always, at night, or never.
        soaks: how much rain darkens it, 0-1.
        texture_of: the material whose texture it shares; what shares a texture is drawn together.
    """

    paint: Painter | None = None
    alpha: bool = False
    glows: str = "never"
    soaks: float = 0.0
    texture_of: str | None = None


def noise(rng: np.random.Generator, size: int, cells: tuple[int, ...], persistence: float = 0.6) -> Field:
    """Smooth noise that repeats seamlessly: float32 (size, size), about 0-1; one octave per entry of `cells`."""
    total = np.zeros((size, size), np.float32)
    weight, weights = 1.0, 0.0
    for cell in cells:
        lattice = np.pad(rng.random((cell, cell), np.float32), 2, mode="wrap")
        step = size // cell
        wide = cv2.resize(lattice, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
        total += weight * wide[2 * step : 2 * step + size, 2 * step : 2 * step + size]
        weights += weight
        weight *= persistence
    return total / np.float32(weights)


_OCTAVES = (4, 8, 16, 32, 64, 128)


def _tint(rgb: tuple[float, float, float], value: Field) -> Field:
    return np.asarray(rgb, np.float32) * value[..., None]


def _grain(rng: np.random.Generator) -> Field:
    return rng.random((SIZE_PX, SIZE_PX), np.float32) - np.float32(0.5)


def _asphalt(rng: np.random.Generator, night: bool) -> Field:
    value = 0.86 + 0.1 * (noise(rng, SIZE_PX, (4, 8, 16), 0.7) - 0.5) + 0.2 * _grain(rng)
    # A few light and dark stones keep the surface alive close to the camera.
    stones = rng.random((SIZE_PX, SIZE_PX))
    value = np.where(stones > 0.985, value + 0.16, np.where(stones < 0.02, value - 0.18, value))
    return _tint((232, 232, 235), value.astype(np.float32))


def _road_paint(rng: np.random.Generator, night: bool) -> Field:
    worn = noise(rng, SIZE_PX, (16, 32, 64, 128), 0.9)
    value = 0.97 + 0.06 * _grain(rng) - 0.35 * np.clip((worn - 0.62) * 6, 0, 1)
    return _tint((252, 252, 248), value)


def _kerb(rng: np.random.Generator, night: bool) -> Field:
    value = 0.86 + 0.14 * noise(rng, SIZE_PX, _OCTAVES) + 0.06 * _grain(rng)
    value[:, :: SIZE_PX // 4] *= 0.68
    return _tint((238, 237, 233), value)


def _paving(rng: np.random.Generator, night: bool) -> Field:
    value = 0.84 + 0.14 * noise(rng, SIZE_PX, _OCTAVES) + 0.07 * _grain(rng)
    slab = SIZE_PX // 4
    shades = np.kron(rng.random((4, 4), np.float32), np.ones((slab, slab), np.float32))
    value = value * (0.93 + 0.1 * shades)
    for line in range(0, SIZE_PX, slab):
        value[line : line + 2] *= 0.74
        value[:, line : line + 2] *= 0.74
    return _tint((240, 238, 234), value)


def _grass(rng: np.random.Generator, night: bool) -> Field:
    # Without coarse octaves, whose repeats would show from above.
    clumps = noise(rng, SIZE_PX, (16, 32, 64, 128), 0.85)
    blades = cv2.GaussianBlur(_grain(rng), (1, 5), 0)
    value = 0.62 + 0.56 * clumps + 0.45 * blades
    dry = np.clip((noise(rng, SIZE_PX, (16, 32), 0.8) - 0.6) * 3, 0, 1)[..., None]
    green: Field = _tint((238, 246, 226), value) * (1 + dry * np.array([0.2, 0.04, -0.1], np.float32))
    return green


def _soil(rng: np.random.Generator, night: bool) -> Field:
    return _tint((246, 240, 232), 0.7 + 0.42 * noise(rng, SIZE_PX, _OCTAVES, 0.85) + 0.14 * _grain(rng))


def _sleepers(rng: np.random.Generator, night: bool) -> Field:
    """Six sleepers across a bed of broken stone; the rails run from left to right."""
    value = 0.62 + 0.2 * noise(rng, SIZE_PX, (32, 64, 128), 0.9) + 0.3 * _grain(rng)
    pixels = _tint((214, 208, 202), value)
    step = SIZE_PX // 6
    wood = np.array([104, 88, 76], np.float32)
    for left in range(step // 4, SIZE_PX - step // 3, step):
        shade = 0.85 + 0.3 * rng.random((SIZE_PX - 24, step // 3, 1), np.float32)
        pixels[12:-12, left : left + step // 3] = wood * shade
    return pixels


def _water(rng: np.random.Generator, night: bool) -> Field:
    ripples = cv2.resize(noise(rng, SIZE_PX, (8, 16, 32), 0.8), (SIZE_PX // 4, SIZE_PX))
    value = 0.86 + 0.34 * (np.tile(ripples, (1, 4)) - 0.5)
    return _tint((236, 244, 248), value.astype(np.float32))


def _leaf_field(rng: np.random.Generator) -> Field:
    # Dark between the clumps: leaves shade each other.
    clumps = np.clip(0.62 + 2.0 * (noise(rng, SIZE_PX, (8, 16, 32, 64, 128), 0.85) - 0.5), 0, 1.1)
    field: Field = (0.26 + 0.94 * clumps + 0.2 * _grain(rng)).astype(np.float32)
    return field


def _hedge(rng: np.random.Generator, night: bool) -> Field:
    return _tint((240, 246, 232), _leaf_field(rng))


def _leaves(rng: np.random.Generator, night: bool) -> Field:
    axis = (np.arange(SIZE_PX, dtype=np.float32) + 0.5) / SIZE_PX - 0.5
    radius = np.hypot(axis[None, :], axis[:, None])
    ragged = noise(rng, SIZE_PX, (8, 16, 32, 64), 0.9) - 0.5
    holes = noise(rng, SIZE_PX, (16, 32, 64), 0.8)
    solid = ((0.445 - radius) * 9 + ragged * 5.5 > 0.15) & (holes > 0.3)
    return np.dstack([_tint((240, 246, 232), _leaf_field(rng)), np.where(solid, 255.0, 0.0).astype(np.float32)])


def _tree(rng: np.random.Generator, night: bool) -> Field:
    """A whole tree as seen from far away: a ragged crown over a dark trunk."""
    axis = (np.arange(SIZE_PX, dtype=np.float32) + 0.5) / SIZE_PX
    across, down = (axis - 0.5)[None, :], axis[:, None]
    ragged = noise(rng, SIZE_PX, (8, 16, 32, 64), 0.9) - 0.5
    crown = np.hypot(across / 0.47, (down - 0.40) / 0.40) + ragged * 0.8 < 0.95
    trunk = (np.abs(across) < 0.035) & (down > 0.5)
    # Darker below: what a crown shades of itself.
    value = (_leaf_field(rng) * (1.12 - 0.5 * down)).astype(np.float32)
    pixels = np.where(crown[..., None], _tint((240, 246, 232), value), np.array([128, 92, 104], np.float32))
    return np.dstack([pixels, np.where(crown | trunk, 255.0, 0.0).astype(np.float32)]).astype(np.float32)


def _bark(rng: np.random.Generator, night: bool) -> Field:
    stretched = cv2.resize(rng.random((8, 64), np.float32), (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_CUBIC)
    return _tint((240, 234, 226), 0.55 + 0.5 * stretched + 0.12 * _grain(rng))


def _roof(rng: np.random.Generator, night: bool) -> Field:
    value = 0.8 + 0.2 * noise(rng, SIZE_PX, _OCTAVES) + 0.08 * _grain(rng)
    row = SIZE_PX // 32
    value[::row] *= 0.72
    value[1::row] *= 0.88
    for index in range(32):
        value[index * row : (index + 1) * row, (index % 2) * row // 2 :: row] *= 0.86
    return _tint((246, 242, 238), value)


def _wall_stone(rng: np.random.Generator, night: bool) -> Field:
    value = 0.78 + 0.2 * noise(rng, SIZE_PX, _OCTAVES, 0.8) + 0.08 * _grain(rng)
    row = SIZE_PX // 8
    for index in range(8):
        top, shift = index * row, (index % 2) * row
        for left in range(-row, SIZE_PX, 2 * row):
            x = max(left + shift, 0)
            value[top : top + row, x : left + shift + 2 * row] *= 0.82 + 0.28 * rng.random()
            value[top : top + row, x : x + 2] *= 0.7
        value[top : top + 2] *= 0.7
    return _tint((246, 243, 236), value)


def _fence_mesh(rng: np.random.Generator, night: bool) -> Field:
    alpha = np.zeros((SIZE_PX, SIZE_PX), np.float32)
    step = SIZE_PX // 16
    for line in range(0, SIZE_PX, step):
        alpha[:, line : line + 4] = 255
    for line in (0, SIZE_PX // 2, SIZE_PX - 10):
        alpha[line : line + 10] = 255
    return np.dstack([np.full((SIZE_PX, SIZE_PX, 3), 240, np.float32), alpha])


def _fence_wood(rng: np.random.Generator, night: bool) -> Field:
    value = 0.8 + 0.2 * cv2.resize(rng.random((16, 128), np.float32), (SIZE_PX, SIZE_PX))
    board = SIZE_PX // 16
    for index in range(16):
        value[:, index * board : (index + 1) * board] *= 0.84 + 0.2 * rng.random()
        value[:, index * board : index * board + 2] *= 0.55
    return _tint((246, 238, 226), value)


def _metal(rng: np.random.Generator, night: bool) -> Field:
    return _tint((246, 247, 250), 0.9 + 0.1 * noise(rng, SIZE_PX, (4, 8, 16)) + 0.03 * _grain(rng))


def _facade(kind: str) -> Painter:
    """A painter of 12 m by 12 m of facade: 4 storeys of 4 windows, some lit at night."""
    windows = {
        "brick": (0.20, 0.78, 0.28, 0.72),
        "plaster": (0.18, 0.80, 0.30, 0.70),
        "glass": (0.05, 0.95, 0.05, 0.95),
        "panel": (0.26, 0.74, 0.06, 0.94),
    }
    top, bottom, left, right = (round(share * SIZE_PX / 4) for share in windows[kind])

    def paint(rng: np.random.Generator, night: bool) -> Field:
        wall = 0.9 + 0.14 * (noise(rng, SIZE_PX, _OCTAVES) - 0.5) + 0.05 * _grain(rng)
        if kind == "brick":
            for row in range(0, SIZE_PX, 4):
                wall[row] *= 0.8
                wall[row : row + 4, (row // 4 % 2) * 4 :: 8] *= 0.88
        elif kind == "panel":
            wall[:: SIZE_PX // 4] *= 0.7
            wall[:, :: SIZE_PX // 4] *= 0.7
        elif kind == "glass":
            wall *= 0.7
        pixels = _tint((250, 249, 246), wall) * (0.16 if night else 1.0)
        dim = 0.18 if night else 1.0
        cell = SIZE_PX // 4
        for row in range(4):
            for column in range(4):
                y0, y1 = row * cell + top, row * cell + bottom
                x0, x1 = column * cell + left, column * cell + right
                _paint_window(pixels, (y0, y1, x0, x1), kind, dim, rng, night)
        return pixels

    return paint


def _paint_window(
    pixels: Field, box: tuple[int, int, int, int], kind: str, dim: float, rng: np.random.Generator, night: bool
) -> None:
    y0, y1, x0, x1 = box
    lit, curtain, tone = rng.random(3)
    frame = np.float32(dim * (232 if kind in ("brick", "plaster") else 96))
    pixels[y0 - 2 : y1 + 2, x0 - 2 : x1 + 2] = frame
    sky_in_glass = np.linspace(1.35, 0.62, y1 - y0, dtype=np.float32)[:, None, None]
    glass = np.array([74, 96, 118], np.float32) * np.float32(0.6 + 0.5 * tone) * sky_in_glass * np.float32(dim)
    if night and lit < 0.38:
        warm = np.array([255, 214, 140], np.float32) if tone > 0.3 else np.array([225, 232, 255], np.float32)
        glass = warm * np.linspace(1.0, 0.8, y1 - y0, dtype=np.float32)[:, None, None]
    pixels[y0:y1, x0:x1] = glass
    if kind in ("brick", "plaster"):
        middle = (x0 + x1) // 2
        if curtain > 0.6:
            pixels[y0 : y0 + (y1 - y0) // 3, x0:x1] = pixels[y0 : y0 + (y1 - y0) // 3, x0:x1] * 0.4 + 130 * dim
        pixels[y0:y1, middle - 1 : middle + 1] = frame
        pixels[(y0 + y1) // 2 - 1 : (y0 + y1) // 2 + 1, x0:x1] = frame
        pixels[y1 + 2 : y1 + 5, x0 - 4 : x1 + 4] = frame * 0.9
        pixels[y1 + 5 : y1 + 7, x0 - 3 : x1 + 3] *= 0.6
    elif kind == "panel":
        for bar in range(x0 + (x1 - x0) // 4, x1 - 2, (x1 - x0) // 4):
            pixels[y0:y1, bar : bar + 2] = frame
    else:
        pixels[y0:y1, (x0 + x1) // 2 - 1 : (x0 + x1) // 2 + 1] *= 0.55


# In drawing order: what hides much first, thin layers before what they lie on, alpha-tested last.
MATERIALS: dict[str, Material] = {
    "plain": Material(),
    "lamp_glass": Material(glows="always"),
    "facade_brick": Material(_facade("brick"), glows="night"),
    "facade_plaster": Material(_facade("plaster"), glows="night"),
    "facade_glass": Material(_facade("glass"), glows="night"),
    "facade_panel": Material(_facade("panel"), glows="night"),
    "roof": Material(_roof),
    "wall_stone": Material(_wall_stone, soaks=0.2),
    "fence_wood": Material(_fence_wood),
    "metal": Material(_metal),
    "pole_metal": Material(_metal, texture_of="metal"),
    "sign_face": Material(),
    "bark": Material(_bark),
    "hedge": Material(_hedge),
    "road_paint": Material(_road_paint, soaks=0.35),
    "kerb": Material(_kerb, soaks=0.6),
    "paving": Material(_paving, soaks=0.7),
    "asphalt": Material(_asphalt, soaks=1.0),
    "asphalt_junction": Material(_asphalt, soaks=1.0, texture_of="asphalt"),
    "sleepers": Material(_sleepers, soaks=0.3),
    "water": Material(_water),
    "soil": Material(_soil, soaks=0.5),
    "grass": Material(_grass, soaks=0.2),
    "leaves": Material(_leaves, alpha=True),
    "tree": Material(_tree, alpha=True),
    "fence_mesh": Material(_fence_mesh, alpha=True),
}


def texture_name(material: str) -> str:
    """The material whose texture a material is drawn with; "plain" for those without one."""
    entry = MATERIALS[material]
    return "plain" if entry.paint is None else entry.texture_of or material


@lru_cache(maxsize=64)
def paint_texture(name: str, *, night: bool = False) -> Pixels:
    """The texture of a material: uint8 (256, 256, 3) RGB or (256, 256, 4) RGBA, read-only; the same at every call.

    Raises:
        KeyError: for a material without a texture.
    """
    painter = MATERIALS[name].paint
    if painter is None:
        raise KeyError(name)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    pixels: Pixels = np.clip(painter(rng, night), 0, 255).astype(np.uint8)
    pixels.setflags(write=False)
    return pixels
