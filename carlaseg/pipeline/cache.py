"""Decoded frames by number at the size the network sees, kept for later epochs: in memory, in mapped files, or not.

Rule 1: a store never takes more than a share of the memory or disk that is free when it is made. Too large a data set
is not kept at all, and one line says so: half a store would only make the speed of an epoch hard to understand.
Rule 2: what is kept is decoded, resized and remapped, never augmented; so an epoch from a store equals one without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from carlaseg import console
from carlaseg.dataset import Sample, read_image, read_mask
from carlaseg.errors import DatasetError
from carlaseg.pipeline.mapped import BYTES_A_PIXEL, FramesOnDisk, NoRoomOnDisk, open_frames

CacheKind = Literal["none", "ram", "disk"]
SHARE_OF_FREE_MEMORY = 0.5
"""The network needs the rest; the kernel's page cache, which is counted as free, then gives way."""
FREE_WHEN_UNKNOWN = 4 << 30
"""Bytes taken to be free where the system does not tell."""

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]


class Store(Protocol):
    """Decoded frames by number. Any number of threads may ask; two that write one frame write the same bytes."""

    images: NDArray[np.uint8]
    masks: NDArray[np.uint8]

    def has(self, index: int) -> bool:
        """Whether a frame is there, whole."""

    def put(self, index: int, image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> None:
        """Keep a frame."""


class FramesInMemory:
    """Arrays in memory, taken page by page as frames come in.

    Args:
        count: frames.
        size: (height, width) of each.
    """

    def __init__(self, count: int, size: tuple[int, int]) -> None:
        # np.empty takes address space alone.
        self.images = np.empty((count, *size, 3), np.uint8)
        self.masks = np.empty((count, *size), np.uint8)
        self._filled = np.zeros(count, bool)

    def has(self, index: int) -> bool:
        """Whether a frame is there."""
        return bool(self._filled[index])

    def put(self, index: int, image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> None:
        """Keep a frame."""
        self.images[index], self.masks[index] = image, mask
        self._filled[index] = True


class Frames:
    """The frames of a data set by number, at one size, decoded or from a store. Any number of threads may ask.

    Args:
        samples: every one with a mask.
        tables: uint8, (256,), by label scheme of the samples: id in the mask to class id, 255 for void.
        size: (height, width) of what comes out.
        cache: `ram` keeps every frame once it was decoded, `disk` does in files that later runs find again; both if
            there is room.
        room_bytes: most memory to keep frames in; `room_in_memory` when not given.

    Raises:
        DatasetError: no sample, or one without a mask.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        tables: Mapping[str, NDArray[np.uint8]],
        size: tuple[int, int],
        cache: CacheKind,
        room_bytes: int | None = None,
    ) -> None:
        if not samples:
            raise DatasetError("batches: expected at least one frame, received none.")
        bare = sum(sample.mask_path is None for sample in samples)
        if bare:
            first = next(sample for sample in samples if sample.mask_path is None)
            raise DatasetError(
                f"{first.image_path}: expected a mask beside the image, found none "
                f"({bare} of {len(samples)} frames have none)."
            )
        for table in tables.values():
            if table.shape != (256,) or table.dtype != np.uint8:
                raise ValueError(f"tables: expected uint8 of shape (256,), received {table.dtype} of {table.shape}.")
        # Kept as it is: a large dataset makes its samples one by one, and a copy of a million would fill the memory.
        self.samples = samples
        self.size = size
        self._tables = tables
        self._store: Store | None = None
        if cache == "ram":
            self._store = self._in_memory(room_in_memory() if room_bytes is None else room_bytes)
        elif cache == "disk":
            self._store = self._on_disk()

    @property
    def cached(self) -> bool:
        """Whether frames are kept for later epochs."""
        return self._store is not None

    @property
    def planned_bytes(self) -> int:
        """Memory that is taken once every frame is kept there; the system counts it as free until then."""
        store = self._store
        return store.images.nbytes + store.masks.nbytes if isinstance(store, FramesInMemory) else 0

    def leave_memory(self) -> None:
        """Keep nothing in memory: from now on each frame is decoded whenever it is asked for."""
        if isinstance(self._store, FramesInMemory):
            self._store = None

    def __len__(self) -> int:
        return len(self.samples)

    def read(self, index: int) -> Pair:
        """One frame: uint8 (H, W, 3) and uint8 (H, W). From a store they are views: do not write into them.

        Raises:
            DatasetError: the image or the mask cannot be read.
        """
        if self._store is None:
            return self._decode(index)
        self._fetch(index, self._store)
        return self._store.images[index], self._store.masks[index]

    def gather(self, indices: NDArray[np.int64]) -> Pair:
        """Several frames as a batch of its own memory: uint8 (B, H, W, 3) and uint8 (B, H, W).

        Raises:
            DatasetError: an image or a mask cannot be read.
        """
        if self._store is None:
            return stack([self._decode(int(index)) for index in indices])
        for index in indices:
            self._fetch(int(index), self._store)
        return self._store.images[indices], self._store.masks[indices]

    def _fetch(self, index: int, store: Store) -> None:
        if not store.has(index):
            store.put(index, *self._decode(index))

    def _in_memory(self, room: int) -> FramesInMemory | None:
        needed = len(self.samples) * self.size[0] * self.size[1] * BYTES_A_PIXEL
        if needed <= room:
            return FramesInMemory(len(self.samples), self.size)
        console.say(
            "cache",
            f"none: {len(self.samples)} frames need {needed / 2**30:.1f} GiB, and of half of the free memory "
            f"{max(0, room) / 2**30:.1f} GiB are left for them; every epoch decodes again, unless with --cache disk",
        )
        return None

    def _on_disk(self) -> FramesOnDisk | None:
        try:
            return open_frames(self.samples, self._tables, self.size)
        except NoRoomOnDisk as why:
            console.say("cache", f"none: {why}; every epoch decodes again")
            return None

    def _decode(self, index: int) -> Pair:
        sample = self.samples[index]
        image, mask = read_image(sample.image_path), read_mask(sample)
        if image.shape[:2] != mask.shape:
            raise DatasetError(
                f"{sample.mask_path}: expected the size of its image, {image.shape[0]}x{image.shape[1]}, "
                f"received {mask.shape[0]}x{mask.shape[1]}."
            )
        translated = np.asarray(cv2.LUT(mask, self._tables[sample.scheme or ""]), np.uint8)
        return resized_image(image, self.size), resized_mask(translated, self.size)


def stack(pairs: Sequence[Pair]) -> Pair:
    """Frames of one size as a batch."""
    return np.stack([image for image, _ in pairs]), np.stack([mask for _, mask in pairs])


def resized_image(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The image at (height, width): averaged down, or interpolated up; the aspect ratio may change.

    Args:
        image: uint8, (H, W, 3).
        size: (height, width).
    """
    if image.shape[:2] == size:
        return image
    shrinks = size[0] <= image.shape[0] and size[1] <= image.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (size[1], size[0]), interpolation=how), np.uint8)


