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


def is_blank(camera_image: Any) -> bool:
    """Whether a camera's picture is black from edge to edge, as one that was never drawn."""
    pixels = bgra(camera_image)
    # A few pixels tell of nearly every picture that it is none of those.
    return not pixels[::16, ::16, :3].any() and not pixels[:, :, :3].any()


def rgb(camera_image: Any, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The picture as uint8 [H, W, 3] RGB at (height, width) `size`, averaged over areas when it is drawn larger."""
    image = cv2.cvtColor(bgra(camera_image), cv2.COLOR_BGRA2RGB)
    return _resized(image, size, cv2.INTER_AREA)


def tags(camera_image: Any, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The tags as uint8 [H, W] at (height, width) `size`; picked, never averaged: there is nothing between two tags."""
    plane = cv2.extractChannel(bgra(camera_image), RED_OF_BGRA)
    return _resized(plane, size, cv2.INTER_NEAREST)


def as_delivered(camera_image: Any, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The three channels as uint8 [H, W, 3] red, green, blue, picked where the size differs.

    For pictures whose bytes are numbers: depth, instances, normals. A mean of two of them is neither.
    """
    return _resized(cv2.cvtColor(bgra(camera_image), cv2.COLOR_BGRA2RGB), size, cv2.INTER_NEAREST)


def flow(flow_image: Any, size: tuple[int, int]) -> NDArray[np.float32]:
    """Optical flow as float32 [H, W, 2], as the server gives it (shares of the picture), picked where the size differs.

    Raises:
        ValueError: the body is shorter or longer than the picture it announces.
    """
    height, width = int(flow_image.height), int(flow_image.width)
    vectors = np.frombuffer(flow_image.raw_data, "<f4").reshape(height, width, 2)
    if (height, width) != tuple(size):
        rows = (np.arange(size[0]) * height) // size[0]
        columns = (np.arange(size[1]) * width) // size[1]
        vectors = vectors[rows[:, None], columns[None, :]]
    return vectors


def _resized(array: Any, size: tuple[int, int], interpolation: int) -> NDArray[np.uint8]:
    if array.shape[:2] != tuple(size):
        array = cv2.resize(array, (size[1], size[0]), interpolation=interpolation)
    return np.asarray(array, np.uint8)
