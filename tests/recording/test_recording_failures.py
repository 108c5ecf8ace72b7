"""What a recording comes to when something breaks: what is saved stays valid, the server is left as found."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from recordings_made import SMALL, UNTOUCHED, wait_for_frames

from carlaseg.children import environment
from carlaseg.dataset.reader import read_metadata
from carlaseg.dataset.verify import verify
from carlaseg.recording.embedded import EmbeddedSimulator
from carlaseg.simulator.testing import Address, faulty_simulator, served_by

Typed = Callable[..., subprocess.CompletedProcess[str]]


@contextmanager
def recording(port: int, output: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """`carlaseg record` of a thousand frames, going on, its errors on a pipe."""
    command = [sys.executable, "-m", "carlaseg", "record", *SMALL, "--port", str(port), "--output", str(output)]
    command += ["--frames", "1000", "--every", "1", "--name", "drive", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def assert_valid(folder: Path, at_least: int) -> None:
    """Every frame of a recording that was cut short is whole, and it was closed."""
    report = verify(folder, deep=True)
    assert report.ok, report.problems
    assert report.frames >= at_least
    metadata = read_metadata(folder)
    assert metadata.ended is not None
    assert metadata.counts["frames"] == report.frames


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_after_the_current_frame(
    server: Address,
    tmp_path: Path,
    world_state: Callable[[Address], dict[str, Any]],
    number: signal.Signals,
    exit_code: int,
) -> None:
    with recording(server.port, tmp_path) as process:
        wait_for_frames(tmp_path / "drive", 5, process)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == exit_code, said
    assert "0 actors left behind; world settings restored" in said
    assert "go on with it  carlaseg record" in said
    assert_valid(tmp_path / "drive", 5)
    assert world_state(server) == UNTOUCHED


@pytest.mark.parametrize("words", [("--name", "drive"), ("--plan", "plan.toml")])
def test_a_signal_in_its_first_moment_ends_it_as_any_other(tmp_path: Path, words: tuple[str, ...]) -> None:
    pytest.importorskip("carla", reason="no carla client for this Python or platform")
    (tmp_path / "plan.toml").write_text('towns = ["carlaseg_grid"]\nframes = 3\n[record]\nsimulator = "embedded"\n')
    command = [sys.executable, "-m", "carlaseg", "record", *words, "--simulator", "embedded"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline_s = time.monotonic() + 30.0
    while not children.read_text().split() and time.monotonic() < deadline_s:
        time.sleep(0.005)
    # Its parent listens for signals by then; it itself, which has yet to import anything, does not.
    time.sleep(0.05)
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143, said
    assert "recording: stopped on request, while it began or ended. Nothing was written." in said
    assert "killed" not in said
    assert "go on with" in said


def test_a_dead_server_ends_it_at_once(tmp_path: Path) -> None:
    pytest.importorskip("carla", reason="no carla client for this Python or platform")
    with EmbeddedSimulator(None, 5) as simulator, recording(simulator.port, tmp_path, "--timeout", "4") as process:
        wait_for_frames(tmp_path / "drive", 5, process)
        os.kill(simulator.pid, signal.SIGKILL)
        _, said = process.communicate(timeout=90)
    assert process.returncode == 3, said
    assert "the server is gone" in said
    assert "Traceback" not in said
    assert_valid(tmp_path / "drive", 5)


def test_a_silent_server_is_given_up_after_its_time(tmp_path: Path) -> None:
    pytest.importorskip("carla", reason="no carla client for this Python or platform")
    with EmbeddedSimulator(None, 5) as simulator, recording(simulator.port, tmp_path, "--timeout", "4") as process:
        wait_for_frames(tmp_path / "drive", 5, process)
        os.kill(simulator.pid, signal.SIGSTOP)
        stopped_s = time.monotonic()
        try:
            _, said = process.communicate(timeout=90)
        finally:
            os.kill(simulator.pid, signal.SIGCONT)
    assert process.returncode == 3, said
    assert "the server is silent" in said, said
    assert "actors were not destroyed" in said, "what could not be undone is said"
    assert time.monotonic() - stopped_s < 40
    assert_valid(tmp_path / "drive", 5)


def test_a_server_that_stalls_for_a_while_is_waited_for(
    server: Address, tmp_path: Path, world_state: Callable[[Address], dict[str, Any]]
) -> None:
    with EmbeddedSimulator(None, 5) as simulator, recording(simulator.port, tmp_path, "--timeout", "10") as process:
        wait_for_frames(tmp_path / "drive", 5, process)
        os.kill(simulator.pid, signal.SIGSTOP)
        time.sleep(1.5)
        os.kill(simulator.pid, signal.SIGCONT)
        before = (tmp_path / "drive" / "frames.jsonl").read_bytes().count(b"\n")
        wait_for_frames(tmp_path / "drive", before + 5, process)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130, said
        assert world_state(Address("127.0.0.1", simulator.port)) == UNTOUCHED
    assert_valid(tmp_path / "drive", 10)


def test_after_kill_9_the_next_recording_clears_up_and_goes_on(
    server: Address, tmp_path: Path, world_state: Callable[[Address], dict[str, Any]], typed: Typed
) -> None:
    with recording(server.port, tmp_path) as process:
        wait_for_frames(tmp_path / "drive", 5, process)
        # The recorder is a child of the command; the command itself only watches it.
        (recorder,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(recorder), signal.SIGKILL)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 3
        assert "SIGKILL" in said
        assert "the same command goes on" in said
    saved = (tmp_path / "drive" / "frames.jsonl").read_bytes().count(b"\n")
    again = typed("--port", str(server.port), "--frames", str(saved + 3), "--every", "1", "--name", "drive")
    assert again.returncode == 0, again.stderr
    assert "actors that a killed recording had left behind were cleared away" in again.stderr
    assert f"{saved} frames are there" in again.stderr
    assert_valid(tmp_path / "drive", saved + 3)
    assert world_state(server) == UNTOUCHED


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MB."""
    folder = tmp_path / "small_disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("needs the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_ends_it_and_keeps_what_fitted(
    server: Address, small_disk: Path, world_state: Callable[[Address], dict[str, Any]]
) -> None:
    with recording(server.port, small_disk, "--frames", "150") as process:
        wait_for_frames(small_disk / "drive", 5, process)
        # Somebody else fills the disk meanwhile; the estimate could not know.
        with (small_disk / "somebody_elses").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        _, said = process.communicate(timeout=60)
    assert process.returncode == 5, said
    assert "a full disk" in said
    assert "are safe in" in said
    report = verify(small_disk / "drive", deep=True)
    assert report.ok, report.problems
    assert report.frames >= 5
    assert world_state(server) == UNTOUCHED


