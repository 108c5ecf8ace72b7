"""The ledger of dropped ticks, entered as they happen: a killed recorder leaves them too."""

from __future__ import annotations

from collections.abc import Sequence

from carlaseg.dataset.records import DroppedRecord
from carlaseg.dataset.writer import RecordingWriter


class Ledger:
    """Enters each dropped tick once.

    Args:
        writer: of the recording.
    """

    def __init__(self, writer: RecordingWriter) -> None:
        self._writer = writer
        self._entered = 0

    def enter(self, dropped: Sequence[DroppedRecord]) -> None:
        """Enter those that were not yet: `dropped` only ever grows at its end."""
        for record in dropped[self._entered :]:
            self._writer.note_dropped(record)
        self._entered = len(dropped)
