"""A conversion that can be interrupted anywhere and goes on where it stood; what is there is never overwritten.

Rule 1: units (images, or shards of images) are written in order, each file whole or absent; a unit's row is appended
to a journal after its files stand. The number of whole rows is where the next run begins.
Rule 2: tables that need all rows are written at the end, from the journal, a row at a time.
Rule 3: a hidden state file says what the folder is. Another conversion never writes into it, and a finished one is
left alone.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from carlaseg import __version__
from carlaseg.console import StopRequest
from carlaseg.errors import DatasetError
from carlaseg.files import disk_fault, write_whole

STATE_FILE = ".carlaseg_conversion.json"
JOURNAL_FILE = ".carlaseg_rows.jsonl"
_AT_ONCE = 64

Row = dict[str, Any]
UnitT = TypeVar("UnitT")


class Export(Protocol[UnitT]):
    """What a target format is: units in order, how one is written, and the tables at the end."""

    @property
    def losses(self) -> tuple[str, ...]:
        """What is lost in this format, a sentence each."""

    @property
    def units(self) -> Sequence[UnitT]:
        """What is written, in order; the same in every run with the same settings."""

    def images_in(self, unit: UnitT) -> int:
        """How many images a unit has."""

    def write(self, unit: UnitT) -> Row:
        """Write the files of a unit; several threads do this at once. Returns what the tables need of it."""

    def finish(self, rows: Callable[[], Iterator[Row]]) -> None:
        """Write the tables. `rows()` reads all rows from the start, in order, each time it is called."""


@dataclass(frozen=True)
class Outcome:
    """How a conversion ended: images in all, images written by this run, whether it was complete before."""

    images: int
    written: int
    complete_before: bool


def convert(
    export: Export[UnitT],
    output: Path,
    settings: Mapping[str, Any],
    watch: Callable[[int, int], object],
    stop: StopRequest,
    card: Callable[[], object],
) -> Outcome:
    """Write an export into a folder, or go on with it.

    Args:
        export: what to write.
        output: new, empty, or begun with the same settings.
        settings: all that decides what is written; JSON values.
        watch: called with the images done and the images in all.
        stop: looked at before each unit.
        card: writes what people read about the folder, when all else stands.

    Raises:
        DatasetError: the folder holds something else, a sample is damaged, the disk is full or failed.
        Interrupted: the user asked to stop.
    """
    total = sum(export.images_in(unit) for unit in export.units)
    again = (("go on", "the same command again"),)
    try:
        if _take_folder(output, settings):
            # Killed between the two last steps of `convert`, a run leaves its journal behind.
            (output / JOURNAL_FILE).unlink(missing_ok=True)
            return Outcome(total, 0, True)
        begun = _whole_rows(output / JOURNAL_FILE)
        done = already = sum(export.images_in(unit) for unit in export.units[:begun])
        watch(done, total)
        # One unit of each chunk a thread; in chunks, so that rows are in order and never wait long for their file.
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool, (output / JOURNAL_FILE).open("ab") as journal:
            for start in range(begun, len(export.units), _AT_ONCE):
                chunk = export.units[start : start + _AT_ONCE]
                for unit, row in zip(chunk, _in_order(pool, export.write, chunk, stop), strict=False):
                    journal.write(json.dumps(row, separators=(",", ":")).encode() + b"\n")
                    journal.flush()
                    done += export.images_in(unit)
                    watch(done, total)
                if stop.requested:
                    raise stop.interrupted(
                        f"stopped after {done} of {total} images; they are safe in {output}.", *again
                    )
        export.finish(lambda: _rows(output / JOURNAL_FILE))
        card()
        _write_state(output, settings, complete=True)
        (output / JOURNAL_FILE).unlink()
    except OSError as error:
        raise DatasetError(
            f"{output}: expected room to write the conversion, received {disk_fault(error)}. What is finished is safe "
            "and is not written again.",
            (("how much is free", f"df -h {shlex.quote(str(output))}"), *again),
        ) from error
    return Outcome(total, done - already, False)


def _in_order(
    pool: ThreadPoolExecutor, write: Callable[[UnitT], Row], units: Iterable[UnitT], stop: StopRequest
) -> Iterator[Row]:
    """The rows of units written at once, in their order, up to the first that was not begun when a stop was asked."""

    def unless_stopped(unit: UnitT) -> Row | None:
        return None if stop.requested else write(unit)

    for row in pool.map(unless_stopped, units):
        if row is None:
            return
        yield row


def _take_folder(output: Path, settings: Mapping[str, Any]) -> bool:
    """Whether the folder holds this very conversion, finished. Makes it ready where not.

    Raises:
        DatasetError: it holds something else.
    """
    state_path = output / STATE_FILE
    if output.exists() and not output.is_dir():
        raise DatasetError(f"{output}: expected a new or empty folder to write into, received a file.")
    if state_path.is_file():
        try:
            state = json.loads(state_path.read_bytes())
        except ValueError as error:
            raise DatasetError(f"{state_path}: expected JSON, received something else ({error}).") from error
        if state.get("settings") != json.loads(json.dumps(settings)):
            differing = sorted(key for key in settings if state.get("settings", {}).get(key) != settings[key])
            raise DatasetError(
                f"{output}: expected a new folder, or one begun with the same settings, received one with another "
                f"{', '.join(differing) or 'version'}. Nothing was changed.",
                (("another folder", f"--output {shlex.quote(f'{output}_2')}"),),
            )
        return bool(state.get("complete"))
    if output.is_dir() and any(output.iterdir()):
        raise DatasetError(
            f"{output}: expected a new or empty folder to write into, received one with files in it. "
            "Nothing was changed.",
            (("another folder", f"--output {shlex.quote(f'{output}_2')}"),),
        )
    output.mkdir(parents=True, exist_ok=True)
    _write_state(output, settings, complete=False)
    return False


def _write_state(output: Path, settings: Mapping[str, Any], complete: bool) -> None:
    state = {"carlaseg_version": __version__, "settings": settings, "complete": complete}
    write_whole(output / STATE_FILE, json.dumps(state, indent=2).encode() + b"\n", sync=True)


def _whole_rows(journal: Path) -> int:
    """How many rows stand whole; a last one that was cut short is cut away."""
    if not journal.is_file():
        return 0
    content = journal.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with journal.open("r+b") as file:
            file.truncate(whole)
    return content.count(b"\n")


def _rows(journal: Path) -> Iterator[Row]:
    with journal.open("rb") as file:
        for line in file:
            yield json.loads(line)