def resized_mask(mask: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The mask at (height, width): each pixel takes the id of the nearest one, so that no id is made up.

    Args:
        mask: uint8, (H, W).
        size: (height, width).
    """
    if mask.shape == size:
        return mask
    # NEAREST_EXACT measures from pixel centres, as AREA and LINEAR do; plain NEAREST would shift masks up to the left.
    return np.asarray(cv2.resize(mask, (size[1], size[0]), interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)


def room_in_memory(processes: int = 1) -> int:
    """Bytes that one of so many processes on this machine may keep frames in, all its stores together."""
    return int(available_bytes() * SHARE_OF_FREE_MEMORY / processes)


def available_bytes() -> int:
    """Memory that can be taken without swapping: the system's free memory, or what is left of the container's."""
    limits = [value for ask in (_system_free, _container_free) if (value := ask()) is not None]
    return min(limits, default=FREE_WHEN_UNKNOWN)


def _system_free() -> int | None:
    text = _text(Path("/proc/meminfo"))
    for line in text.splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _container_free(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Source: Linux, Documentation/admin-guide/cgroup-v2.rst, memory interface files."""
    limit, used = _text(root / "memory.max").strip(), _text(root / "memory.current").strip()
    if not limit.isdigit() or not used.isdigit():
        return None
    return max(0, int(limit) - int(used))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""
