"""What all runtimes share: logits become ids at the size of the picture, and wrong sizes get an answer.

Several pictures are worked on at once, each by its share of the processor's cores: the many small operations of a
network leave cores waiting when all of them share one picture.
"""

from __future__ import annotations

import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from carlaseg.errors import CheckpointError, ConfigError
from carlaseg.inference.artefact import ArtefactCard, check_answer

MOST_LANES = 4
"""Each holds the maps of a picture of its own in memory."""
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Lanes:
    """Threads that each see a picture through the network with their share of the cores.

    Attributes:
        count: of threads.
        cores_each: how many cores fall to each.
        lock: to be held where a lane makes what it works with.
    """

    def __init__(self, count: int = min(CORES, MOST_LANES)) -> None:
        self.count = count
        self.cores_each = max(1, CORES // count)
        self.lock = threading.Lock()
        self._of_thread = threading.local()
        self._threads: ThreadPoolExecutor | None = None

    @property
    def inside(self) -> bool:
        """Whether the thread that asks is one of them."""
        return bool(getattr(self._of_thread, "inside", False))

    def map(self, work: Callable[[NDArray[np.uint8]], NDArray[Any]], images: NDArray[np.uint8]) -> list[NDArray[Any]]:
        """What the work gives for each image, as a batch of one, in their order."""
        ones = [images[index : index + 1] for index in range(len(images))]
        # Once the lanes are there, a last picture alone takes one too: what it needs has been compiled.
        if self.count == 1 or (len(ones) == 1 and self._threads is None):
            return [work(one) for one in ones]
        if self._threads is None:
            # No method of ours: the threads end with the last reference to what holds them, and a circle has none.
            mark = (self._of_thread, "inside", True)
            self._threads = ThreadPoolExecutor(self.count, "carlaseg-lane", initializer=setattr, initargs=mark)
        return list(self._threads.map(work, ones))


class ArtefactPredictor(ABC):
    """An artefact, loaded; a `Runtime` of `carlaseg.inference`.

    Args:
        path: the artefact.
        card: what it says of itself.
        name: runtime and version.
        lanes: for several pictures at once, where the runtime can be told how many cores a call may take.
    """

    def __init__(self, path: Path, card: ArtefactCard, name: str, lanes: Lanes | None = None) -> None:
        self.path = path
        self.card = card
        self.name = name
        self.lanes = lanes or Lanes(1)

    @property
    def at_once(self) -> int:
        """How many pictures are worked on at a time."""
        return self.lanes.count

    @abstractmethod
    def run(self, images: NDArray[np.uint8]) -> NDArray[Any]:
        """What the artefact itself answers: logits or ids, as its card says. One call of its runtime.

        Several lanes call it at once, each with pictures of its own.
        """

    def __call__(self, images: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
        """Class ids of images.

        Args:
            images: uint8, (B, H, W, 3), RGB.
            size: (height, width) of the answer; logits are interpolated to it, ids take the nearest.

        Returns:
            uint8, (B, *size).

        Raises:
            ConfigError: the artefact has a fixed size and the images another one.
            CheckpointError: the artefact does not do what its metadata says.
        """
        return np.concatenate(self.lanes.map(partial(self._ids, size=size), images))

    def answer(self, images: NDArray[np.uint8]) -> NDArray[Any]:
        """Logits, float32 (B, H, W, C), or ids, uint8 (B, H, W), checked against the card.

        Raises:
            ConfigError: the artefact has a fixed size and the images another one.
            CheckpointError: the artefact does not do what its metadata says.
        """
        self._check_size(images)
        with self._runtime_errors_in_words(images):
            answer = self.run(images)
        check_answer(self.path, self.card, answer, images)
        return answer if self.card.output == "ids" else np.asarray(answer, np.float32)

    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits of images, at their own size.

        Args:
            images: uint8, (B, H, W, 3), RGB.

        Returns:
            float32, (B, H, W, C).

        Raises:
            ConfigError: the artefact has a fixed size and the images another one, or it gives ids.
            CheckpointError: the artefact does not do what its metadata says.
        """
        if self.card.output != "logits":
            raise ConfigError(
                f"{self.path}: expected an artefact that gives logits, which this needs, received one that ends in "
                "class ids.",
                (("make one", "carlaseg export RUN without --argmax"),),
            )
        return np.concatenate(self.lanes.map(self.answer, images))

    def warm(self, shape: tuple[int, ...], size: tuple[int, int]) -> float:
        """Let the runtime prepare for a shape before the clock runs, and return the seconds it took."""
        began_s = time.perf_counter()
        self(np.zeros(shape, np.uint8), size)
        return time.perf_counter() - began_s

    def _ids(self, images: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
        answer = self.answer(images)[0]
        same = answer.shape[:2] == tuple(size)
        if self.card.output == "ids":
            ids = answer if same else cv2.resize(answer, (size[1], size[0]), interpolation=cv2.INTER_NEAREST_EXACT)
        else:
            if not same:
                answer = cv2.resize(answer, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
                answer = answer.reshape(*size, self.card.num_classes)
            ids = answer.argmax(axis=-1)
        if self.card.output == "ids" and ids.size and int(ids.max()) >= self.card.num_classes:
            raise CheckpointError(
                f"{self.path}: expected class ids below {self.card.num_classes}, received {int(ids.max())}."
            )
        return np.asarray(ids, np.uint8)[None]

    @contextmanager
    def _runtime_errors_in_words(self, images: NDArray[np.uint8]) -> Iterator[None]:
        try:
            yield
        except (CheckpointError, MemoryError):
            raise
        except Exception as error:  # every runtime has its own
            raise CheckpointError(
                f"{self.path}: expected an answer of {self.name} to pictures of {images.shape[1]}x{images.shape[2]}, "
                f"received {' '.join(str(error).split())[:300]}."
            ) from error

    def _check_size(self, images: NDArray[np.uint8]) -> None:
        if self.card.size is not None and images.shape[1:3] != self.card.size:
            fixed = "x".join(map(str, self.card.size))
            raise ConfigError(
                f"{self.path}: expected pictures of its own size, {fixed}, "
                f"received {images.shape[1]}x{images.shape[2]}.",
                (("that size", f"--size {fixed}"), ("or export one that takes any size", "carlaseg export RUN")),
            )
