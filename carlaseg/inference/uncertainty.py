"""A picture of what the network is unsure of, for people: the image, the entropy, the mutual information."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from carlaseg.inference.panels import titled

BRIGHTER = 4
"""Mutual information is small by nature."""


def uncertainty_picture(
    image: NDArray[np.uint8], entropy: NDArray[np.float32], mutual_information: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Three tiles side by side; dark is sure, bright is unsure. All pictures have one scale: 1 is a blind guess.

    Args:
        image: uint8, (H, W, 3), RGB.
        entropy: float32, (H, W), 0 to 1.
        mutual_information: float32, (H, W), 0 to 1; shown four times as bright.

    Returns:
        uint8, (height, width, 3), RGB.
    """
    return titled(
        [
            ("image", image, cv2.INTER_LINEAR),
            ("entropy", _heat(entropy), cv2.INTER_NEAREST),
            (f"mutual information x {BRIGHTER}", _heat(BRIGHTER * mutual_information), cv2.INTER_NEAREST),
        ]
    )


def _heat(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    bytes_ = np.asarray(np.clip(values, 0.0, 1.0) * 255, np.uint8)
    return np.asarray(cv2.cvtColor(cv2.applyColorMap(bytes_, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB), np.uint8)
