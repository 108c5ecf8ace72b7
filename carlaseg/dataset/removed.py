"""`.removed/` in a recording: what was taken out of it is kept there, with the reason of each.

Readers pass it by; it may be deleted. The reason is written down before a file goes, and a line before it is missing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from carlaseg.dataset.reader import FRAMES_FILE

REMOVED = ".removed"
REASONS_FILE = "reasons.jsonl"


def set_aside_lines(recording: Path, lines: Sequence[bytes], reasons: Sequence[Mapping[str, object]]) -> None:
    """Append lines of `frames.jsonl` as they were, and why they went; to take them out is the caller's.

    Raises:
        OSError: they could not be written.
    """
    (recording / REMOVED).mkdir(exist_ok=True)
    with (recording / REMOVED / FRAMES_FILE).open("ab") as file:
        file.writelines(line if line.endswith(b"\n") else line + b"\n" for line in lines)
    write_down(recording, reasons)


def write_down(recording: Path, reasons: Sequence[Mapping[str, object]]) -> None:
    """Append reasons.

    Raises:
        OSError: they could not be written.
    """
    (recording / REMOVED).mkdir(exist_ok=True)
    with (recording / REMOVED / REASONS_FILE).open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(reason) + "\n" for reason in reasons)


def set_aside_file(recording: Path, path: str) -> None:
    """Move a file of the recording, beside those of its name that went before; one that is gone is left at that.

    Raises:
        OSError: it could not be moved.
    """
    source, target = recording / path, recording / REMOVED / path
    if not source.is_file():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while target.exists():
        number += 1
        target = (recording / REMOVED / path).with_name(f"{source.name}.{number}")
    source.rename(target)
