"""Arrays as the bytes of files: all without loss, photographs also as JPEG where that was asked for."""

from __future__ import annotations

import io
import struct
from typing import Any, Literal

import cv2
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

RgbFormat = Literal["png", "webp", "jpeg"]
"""How photographs are written; ids, depth and all else that is numbers has no choice."""

_LEVEL = 1
"""Of ISA-L's deflate: a quarter of the time of OpenCV's quickest way, photographs at up to 6 % more bytes, ids at no
more (benchmarks/picture_formats.py)."""
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {1: 0, 3: 2, 4: 6}
"""By channels: grey, RGB, RGBA."""
_SUB, _UP = 1, 2

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
    if array.dtype == np.uint8:
        return ".png", png(array)
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    return ".npy", content.getvalue()


def png(array: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """The content of a PNG.

    Colours are kept by differences to the pixel on the left, ids to the one above: below each other most are the same.

    Args:
        array: uint8 (H, W), (H, W, 3) RGB or (H, W, 4) RGBA, or uint16 (H, W).

    Source:
        PNG specification, third edition: 7.1 integers, 9.2 filter types, 10 compression, 11.2 chunks.
    """
    height, width = array.shape[:2]
    channels = 1 if array.ndim == 2 else array.shape[2]
    most_significant_first = array.dtype.newbyteorder(">")
    rows = np.ascontiguousarray(array, most_significant_first).view(np.uint8).reshape(height, -1)
    filtered = np.empty((height, 1 + rows.shape[1]), np.uint8)
    if channels == 1:
        filtered[:, 0], filtered[0, 1:] = _UP, rows[0]
        np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    else:
        filtered[:, 0], filtered[:, 1 : 1 + channels] = _SUB, rows[:, :channels]
        np.subtract(rows[:, channels:], rows[:, :-channels], out=filtered[:, 1 + channels :])
    header = struct.pack(">IIBBBBB", width, height, 8 * array.dtype.itemsize, _COLOUR_TYPES[channels], 0, 0, 0)
    content = isal_zlib.compress(filtered.data, _LEVEL)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", content) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = isal_zlib.crc32(content, isal_zlib.crc32(kind))
    return b"".join((struct.pack(">I", len(content)), kind, content, struct.pack(">I", check)))


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
    header[29:33] = struct.pack(">I", isal_zlib.crc32(header[12:29]))
    entries = np.ascontiguousarray(palette, dtype=np.uint8).tobytes()
    return bytes(header) + _chunk(b"PLTE", entries) + png[_IHDR_END:]
