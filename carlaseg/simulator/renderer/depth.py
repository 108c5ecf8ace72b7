"""Depth by texture: the software renderer has no readable depth buffer, so distance is drawn as colour.

A texture is looked up at each pixel's distance in front of the camera. Its columns count a fine period of 16 m in 4096
steps (two digits of base 255, in blue and green), its rows count coarse steps of 8 m (red). The fine digits alone are
ambiguous every 16 m; the coarse one says which period is meant and need only be right within 8 m. All channels at 255,
the clear colour, is the sky.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from panda3d import core

from carlaseg.simulator.renderer import panda
from carlaseg.simulator.renderer.air import SKY_DEPTH_M

_COLUMNS, _ROWS = 4096, 128
_PERIOD_M, _ROW_M = 16.0, 8.0
_TOP_PRIORITY = 100


@lru_cache(maxsize=2)
def _table(offset: int) -> Any:
    column = np.arange(_COLUMNS)
    rgb = np.empty((_ROWS, _COLUMNS, 3), np.uint8)
    rgb[..., 2] = column % 255 + offset
    rgb[..., 1] = column // 255 + offset
    rgb[..., 0] = np.arange(_ROWS)[:, None] + offset
    return panda.texture("depth", rgb[::-1], mipmaps=False)


def depth_state(alpha_texture: Any | None = None) -> Any:
    """The render state that draws distance instead of colour; with a texture, only where that one is opaque."""
    node = core.NodePath("depth")
    if alpha_texture is None:
        stage = core.TextureStage.getDefault()
    else:
        # Modulating with the white texture in front takes one off each channel.
        stage = core.TextureStage("depth")
        stage.setSort(5)
        node.setTexture(core.TextureStage.getDefault(), alpha_texture, _TOP_PRIORITY)
        node.setAttrib(core.AlphaTestAttrib.make(core.RenderAttrib.MGreater, 0.5), _TOP_PRIORITY)
    node.setTexture(stage, _table(0 if alpha_texture is None else 1), _TOP_PRIORITY)
    node.setTexGen(stage, core.TexGenAttrib.MEyePosition, _TOP_PRIORITY)
    forward_to_uv = [0.0] * 16
    forward_to_uv[4], forward_to_uv[5], forward_to_uv[15] = 1 / _PERIOD_M, 1 / (_ROW_M * _ROWS), 1.0
    node.setTexTransform(stage, core.TransformState.makeMat(core.LMatrix4f(*forward_to_uv)))
    node.setColor(1, 1, 1, 1, _TOP_PRIORITY)
    node.setAttrib(core.ShadeModelAttrib.make(core.ShadeModelAttrib.MFlat), _TOP_PRIORITY)
    return node.getState()


def decode_depth_m(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Planar depth in metres, float32 (H, W), of a picture drawn with `depth_state`; the sky is at 1000 m."""
    steps = pixels[..., 1].astype(np.float32)
    steps *= 255
    steps += pixels[..., 0]
    steps += np.float32(0.5)
    steps *= np.float32(_PERIOD_M / _COLUMNS)
    periods = pixels[..., 2].astype(np.float32)
    periods += np.float32(0.5)
    periods *= np.float32(_ROW_M)
    periods -= steps
    periods *= np.float32(1 / _PERIOD_M)
    np.rint(periods, out=periods)
    periods *= np.float32(_PERIOD_M)
    periods += steps
    periods[pixels[..., 2] == 255] = SKY_DEPTH_M
    return periods


def encode_carla(depth_m: NDArray[np.float32]) -> NDArray[np.uint8]:
    """CARLA's depth picture, uint8 (H, W, 4) BGRA: R + 256 G + 65536 B counts 1000 m / (2^24 - 1).

    Source: CARLA documentation, sensors reference, depth camera.
    """
    code = np.minimum(depth_m.astype(np.float64) * ((2**24 - 1) / 1000.0) + 0.5, 2**24 - 1).astype(np.uint32)
    swapped = (code >> 16) | (code & 0xFF00) | ((code & 0xFF) << 16) | np.uint32(0xFF000000)
    return swapped.astype("<u4").view(np.uint8).reshape(*depth_m.shape, 4)
