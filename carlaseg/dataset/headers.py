"""Size and wholeness of a picture file from its first and last bytes, without decoding it.

A file that was cut short is found by its end: PNG ends in an IEND chunk, JPEG in an end-of-image marker, WebP says its
length.

Animations are refused: a reader would take their first picture for all of them.

Source: PNG (third edition), ITU T.81 for JPEG, RFC 9649 for WebP.
"""

from __future__ import annotations

import os
import shlex
import struct
from pathlib import Path

from carlaseg.errors import DatasetError

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_JPEG_SIGNATURE = b"\xff\xd8"
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_HEAD = 64 * 1024
_TAIL = 4096  # Some cameras leave a few bytes behind the end of a JPEG.
_WEBP_HEAD = 30
_WEBP_ANIMATION = 0x02


def picture_size(path: Path) -> tuple[int, int]:
    """(height, width) of a PNG, JPEG or WebP file that has a beginning and an end.

    Raises:
        DatasetError: the file cannot be read, is cut short, or is none of these.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
            if head.startswith(_JPEG_SIGNATURE):
                head += file.read()  # Its size may stand behind any amount of a camera's notes.
            length = file.seek(0, os.SEEK_END)
            file.seek(max(0, length - _TAIL))
            return _size(head, file.read(), length, path)
    except OSError as error:
        raise DatasetError(f"{path}: expected a readable picture, received {error.strerror}.") from error


def size_in(content: memoryview, path: Path) -> tuple[int, int]:
    """(height, width) of a whole picture in memory.

    Args:
        content: the file, byte by byte.
        path: what to call it in an error.

    Raises:
        DatasetError: it is cut short, or not a PNG, JPEG or WebP.
    """
    head = content if bytes(content[:2]) == _JPEG_SIGNATURE else content[:_HEAD]
    return _size(bytes(head), bytes(content[-_TAIL:]), len(content), path)


def _size(head: bytes, tail: bytes, length: int, path: Path) -> tuple[int, int]:
    if length == 0:
        raise DatasetError(f"{path}: expected a picture, received an empty file.")
    animated = False
    if head.startswith(_PNG_SIGNATURE) and head[12:16] == b"IHDR" and len(head) >= 33:
        width, height = struct.unpack(">II", head[16:24])
        whole = _PNG_END in tail
        # The control chunk of an animation comes before its first picture.
        animated = b"acTL" in head[33 : head.find(b"IDAT")]
        size = (height, width)
    elif head.startswith(_JPEG_SIGNATURE):
        size = _jpeg_size(head)
        whole = b"\xff\xd9" in tail
    elif head.startswith(b"RIFF") and head[8:12] == b"WEBP" and len(head) >= _WEBP_HEAD:
        size = _webp_size(head)
        promised = int(struct.unpack("<I", head[4:8])[0])
        whole = length >= promised + 8 > _WEBP_HEAD
        animated = head[12:16] == b"VP8X" and bool(head[20] & _WEBP_ANIMATION)
    else:
        raise DatasetError(f"{path}: expected a picture (PNG, JPEG, WebP), received {head[:8]!r} ({length} bytes).")
    if not whole:
        raise DatasetError(
            f"{path}: expected a whole picture, received a truncated file ({length} bytes).",
            (("find all of them", f"carlaseg verify {shlex.quote(str(path.parent.parent))}"),),
        )
    if animated:
        raise DatasetError(f"{path}: expected one picture, received an animation. Make it single pictures or a video.")
    if 0 in size:
        raise DatasetError(f"{path}: expected a picture, received one of size {size[0]}x{size[1]}.")
    return size


def _jpeg_size(head: bytes) -> tuple[int, int]:
    position = 2
    while position + 9 <= len(head) and head[position] == 0xFF:
        marker = head[position + 1]
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack(">HH", head[position + 5 : position + 9])
            return height, width
        if marker == 0xFF or 0xD0 <= marker <= 0xD7:
            position += 1 if marker == 0xFF else 2
            continue
        position += 2 + int(struct.unpack(">H", head[position + 2 : position + 4])[0])
    return 0, 0


def _webp_size(head: bytes) -> tuple[int, int]:
    kind = head[12:16]
    if kind == b"VP8X":
        width = int.from_bytes(head[24:27], "little") + 1
        return int.from_bytes(head[27:30], "little") + 1, width
    if kind == b"VP8L" and head[20] == 0x2F:
        bits = int.from_bytes(head[21:25], "little")
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    if kind == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", head[26:30])
        return height & 0x3FFF, width & 0x3FFF
    return 0, 0
