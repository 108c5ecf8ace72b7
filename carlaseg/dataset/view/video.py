"""A dataset as an MP4 video."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from carlaseg.console import Progress, StopRequest
from carlaseg.dataset.pictures import Picture
from carlaseg.dataset.samples import Sample
from carlaseg.dataset.view.frames import Show, picture_of
from carlaseg.errors import DatasetError
from carlaseg.files import temporary

_CODEC = "mp4v"
"""MPEG-4 part 2: what OpenCV's wheels can write on every platform."""


def write_video(
    samples: Sequence[Sample], path: Path, show: Show, fps: float, progress: Progress, stop: StopRequest
) -> None:
    """Write samples one after the other as MP4; all have the size of the first, others are fitted with black beside.

    Args:
        samples: what to show, at least one.
        path: the video, ending in .mp4; seen whole or not at all.
        show: which picture of each.
        fps: pictures a second.
        progress: advanced by one a picture.
        stop: looked at before each picture.

    Raises:
        DatasetError: a sample is damaged, or the video cannot be written (no codec, a full disk).
        Interrupted: the user asked to stop; no video is left.
    """
    first = picture_of(samples[0], show)
    height, width = first.shape[:2]
    # The codec halves the colour planes and refuses odd sizes.
    height, width = height + height % 2, width + width % 2
    path.parent.mkdir(parents=True, exist_ok=True)
    part = temporary(path)
    writer = cv2.VideoWriter(str(part), cv2.VideoWriter.fourcc(*_CODEC), fps, (width, height))
    try:
        if not writer.isOpened():
            raise DatasetError(f"--video {path}: expected to open it for writing, received a refusal of OpenCV's.")
        for number, sample in enumerate(samples):
            if stop.requested:
                raise stop.interrupted(f"stopped after {number} of {len(samples)} pictures; no video was left.")
            fitted = _fitted(first if number == 0 else picture_of(sample, show), height, width)
            writer.write(cv2.cvtColor(fitted, cv2.COLOR_RGB2BGR))
            progress.advance()
        writer.release()
        _check(part, path, len(samples))
        part.replace(path)
    finally:
        writer.release()
        part.unlink(missing_ok=True)


def _fitted(picture: Picture, height: int, width: int) -> Picture:
    if picture.shape[:2] == (height, width):
        return picture
    scale = min(height / picture.shape[0], width / picture.shape[1])
    if scale < 1 or height - picture.shape[0] > 1:
        size_wh = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
        picture = cv2.resize(picture, size_wh, interpolation=cv2.INTER_AREA).astype(np.uint8)
    canvas = np.zeros((height, width, 3), np.uint8)
    canvas[: picture.shape[0], : picture.shape[1]] = picture
    return canvas


def _check(part: Path, path: Path, frames: int) -> None:
    """OpenCV writes to a full disk without a word: the video has to be read back."""
    reader = cv2.VideoCapture(str(part))
    found = int(reader.get(cv2.CAP_PROP_FRAME_COUNT)) if reader.isOpened() else 0
    reader.release()
    if found != frames:
        raise DatasetError(
            f"--video {path}: expected a video of {frames} pictures, received one of {found}. Is the disk full? "
            "Nothing was left.",
            (("how much is free", f"df -h {shlex.quote(str(path.parent))}"),),
        )
