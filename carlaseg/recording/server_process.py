"""A CARLA server that we start by the user's own command, watch, and start anew when it has died or gone silent."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from carlaseg.console import say
from carlaseg.errors import ConfigError, SimulatorError
from carlaseg.files import disk_fault

STOP_TIMEOUT_S = 20.0
ASK_EVERY_S = 0.5
# In a process of its own: the client ends its process where a half-started server sends it nonsense.
ASK = "import sys, carla; c = carla.Client(sys.argv[1], int(sys.argv[2])); c.set_timeout(5.0); c.get_server_version()"


class ServerProcess:
    """The server, for as long as the `with` block lasts.

    Args:
        words: what starts it.
        host: where it answers then.
        port: its RPC port.
        start_timeout_s: how long it may take until it answers.
        log: file that gets what it prints.
    """

    def __init__(self, words: Sequence[str], host: str, port: int, start_timeout_s: float, log: Path) -> None:
        self._words = list(words)
        self.host, self.port = host, port
        self._start_timeout_s = start_timeout_s
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ServerProcess:
        """Start it and wait until it answers.

        Raises:
            ConfigError: there is no such command, or something listens on the port already.
            SimulatorError: it ended, or does not answer in time.
        """
        if _listens(self.host, self.port):
            raise ConfigError(
                f"{self.host}:{self.port}: expected a free port for the server that the plan starts, received one "
                "where something listens already.",
                (("use that one", "leave out command in [server]"),),
            )
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it and what it started."""
        self.stop()

    @property
    def is_alive(self) -> bool:
        """Whether the process we started runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            ConfigError: there is no such command.
            SimulatorError: it ended, or does not answer in time.
        """
        say("server", f"starting: {shlex.join(self._words)}")
        with self._log.open("ab") as log:
            try:
                # A session of its own: CARLA's start script starts another process, and both are to end.
                self._process = subprocess.Popen(
                    self._words, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
                )
            except OSError as error:
                raise ConfigError(
                    f"[server] command: expected a program, received {self._words[0]}: {disk_fault(error)}."
                ) from error
        deadline_s = time.monotonic() + self._start_timeout_s
        while not self._answers():
            if not self.is_alive:
                code = self._process.returncode
                self.stop()
                raise SimulatorError(
                    f"the server: expected it to answer on port {self.port}, received its end with exit code {code}; "
                    f"what it said is in {self._log}."
                )
            if time.monotonic() > deadline_s:
                self.stop()
                raise SimulatorError(
                    f"the server: expected it to answer on port {self.port} within {self._start_timeout_s:g} s, "
                    f"received nothing; what it said is in {self._log}."
                )
            time.sleep(ASK_EVERY_S)

    def restart(self) -> None:
        """End it, however it is, and start it anew."""
        self.stop()
        self.start()

    def stop(self) -> None:
        """End it and what it started: politely first, then not."""
        if self._process is None:
            return
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            try:
                self._process.wait(STOP_TIMEOUT_S)
                break
            except subprocess.TimeoutExpired:
                continue
        # The script may be gone and what it started not.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process = None

    def _answers(self) -> bool:
        if not _listens(self.host, self.port):
            return False
        command = [sys.executable, "-c", ASK, self.host, str(self.port)]
        with suppress(subprocess.TimeoutExpired):
            return subprocess.run(command, capture_output=True, timeout=30).returncode == 0
        return False


def _listens(host: str, port: int) -> bool:
    with suppress(OSError):
        socket.create_connection((host, port), timeout=2.0).close()
        return True
    return False


def wait_until_it_listens(host: str, port: int, timeout_s: float) -> bool:
    """Wait for a server that somebody else starts; gives whether it came."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        if _listens(host, port):
            return True
        time.sleep(ASK_EVERY_S)
    return False
