"""A running simulator for tests: a process of its own, gone when the block ends, however it ends.

    from carlaseg.simulator.testing import carla_server   # a pytest fixture, one server a session

    def test_mine(carla_server):
        client = carla.Client(carla_server.host, carla_server.port)

Arguments of `running_simulator` reach it by `@pytest.mark.parametrize("carla_server", [{"seed": 3}], indirect=True)`.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import Any, NamedTuple

from carlaseg.errors import SimulatorError

_READY = re.compile(
    r"carlaseg simulate: listening on ([0-9.]+):(\d+), town (.+), seed (-?\d+)(?:, control door (\d+))?$"
)
STOP_S = 10.0


class Address(NamedTuple):
    """Where a CARLA client finds the simulator."""

    host: str
    port: int


@dataclass
class FaultySimulator:
    """A running simulator with a control door (`docs/simulator-faults.md`).

    Attributes:
        host: where a CARLA client finds it.
        port: where a CARLA client finds it; the same after a restart.
        control_port: of its control door; the same after a restart.
        process: it; the same process after a restart, another program in it.
    """

    host: str
    port: int
    control_port: int
    process: subprocess.Popen[str]

    def put(self, plan: str) -> None:
        """Put a plan of faults (TOML text) in force; "" for none."""
        self._ask({"do": "plan", "text": plan})

    def report(self) -> dict[str, Any]:
        """Return what has struck ("ticks", "struck", "log") and what the world holds ("actors", "settings", ...)."""
        return self._ask({"do": "report"})

    def die(self, restart_after_s: float | None = None) -> None:
        """Let it die at once, as if killed; with a time it comes back after so long."""
        with contextlib.suppress(SimulatorError, OSError):  # the dead do not answer
            self._ask({"do": "die", "restart_after_s": restart_after_s})

    def await_return(self, timeout_s: float = 60.0) -> None:
        """Wait until it listens (again).

        Raises:
            SimulatorError: it does not.
        """
        deadline_s = time.monotonic() + timeout_s
        while True:
            with contextlib.suppress(SimulatorError, OSError):
                self.report()
                return
            if time.monotonic() > deadline_s or self.process.poll() is not None:
                raise SimulatorError(f"embedded simulator: expected it to listen again within {timeout_s:g} s")
            time.sleep(0.05)

    def _ask(self, wish: dict[str, Any]) -> dict[str, Any]:
        with socket.create_connection((self.host, self.control_port), timeout=60.0) as door:
            door.sendall(json.dumps(wish).encode() + b"\n")
            with door.makefile("rb") as answers:
                line = answers.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"ok": False, "error": "control door: no answer"}
        if not answer.pop("ok"):
            raise SimulatorError(answer["error"])
        return answer


@contextlib.contextmanager
def faulty_simulator(
    plan: str = "",
    town: str | None = None,
    seed: int = 0,
    opendrive: Sequence[Path] = (),
    start_timeout_s: float = 120.0,
) -> Iterator[FaultySimulator]:
    """Run the embedded simulator with a plan of faults and a control door.

    Args:
        plan: TOML text.
        town: to begin with; the first of `opendrive`, else the first generated one, when left out.
        seed: of the towns.
        opendrive: files, or folders of them, that become maps.
        start_timeout_s: how long building may take.

    Raises:
        SimulatorError: it ended, or said nothing, before it was ready; or the plan is none.
    """
    program = _program(f"town={town!r}, seed={seed!r}, control_port=0", opendrive)
    with _process([sys.executable, "-c", program]) as process:
        ready = _ready_line(process, start_timeout_s)
        simulator = FaultySimulator(ready[1], int(ready[2]), int(ready[5]), process)
        if plan:
            simulator.put(plan)
        yield simulator


@contextlib.contextmanager
def running_simulator(
    town: str | None = None,
    seed: int = 0,
    fps: float = 20.0,
    opendrive: Sequence[Path] = (),
    start_timeout_s: float = 120.0,
) -> Iterator[Address]:
    """Run the embedded simulator in a process of its own and yield its address.

    Args:
        town: to begin with; the first of `opendrive`, else the first generated one, when left out.
        seed: of the towns.
        fps: steps a second while free running.
        opendrive: files, or folders of them, that become maps.
        start_timeout_s: how long building may take.

    Raises:
        SimulatorError: it ended, or said nothing, before it was ready.
    """
    program = _program(f"town={town!r}, seed={seed!r}, fps={fps!r}", opendrive)
    with served_by([sys.executable, "-c", program], start_timeout_s) as address:
        yield address


@contextlib.contextmanager
def served_by(command: list[str], start_timeout_s: float = 120.0) -> Iterator[Address]:
    """Run a command that serves a simulator and yield the address its first line names; end it with its input.

    Raises:
        SimulatorError: it ended, or said nothing, before it was ready.
    """
    with _process(command) as process:
        ready = _ready_line(process, start_timeout_s)
        yield Address(ready[1], int(ready[2]))


def _program(settings: str, opendrive: Sequence[Path]) -> str:
    maps = [str(Path(one).resolve()) for one in opendrive]
    return (
        "from pathlib import Path; from carlaseg.config import SimulateConfig; "
        "from carlaseg.simulator.command import simulate; "
        f"simulate(SimulateConfig(port=0, {settings}, exit_with_parent=True, opendrive=tuple(map(Path, {maps!r}))))"
    )


@contextlib.contextmanager
def _process(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        assert process.stdin is not None  # both are pipes
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _ready_line(process: subprocess.Popen[str], timeout_s: float) -> re.Match[str]:
    lines: Queue[str] = Queue()
    output = process.stdout
    assert output is not None  # a pipe
    threading.Thread(target=lambda: lines.put(output.readline()), daemon=True).start()
    try:
        line = lines.get(timeout=timeout_s)
    except Empty:
        raise SimulatorError(f"embedded simulator: expected it to be ready within {timeout_s:g} s") from None
    ready = _READY.match(line.strip())
    if ready is None:
        raise SimulatorError(f"embedded simulator: expected its ready line, received {line.strip()!r}")
    return ready


def __getattr__(name: str) -> Any:
    """Make the fixture when it is asked for: pytest is needed by those alone who use it."""
    if name != "carla_server":
        raise AttributeError(name)
    import pytest

    @pytest.fixture(scope="session")
    def carla_server(request: pytest.FixtureRequest) -> Iterator[Address]:
        """The address of an embedded simulator that runs as long as the tests do."""
        with running_simulator(**getattr(request, "param", {})) as address:
            yield address

    return carla_server
