"""Batches to train and to validate on.

Rule 1: a training batch is a pure function of (seed, epoch, step): the same whether it is asked for alone, in order,
by one thread or by several. Resuming in the middle of an epoch needs nothing but the two numbers.
Rule 2: all training batches of a data set have one shape. The last batch of an epoch is filled up with frames from the
epoch's start (newly augmented), because a smaller one would be compiled anew and shake the batch norm.
Rule 3: prefetching is bounded, and its threads end with the iterator: at its end, on `close()`, on an exception.
"""

from __future__ import annotations

import copy
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from carlaseg.dataset import Sample
from carlaseg.pipeline.augment import Augmenter
from carlaseg.pipeline.cache import CacheKind, Frames, Pair, stack
from carlaseg.pipeline.crops import Crop
from carlaseg.pipeline.mix import Mix

Task = TypeVar("Task")
Done = TypeVar("Done")

WORKERS = min(4, os.cpu_count() or 1)
"""Decoding scales with cores (OpenCV frees the GIL), augmentation does not: imgaug is Python."""
WHOLE = (0, 1)
"""The one part of one: all of a batch."""


def for_training(
    samples: Sequence[Sample],
    tables: Mapping[str, NDArray[np.uint8]],
    size: tuple[int, int],
    batch_size: int,
    augment: str = "none",
    seed: int = 0,
    cache: CacheKind = "ram",
    accumulate: int = 1,
    crop: Crop | None = None,
    mix: Mix | None = None,
    part: tuple[int, int] = WHOLE,
    room_bytes: int | None = None,
) -> TrainingBatches:
    """Shuffled, augmented batches.

    Args:
        samples: frames with masks.
        tables: uint8, (256,), by label scheme of the samples: id in the mask to class id, 255 for void.
        size: (height, width) of the batches.
        batch_size: frames a batch.
        augment: preset, see Augmenter.
        seed: seed of order and augmentation.
        cache: `ram` keeps decoded frames for later epochs, if they fit.
        accumulate: batches that make one update; the epoch's count of batches is a multiple of it.
        crop: how frames are cut after the augmentation; not at all when not given.
        mix: share of each dataset in an epoch; when not given every frame comes once.
        part: which part of each batch to make, and of how many: (1, 4) for the second of four processes.
        room_bytes: most memory that the cache may take; half of what is free when not given.

    Raises:
        DatasetError: no samples, or one without a mask.
        ConfigError: an unknown preset.
    """
    frames = Frames(samples, tables, size, cache, room_bytes)
    return TrainingBatches(frames, batch_size, Augmenter(augment, seed), seed, accumulate, crop, mix, part)


def for_evaluation(
    samples: Sequence[Sample],
    tables: Mapping[str, NDArray[np.uint8]],
    size: tuple[int, int],
    batch_size: int,
    cache: CacheKind = "ram",
    room_bytes: int | None = None,
) -> EvaluationBatches:
    """Batches in the order of the samples, each frame once, never augmented; the last one may be smaller.

    Args:
        samples: frames with masks.
        tables: uint8, (256,), by label scheme of the samples: id in the mask to class id, 255 for void.
        size: (height, width) of the batches.
        batch_size: frames a batch.
        cache: `ram` keeps decoded frames for the next pass, if they fit.
        room_bytes: most memory that the cache may take; half of what is free when not given.

    Raises:
        DatasetError: no samples, or one without a mask.
    """
    return EvaluationBatches(Frames(samples, tables, size, cache, room_bytes), batch_size)


