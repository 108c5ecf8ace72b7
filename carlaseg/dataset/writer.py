"""Recordings written to disk: every file whole or absent, a frame's line only after all its files.

Rule 1: a file is written under a hidden temporary name and renamed; nobody ever sees half a file under its own name.
Rule 2: a frame's line is appended when all its files stand; a frame without a line does not exist.
Rule 3: `recording.json` stands before the first frame, and is replaced as a whole at the end.

How safe is "written": a recorder that dies in any way, `kill -9` included, loses the frames in flight alone, because
the kernel has the rest. Against a power cut `frames.jsonl` is synced once a second and at the end; picture files are
left to the kernel (syncing each would cost more than encoding it), so the last half minute may be lost with the power.
Lengths and checksums in the lines tell.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shlex
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from carlaseg.dataset.encoding import RgbFormat, encode, encode_photograph, ids_in_colours
from carlaseg.dataset.reader import (
    DROPPED_FILE,
    FRAMES_FILE,
    METADATA_FILE,
    read_dropped,
    read_frames,
    read_lines,
    read_metadata,
)
from carlaseg.dataset.records import DroppedRecord, FileRecord, FrameRecord, RecordingMetadata
from carlaseg.dataset.removed import set_aside_lines
from carlaseg.errors import DatasetError
from carlaseg.files import disk_fault, temporary, write_whole
from carlaseg.labels import LabelScheme

IMAGES, MASKS, COLOURS = "rgb", "seg_raw", "seg"
_PHOTOGRAPHER = "sensor.camera.rgb"
_SYNC_EVERY_S = 1.0


class RecordingWriter:
    """Writes one recording. `write_frame` may be called from several threads at once; frames may come in any order.

    Use as a context manager, or call `close`.

    Args:
        folder: the recording; must not exist yet, or be empty.
        metadata: goes into `recording.json`, at once and, with counts and end, when closed.
        scheme: label scheme of the tags; decides the colours.
        colour: also write `seg/`, for people to look at.
        resume: go on in a folder that is a recording already; its complete frames stay and count.
        others: folders of sensors beside the pair, for `write_frame`'s `others`.
        rgb_format: of the pictures of RGB cameras, by the metadata's rig; all else has its one format.

    Attributes:
        encode_s: seconds spent encoding so far, all threads together.
        disk_s: likewise, seconds spent writing files and lines.

    Raises:
        DatasetError: the folder has something in it (or, with `resume`, is no recording), or cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        metadata: RecordingMetadata,
        scheme: LabelScheme,
        colour: bool = True,
        *,
        resume: bool = False,
        others: Sequence[str] = (),
        rgb_format: RgbFormat = "png",
    ) -> None:
        self.folder = folder
        self._others = tuple(others)
        self._rgb_format: RgbFormat = rgb_format
        self._photographs = {IMAGES} | {camera.folder for camera in metadata.rig if camera.blueprint == _PHOTOGRAPHER}
        self._metadata = metadata
        self._palette = scheme.palette
        self._scheme = scheme
        self._colour = colour
        self._lock = threading.Lock()
        self._frames: set[int] = set()
        self._last_frame = -1
        self._in_order = True
        self._bytes = 0
        self.encode_s = 0.0
        self.disk_s = 0.0
        self._failure: DatasetError | None = None
        self._closed = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if resume:
                self._take_over()
            elif any(folder.iterdir()):
                raise DatasetError(
                    f"{folder}: expected a new or empty folder for a recording, received one with files in it. "
                    "Nothing was changed.",
                    (("another name", f"--name {shlex.quote(f'{folder.name}_2')}"),),
                )
            for name in self._folders():
                (folder / name).mkdir(exist_ok=resume)
            self._write_metadata()
            # Unbuffered: a line that was appended is the kernel's, whatever becomes of this process.
            self._lines = (folder / FRAMES_FILE).open("ab", buffering=0)
        except OSError as error:
            raise DatasetError(f"{folder}: expected a folder to record into, received {error.strerror}.") from error
        self._synced_s = time.monotonic()

    def _take_over(self) -> None:
        """Keep the lines of the frames that exist, and those alone: a half line would swallow the next one.

        Lines of frames that have lost a file are set aside, not deleted: what they say may be nowhere else.
        """
        records = read_frames(self.folder, read_metadata(self.folder))
        exist = {record.frame for record in records}
        if lost := [record for record in read_lines(self.folder) if record.frame not in exist]:
            reasons = [{"frame": record.frame, "reason": "a file was gone, so it is recorded again"} for record in lost]
            set_aside_lines(self.folder, [record.to_line() for record in lost], reasons)
        write_whole(self.folder / FRAMES_FILE, b"".join(record.to_line() for record in records), sync=True)
        if (self.folder / DROPPED_FILE).exists():
            dropped = b"".join(record.to_line() for record in read_dropped(self.folder))
            write_whole(self.folder / DROPPED_FILE, dropped)
        self._frames.update(record.frame for record in records)
        self._last_frame = max(self._frames, default=-1)
        self._bytes = sum(file.length for record in records for file in record.files.values())

    def _folders(self) -> tuple[str, ...]:
        return (IMAGES, MASKS, *((COLOURS,) if self._colour else ()), *self._others)

    @property
    def frames_written(self) -> int:
        """Complete frames on disk."""
        return len(self._frames)

    @property
    def bytes_written(self) -> int:
        """Bytes of the pictures of those frames."""
        return self._bytes

    def write_frame(
        self,
        frame: int,
        image: NDArray[np.uint8],
        tags: NDArray[np.uint8],
        line: FrameRecord,
        others: Mapping[str, NDArray[Any]] | None = None,
    ) -> FrameRecord:
        """Encode and write one frame, then its line.

        Args:
            frame: its number, as in its line.
            image: uint8 (H, W, 3) RGB, or (H, W, 4) BGRA as CARLA's cameras give it.
            tags: uint8 (H, W), the raw ids, aligned with the image.
            line: what else is known of the frame; its `files` are filled in here.
            others: arrays of other sensors, by folder: uint8 (H, W) or (H, W, 3) RGB become pictures, all else .npy.

        Returns:
            The record as written.

        Raises:
            DatasetError: the disk is full or failed; says how many frames are safe. The files of this frame are
                removed.
                Every later call raises it again.
            ValueError: image and tags differ in size, or the frame was written before.
        """
        if image.shape[:2] != tags.shape:
            raise ValueError(
                f"frame {frame}: expected tags of the image's size {image.shape[:2]}, received {tags.shape}."
            )
        with self._lock:
            if self._failure is not None:
                raise self._failure
            if frame in self._frames or frame != line.frame:
                raise ValueError(f"frame {frame}: expected a new frame with its own line, received line {line.frame}.")
        written: list[Path] = []
        try:
            files = {}
            began_s = time.perf_counter()
            encoded = self._encoded(image, tags, others or {})
            encoded_s = time.perf_counter()
            for folder, suffix, content in encoded:
                path = self.folder / folder / f"{folder}_{frame:08d}{suffix}"
                written.append(path)
                write_whole(path, content)
                files[folder] = FileRecord(f"{folder}/{path.name}", len(content), f"{isal_zlib.crc32(content):08x}")
            record = dataclasses.replace(line, files=files)
            with self._lock:
                self._append(record)
                self.encode_s += encoded_s - began_s
                self.disk_s += time.perf_counter() - encoded_s
        except OSError as error:
            raise self._fail(error, written) from error
        return record

    def note_dropped(self, record: DroppedRecord) -> None:
        """Enter a tick that was due and could not be saved into `dropped.jsonl`.

        Raises:
            DatasetError: the disk is full or failed.
        """
        try:
            with (self.folder / DROPPED_FILE).open("ab", buffering=0) as ledger:
                ledger.write(record.to_line())
        except OSError as error:
            raise self._fail(error, []) from error

    def _encoded(
        self, image: NDArray[np.uint8], tags: NDArray[np.uint8], others: Mapping[str, NDArray[Any]]
    ) -> list[tuple[str, str, bytes]]:
        """Folder, suffix and content of each file of a frame."""
        if image.shape[2] == 4:
            image = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGRA2RGB), np.uint8)
        suffix, ids = encode(tags)
        encoded = [(IMAGES, *encode_photograph(image, self._rgb_format)), (MASKS, suffix, ids)]
        if self._colour:
            encoded.append((COLOURS, suffix, ids_in_colours(ids, self._palette)))
        for folder, array in others.items():
            photograph = folder in self._photographs
            encoded.append((folder, *(encode_photograph(array, self._rgb_format) if photograph else encode(array))))
        return encoded

    def _append(self, record: FrameRecord) -> None:
        if self._failure is not None:
            raise OSError(errno.ENOSPC, "the recording has already failed")
        content = record.to_line()
        before = os.fstat(self._lines.fileno()).st_size
        try:
            if self._lines.write(content) != len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            os.ftruncate(self._lines.fileno(), before)
            raise
        self._frames.add(record.frame)
        self._in_order &= record.frame > self._last_frame
        self._last_frame = max(self._last_frame, record.frame)
        self._bytes += sum(file.length for file in record.files.values())
        now_s = time.monotonic()
        if now_s - self._synced_s >= _SYNC_EVERY_S:
            os.fsync(self._lines.fileno())
            self._synced_s = now_s

    def _fail(self, error: OSError, written: list[Path]) -> DatasetError:
        for path in written:
            for leftover in (path, temporary(path)):
                leftover.unlink(missing_ok=True)
        with self._lock:
            if self._failure is None:
                self._failure = DatasetError(
                    f"{self.folder}: expected room for another frame, received {disk_fault(error)}. "
                    f"{len(self._frames)} frames are safe in {self.folder}.",
                    (
                        ("how much is free", f"df -h {shlex.quote(str(self.folder))}"),
                        ("check them", f"carlaseg verify {shlex.quote(str(self.folder))}"),
                    ),
                )
            return self._failure

    def close(self, counts: Mapping[str, int] | None = None) -> None:
        """Put the lines in order, and write counts and end into `recording.json`. Calling it again does nothing.

        Args:
            counts: what the recorder counted besides `frames` ("dropped", "ticks", ...).

        Raises:
            DatasetError: that could not be written, and no earlier failure was reported.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            try:
                with self._lines:
                    os.fsync(self._lines.fileno())
                if not self._in_order:
                    self._sort_lines()
                self._metadata = dataclasses.replace(
                    self._metadata,
                    ended=datetime.now(UTC).isoformat(timespec="seconds"),
                    counts={**(counts or {}), "frames": len(self._frames)},
                )
                self._write_metadata()
            except OSError as error:
                if self._failure is None:
                    raise DatasetError(
                        f"{self.folder}: expected to finish {METADATA_FILE}, received {error.strerror}. "
                        f"{len(self._frames)} frames are safe; only their counts are missing."
                    ) from error

    def __enter__(self) -> Self:
        """The writer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close, whatever happened."""
        self.close()

    def _sort_lines(self) -> None:
        path = self.folder / FRAMES_FILE
        lines = path.read_bytes().splitlines(keepends=True)
        # Every line begins {"frame":NUMBER, which is what the format promises readers in a hurry.
        lines.sort(key=lambda line: int(line[len(b'{"frame":') : line.index(b",")]))
        write_whole(path, b"".join(lines))

    def _write_metadata(self) -> None:
        content = json.dumps(self._metadata.to_json(), indent=2, ensure_ascii=False).encode() + b"\n"
        write_whole(self.folder / METADATA_FILE, content, sync=True)
