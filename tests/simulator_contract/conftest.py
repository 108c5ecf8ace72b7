"""The server under contract: the embedded simulator, and a real CARLA when CARLASEG_TEST_SERVER=host:port names one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from carlaseg.simulator.testing import Address, running_simulator

PERFORM = Path(__file__).with_name("perform.py")
REAL_SERVER = os.environ.get("CARLASEG_TEST_SERVER", "")


def pytest_generate_tests(metafunc):
    if "server" in metafunc.fixturenames:
        kinds = ["embedded", *(["carla"] if REAL_SERVER else [])]
        metafunc.parametrize("server", kinds, indirect=True, scope="session")


@pytest.fixture(scope="session")
def server(request):
    pytest.importorskip("carla", reason="no carla client for this Python or platform")
    if request.param == "carla":
        host, port = REAL_SERVER.rsplit(":", 1)
        yield Address(host, int(port))
        return
    with running_simulator(seed=3) as address:
        yield address


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def play(server, tmp_path):
    """Plays a scenario in a process of its own and returns what it saw."""

    def run(name: str, timeout_s: float = 120.0) -> dict:
        command = [sys.executable, str(PERFORM), name, server.host, str(server.port), str(free_port())]
        environment = {**os.environ, "CARLA_CACHE_DIR": str(tmp_path / "cache")}
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, env=environment, cwd=tmp_path)
        assert done.returncode == 0, f"{name} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout.strip().splitlines()[-1]) | {"stderr": done.stderr}

    return run
