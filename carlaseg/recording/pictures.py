"""From a camera's bytes to arrays, by the shortest way.

A camera delivers BGRA. OpenCV's colour and channel routines read that in 0.1 to 0.5 ms at 800x600; the usual
`array[:, :, :3].copy()` walks it byte by byte and takes ten times as long (benchmarks/recording.py).
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

RED_OF_BGRA = 2
"""CARLA keeps the semantic tag in the red channel. Source: CARLA documentation, semantic segmentation camera."""


def bgra(camera_image: Any) -> NDArray[np.uint8]:
    """A view of a `carla.Image`, uint8 [H, W, 4] in BGRA order; no copy, valid while the image is.

    Raises:
        ValueError: the body is shorter or longer than the picture it announces.
    """
    height, width = int(camera_image.height), int(camera_image.width)
    return np.frombuffer(camera_image.raw_data, np.uint8).reshape(height, width, 4)


def rgb(camera_image: Any, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The picture as uint8 [H, W, 3] RGB at (height, width) `size`, averaged over areas when it is drawn larger."""
    image = cv2.cvtColor(bgra(camera_image), cv2.COLOR_BGRA2RGB)
    return _resized(image, size, cv2.INTER_AREA)


def tags(camera_image: Any, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The tags as uint8 [H, W] at (height, width) `size`; picked, never averaged: there is nothing between two tags."""
    plane = cv2.extractChannel(bgra(camera_image), RED_OF_BGRA)
    return _resized(plane, size, cv2.INTER_NEAREST)


def _resized(array: Any, size: tuple[int, int], interpolation: int) -> NDArray[np.uint8]:
    if array.shape[:2] != tuple(size):
        array = cv2.resize(array, (size[1], size[0]), interpolation=interpolation)
    return np.asarray(array, np.uint8)
