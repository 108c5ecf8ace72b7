"""Which object each pixel of a thing belongs to: from an instance camera where the rig had one, guessed where not."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from carlaseg.dataset.pictures import Mask, read_image
from carlaseg.dataset.recorded import Known

GUESSED = (
    "things are connected pieces of their class where no instance camera saw the same: two that touch are one, one "
    "behind a pole is two"
)


def objects_of(mask: Mask, class_id: int, known: Known | None) -> list[NDArray[np.bool_]]:
    """The objects of one class, each as bool (H, W).

    Args:
        mask: uint8 (H, W), class ids.
        class_id: a class whose members are counted.
        known: what the recording knows of the sample.

    Raises:
        DatasetError: the instance picture is damaged.

    Source: CARLA's instance camera: red is the tag, green + 256 blue the object's number.
    """
    here = mask == class_id
    path = known.instances if known is not None else None
    if path is not None:
        picture = read_image(path).astype(np.uint16)
        if picture.shape[:2] == mask.shape:
            numbers = picture[..., 1] | picture[..., 2] << 8
            return [here & (numbers == number) for number in np.unique(numbers[here])]
    count, piece_of = cv2.connectedComponents(here.astype(np.uint8), connectivity=8)
    return [piece_of == piece for piece in range(1, count)]
