"""What the tests of faults share: a recorder that is told what to record, and what must be true of its server after."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from carlaseg.dataset.reader import read_frames, read_metadata
from carlaseg.dataset.records import FrameRecord
from carlaseg.simulator.testing import FaultySimulator

SETTINGS = {
    "every": 2,
    "warmup": 3,
    "settle": 6,
    "size": "48x64",
    "traffic": 2,
    "walkers": 1,
    "timeout": 3.0,
    "reload": True,
    "colour": False,
    "seed": 4,
}


class Recorder:
    """Records in processes of its own, one after the other (`recording_worker`)."""

    def __init__(self) -> None:
        worker = Path(__file__).with_name("recording_worker.py")
        self._process = subprocess.Popen(
            [sys.executable, str(worker)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        )

    def begin(self, settings: dict[str, Any]) -> int:
        """Begin a recording; gives the process that makes it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(settings) + "\n")
        self._process.stdin.flush()
        return int(self._answer()["pid"])

    def end(self) -> dict[str, Any]:
        """Wait for the recording; gives its exit code and what was said."""
        return self._answer()

    def record(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Make a recording from its begin to its end."""
        self.begin(settings)
        return self.end()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        return dict(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


@contextmanager
def recorder() -> Iterator[Recorder]:
    """A recorder for as long as the block lasts."""
    made = Recorder()
    try:
        yield made
    finally:
        made.close()


def by_tick(folder: Path) -> dict[int, FrameRecord]:
    """The frames of a recording, by the tick of the drive."""
    return {frame.frame: frame for frame in read_frames(folder, read_metadata(folder))}


def assert_left_as_found(what: str, simulator: FaultySimulator) -> None:
    """Nothing of ours is in the world, and it runs freely."""
    deadline_s = time.monotonic() + 5.0
    while True:
        report = simulator.report()
        ours = [
            kind for _, kind in report["actors"] if kind.split(".")[0] in ("vehicle", "walker", "sensor", "controller")
        ]
        settings = report["settings"]
        asynchronous = not settings["synchronous_mode"] and not settings["fixed_delta_seconds"]
        if (not ours and asynchronous) or time.monotonic() > deadline_s:
            break
        time.sleep(0.05)
    assert not ours, (what, ours)
    assert asynchronous, (what, settings)
