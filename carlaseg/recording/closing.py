"""Closing the recording of a process that was ended before it could."""

from __future__ import annotations

from pathlib import Path

from carlaseg.dataset.reader import is_recording, read_metadata
from carlaseg.dataset.writer import RecordingWriter


def close_for_another(folder: Path | None) -> str:
    """Put a recording's lines and counts in order; gives what is safe, in words. None where none was begun."""
    if folder is None or not is_recording(folder):
        return "Nothing was written"
    metadata = read_metadata(folder)
    writer = RecordingWriter(folder, metadata, metadata.label_scheme, (folder / "seg").is_dir(), resume=True)
    writer.close()
    return f"{writer.frames_written} complete frames are safe in {folder}; the same command goes on"
