"""Arrays as the bytes of files: all without loss, photographs also as JPEG where that was asked for."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

RgbFormat = Literal["png", "webp", "jpeg"]
"""How photographs are written; ids, depth and all else that is numbers has no choice."""

_RGB_FLAGS = (
    cv2.IMWRITE_PNG_COMPRESSION,
    1,
    cv2.IMWRITE_PNG_STRATEGY,
    cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY,
    cv2.IMWRITE_PNG_FILTER,
    cv2.IMWRITE_PNG_FILTER_SUB,
)
"""A quarter to a third faster than OpenCV's default on CARLA's pictures, at the same size: the default is the same
filter with run lengths, which photographs hardly have. A level without a filter would be slower than the default; level
9 takes 60 times as long for 5 % fewer bytes (benchmarks/picture_formats.py)."""

_WEBP_FLAGS = (cv2.IMWRITE_WEBP_QUALITY, 101)
"""Above 100 OpenCV encodes without loss."""

_JPEG_FLAGS = (
    cv2.IMWRITE_JPEG_QUALITY,
    95,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
)
"""Colour at full size: halved, as usual, it runs over the borders that the masks have."""

_IHDR_END = 33
_COLOUR_TYPE_AT = 25
_PALETTE_COLOUR_TYPE = 3


def encode_photograph(image: NDArray[np.uint8], rgb_format: RgbFormat) -> tuple[str, bytes]:
    """The suffix and the content of the file that holds a photograph.

    Args:
        image: uint8 (H, W, 3) RGB.
        rgb_format: PNG and WebP are without loss.
    """
    if rgb_format == "png":
        return encode(image)
    suffix, flags = (".webp", _WEBP_FLAGS) if rgb_format == "webp" else (".jpg", _JPEG_FLAGS)
    return suffix, cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), flags)[1].tobytes()


def encode(array: NDArray[Any]) -> tuple[str, bytes]:
    """The suffix and the content of the file that holds an array without loss.

    Args:
        array: uint8 (H, W), or (H, W, 3) RGB: a PNG of 8 bits; anything else: NumPy's own format, little-endian.
    """
    if array.dtype == np.uint8 and array.ndim == 3:
        return ".png", cv2.imencode(".png", cv2.cvtColor(array, cv2.COLOR_RGB2BGR), _RGB_FLAGS)[1].tobytes()
    if array.dtype == np.uint8:
        # Masks are run lengths, and OpenCV's default without flags is made for them.
        return ".png", cv2.imencode(".png", array)[1].tobytes()
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    return ".npy", content.getvalue()


def ids_in_colours(png: bytes, palette: NDArray[np.uint8]) -> bytes:
    """A PNG of ids as a PNG that shows their colours: the same pixels with a palette, so nothing is encoded twice.

    Args:
        png: 8 bits, one channel, as `encode` gives it.
        palette: uint8 (256, 3), RGB.

    Source:
        PNG specification, third edition: 11.2.1 IHDR (colour type 3), 11.2.2 PLTE.
    """
    header = bytearray(png[:_IHDR_END])
    header[_COLOUR_TYPE_AT] = _PALETTE_COLOUR_TYPE
    header[29:33] = struct.pack(">I", zlib.crc32(header[12:29]))
    entries = b"PLTE" + np.ascontiguousarray(palette, dtype=np.uint8).tobytes()
    chunk = struct.pack(">I", len(entries) - 4) + entries + struct.pack(">I", zlib.crc32(entries))
    return bytes(header) + chunk + png[_IHDR_END:]
