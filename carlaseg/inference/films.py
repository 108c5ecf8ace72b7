"""Frames that come one after the other: a video file, a camera. Decoded by OpenCV's FFmpeg, one at a time.

A film whose file breaks off ends with a damaged frame that says so; what came before it is used.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from carlaseg.dataset import Sample
from carlaseg.errors import DatasetError
from carlaseg.labels import LabelScheme
from carlaseg.pipeline import Frame

FILM_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".wmv", ".mjpeg", ".mjpg", ".gif"}
)
CAMERA_RATE_HZ = 30.0
"""For cameras that do not say theirs."""
MISSED_MAX = 2
"""Frames a whole file may have fewer than its header says: containers count differently."""


@dataclass(frozen=True)
class Film:
    """A video, a camera or a simulator, not opened yet.

    Attributes:
        name: of its results; unique among the inputs.
        where: what people call it: the path, the address.
        rate_hz: frames a second.
        length: frames, None where nobody knows (a camera).
        scheme: label scheme of the truth that comes with its frames, None without truth.
        live: whether it ends only when it is told to, and cannot be seen twice.
        frames: opens it and gives its frames; takes the table from ids in the truth to the network's classes, None
            where no truth is wanted.
    """

    name: str
    where: str
    rate_hz: float
    length: int | None
    scheme: LabelScheme | None
    live: bool
    frames: Callable[[NDArray[np.uint8] | None], Iterator[Frame]]


def is_film(name: str) -> bool:
    """Whether a file of that name is a video that we try to read."""
    return not name.startswith(".") and Path(name).suffix.lower() in FILM_SUFFIXES


def video(path: Path, name: str, max_frames: int | None = None) -> Film:
    """A video file.

    Raises:
        DatasetError: it cannot be opened, or has no frame.
    """
    if not path.stat().st_size:
        raise DatasetError(f"{path}: expected a video, received an empty file.")
    with _opened(str(path)) as capture:
        if not capture.isOpened():
            raise DatasetError(f"{path}: expected a video that can be decoded, received one that cannot be opened.")
        rate_hz, promised = float(capture.get(cv2.CAP_PROP_FPS)), int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        if not capture.grab():
            raise DatasetError(f"{path}: expected a video, received one without a frame that can be decoded.")
    length = promised if promised > 0 else None
    wanted = length if max_frames is None else min(max_frames, length or max_frames)

    def frames(_: NDArray[np.uint8] | None) -> Iterator[Frame]:
        count = 0
        with _opened(str(path)) as capture:
            for frame in _frames(capture, path, name, max_frames):
                count += 1
                yield frame
        if wanted is not None and count < wanted - MISSED_MAX:
            problem = DatasetError(
                f"{path}: expected {length} frames as its header says, received {count}; it breaks off there."
            )
            yield Frame(_sample(path, name, count), None, None, problem, 0.0)

    return Film(name, str(path), rate_hz if 0 < rate_hz <= 1000 else CAMERA_RATE_HZ, wanted, None, False, frames)


def camera(address: str, name: str, max_frames: int | None = None) -> Film:
    """A camera.

    Args:
        address: its number as the system counts cameras, or anything else OpenCV opens (a device, rtsp://...).
        name: of its results.
        max_frames: stop after so many.

    Raises:
        DatasetError: there is none, or it gives no picture.
    """
    source = int(address) if address.isdigit() else address
    with _opened(source) as capture:
        if not capture.isOpened() or not capture.grab():
            raise DatasetError(
                f"camera:{address}: expected a camera that gives pictures, received none.",
                (("cameras of this machine", "ls /dev/video*   (Linux); the first one is camera:0"),),
            )
        rate_hz = float(capture.get(cv2.CAP_PROP_FPS))

    def frames(_: NDArray[np.uint8] | None) -> Iterator[Frame]:
        with _opened(source) as capture:
            yield from _frames(capture, Path(f"camera:{address}"), name, max_frames)

    rate_hz = rate_hz if 0 < rate_hz <= 1000 else CAMERA_RATE_HZ
    return Film(name, f"camera:{address}", rate_hz, max_frames, None, True, frames)


def _frames(capture: Any, path: Path, name: str, max_frames: int | None) -> Iterator[Frame]:
    count = 0
    while max_frames is None or count < max_frames:
        began_s = time.perf_counter()
        there, bgr = capture.read()
        if not there or bgr is None:
            return
        image = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
        yield Frame(_sample(path, name, count), image, None, None, time.perf_counter() - began_s)
        count += 1


def _sample(path: Path, name: str, number: int) -> Sample:
    return Sample(path, None, None, None, name, number, None, None, f"{name}_{number:06d}")


@contextmanager
def _opened(source: str | int) -> Iterator[Any]:
    # FFmpeg and OpenCV talk on standard error of what we say in our own words.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    logging = cv2.utils.logging
    level = logging.getLogLevel()
    logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    capture = cv2.VideoCapture(source)
    try:
        yield capture
    finally:
        capture.release()
        logging.setLogLevel(level)
