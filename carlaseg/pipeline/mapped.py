"""Decoded frames in memory-mapped files, so that later epochs and later runs decode nothing.

Rule 1: a kept data set is found by a hash of all that its frames depend on: path, length and time of every file, the
tables, the size. A file that was changed makes another hash; nothing stale is ever found.
Rule 2: every frame carries a checksum, looked at once a process. What a power cut left half written is decoded again.
Rule 3: all kept data sets together take no more than half of what the disk could give; the least recently used go
first, never one that a process is using. The room is taken at once: a mapped file on a full disk would be a crash.
Rule 4: one process at a time makes files, or room for them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import weakref
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carlaseg.dataset import Sample

BYTES_A_PIXEL = 4
"""Three of the image, one of the mask."""
SHARE_OF_DISK = 0.5
FORMAT = b"1"


class NoRoomOnDisk(Exception):
    """Why frames cannot be kept; never seen by a user as an error."""


class FramesOnDisk:
    """The frames of one data set in one folder: images, masks, and a checksum a frame.

    Args:
        folder: where the three files are, of their full length.
        count: frames.
        size: (height, width) of each.
    """

    def __init__(self, folder: Path, count: int, size: tuple[int, int]) -> None:
        weakref.finalize(self, os.close, _shared_lock(folder))
        # Plain arrays over the mapping: a view of np.memmap costs three times as much to make.
        self.images = np.asarray(np.memmap(folder / "images", np.uint8, "r+", shape=(count, *size, 3)))
        self.masks = np.asarray(np.memmap(folder / "masks", np.uint8, "r+", shape=(count, *size)))
        self._sums = np.asarray(np.memmap(folder / "sums", np.uint32, "r+", shape=(count,)))
        self._checked = np.zeros(count, bool)

    def has(self, index: int) -> bool:
        """Whether a frame is there, whole."""
        if not self._checked[index]:
            found = self._sums[index] and self._sums[index] == _sum(self.images[index], self.masks[index])
            self._checked[index] = bool(found)
        return bool(self._checked[index])

    def put(self, index: int, image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> None:
        """Keep a frame."""
        self.images[index], self.masks[index] = image, mask
        self._sums[index] = _sum(image, mask)
        self._checked[index] = True


def open_frames(
    samples: Sequence[Sample], tables: Mapping[str, NDArray[np.uint8]], size: tuple[int, int]
) -> FramesOnDisk:
    """The kept frames of these samples, or empty files for them.

    Raises:
        NoRoomOnDisk: the disk has too little room, or cannot be written.
    """
    root = frames_folder()
    folder = root / _digest(samples, tables, size)
    pixels = len(samples) * size[0] * size[1]
    try:
        with _one_at_a_time(root):
            if not (folder / "sums").is_file():
                _make_room(root, pixels * BYTES_A_PIXEL)
                folder.mkdir(parents=True, exist_ok=True)
                # Last the file that says all are there.
                for name, length in (("images", 3 * pixels), ("masks", pixels), ("sums", 4 * len(samples))):
                    _reserve(folder / name, length)
            os.utime(folder)
            return FramesOnDisk(folder, len(samples), size)
    except (OSError, ValueError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise NoRoomOnDisk(f"{folder} could not be written ({error})") from error


def frames_folder() -> Path:
    """Where decoded frames are kept: below CARLASEG_CACHE_DIR, XDG_CACHE_HOME or ~/.cache."""
    own = os.environ.get("CARLASEG_CACHE_DIR")
    if own:
        return Path(own) / "frames"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "carlaseg" / "frames"


def _digest(samples: Sequence[Sample], tables: Mapping[str, NDArray[np.uint8]], size: tuple[int, int]) -> str:
    digest = hashlib.sha256(FORMAT + repr(size).encode())
    for scheme in sorted(tables):
        digest.update(scheme.encode() + tables[scheme].tobytes())
    for sample in samples:
        digest.update(f"{sample.scheme} {sample.mask_encoding}".encode())
        for path in (sample.image_path, sample.mask_path):
            assert path is not None  # Frames refuses samples without a mask
            state = path.stat()
            digest.update(f"{path.absolute()} {state.st_size} {state.st_mtime_ns}".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:32]


def _sum(image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> int:
    """Checksum of a frame, never 0, which stands for a frame that is not there."""
    return zlib.crc32(np.ascontiguousarray(mask).data, zlib.crc32(np.ascontiguousarray(image).data)) or 1


def _make_room(root: Path, needed: int) -> None:
    """Let the least recently used data sets go until the new one keeps to the share.

    Raises:
        NoRoomOnDisk: there would not be room even without them.
    """
    root.mkdir(parents=True, exist_ok=True)
    kept = {path: _length(path) for path in sorted(root.iterdir(), key=lambda path: path.stat().st_mtime)}
    taken = sum(kept.values())
    budget = SHARE_OF_DISK * (shutil.disk_usage(root).free + taken)
    if needed > budget:
        raise NoRoomOnDisk(
            f"the frames need {needed / 2**30:.1f} GiB, half of the room below {root} is {budget / 2**30:.1f} GiB"
        )
    for path, length in kept.items():
        if taken + needed <= budget:
            return
        if _in_use(path):
            continue
        shutil.rmtree(path, ignore_errors=True)
        taken -= length
    if taken + needed > budget:
        raise NoRoomOnDisk(f"the frames need {needed / 2**30:.1f} GiB below {root}, and runs are using the rest")


def _reserve(path: Path, length: int) -> None:
    """A file of zeros whose room on the disk is taken now."""
    with path.open("wb") as file:
        file.truncate(length)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, length)


def _length(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir()) if folder.is_dir() else 0


@contextlib.contextmanager
def _one_at_a_time(root: Path) -> Iterator[None]:
    """Runs that start together, as those of `--processes` do, must not empty the files that another has mapped."""
    root.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(root.with_name(f"{root.name}.lock"), os.O_RDWR | os.O_CREAT)
    try:
        with contextlib.suppress(ImportError, OSError):  # Windows; a file system without locks
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _shared_lock(folder: Path) -> int:
    """A file descriptor that is locked, together with others, for as long as it is open."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
    with contextlib.suppress(ImportError, OSError):  # Windows, where a file in use cannot be removed anyway
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    return descriptor


def _in_use(folder: Path) -> bool:
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
    try:
        with contextlib.suppress(ImportError):
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
