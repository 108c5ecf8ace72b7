"""What is worth knowing of one picture: how bright it is, what it is much like, whether it is the very same file."""

from __future__ import annotations

import shlex
import zlib
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from carlaseg.dataset.headers import size_in
from carlaseg.errors import DatasetError

_HASH_SIDE = 16


class Look(NamedTuple):
    """One picture.

    Attributes:
        brightness: mean of its grey values, 0 to 255.
        perceptual: bool (256,), difference hash: whether each of 16 x 16 places is brighter than the one to its left.
        content: a number that files with the same bytes share, and others hardly ever (length and CRC-32).
    """

    brightness: float
    perceptual: NDArray[np.bool_]
    content: int


def look_at(path: Path) -> Look:
    """Look at a picture file.

    Raises:
        DatasetError: it is damaged.

    Source: the difference hash is "dHash" of Neal Krawetz, with 16 places a side instead of 8.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: expected a readable picture, received {error.strerror}.") from error
    size_in(memoryview(content), path)
    grey = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
    if grey is None:
        raise DatasetError(
            f"{path}: expected a whole picture, received a damaged file ({len(content)} bytes).",
            (("find all of them", f"carlaseg verify {shlex.quote(str(path.parent.parent))} --deep"),),
        )
    small = cv2.resize(grey, (_HASH_SIDE + 1, _HASH_SIDE), interpolation=cv2.INTER_AREA)
    perceptual = (small[:, 1:] > small[:, :-1]).ravel()
    return Look(float(grey.mean()), perceptual, len(content) << 32 | zlib.crc32(content))


def differing_bits(first: Look, second: Look) -> int:
    """How many of the 256 places of two pictures' hashes differ."""
    return int(np.count_nonzero(first.perceptual != second.perceptual))
