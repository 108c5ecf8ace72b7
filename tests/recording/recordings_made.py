"""What tests of recordings share: the settings of a small one, and how to wait for one that goes on."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

SMALL = ("--size", "48x64", "--traffic", "3", "--walkers", "2", "--warmup", "3", "--timeout", "20")

UNTOUCHED = {"synchronous": False, "fixed_delta_s": None, "ours": []}
"""What a fresh client sees of a server that a recording has left as it was found."""


def wait_for_frames(folder: Path, count: int, process: subprocess.Popen[str], timeout_s: float = 90.0) -> None:
    """Until a recording that is being made has so many frames."""
    deadline_s = time.monotonic() + timeout_s
    lines = folder / "frames.jsonl"
    while not lines.exists() or lines.read_bytes().count(b"\n") < count:
        assert process.poll() is None, f"it ended before frame {count}: {process.communicate()[1]}"
        assert time.monotonic() < deadline_s, f"no {count} frames within {timeout_s} s"
        time.sleep(0.02)
