"""One sample as one picture: the image, its labels in colours, or these over the image."""

from __future__ import annotations

from typing import Literal

import numpy as np

from carlaseg.dataset.pictures import Picture, read_image, read_mask
from carlaseg.dataset.samples import Sample
from carlaseg.labels import scheme

Show = Literal["rgb", "colours", "overlay"]


def picture_of(sample: Sample, show: Show) -> Picture:
    """The picture of a sample; the image alone where it has no mask of a known scheme.

    Returns:
        uint8 (H, W, 3) RGB.

    Raises:
        DatasetError: a file is damaged, or image and mask differ in size.
    """
    image = read_image(sample.image_path)
    if show == "rgb" or sample.mask_path is None or sample.scheme is None:
        return image
    colours = scheme(sample.scheme).colorize(read_mask(sample))
    if show == "colours" or colours.shape != image.shape:
        return colours
    return ((image.astype(np.uint16) + colours) // 2).astype(np.uint8)
