"""JSON files of any length, a row in memory at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from carlaseg.files import temporary


def array_text(items: Iterable[Any]) -> Iterator[str]:
    """An array, an item a line."""
    yield "["
    for number, item in enumerate(items):
        yield ("\n" if number == 0 else ",\n") + json.dumps(item, separators=(",", ":"))
    yield "\n]"


def object_text(head: Mapping[str, Any], arrays: Mapping[str, Iterable[str]]) -> Iterator[str]:
    """An object: a few plain values, then arrays as text."""
    yield "{"
    for number, (key, value) in enumerate(head.items()):
        yield ("\n" if number == 0 else ",\n") + f"{json.dumps(key)}: {json.dumps(value)}"
    for key, array in arrays.items():
        yield f",\n{json.dumps(key)}: "
        yield from array
    yield "\n}\n"


def write_text(path: Path, text: Iterable[str]) -> None:
    """Write text, piece by piece, so that the file is seen whole or not at all.

    Raises:
        OSError: it could not be written; nothing is left of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = temporary(path)
    try:
        with part.open("w", encoding="utf-8") as file:
            file.writelines(text)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
