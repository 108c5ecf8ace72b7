"""What is between the camera and the world: fog by distance, and falling rain. NumPy and OpenCV only."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from carlaseg.simulator.renderer.kept import Kept
from carlaseg.simulator.renderer.lighting import Light

SKY_DEPTH_M = 1000.0
# Sizes of pictures; of the largest one each takes 64 MB.
_KEPT_SIZES = 8


class Air:
    """Adds fog and rain to finished pictures, in place."""

    def __init__(self) -> None:
        self._rays: Kept[NDArray[np.float32]] = Kept(_KEPT_SIZES)
        self._streaks: Kept[NDArray[np.uint8]] = Kept(_KEPT_SIZES)

    def add_fog(self, pixels: NDArray[np.uint8], depth_m: NDArray[np.float32], light: Light, fov_deg: float) -> None:
        """Fades what is far into the colour of the fog; the sky carries its own.

        Args:
            pixels: uint8 (H, W, 4) BGRA, changed.
            depth_m: float32 (H, W), planar.
            light: whose fog it is.
            fov_deg: horizontal, from which the length of each ray follows.
        """
        height, width = depth_m.shape
        rays = self._rays.get((height, width, fov_deg), lambda: _ray_lengths(height, width, fov_deg))
        exponent = depth_m * rays
        exponent -= np.float32(light.fog_start_m)
        np.maximum(exponent, 0, out=exponent)
        exponent *= np.float32(-light.fog_per_m)
        exponent[depth_m >= SKY_DEPTH_M] = 0
        clear = cv2.exp(exponent)
        veil = np.empty_like(pixels)
        veil[:] = (*light.fog_rgb[::-1].astype(np.uint8).tolist(), 255)
        cv2.blendLinear(pixels, veil, clear, np.float32(1) - clear, dst=pixels)

    def add_rain(self, pixels: NDArray[np.uint8], light: Light, elapsed_s: float) -> None:
        """Lays streaks over the picture; the same ones for the same time."""
        height, width = pixels.shape[:2]
        streaks = self._streaks.get((height, width), lambda: _paint_streaks(height, width))
        # Another cut of the same streaks for every instant, so that they never stand still.
        step = round(elapsed_s * 60)
        shift = (step * 7919 % height, step * 104729 % width)
        layer = cv2.convertScaleAbs(
            np.roll(streaks, shift, axis=(0, 1)), alpha=0.55 * light.rain * (1 - 0.6 * light.night)
        )
        cv2.add(pixels, cv2.merge([layer, layer, layer, np.zeros_like(layer)]), dst=pixels)


def _ray_lengths(height: int, width: int, fov_deg: float) -> NDArray[np.float32]:
    """Length of each pixel's ray to where it is one metre ahead, float32 (H, W)."""
    focal = width / (2 * np.tan(np.radians(fov_deg) / 2))
    across = (np.arange(width, dtype=np.float32) + 0.5 - width / 2) / focal
    down = (np.arange(height, dtype=np.float32) + 0.5 - height / 2) / focal
    lengths: NDArray[np.float32] = np.sqrt(1 + across[None, :] ** 2 + down[:, None] ** 2).astype(np.float32)
    return lengths


def _paint_streaks(height: int, width: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(3)
    streaks = np.zeros((height, width), np.uint8)
    for _ in range(max(1, height * width // 900)):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        length = max(2, int(height * rng.uniform(0.02, 0.09)))
        end = (x + int(rng.integers(-1, 2)), y + length)
        cv2.line(streaks, (x, y), end, int(rng.integers(60, 200)), 1, cv2.LINE_AA)
    return streaks
