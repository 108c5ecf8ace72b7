"""Recordings read back. Rule: a frame exists when all its files and its line do; anything else is not read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from carlaseg.dataset.records import FrameRecord, RecordingMetadata
from carlaseg.errors import DatasetError

METADATA_FILE = "recording.json"
FRAMES_FILE = "frames.jsonl"


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
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise DatasetError(f"{path}: expected a recording, received {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: expected JSON, received something else ({error}).") from error
    return RecordingMetadata.from_json(value, str(path))


def read_lines(folder: Path) -> Iterator[FrameRecord]:
    """The records of `frames.jsonl` in file order, one in memory at a time.

    A last line without its newline was being written when the recorder died: its frame does not exist.

    Raises:
        DatasetError: a line that was written to its end is damaged.
    """
    path = folder / FRAMES_FILE
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            yield FrameRecord.from_line(line, f"{path}, line {number}")


def read_frames(folder: Path, metadata: RecordingMetadata) -> list[FrameRecord]:
    """The frames that exist, by frame number; the first line of a number wins.

    In a recording that was never ended the lengths of files are compared too: after a power cut a file may be there and
    empty.

    Raises:
        DatasetError: a line is damaged.
    """
    present = FilesPresent(folder)
    ended = metadata.ended is not None
    frames: dict[int, FrameRecord] = {}
    for record in read_lines(folder):
        if record.frame not in frames and all(
            file.path in present and (ended or (folder / file.path).stat().st_size == file.length)
            for file in record.files.values()
        ):
            frames[record.frame] = record
    return [frames[number] for number in sorted(frames)]


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
