"""The augmentation preset `scale`: geometry in one warp, light in one table, by OpenCV and NumPy alone.

It takes a tenth of imgaug's time a frame and needs no imgaug, so it also runs where nothing can be installed.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from carlaseg.labels import IGNORE_ID

SMALLEST, LARGEST = 0.7, 2.0
TURN_DEG = 5.0


def scaled_and_lit(
    image: NDArray[np.uint8], mask: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A frame mirrored or not, scaled, turned, shifted, and in another light; its size stays.

    Args:
        image: uint8, (H, W, 3).
        mask: uint8, (H, W), class ids, 255 for void.
        rng: decides everything; always asked for the same count of numbers.

    Returns:
        The image and the mask, uint8, of the same shapes. Outside the picture the image goes on as a mirror, the mask
        is void.
    """
    height, width = mask.shape
    mirrored, scale, turn, right, down, gain, contrast, gamma, softness, grain = rng.random(10)
    tint = rng.uniform(-0.06, 0.06, 3)

    factor = SMALLEST * (LARGEST / SMALLEST) ** scale
    warp = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), TURN_DEG * (2 * turn - 1), factor)
    # A larger picture is shifted within itself, a smaller one within the frame: its edge never leaves a void behind
    # that the scale does not ask for.
    warp[:, 2] += (np.array([right, down]) - 0.5) * abs(factor - 1) * (width, height)
    if mirrored < 0.5:
        warp = warp @ np.array([[-1, 0, width - 1], [0, 1, 0], [0, 0, 1]], float)
    how = cv2.INTER_LINEAR
    image = np.asarray(cv2.warpAffine(image, warp, (width, height), flags=how, borderMode=cv2.BORDER_REFLECT), np.uint8)
    mask = np.asarray(
        cv2.warpAffine(
            mask, warp, (width, height), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=IGNORE_ID
        ),
        np.uint8,
    )

    level = np.arange(256)[:, None] / 255
    level = level ** (0.75 + 0.6 * gamma) * (0.75 + 0.5 * gain) * (1 + tint)
    level = (level - 0.5) * (0.75 + 0.5 * contrast) + 0.5
    table = np.clip(255 * level, 0, 255).astype(np.uint8)
    image = np.stack([table[:, c][image[..., c]] for c in range(3)], axis=-1)
    if softness < 0.2:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), 0.3 + 5 * softness), np.uint8)
    if grain < 0.2:
        noise = rng.normal(0, 40 * grain, image.shape)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    return image, mask
