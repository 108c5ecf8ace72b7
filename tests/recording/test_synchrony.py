"""A server that a killed recorder has left waiting: whose freeze it is stands in the settings themselves."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from recordings_made import SMALL, UNTOUCHED, wait_for_frames

from carlaseg.dataset.verify import verify
from carlaseg.recording.synchrony import is_marked, marked
from carlaseg.simulator.testing import Address

KILLED_BEFORE_ITS_FIRST_ACTOR = """
import os, signal, sys
from carlaseg.recording.session import Session
Session("127.0.0.1", int(sys.argv[1]), fps=20.0, timeout_s=20.0).__enter__()
os.kill(os.getpid(), signal.SIGKILL)
"""
COMES_NEXT = """
import sys
from carlaseg.recording.session import Session
with Session("127.0.0.1", int(sys.argv[1]), fps=10.0, timeout_s=20.0) as session:
    print(session.found_synchronous, session.found_abandoned)
"""
DISTURBED = """
import sys, time
import carla
from carlaseg.errors import SimulatorError
from carlaseg.recording.session import Session
with Session("127.0.0.1", int(sys.argv[1]), fps=20.0, timeout_s=20.0) as session:
    for _ in range(3):
        session.tick()
    other = carla.Client("127.0.0.1", int(sys.argv[1]))
    other.set_timeout(20.0)
    settings = other.get_world().get_settings()
    settings.synchronous_mode = sys.argv[2] == "on"
    settings.fixed_delta_seconds = float(sys.argv[3])
    other.get_world().apply_settings(settings)
    time.sleep(0.5)
    try:
        for _ in range(3):
            session.tick()
        print("went on")
    except SimulatorError as error:
        print(error.message)
"""
SOMEBODY_ELSES = """
import sys, carla
client = carla.Client("127.0.0.1", int(sys.argv[1]))
client.set_timeout(20.0)
world = client.get_world()
settings = world.get_settings()
settings.synchronous_mode = sys.argv[2] == "on"
settings.fixed_delta_seconds = 0.1 if sys.argv[2] == "on" else None
world.apply_settings(settings)
"""


def run(program: str, address: Address, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, str(address.port), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("fps", [1.0, 7.3, 10.0, 20.0, 30.0, 60.0])
def test_a_marked_time_step_is_the_same_for_every_clock(fps: float) -> None:
    step_s = 1.0 / fps
    assert is_marked(marked(step_s))
    assert not is_marked(step_s)
    assert 0.0 <= step_s - marked(step_s) < 2e-11 * step_s
    assert marked(marked(step_s)) == marked(step_s)


@pytest.mark.slow
def test_a_server_left_waiting_by_a_recorder_without_actors_runs_again_after_the_next(
    server: Address, world_state: Callable[[Address], dict[str, Any]]
) -> None:
    assert run(KILLED_BEFORE_ITS_FIRST_ACTOR, server).returncode == -9
    done = run(COMES_NEXT, server)
    assert done.stdout.split() == ["True", "True"], done.stderr
    assert world_state(server) == UNTOUCHED


@pytest.mark.slow
def test_a_server_that_somebody_else_made_wait_is_left_waiting(
    server: Address, world_state: Callable[[Address], dict[str, Any]]
) -> None:
    run(SOMEBODY_ELSES, server, "on")
    done = run(COMES_NEXT, server)
    assert done.stdout.split() == ["True", "False"], done.stderr
    look = "import sys, carla; c = carla.Client('127.0.0.1', int(sys.argv[1])); c.set_timeout(9.0); s = c.get_world()"
    look += ".get_settings(); print(s.synchronous_mode, s.fixed_delta_seconds)"
    assert run(look, server).stdout.split() == ["True", "0.1"]
    run(SOMEBODY_ELSES, server, "off")
    assert world_state(server) == UNTOUCHED


@pytest.mark.parametrize(("mode", "step_s", "received"), [("off", "0.05", "False"), ("on", "0.1", "True")])
def test_a_client_that_changes_the_settings_in_the_middle_ends_the_session(
    server: Address, world_state: Callable[[Address], dict[str, Any]], mode: str, step_s: str, received: str
) -> None:
    done = run(DISTURBED, server, mode, step_s)
    assert done.returncode == 0, done.stderr
    assert f"received synchronous_mode={received}, fixed_delta_seconds={step_s}" in done.stdout
    assert "Is another client changing the settings?" in done.stdout
    assert world_state(server) == UNTOUCHED


def test_a_server_that_another_recorder_drives_is_left_to_it(server: Address, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "carlaseg", "record", *SMALL, "--port", str(server.port), "--every", "1"]
    command += ["--output", str(tmp_path)]
    words = [*command, "--frames", "1000", "--name", "first"]
    first = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for_frames(tmp_path / "first", 2, first)
    second = subprocess.run(
        [*command, "--frames", "2", "--name", "second", "--town", "Town99"], capture_output=True, text=True, timeout=60
    )
    assert second.returncode == 3, second.stderr
    assert "received ticks of another client. Nothing was changed." in second.stderr
    assert not (tmp_path / "second").exists()
    first.terminate()
    _, said = first.communicate(timeout=60)
    assert first.returncode == 143, said
    assert "world settings restored" in said
    assert verify(tmp_path / "first", deep=True).ok
    assert not (tmp_path / "first" / "dropped.jsonl").exists()
