"""Picture files as arrays. Every failure is a `DatasetError` that names the file."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from carlaseg.dataset.headers import size_in
from carlaseg.dataset.samples import MaskEncoding, Sample
from carlaseg.errors import DatasetError
from carlaseg.labels import LabelScheme, scheme

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp"})

Picture = NDArray[np.uint8]
Mask = NDArray[np.uint8]


def is_picture(name: str) -> bool:
    """Whether a file of that name is a picture we read; temporary and hidden files are not."""
    return not name.startswith(".") and Path(name).suffix.lower() in PICTURE_SUFFIXES


def read_image(path: Path) -> Picture:
    """The picture in colour.

    Grey becomes RGB, 16 bit becomes 8, alpha is dropped, a rotation noted in EXIF is applied.

    Args:
        path: PNG, JPEG or WebP.

    Returns:
        uint8 (H, W, 3) RGB.

    Raises:
        DatasetError: the file cannot be read or is damaged (truncated, wrong checksum, not a picture).
    """
    return _decode(path, cv2.IMREAD_COLOR_RGB)


def read_mask(sample: Sample) -> Mask:
    """The sample's class ids, void as `IGNORE_ID`.

    Returns:
        uint8 (H, W).

    Raises:
        DatasetError: the sample has no mask, or the file is damaged or holds an id or a colour outside the sample's
            scheme.
    """
    if sample.mask_path is None or sample.mask_encoding is None:
        raise DatasetError(f"{sample.image_path}: expected a mask beside it, received none.")
    known = None if sample.scheme is None else scheme(sample.scheme)
    mask = read_raw_mask(sample.mask_path, sample.mask_encoding, known)
    if known is None:
        return mask
    known.check_ids(mask, str(sample.mask_path))
    return np.take(known.void_table, mask)


def read_raw_mask(path: Path, encoding: MaskEncoding, known: LabelScheme | None) -> Mask:
    """The ids as they are in the file, unchecked; colours are turned into ids.

    Args:
        path: mask file.
        encoding: how it holds its ids.
        known: the scheme, needed for colours alone.

    Returns:
        uint8 (H, W).

    Raises:
        DatasetError: the file is damaged, holds ids above 255, or a colour outside the scheme.
    """
    if encoding == "colors":
        if known is None:
            raise DatasetError(
                f"{path}: expected a label scheme to turn its colours into ids, received none.",
                (("name it", "--scheme carla-0.9.14"),),
            )
        # JPEG blurs colours at borders; anything else has to fit exactly.
        nearest = path.suffix.lower() in {".jpg", ".jpeg"}
        return known.ids_from_colors(_decode(path, cv2.IMREAD_COLOR_RGB), nearest=nearest, where=str(path))
    pixels = _decode(path, cv2.IMREAD_UNCHANGED)
    if pixels.ndim == 3:
        pixels = pixels[..., 2]  # OpenCV's order is blue, green, red.
    if pixels.dtype != np.uint8:
        if int(pixels.max(initial=0)) > 255:
            raise DatasetError(f"{path}: expected ids of 8 bit, received {pixels.dtype} up to {int(pixels.max())}.")
        pixels = pixels.astype(np.uint8)
    return np.ascontiguousarray(pixels)


def mask_encoding(path: Path) -> MaskEncoding:
    """How a mask file holds its ids, judged by its pixels.

    Raises:
        DatasetError: the file is damaged.
    """
    pixels = _decode(path, cv2.IMREAD_UNCHANGED)
    if pixels.ndim == 2:
        return "ids"
    blue, green, red = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    if not blue.any() and not green.any() and int(red.max(initial=0)) < 64:
        return "red"
    # Ids read in colour and written again stand in every channel.
    if int(red.max(initial=0)) < 64 and np.array_equal(blue, red) and np.array_equal(green, red):
        return "red"
    return "colors"


def _decode(path: Path, flags: int) -> Picture:
    try:
        content = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DatasetError(f"{path}: expected a readable picture, received {error.strerror or error}.") from error
    # Before OpenCV sees it: it answers a truncated file on standard error.
    size_in(content.data, path)
    try:
        pixels: Any = cv2.imdecode(content, flags)
    except cv2.error as error:
        raise DatasetError(f"{path}: expected a picture, received one that cannot be decoded ({error.err}).") from error
    if pixels is None:
        raise DatasetError(
            f"{path}: expected a whole picture, received a damaged file ({content.size} bytes).",
            (("find all of them", f"carlaseg verify {shlex.quote(str(path.parent.parent))} --deep"),),
        )
    return pixels  # type: ignore[no-any-return]
