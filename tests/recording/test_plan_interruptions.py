"""A plan with a server of its own: one that hangs, one that has had its drives, and a plan that is told to stop.

All of it in every kind at once, over 3 towns and 4 weathers, is benchmarks/interrupted_plan.py.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from recordings_made import wait_for_frames

from carlaseg.dataset.verify import verify

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="finds the plan's server in /proc"),
]

FRAMES = 6
PLAN = """
output = "{folder}/out"
weathers = ["ClearNoon", "WetSunset"]
towns = ["carlaseg_grid"]
frames = {frames}
[record]
port = {port}
size = "48x64"
traffic = 2
walkers = 0
warmup = 3
every = 2
timeout = 4.0
[server]
command = "{python} -m carlaseg simulate --port {port} --exit-with-parent"
restart_every = {restart_every}
"""


class PlannedRun:
    """A plan in a folder, recorded by the command people type.

    Args:
        folder: gets the plan and its recordings.
        restart_every: drives a server makes.
    """

    def __init__(self, folder: Path, restart_every: int = 0) -> None:
        pytest.importorskip("carla", reason="no carla client for this Python or platform")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.path = folder / "plan.toml"
        words = {"folder": folder, "frames": FRAMES, "port": self.port, "python": sys.executable}
        self.path.write_text(PLAN.format(**words, restart_every=restart_every))
        self.output = folder / "out"
        self.drives = [self.output / f"carlaseg_grid_{weather}_seed0000" for weather in ("ClearNoon", "WetSunset")]

    def start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "carlaseg", "record", "--plan", str(self.path)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def assert_complete(self, process: subprocess.Popen[str]) -> None:
        _, said = process.communicate(timeout=240)
        assert process.returncode == 0, said
        for drive in self.drives:
            report = verify(drive, deep=True)
            assert report.ok, report.problems
            assert report.frames == FRAMES

    def exit_codes(self) -> list[int]:
        """How each attempt at a drive ended."""
        return [json.loads(line)["exit_code"] for line in (self.output / "plan.jsonl").read_text().splitlines()]

    def servers_started(self) -> int:
        return (self.output / "server.log").read_text().count("listening on")


def server_of(process: subprocess.Popen[str]) -> int:
    """The process id of the server that a plan has started."""
    pids = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    (server,) = [pid for pid in pids if b"simulate" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return int(server)


def test_a_plan_ends_a_server_that_hangs_and_goes_on_with_a_new_one(tmp_path: Path) -> None:
    run = PlannedRun(tmp_path)
    process = run.start()
    wait_for_frames(run.drives[0], 2, process)
    hung = server_of(process)
    os.kill(hung, signal.SIGSTOP)
    run.assert_complete(process)
    assert run.exit_codes() == [3, 0, 0]
    assert run.servers_started() == 2
    with pytest.raises(ProcessLookupError):
        os.kill(hung, 0)


def test_a_plan_gives_each_server_no_more_drives_than_it_was_told(tmp_path: Path) -> None:
    run = PlannedRun(tmp_path, restart_every=1)
    run.assert_complete(run.start())
    assert run.exit_codes() == [0, 0]
    assert run.servers_started() == 2


def test_a_plan_told_to_stop_ends_its_server_and_the_same_command_goes_on(tmp_path: Path) -> None:
    run = PlannedRun(tmp_path)
    process = run.start()
    wait_for_frames(run.drives[0], 2, process)
    server = server_of(process)
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143, said
    assert "go on with the plan  carlaseg record --plan" in said
    with pytest.raises(ProcessLookupError):
        os.kill(server, 0)
    with suppress(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", run.port), timeout=2).close()
        pytest.fail("nobody listens any more")
    run.assert_complete(run.start())
    assert run.exit_codes() == [143, 0, 0]
