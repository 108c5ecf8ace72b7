"""A video of results: the image, the truth where there is one, and the prediction over the image, side by side.

A film that exists is whole: it is written under a hidden name and renamed when its last frame is in.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from carlaseg.errors import DatasetError
from carlaseg.files import disk_fault, temporary
from carlaseg.inference.panels import Legend, colours, overlay

TILE_HEIGHT_MAX = 720
"""Larger frames are made smaller for the film; masks keep the size of the image."""
CODEC = "mp4v"
"""MPEG-4 part 2: the one that every build of OpenCV can encode."""


def film_frame(
    image: NDArray[np.uint8], truth: NDArray[np.uint8] | None, ids: NDArray[np.uint8], legend: Legend
) -> NDArray[np.uint8]:
    """One frame of the film, uint8 (H, W, 3) RGB, both sides even.

    Args:
        image: uint8, (H, W, 3), RGB.
        truth: uint8, (H, W), class ids, 255 for void; left out when None.
        ids: uint8, (H, W), class ids.
        legend: names and colours.
    """
    tiles = [image]
    if truth is not None:
        tiles.append(overlay(image, colours(truth, legend.palette)))
    tiles.append(overlay(image, colours(ids, legend.palette)))
    sheet = np.concatenate(tiles, axis=1)
    height, width = sheet.shape[:2]
    if height > TILE_HEIGHT_MAX:
        height, width = TILE_HEIGHT_MAX, round(width * TILE_HEIGHT_MAX / height)
    # Encoders take even sides alone.
    size_wh = (max(2, width // 2 * 2), max(2, height // 2 * 2))
    return np.asarray(cv2.resize(sheet, size_wh, interpolation=cv2.INTER_AREA), np.uint8)


class FilmWriter:
    """A video file that grows.

    Args:
        path: of the file; .mp4.
        rate_hz: frames a second.
    """

    def __init__(self, path: Path, rate_hz: float) -> None:
        self.path = path
        self._rate_hz = rate_hz
        self._beside = temporary(path)
        self._size_wh: tuple[int, int] | None = None
        self._writer: Any = None

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Write a frame, uint8 (H, W, 3) RGB; one of another size than the first is brought to the first's.

        Raises:
            DatasetError: the file cannot be written.
        """
        if self._writer is None:
            self._size_wh = (frame.shape[1], frame.shape[0])
            codec = cv2.VideoWriter.fourcc(*CODEC)
            self._writer = cv2.VideoWriter(str(self._beside), codec, self._rate_hz, self._size_wh)
            if not self._writer.isOpened():
                raise DatasetError(f"{self.path}: expected to be able to write a video ({CODEC}), received a refusal.")
        if (frame.shape[1], frame.shape[0]) != self._size_wh:
            assert self._size_wh is not None
            frame = np.asarray(cv2.resize(frame, self._size_wh, interpolation=cv2.INTER_AREA), np.uint8)
        self._writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))

    def close(self, whole: bool) -> Path | None:
        """End the file.

        Args:
            whole: whether it has all its frames; otherwise nothing is kept of it.

        Returns:
            The file; None when there is none.

        Raises:
            DatasetError: there was no room for it.
        """
        if self._writer is None:
            return None
        self._writer.release()
        self._writer = None
        if not whole:
            self._beside.unlink(missing_ok=True)
            return None
        try:
            # OpenCV writes on without a word when the disk is full.
            if self._beside.stat().st_size == 0:
                raise OSError("an empty file")
            self._beside.replace(self.path)
        except OSError as error:
            raise DatasetError(f"{self.path}: expected room to write a video, received {disk_fault(error)}.") from error
        return self.path
