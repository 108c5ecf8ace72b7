"""Recordings from the embedded simulator, by the command people type, in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from carlaseg.simulator.testing import Address, running_simulator

SMALL = ("--size", "48x64", "--traffic", "3", "--walkers", "2", "--warmup", "3", "--timeout", "20")

WORLD_STATE = """
import json, sys
import carla
client = carla.Client(sys.argv[1], int(sys.argv[2]))
client.set_timeout(20.0)
world = client.get_world()
settings = world.get_settings()
# Without a tick in between the client would report the actors of the last one.
world.wait_for_tick(20.0)
kinds = [str(actor.type_id) for actor in world.get_actors()]
print(json.dumps({
    "synchronous": settings.synchronous_mode,
    "fixed_delta_s": settings.fixed_delta_seconds,
    "ours": [kind for kind in kinds if kind.split(".")[0] in ("vehicle", "walker", "sensor", "controller")],
}))
"""


@pytest.fixture(scope="session")
def server() -> Iterator[Address]:
    """An embedded simulator that many tests record from, one after the other."""
    pytest.importorskip("carla", reason="no carla client for this Python or platform")
    with running_simulator(seed=5) as address:
        yield address


@pytest.fixture
def world_state() -> Callable[[Address], dict[str, Any]]:
    """What a fresh client sees of a server: its mode, and actors that a recorder may have left."""

    def look(address: Address) -> dict[str, Any]:
        command = [sys.executable, "-c", WORLD_STATE, address.host, str(address.port)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return dict(json.loads(done.stdout))

    return look


UNTOUCHED = {"synchronous": False, "fixed_delta_s": None, "ours": []}


@pytest.fixture
def typed(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `carlaseg record WORDS` and returns what came of it."""

    def run(*words: str, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "carlaseg", "record", *SMALL, "--output", str(tmp_path), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)

    return run


def wait_for_frames(folder: Path, count: int, process: subprocess.Popen[str], timeout_s: float = 90.0) -> None:
    """Until a recording that is being made has so many frames."""
    deadline_s = time.monotonic() + timeout_s
    lines = folder / "frames.jsonl"
    while not lines.exists() or lines.read_bytes().count(b"\n") < count:
        assert process.poll() is None, f"it ended before frame {count}: {process.communicate()[1]}"
        assert time.monotonic() < deadline_s, f"no {count} frames within {timeout_s} s"
        time.sleep(0.02)
