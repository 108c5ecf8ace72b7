"""What people see while work goes on, and how they stop it.

Results go to standard output, talk goes to standard error, so that a pipe gets results alone. On a terminal one line
is redrawn; elsewhere a plain line is printed every 30 seconds or 10 percent (cluster users read logs). ASCII only:
consoles with an old code page must never end a job.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from carlaseg.errors import Interrupted

PLAIN_LINE_EVERY_S = 30.0
PLAIN_LINES = 10


def say(label: str, text: str = "") -> None:
    """Print one line of talk, its label in a column of eight: `data    2 recordings, 400 frames`."""
    print(_printable(f"{label:<8}{text}".rstrip()), file=sys.stderr, flush=True)


def result(text: str) -> None:
    """Print one line of result on standard output."""
    print(_printable(text, sys.stdout), flush=True)


def duration(seconds: float) -> str:
    """Seconds as `m:ss` or `h:mm:ss`."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, secs = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{secs:02d}" if hours else f"{minutes}:{secs:02d}"


def counted(count: int, noun: str) -> str:
    """`1 frame`, `2 frames`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _printable(text: str, stream: Any = None) -> str:
    encoding = getattr(stream or sys.stderr, "encoding", None) or "ascii"
    return text.encode(encoding, "replace").decode(encoding)


class Progress:
    """One honest line for the whole job: count, rate, time gone, time left, and details.

    Use as a context manager. Thread-safe.

    Args:
        label: first word of the line.
        total: how many units make the whole job; None when nobody knows (a camera), and nothing is said of the end.
        unit: what is counted, in the plural ("frames").
        start: units already done before this process (a resumed job); they do not count for the rate.
    """

    def __init__(self, label: str, total: int | None, unit: str, start: int = 0) -> None:
        self._label = label
        self._total = None if total is None else max(1, total)
        self._unit = unit
        self._start = start
        self._done = start
        self._details: dict[str, str] = {}
        self._began_s = time.monotonic()
        self._lock = threading.Lock()
        self._bar: Any = None
        self._task: Any = None
        self._next_plain_s = self._began_s + PLAIN_LINE_EVERY_S
        self._plain_lines = 0

    def __enter__(self) -> Progress:
        """Start drawing."""
        if sys.stderr.isatty() and "NO_COLOR" not in os.environ:
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as RichProgress

            self._bar = RichProgress(
                TextColumn("{task.description:<8}"),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[line]}"),
                console=Console(stderr=True, safe_box=True),
                refresh_per_second=5,
                transient=False,
            )
            self._task = self._bar.add_task(self._label, total=self._total, completed=self._done, line="")
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last state of the line standing."""
        with self._lock:
            if self._bar is not None:
                self._bar.update(self._task, completed=self._done, line=self._line())
                self._bar.stop()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began_s

    @property
    def rate(self) -> float:
        """Units a second of this process."""
        return (self._done - self._start) / max(self.elapsed_s, 1e-9)

    def advance(self, count: int = 1, **details: str) -> None:
        """Count units as done and replace details shown at the end of the line."""
        with self._lock:
            self._done += count
            self._details.update(details)
            if self._bar is not None:
                self._bar.update(self._task, completed=self._done, line=self._line())
                return
            now_s = time.monotonic()
            lines_due = self._plain_lines if self._total is None else self._done * PLAIN_LINES // self._total
            if now_s >= self._next_plain_s or lines_due > self._plain_lines:
                self._next_plain_s = now_s + PLAIN_LINE_EVERY_S
                self._plain_lines = lines_due
                say(self._label, self._line())

    def note(self, text: str) -> None:
        """Print a line above the progress line."""
        with self._lock:
            if self._bar is not None:
                self._bar.console.print(_printable(text), highlight=False, markup=False)
            else:
                print(_printable(text), file=sys.stderr, flush=True)

    def _line(self) -> str:
        rate = self.rate
        gone, of, left = duration(self.elapsed_s), "", ""
        if self._total is not None:
            of = f"/{self._total}"
            left = f", {duration((self._total - self._done) / rate) if rate > 0 else '?'} left"
        parts = [
            f"{self._done}{of} {self._unit}",
            f"{rate:.1f}/s" if rate >= 0.1 else f"{rate:.3f}/s",
            f"{gone} gone{left}",
        ]
        parts += [f"{key} {value}" for key, value in self._details.items()]
        return "  ".join(parts)


class StopRequest:
    """Whether the user has asked to stop: set by the first Ctrl-C or SIGTERM."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.signal_number: int | None = None

    @property
    def requested(self) -> bool:
        """True after the first signal."""
        return self._event.is_set()

    def request(self, signal_number: int = signal.SIGINT) -> None:
        """Ask to stop, as the signal would."""
        self.signal_number = signal_number
        self._event.set()

    def interrupted(self, what_is_safe: str, *next_steps: tuple[str, str]) -> Interrupted:
        """The error to raise once the work has been ended cleanly; its exit code is 128 + the signal."""
        error = Interrupted(what_is_safe, next_steps)
        error.exit_code = 128 + (self.signal_number or signal.SIGINT)
        return error


@contextmanager
def stop_on_signal(finishing: str) -> Iterator[StopRequest]:
    """Turn the first Ctrl-C or SIGTERM into a request to stop; the second one interrupts at once.

    Args:
        finishing: what is being finished, printed on the first signal ("the current frame").

    Yields:
        The request; look at `.requested` wherever work can be ended cleanly.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        if request.requested:
            raise KeyboardInterrupt
        request.request(number)
        # os.write, not print: a signal may arrive in the middle of another print on the same stream.
        os.write(2, f"\nstop    finishing {finishing} (Ctrl-C again: stop at once)\n".encode())

    previous = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
