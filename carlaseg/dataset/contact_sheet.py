"""One picture of many samples: each image beside itself with its mask over it. Do the colours sit on the objects?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from carlaseg.dataset.pictures import read_image, read_mask
from carlaseg.dataset.samples import Sample
from carlaseg.errors import DatasetError
from carlaseg.files import write_whole
from carlaseg.labels import scheme

_BORDER = 4
_BACKGROUND = 32
_LONGEST_SIDE = {".png": 1_000_000, ".jpg": 65_500, ".jpeg": 65_500, ".webp": 16_383}
"""Pixels of what OpenCV writes. Source: limits of libpng as it is built, libjpeg and WebP."""


def contact_sheet(samples: Sequence[Sample], path: Path, columns: int = 4, height: int = 160) -> None:
    """Write a picture of pairs: image, image under its mask in colours; the image alone where there is no mask.

    Args:
        samples: what to show, left to right, top to bottom.
        path: PNG or JPEG to write.
        columns: pairs a row.
        height: height of one picture in pixels.

    Raises:
        DatasetError: no samples, one is damaged, or the sheet would be larger than its format allows.
    """
    if not samples:
        raise DatasetError(f"{path}: expected samples for a contact sheet, received none.")
    pairs = [_pair(sample, height) for sample in samples]
    cell_width = max(pair.shape[1] for pair in pairs) + _BORDER
    columns = min(columns, len(pairs))
    rows = -(-len(pairs) // columns)
    size = (rows * (height + _BORDER) + _BORDER, columns * cell_width + _BORDER)
    if max(size) > _LONGEST_SIDE[path.suffix.lower()]:
        raise DatasetError(
            f"{path}: expected a sheet of at most {_LONGEST_SIDE[path.suffix.lower()]} pixels a side "
            f"({path.suffix}), received one of {size[0]}x{size[1]}. Nothing was written.",
            (("smaller", "carlaseg view with a smaller --height, fewer --columns or --frames"),),
        )
    sheet = np.full((*size, 3), _BACKGROUND, np.uint8)
    for position, pair in enumerate(pairs):
        top = _BORDER + position // columns * (height + _BORDER)
        left = _BORDER + position % columns * cell_width
        sheet[top : top + height, left : left + pair.shape[1]] = pair
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, cv2.imencode(path.suffix, cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1].tobytes())


def _pair(sample: Sample, height: int) -> NDArray[np.uint8]:
    image = read_image(sample.image_path)
    width = max(1, round(image.shape[1] * height / image.shape[0]))
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)
    if sample.mask_path is None or sample.scheme is None:
        return small
    mask = cv2.resize(read_mask(sample), (width, height), interpolation=cv2.INTER_NEAREST).astype(np.uint8)
    colors = scheme(sample.scheme).colorize(mask)
    blended = ((small.astype(np.uint16) + colors) // 2).astype(np.uint8)
    return np.concatenate([small, blended], axis=1)
