"""`kill -9` at random moments: nothing but the frames in flight is lost, and the re-run gives the undisturbed bytes.

Three kills of the command as people type it, with its own simulator; and CARLASEG_KILLS (200 when not set) of the
process that records from a server that lives on: every other one at any moment of the time that a recording takes, the
others once a few frames more are written, so that these come whatever the machine does beside. All of it is slow.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from recorders import SETTINGS, assert_left_as_found, by_tick, recorder

from carlaseg.dataset.reader import is_recording, read_frames, read_metadata
from carlaseg.dataset.verify import verify
from carlaseg.simulator.testing import faulty_simulator

COMMANDS_KILLED = 3
KILLS = int(os.environ.get("CARLASEG_KILLS", "200"))
SEED = int(os.environ.get("CARLASEG_KILL_SEED", "1"))
FRAMES_A_KILL = 6
LEAST_SHARE_IN_FRAMES = 0.3
"""Of the kills: so many strike a recording that has frames already."""
FRAMES = 40
WORDS = ("--simulator", "embedded", "--seed", "3", "--size", "48x64", "--traffic", "2", "--walkers", "1", "--no-colour")


def command(output: Path, frames: int) -> list[str]:
    words = (
        *WORDS,
        "--every",
        "1",
        "--warmup",
        "2",
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


def wait_for_lines(folder: Path, count: int) -> None:
    deadline_s = time.monotonic() + 60.0
    while lines(folder) < min(count, FRAMES):
        assert time.monotonic() < deadline_s
        time.sleep(0.001)


def kill_the_command(output: Path, frames: int, rng: random.Random) -> None:
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
    pids = [int(word) for word in children.read_text().split()] if process.poll() is None else []
    for pid in (*pids, process.pid):
        os.kill(pid, signal.SIGKILL)
    process.wait()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="children are found in /proc")
def test_a_command_killed_now_and_then_ends_with_the_undisturbed_bytes(tmp_path: Path) -> None:
    pytest.importorskip("carla", reason="no carla client for this Python or platform")
    frames = FRAMES_A_KILL * COMMANDS_KILLED + 2
    folder, rng = tmp_path / "out" / "drive", random.Random(1)
    for number in range(COMMANDS_KILLED):
        before = lines(folder)
        kill_the_command(tmp_path / "out", frames, rng)
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


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_a_recorder_killed_hundreds_of_times_ends_with_the_undisturbed_bytes(tmp_path: Path) -> None:
    pytest.importorskip("carla", reason="no carla client for this Python or platform")
    rng = random.Random(SEED)
    kills, recordings, in_frames = 0, 0, 0
    with faulty_simulator(seed=5) as simulator, recorder() as worker:
        settings = SETTINGS | {"port": simulator.port, "output": str(tmp_path), "frames": FRAMES, "every": 1}
        began_s = time.monotonic()
        assert worker.record(settings | {"name": "whole"})["code"] == 0
        longest_s = time.monotonic() - began_s
        undisturbed = by_tick(tmp_path / "whole")
        while kills < KILLS:
            recordings += 1
            name = f"drive{recordings}"
            folder, code = tmp_path / name, None
            while code != 0:
                pid = worker.begin(settings | {"name": name})
                if kills < KILLS:
                    if kills % 2:
                        wait_for_lines(folder, lines(folder) + rng.randint(1, FRAMES_A_KILL))
                    else:
                        time.sleep(rng.uniform(0.0, longest_s))
                    had_lines = lines(folder)
                    with suppress(ProcessLookupError):  # it was done before
                        os.kill(pid, signal.SIGKILL)
                code = worker.end()["code"]
                if code == 0:
                    break
                kills += 1
                in_frames += had_lines > 0
                if is_recording(folder):
                    report = verify(folder, deep=True)
                    assert report.ok, (kills, report.problems)
                    assert report.frames >= had_lines, "frames that had their line stay"
            assert by_tick(folder) == undisturbed, name
        assert_left_as_found("after the last kill", simulator)
    assert in_frames >= LEAST_SHARE_IN_FRAMES * kills
    print(
        f"\n{kills} kills, {in_frames} of them while frames were written; {recordings} recordings of {FRAMES} frames "
        "ended with the bytes of an undisturbed one"
    )
