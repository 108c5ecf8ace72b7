"""A running simulator for tests: a process of its own, gone when the block ends, however it ends."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from queue import Empty, Queue
from typing import NamedTuple

from carlaseg.errors import SimulatorError

_READY = re.compile(r"carlaseg simulate: listening on ([0-9.]+):(\d+), town (\S+), seed (-?\d+)$")
STOP_S = 10.0


class Address(NamedTuple):
    """Where a CARLA client finds the simulator."""

    host: str
    port: int


@contextlib.contextmanager
def running_simulator(
    town: str = "carlaseg_grid", seed: int = 0, fps: float = 20.0, start_timeout_s: float = 120.0
) -> Iterator[Address]:
    """Run the embedded simulator in a process of its own and yield its address.

    Args:
        town: generated town to build.
        seed: of the town.
        fps: steps a second while free running.
        start_timeout_s: how long building may take.

    Raises:
        SimulatorError: it ended, or said nothing, before it was ready.
    """
    program = (
        "import sys; from carlaseg.config import SimulateConfig; from carlaseg.simulator.command import simulate; "
        f"simulate(SimulateConfig(port=0, town={town!r}, seed={seed!r}, fps={fps!r}, exit_with_parent=True))"
    )
    with served_by([sys.executable, "-c", program], start_timeout_s) as address:
        yield address


@contextlib.contextmanager
def served_by(command: list[str], start_timeout_s: float = 120.0) -> Iterator[Address]:
    """Run a command that serves a simulator and yield the address its first line names; end it with its input.

    Raises:
        SimulatorError: it ended, or said nothing, before it was ready.
    """
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield _address(process, start_timeout_s)
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


def _address(process: subprocess.Popen[str], timeout_s: float) -> Address:
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
    return Address(ready[1], int(ready[2]))
