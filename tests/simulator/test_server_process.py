"""`carlaseg simulate` as a process: one line when ready, a clean end however it is told to end."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys

import pytest

from carlaseg.config import SimulateConfig
from carlaseg.errors import SimulatorError
from carlaseg.simulator.command import simulate
from carlaseg.simulator.testing import served_by

COMMAND = [sys.executable, "-m", "carlaseg", "simulate", "--port", "0", "--town", "carlaseg_grid", "--seed", "3"]


def start(*more: str) -> subprocess.Popen:
    return subprocess.Popen(
        [*COMMAND, *more], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ready(process: subprocess.Popen) -> int:
    line = process.stdout.readline()
    match = re.fullmatch(r"carlaseg simulate: listening on 127\.0\.0\.1:(\d+), town carlaseg_grid, seed 3\n", line)
    assert match, (line, process.poll() is not None and process.stderr.read())
    return int(match[1])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_it_cleanly_and_frees_the_port(number):
    with start() as process:
        port = ready(process)
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        process.send_signal(number)
        assert process.wait(10) == 0
        assert process.stdout.read() == ""
        assert process.stderr.read() == ""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_end_of_input_ends_it_when_asked_to():
    with start("--exit-with-parent") as process:
        ready(process)
        process.stdin.close()
        assert process.wait(10) == 0


def test_unknown_town_and_taken_port_are_one_line_and_an_exit_code_each():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        cases = ((["--port", str(port)], 3, str(port)), (["--town", "carlaseg_gird"], 2, "Nearest: carlaseg_grid"))
        for flags, exit_code, named in cases:
            done = subprocess.run([*COMMAND, *flags], capture_output=True, text=True, timeout=60)
            assert done.returncode == exit_code
            assert named in done.stderr
            assert "Traceback" not in done.stderr


def test_system_without_the_sockets_it_needs_is_told_so(monkeypatch):
    monkeypatch.delattr(socket, "MSG_DONTWAIT")
    with pytest.raises(SimulatorError, match=r"expected Linux or macOS.*received \w+") as refused:
        simulate(SimulateConfig(port=0))
    assert "WSL" in refused.value.next_steps[0][1]


def test_simulator_that_does_not_start_is_an_error_and_leaves_no_process():
    with pytest.raises(SimulatorError, match="ready line"), served_by([sys.executable, "-c", "print('no')"]):
        pass
