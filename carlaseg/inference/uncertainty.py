"""A picture of what the network is unsure of, for people: the image, the entropy, the mutual information."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

GAP = 6


def uncertainty_picture(
    image: NDArray[np.uint8], entropy: NDArray[np.float32], mutual_information: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Three tiles side by side; dark is sure, bright is unsure. All pictures have one scale: 1 is a blind guess.

    Args:
        image: uint8, (H, W, 3), RGB.
        entropy: float32, (H, W), 0 to 1.
        mutual_information: float32, (H, W), 0 to 1; small by nature, so its tile is four times as bright.

    Returns:
        uint8, (H, 3 W + gaps, 3), RGB.
    """
    gap = np.full((image.shape[0], GAP, 3), 255, np.uint8)
    return np.concatenate([image, gap, _heat(entropy), gap, _heat(4 * mutual_information)], axis=1)


def _heat(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    bytes_ = np.asarray(np.clip(values, 0.0, 1.0) * 255, np.uint8)
    return np.asarray(cv2.cvtColor(cv2.applyColorMap(bytes_, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB), np.uint8)
