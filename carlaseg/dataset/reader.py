"""Recordings read back. Rule: a frame exists when all its files and its line do; anything else is not read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from carlaseg.dataset.json_fields import frame_number, mapping
from carlaseg.dataset.records import DroppedRecord, FileRecord, FrameRecord, RecordingMetadata, json_line
from carlaseg.errors import DatasetError

METADATA_FILE = "recording.json"
FRAMES_FILE = "frames.jsonl"
DROPPED_FILE = "dropped.jsonl"
LARGEST_METADATA_BYTES = 16 * 2**20
LARGEST_LINE_BYTES = 2**20
"""Datasets are downloaded: what is larger than any recording's is refused before it takes memory."""


def is_recording(folder: Path) -> bool:
    """Whether a folder says of itself that it is a recording."""
    return (folder / METADATA_FILE).is_file()


def read_metadata(folder: Path) -> RecordingMetadata:
    """The recording's `recording.json`.

    Raises:
        DatasetError: it is missing, damaged, or of a newer format.
    """
    path = folder / METADATA_FILE
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_METADATA_BYTES + 1)
        if len(content) > LARGEST_METADATA_BYTES:
            raise DatasetError(
                f"{path}: expected at most {LARGEST_METADATA_BYTES:,} bytes, received more. It was not read."
            )
        value = json.loads(content)
    except OSError as error:
        raise DatasetError(f"{path}: expected a recording, received {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: expected JSON, received something else ({error}).") from error
    return RecordingMetadata.from_json(value, str(path))


def read_lines(folder: Path) -> Iterator[FrameRecord]:
    """The records of `frames.jsonl` in file order, one in memory at a time, whether their files exist or not.

    Raises:
        DatasetError: a line that was written to its end is damaged.
    """
    for where, line in _whole_lines(folder):
        yield FrameRecord.from_line(line, where)


def read_dropped(folder: Path) -> list[DroppedRecord]:
    """The ledger of ticks that were due and could not be saved, in the order in which they were dropped.

    Raises:
        DatasetError: a line that was written to its end is damaged.
    """
    return [DroppedRecord.from_line(line, where) for where, line in _whole_lines(folder, DROPPED_FILE)]


def line_count(folder: Path) -> int:
    """How many whole lines `frames.jsonl` has."""
    try:
        with (folder / FRAMES_FILE).open("rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    except FileNotFoundError:
        return 0


def read_frames(folder: Path, metadata: RecordingMetadata) -> list[FrameRecord]:
    """The frames that exist, all of their records, by frame number; the first line of a number wins.

    Raises:
        DatasetError: a line is damaged.
    """
    exists = _Existence(folder, metadata)
    frames: dict[int, FrameRecord] = {}
    for record in read_lines(folder):
        if record.frame not in frames and exists(record.files):
            frames[record.frame] = record
    return [frames[number] for number in sorted(frames)]


def read_frame_files(folder: Path, metadata: RecordingMetadata) -> Iterator[tuple[int, dict[str, FileRecord]]]:
    """Number and files of the frames that exist, by frame number: enough to open a dataset, at a fraction of the time.

    Lines of a recording that was ended stand in order, so that one at a time is in memory.

    Raises:
        DatasetError: a line is damaged.
    """
    exists = _Existence(folder, metadata)
    rows = _frame_files(folder)
    last = -1
    for frame, files in rows if metadata.ended is not None else sorted(rows, key=lambda row: row[0]):
        if frame < last:
            raise DatasetError(
                f"{folder / FRAMES_FILE}: expected rising frames in a recording that was ended, "
                f"received {frame} after {last}."
            )
        if frame > last and exists(files):
            yield frame, files
            last = frame


def _frame_files(folder: Path) -> Iterator[tuple[int, dict[str, FileRecord]]]:
    for where, line in _whole_lines(folder):
        value = json_line(line, where)
        files = mapping(value.get("files"), f"{where}, files")
        yield (
            frame_number(value, where),
            {name: FileRecord.from_json(file, f"{where}, file {name}") for name, file in files.items()},
        )


def _whole_lines(folder: Path, name: str = FRAMES_FILE) -> Iterator[tuple[str, bytes]]:
    """Lines and where they stand. A last one without its newline was being written when the recorder died."""
    path = folder / name
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        for number, line in enumerate(iter(lambda: file.readline(LARGEST_LINE_BYTES), b""), 1):
            if not line.endswith(b"\n"):
                if len(line) == LARGEST_LINE_BYTES:
                    raise DatasetError(
                        f"{path}, line {number}: expected less than {LARGEST_LINE_BYTES:,} bytes, received more."
                    )
                return
            yield f"{path}, line {number}", line


class _Existence:
    """Whether a frame exists: all its files do.

    In a recording that was never ended they must be as long as their line says: after a power cut a file may be empty.
    """

    def __init__(self, folder: Path, metadata: RecordingMetadata) -> None:
        self._folder = folder
        self._present = FilesPresent(folder)
        self._ended = metadata.ended is not None

    def __call__(self, files: Mapping[str, FileRecord]) -> bool:
        return all(
            file.path in self._present and (self._ended or (self._folder / file.path).stat().st_size == file.length)
            for file in files.values()
        )


class FilesPresent:
    """Which files a recording has, each folder listed once instead of asking for every file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: dict[str, frozenset[str]] = {}

    def __contains__(self, path: str) -> bool:
        """Whether the file at `path`, relative to the recording, is there."""
        parent, _, name = path.rpartition("/")
        return name in self.names(parent)

    def names(self, parent: str) -> frozenset[str]:
        """Names in a folder of the recording; none when there is no such folder."""
        if parent not in self._names:
            try:
                self._names[parent] = frozenset(os.listdir(self._folder / parent))
            except (FileNotFoundError, NotADirectoryError):
                self._names[parent] = frozenset()
        return self._names[parent]
