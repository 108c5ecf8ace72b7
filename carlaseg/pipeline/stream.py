"""Images to segment, decoded ahead of the network, in bounded memory, at any number: from files, or from a film.

A damaged file never ends the stream: its frame arrives with the error in the place of the picture.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import cv2
import numpy as np
from numpy.typing import NDArray

from carlaseg.dataset import Sample, read_image, read_mask
from carlaseg.errors import DatasetError
from carlaseg.pipeline.batches import WORKERS, ahead
from carlaseg.pipeline.cache import resized_image


@dataclass(frozen=True)
class Frame:
    """One image to segment, as it is on disk."""

    sample: Sample
    image: NDArray[np.uint8] | None
    """uint8, (H, W, 3), RGB; None when the file is damaged."""
    truth: NDArray[np.uint8] | None
    """uint8, (H, W), class ids of the network, 255 for void; None without a mask or when it is damaged."""
    problem: DatasetError | None
    """What is wrong with the image or its mask."""
    read_s: float
    """Seconds spent reading and decoding."""


@dataclass(frozen=True)
class InferenceBatch:
    """Frames whose images the network sees at once, and damaged ones met on the way."""

    images: NDArray[np.uint8]
    """uint8, (B, H, W, 3), RGB, at the network's size; B may be 0 in the last batch."""
    frames: tuple[Frame, ...]
    """The B frames of the images, in order."""
    damaged: tuple[Frame, ...]
    """Frames without an image; they are in no batch."""


def for_inference(
    samples: Sequence[Sample],
    size: tuple[int, int] | None,
    batch_size: int,
    table: NDArray[np.uint8] | None = None,
    workers: int = WORKERS,
) -> Generator[InferenceBatch, None, None]:
    """Batches of images, each with the frames behind it, decoded by threads while the network works.

    Args:
        samples: what to read, with or without masks.
        size: (height, width) the network sees; each image's own when None.
        batch_size: images a batch; all of one size on disk. The last of a size may be smaller.
        table: uint8, (256,): id in the mask to class id, 255 for void; masks are not read when None.
        workers: decoding threads.

    Returns:
        The batches. Memory is bounded by the batch and a few frames read ahead.
    """
    frames = ahead(lambda sample: _read(sample, size, table), samples, workers, depth=batch_size + workers)
    return _batched(frames, batch_size)


def for_stream(
    frames: Iterator[Frame], size: tuple[int, int] | None, batch_size: int
) -> Generator[InferenceBatch, None, None]:
    """Batches of what comes one after the other: a video, a camera, a simulator. One thread takes the next frames.

    Args:
        frames: taken in one thread, a few ahead of need; closed by whoever made them.
        size: (height, width) the network sees; each image's own when None.
        batch_size: images a batch; all of one size.

    Returns:
        The batches. Memory is bounded by the batch and a few frames read ahead.
    """

    def take(_: int) -> tuple[Frame, NDArray[np.uint8] | None] | None:
        frame = next(frames, None)
        if frame is None or frame.image is None:
            return None if frame is None else (frame, None)
        return frame, frame.image if size is None else resized_image(frame.image, size)

    taken = ahead(take, count(), workers=1, depth=batch_size + 2)

    def until_the_end() -> Generator[tuple[Frame, NDArray[np.uint8] | None], None, None]:
        try:
            for item in taken:
                if item is None:
                    return
                yield item
        finally:
            taken.close()

    return _batched(until_the_end(), batch_size)


def _batched(
    frames: Generator[tuple[Frame, NDArray[np.uint8] | None], None, None], batch_size: int
) -> Generator[InferenceBatch, None, None]:
    pending: list[tuple[Frame, NDArray[np.uint8]]] = []
    damaged: list[Frame] = []

    def flush() -> InferenceBatch:
        images = np.stack([image for _, image in pending]) if pending else np.empty((0, 1, 1, 3), np.uint8)
        batch = InferenceBatch(images, tuple(frame for frame, _ in pending), tuple(damaged))
        pending.clear()
        damaged.clear()
        return batch

    try:
        for frame, image in frames:
            if image is None:
                damaged.append(frame)
                continue
            if pending and _shapes(frame, image) != _shapes(*pending[0]):
                yield flush()
            pending.append((frame, image))
            if len(pending) == batch_size:
                yield flush()
        if pending or damaged:
            yield flush()
    finally:
        frames.close()


def _shapes(frame: Frame, image: NDArray[np.uint8]) -> tuple[object, object]:
    return image.shape, None if frame.image is None else frame.image.shape


def _read(
    sample: Sample, size: tuple[int, int] | None, table: NDArray[np.uint8] | None
) -> tuple[Frame, NDArray[np.uint8] | None]:
    began_s = time.perf_counter()
    image: NDArray[np.uint8] | None = None
    seen: NDArray[np.uint8] | None = None
    truth: NDArray[np.uint8] | None = None
    problem: DatasetError | None = None
    try:
        image = read_image(sample.image_path)
        seen = image if size is None else resized_image(image, size)
        if table is not None and sample.mask_path is not None:
            mask = read_mask(sample)
            if mask.shape != image.shape[:2]:
                raise DatasetError(
                    f"{sample.mask_path}: expected the size of its image, {image.shape[0]}x{image.shape[1]}, "
                    f"received {mask.shape[0]}x{mask.shape[1]}."
                )
            truth = np.asarray(cv2.LUT(mask, table), np.uint8)
    except DatasetError as error:
        problem = error
    return Frame(sample, image, truth, problem, time.perf_counter() - began_s), seen
