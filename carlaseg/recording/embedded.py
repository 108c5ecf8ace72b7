"""The embedded simulator as a server of our own: started on a free port, ended with the recording."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from queue import Empty, Queue
from types import TracebackType

from carlaseg.children import await_end, environment
from carlaseg.errors import ConfigError, SimulatorError

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 5.0
READY = re.compile(r"listening on 127\.0\.0\.1:(\d+)")


class EmbeddedSimulator:
    """`carlaseg simulate` in a process of its own, on the loopback address, for as long as the `with` block lasts.

    The two know each other by TCP alone; the process ends when its standard input does, so it cannot outlive this one
    even after `kill -9`.

    Args:
        town: generated town to build; the simulator's default when None.
        seed: of the town.

    Attributes:
        port: RPC port, known inside the block.
        files_folder: a temporary folder for the map files the client is sent.
    """

    host = "127.0.0.1"

    def __init__(self, town: str | None, seed: int) -> None:
        self._town = town
        self._seed = seed
        self.port = 0

    def __enter__(self) -> EmbeddedSimulator:
        """Start it and wait until it listens."""
        self._folder = tempfile.TemporaryDirectory(prefix="carlaseg_", ignore_cleanup_errors=True)
        self.files_folder = Path(self._folder.name)
        self._log_path = self.files_folder / "simulator.log"
        command = [sys.executable, "-m", "carlaseg", "simulate", "--port", "0", "--seed", str(self._seed)]
        command += ["--exit-with-parent"] + (["--town", self._town] if self._town else [])
        with self._log_path.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment(),
                # A Ctrl-C on the terminal is for the recorder, which needs the simulator to end its frame.
                start_new_session=True,
            )
        try:
            self.port = self._wait_until_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it: politely first, then not."""
        self._stop()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def _wait_until_ready(self) -> int:
        lines: Queue[str | None] = Queue()

        def read() -> None:
            assert self._process.stdout is not None
            for line in self._process.stdout:
                lines.put(line)
            lines.put(None)

        threading.Thread(target=read, name="carlaseg-simulator-output", daemon=True).start()
        while True:
            try:
                line = lines.get(timeout=START_TIMEOUT_S)
            except Empty:
                raise SimulatorError(
                    f"the embedded simulator: expected it to listen within {START_TIMEOUT_S:g} s, received nothing."
                    f"{self._last_words()} Nothing was written."
                ) from None
            if line is None:
                raise self._refusal()
            if match := READY.search(line):
                return int(match[1])

    def _refusal(self) -> SimulatorError | ConfigError:
        code = self._process.wait(STOP_TIMEOUT_S)
        if code == ConfigError.exit_code:
            # A setting of ours that it cannot meet; its sentence is the one the user needs.
            said = self._log_path.read_text("utf-8", "replace").strip().splitlines() or ["a setting it refuses."]
            return ConfigError(f"{said[0].removeprefix('carlaseg simulate: ')} Nothing was written.")
        return SimulatorError(
            f"the embedded simulator: expected it to listen, received exit code {code}.{self._last_words()} "
            "Nothing was written."
        )

    def _last_words(self) -> str:
        lines = [line.strip() for line in self._log_path.read_text("utf-8", "replace").splitlines() if line.strip()]
        return f" It said: {' '.join(lines[-3:])}" if lines else ""

    def _stop(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        await_end(self._process, STOP_TIMEOUT_S)
        self._process.stdout.close()
        self._folder.cleanup()
