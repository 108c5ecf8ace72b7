"""`kill -9` at random moments: nothing but the frames in flight is lost, and the re-run gives the undisturbed bytes.

Three kills are fast; CARLASEG_KILLS (200 when not set) are slow.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from carlaseg.dataset.reader import read_frames, read_metadata
from carlaseg.dataset.verify import verify

FAST_KILLS = 3
SLOW_KILLS = int(os.environ.get("CARLASEG_KILLS", "200"))
FRAMES_A_KILL = 6
WORDS = (
    "--simulator",
    "embedded",
    "--seed",
    "3",
    "--every",
    "1",
    "--size",
    "48x64",
    "--traffic",
    "2",
    "--walkers",
    "1",
)


def command(output: Path, frames: int) -> list[str]:
    words = (
        *WORDS,
        "--warmup",
        "2",
        "--no-colour",
        "--frames",
        str(frames),
        "--output",
        str(output),
        "--name",
        "drive",
    )
    return [sys.executable, "-m", "carlaseg", "record", *words]


def lines(folder: Path) -> int:
    path = folder / "frames.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def kill_once(output: Path, frames: int, rng: random.Random) -> None:
    """Record until a random moment a few frames on, then kill the command and the process that records."""
    folder = output / "drive"
    until = lines(folder) + rng.randint(1, FRAMES_A_KILL - 1)
    process = subprocess.Popen(command(output, frames), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline_s = time.monotonic() + 120.0
    while lines(folder) < until and process.poll() is None:
        assert time.monotonic() < deadline_s
        time.sleep(0.002)
    time.sleep(rng.random() * 0.05)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    recorders = [int(word) for word in children.read_text().split()] if process.poll() is None else []
    for pid in (*recorders, process.pid):
        os.kill(pid, signal.SIGKILL)
    process.wait()


def check_kills(tmp_path: Path, kills: int) -> None:
    pytest.importorskip("carla", reason="no carla client for this Python or platform")
    frames = FRAMES_A_KILL * kills + 2
    folder, rng = tmp_path / "out" / "drive", random.Random(1)
    for number in range(kills):
        before = lines(folder)
        kill_once(tmp_path / "out", frames, rng)
        report = verify(folder, deep=True)
        assert report.ok, (number, report.problems)
        assert report.frames > before, "frames that had their line stay"
    for output in (tmp_path / "out", tmp_path / "whole"):
        done = subprocess.run(command(output, frames), capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
    whole = tmp_path / "whole" / "drive"
    assert verify(folder, deep=True).frames == frames
    assert [frame.to_line() for frame in read_frames(folder, read_metadata(folder))] == [
        frame.to_line() for frame in read_frames(whole, read_metadata(whole))
    ]
    print(f"\n{kills} kills, {frames} frames, all of them as undisturbed")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="children are found in /proc")
def test_a_recording_killed_now_and_then_ends_with_the_undisturbed_bytes(tmp_path: Path) -> None:
    check_kills(tmp_path, FAST_KILLS)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.skipif(sys.platform != "linux", reason="children are found in /proc")
def test_a_recording_killed_hundreds_of_times_ends_with_the_undisturbed_bytes(tmp_path: Path) -> None:
    check_kills(tmp_path, SLOW_KILLS)
