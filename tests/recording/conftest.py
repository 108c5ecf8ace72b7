"""Recordings from the embedded simulator, by the command people type, in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from recordings_made import SMALL

from carlaseg.simulator.testing import Address, running_simulator

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


@pytest.fixture
def typed(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `carlaseg record WORDS` and returns what came of it; `small` adds the settings of a small recording."""

    def run(*words: str, timeout_s: float = 120.0, small: bool = True) -> subprocess.CompletedProcess[str]:
        common = (*SMALL, "--output", str(tmp_path)) if small else ()
        command = [sys.executable, "-m", "carlaseg", "record", *common, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)

    return run