class TrainingBatches:
    """Shuffled, augmented batches of one shape. `len()` is the number of steps an epoch.

    The frames of an epoch, their order and what is done to each depend on batch_size x accumulate alone: at half the
    batch and twice the accumulation an update sees the same frames.

    Args:
        frames: where frames come from.
        batch_size: frames a batch.
        augmenter: what changes them.
        seed: seed of the order.
        accumulate: batches that make one update.
        crop: how frames are cut after that.
        mix: share of each dataset in an epoch.
        part: which part of each batch to make, and of how many. The parts together are the batch.
    """

    def __init__(
        self,
        frames: Frames,
        batch_size: int,
        augmenter: Augmenter,
        seed: int,
        accumulate: int = 1,
        crop: Crop | None = None,
        mix: Mix | None = None,
        part: tuple[int, int] = WHOLE,
    ) -> None:
        if batch_size % part[1]:
            raise ValueError(f"batch_size: expected a multiple of {part[1]} parts, received {batch_size}.")
        self.frames = frames
        self.batch_size = batch_size
        self.accumulate = accumulate
        self._mix = mix
        self._part = part
        self._crop = crop
        self._augmenter = augmenter
        self._seed = seed

    def __len__(self) -> int:
        return -(-len(self.frames) // (self.batch_size * self.accumulate)) * self.accumulate

    @property
    def cached(self) -> bool:
        """Whether decoded frames are kept in memory."""
        return self.frames.cached

    def whole(self) -> TrainingBatches:
        """The same batches, not this process's part of them."""
        batches = copy.copy(self)
        batches._part = WHOLE
        return batches

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Which frame comes when: int64, (steps * batch_size,). Unless mixed, every frame is in it, a few twice."""
        rng = np.random.default_rng((self._seed, epoch))
        count = len(self) * self.batch_size
        if self._mix is not None:
            return self._mix.order(rng, count)
        return np.resize(rng.permutation(len(self.frames)), count)

    def batch(self, epoch: int, step: int) -> Pair:
        """One batch, or this process's part of it.

        Args:
            epoch: from 0.
            step: from 0, below `len()`.

        Returns:
            Images, uint8 (B, H, W, 3) RGB, and masks, uint8 (B, H, W): class ids, 255 for void.

        Raises:
            DatasetError: a file of the batch cannot be read.
        """
        if not 0 <= step < len(self):
            raise IndexError(f"step: expected 0 to {len(self) - 1}, received {step}.")
        return self._batch(epoch, step, self.order(epoch))

    def epoch(self, epoch: int, start_step: int = 0, workers: int = WORKERS) -> Generator[Pair, None, None]:
        """The batches of an epoch from `start_step` on, made ahead of need by a few threads.

        Raises:
            DatasetError: a file cannot be read; raised at the batch it belongs to.
        """
        order = self.order(epoch)
        return ahead(lambda step: self._batch(epoch, step, order), range(start_step, len(self)), workers)

    def _batch(self, epoch: int, step: int, order: NDArray[np.int64]) -> Pair:
        rank, parts = self._part
        count = self.batch_size // parts
        first = step * self.batch_size + rank * count
        indices = order[first : first + count]
        crop = self._crop if self._crop is not None and self._crop.applies(epoch) else None
        if self._augmenter.preset == "none" and crop is None:
            return self.frames.gather(indices)
        return stack([self._drawn(int(index), epoch, first + place, crop) for place, index in enumerate(indices)])

    def _drawn(self, frame: int, epoch: int, place: int, crop: Crop | None) -> Pair:
        image, mask = self._augmenter(*self.frames.read(frame), epoch, place)
        return (image, mask) if crop is None else crop.cut(image, mask, self._seed, epoch, place)


class EvaluationBatches:
    """Batches in order, each frame once. Iterate as often as needed; `len()` is the number of batches.

    Args:
        frames: where frames come from.
        batch_size: frames a batch.
    """

    def __init__(self, frames: Frames, batch_size: int) -> None:
        self.frames = frames
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self.frames) // self.batch_size)

    @property
    def samples(self) -> Sequence[Sample]:
        """The samples, in the order of the batches."""
        return self.frames.samples

    def batch(self, step: int) -> Pair:
        """One batch: images, uint8 (B, H, W, 3) RGB, and masks, uint8 (B, H, W), 255 for void.

        Raises:
            DatasetError: a file of the batch cannot be read.
        """
        if not 0 <= step < len(self):
            raise IndexError(f"step: expected 0 to {len(self) - 1}, received {step}.")
        first = step * self.batch_size
        return self.frames.gather(np.arange(first, min(first + self.batch_size, len(self.frames))))

    def __iter__(self) -> Iterator[Pair]:
        return ahead(self.batch, range(len(self)), WORKERS)


def ahead(
    work: Callable[[Task], Done], tasks: Iterable[Task], workers: int, depth: int | None = None
) -> Generator[Done, None, None]:
    """The results of `work` for each task, in order, made ahead of need by threads.

    Args:
        work: called in the threads.
        tasks: taken one by one, as results are consumed.
        workers: threads; 0 works in the caller's thread.
        depth: results that may wait or be in the making; two more than the threads when not given.

    Yields:
        One result a task. An exception of `work` is raised at its place; the threads have then ended.
    """
    if workers == 0:
        yield from map(work, tasks)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="carlaseg-batches")
    waiting: deque[Future[Done]] = deque()
    try:
        for task in tasks:
            waiting.append(pool.submit(work, task))
            if len(waiting) >= (depth or workers + 2):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