DRIVER_WITHOUT_ANSWER = """
import sys
from pathlib import Path
from carlaseg.config import RecordConfig, Size
from carlaseg.errors import SimulatorError
from carlaseg.recording import drivers, recorder
ticks = iter(range(12))
def before_tick(self):
    if next(ticks, None) is None:
        raise RuntimeError("time-out of 20000ms while waiting for the simulator")
drivers.Autopilot.before_tick = before_tick
common = dict(name="drive", every=1, warmup=3, traffic=0, walkers=0, size=Size(48, 64))
config = RecordConfig(port=int(sys.argv[1]), output=Path(sys.argv[2]), **common)
try:
    recorder.record(config)
except SimulatorError as error:
    print(error.message, error.next_steps[-1][0])
"""


@pytest.mark.slow
def test_a_call_between_two_ticks_that_gets_no_answer_ends_it_like_a_tick(server: Address, tmp_path: Path) -> None:
    command = [sys.executable, "-c", DRIVER_WITHOUT_ANSWER, str(server.port), str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    assert "received nothing: the server is silent. 9 complete frames are safe in" in said
    assert said.endswith("world settings restored. go on with it\n")
    assert_valid(tmp_path / "drive", 9)


@pytest.mark.slow
@pytest.mark.parametrize("blueprint", ["vehicle.*", "sensor.camera.*"])
def test_a_server_that_is_silent_at_a_spawn_is_silent_and_not_full_or_unable(typed: Typed, blueprint: str) -> None:
    pytest.importorskip("carla", reason="no carla client for this Python or platform")
    # What the client says after its time-out, at once: else each of a town's many places would take that long.
    words = "time-out of 20000ms while waiting for the simulator"
    plan = f'[[fault]]\nkind = "spawn_failure"\nblueprint = "{blueprint}"\ntext = "{words}"\nfirst = 1\n'
    with faulty_simulator(plan, seed=5) as simulator:
        done = typed("--port", str(simulator.port), "--frames", "2")
        asked = simulator.report()["struck"]
    assert done.returncode == 3, done.stderr
    assert "received nothing: the server is silent" in done.stderr
    assert asked == [1], "nobody asks a silent server for another place"


def test_no_server_is_answered_at_once_with_both_ways_on(typed: Typed) -> None:
    pytest.importorskip("carla", reason="no carla client for this Python or platform")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    began_s = time.monotonic()
    done = typed("--port", str(port), "--timeout", "30")
    assert done.returncode == 3
    assert time.monotonic() - began_s < 15
    assert (
        f'127.0.0.1:{port}: expected a CARLA server, received "connection refused". Nothing was written.' in done.stderr
    )
    assert "./CarlaUE4.sh" in done.stderr
    assert "carlaseg record --simulator embedded" in done.stderr


def test_a_port_that_is_something_else_is_not_taken_for_carla(typed: Typed) -> None:
    pytest.importorskip("carla", reason="no carla client for this Python or platform")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = typed("--port", str(listener.getsockname()[1]), "--timeout", "1")
    assert done.returncode == 3
    assert "a port that is open but gives no CARLA answer within 1 s" in done.stderr


def test_another_version_is_a_hard_stop_until_it_is_allowed(
    typed: Typed, world_state: Callable[[Address], dict[str, Any]]
) -> None:
    pytest.importorskip("carla", reason="no carla client for this Python or platform")
    program = (
        "from carlaseg.simulator import calls_session\n"
        "from carlaseg.config import SimulateConfig\n"
        "from carlaseg.simulator.command import simulate\n"
        "calls_session.SERVER_VERSION = '0.9.15'\n"
        "simulate(SimulateConfig(port=0, exit_with_parent=True))"
    )
    with served_by([sys.executable, "-c", program]) as address:
        words = ("--port", str(address.port), "--frames", "2", "--every", "1")
        refused = typed(*words)
        assert refused.returncode == 3
        assert "expected a CARLA server of client version 0.9.16, received 0.9.15" in refused.stderr
        assert "pip install carla==0.9.15" in refused.stderr
        allowed = typed(*words, "--allow-version-mismatch")
        assert allowed.returncode == 0, allowed.stderr
        assert world_state(address) == UNTOUCHED


def test_without_the_carla_client_one_sentence_says_what_is_missing() -> None:
    program = (
        "import sys; sys.modules['carla'] = None\n"
        "from carlaseg.cli import main\n"
        "sys.exit(main(['record', '--frames', '1']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 3
    assert "the package `carla` is not installed" in done.stderr
    assert "Python 3.10 to 3.12" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_embedded_simulator_ends_with_its_block() -> None:
    threads = threading.active_count()
    with EmbeddedSimulator(None, 0) as simulator:
        pid = simulator.pid
        socket.create_connection((simulator.host, simulator.port), timeout=5).close()
        folder = simulator.files_folder
        assert folder.is_dir()
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert threading.active_count() == threads
