"""The sky as a picture of all directions above the horizon, and the dome that it is drawn on."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from carlaseg.simulator.renderer.lighting import Light
from carlaseg.simulator.renderer.materials import noise
from carlaseg.simulator.renderer.vertices import BAKED_VERTEX

HEIGHT_PX, WIDTH_PX = 512, 2048
DOME_RADIUS_M = 10.0
SKY_TAG = 11


@lru_cache(maxsize=1)
def _cloud_field() -> NDArray[np.float32]:
    """Cloud thickness 0-1 in every direction, (HEIGHT_PX, WIDTH_PX): noise on a flat layer seen from below."""
    size = 1024
    layer = noise(np.random.default_rng(5), size, (4, 8, 16, 32, 64, 128), 0.58)
    elevation = (1 - (np.arange(HEIGHT_PX, dtype=np.float32) + 0.5) / HEIGHT_PX)[:, None] * np.float32(np.pi / 2)
    azimuth = (np.arange(WIDTH_PX, dtype=np.float32) + 0.5)[None, :] / WIDTH_PX * np.float32(2 * np.pi)
    # +0.12 bends the layer down, as the Earth does: clouds do not shrink to nothing at the horizon.
    distance = np.cos(elevation) / (np.sin(elevation) + np.float32(0.12)) * np.float32(size * 0.16)
    columns = np.mod(distance * np.cos(azimuth), size).astype(np.float32)
    rows = np.mod(distance * np.sin(azimuth), size).astype(np.float32)
    return cv2.remap(layer, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP).astype(np.float32)


@lru_cache(maxsize=4)
def paint_sky(light: Light) -> NDArray[np.uint8]:
    """The sky of one light: uint8 (512, 2048, 3) RGB, read-only.

    Columns are the azimuth, anticlockwise from east (town frame); rows the elevation, from 90 degrees down to 0.
    Kept for the last few lights: painting takes a quarter of a second, and a town that is loaded anew has the sky of
    before.
    """
    share = (1 - (np.arange(HEIGHT_PX, dtype=np.float32) + 0.5) / HEIGHT_PX)[:, None]
    gradient = (1 - share) ** 3.2
    pixels = light.zenith_rgb + (light.horizon_rgb - light.zenith_rgb) * gradient[..., None]
    pixels = np.repeat(pixels, WIDTH_PX, axis=1)

    elevation = share * np.float32(np.pi / 2)
    azimuth = ((np.arange(WIDTH_PX, dtype=np.float32) + 0.5) / WIDTH_PX * np.float32(2 * np.pi))[None, :]
    toward = light.sun_direction
    cosine = np.cos(elevation) * (np.cos(azimuth) * toward[0] + np.sin(azimuth) * toward[1])
    cosine = np.clip(cosine + np.sin(elevation) * toward[2], 0, 1)
    halo = 0.22 * cosine**12 + 0.35 * cosine**90 + 1.2 * (cosine > 0.9994)
    pixels += halo[..., None] * light.glow_rgb

    # Cover 0 leaves no cloud, 1 leaves no gap.
    threshold = np.float32(0.70 - 0.54 * light.cloud_cover)
    thickness = np.clip((_cloud_field() - threshold) * 4.5, 0, 1) * np.float32(min(1.0, 0.2 + light.cloud_cover * 4))
    thickness = (thickness * np.clip(share * 9, 0, 1) * 0.92)[..., None]
    shaded = light.cloud_rgb * (1.0 - 0.16 * np.clip((_cloud_field() - threshold - 0.12) * 3, 0, 1))[..., None]
    pixels = pixels * (1 - thickness) + shaded * thickness
    if light.night > 0.5 and light.cloud_cover < 0.6:
        stars = np.random.default_rng(11).random((HEIGHT_PX, WIDTH_PX)) > 0.9993
        pixels[stars] += 90 * (light.night - 0.5) * 2 * (1 - light.cloud_cover)
    if light.fog_per_m > 0:
        # The air is thick for some 60 m up: a level ray stays in it for long, an upright one leaves it soon.
        length_m = np.minimum(60.0 / np.sin(np.maximum(elevation, 0.004)), 2000.0)
        clear = np.exp(-light.fog_per_m * length_m)[..., None].astype(np.float32)
        pixels = pixels * clear + light.fog_rgb * (1 - clear)
    painted: NDArray[np.uint8] = np.clip(pixels, 0, 255).astype(np.uint8)
    painted.flags.writeable = False
    return painted


def dome() -> tuple[NDArray[np.void], NDArray[np.int32]]:
    """Vertices (`BAKED_VERTEX`) and triangles of a dome around the camera, textured with `paint_sky`.

    It reaches 40 degrees below the horizon, where it has the colour of the horizon.
    """
    columns = 48
    elevations_deg = np.array([-40, -5, 0, 4, 8, 14, 22, 32, 45, 60, 75, 90], float)
    azimuth = np.linspace(0, 2 * np.pi, columns + 1)
    elevation = np.radians(elevations_deg)[:, None]
    vertices = np.zeros((len(elevations_deg), columns + 1), BAKED_VERTEX)
    vertices["position"] = DOME_RADIUS_M * np.stack(
        np.broadcast_arrays(
            np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)
        ),
        axis=-1,
    )
    vertices["color"] = (255, 255, 255, SKY_TAG)
    vertices["uv"][..., 0] = azimuth / (2 * np.pi)
    # Half a pixel inside: the texture repeats, and the zenith must not show at the horizon.
    edge = 0.5 / HEIGHT_PX
    vertices["uv"][..., 1] = np.clip(elevations_deg / 90, edge, 1 - edge)[:, None]
    corner = (np.arange(len(elevations_deg) - 1)[:, None] * (columns + 1) + np.arange(columns)).ravel()
    above = corner + columns + 1
    triangles = np.concatenate(
        [np.stack([corner, above, corner + 1], axis=1), np.stack([corner + 1, above, above + 1], axis=1)]
    )
    return vertices.ravel(), triangles.astype(np.int32)
