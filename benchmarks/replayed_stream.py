"""A CARLA server whose pictures cost nothing: the embedded simulator, each camera's first pictures sent over and over.

What a recorder can do when the server is not the limit shows here alone: the renderer draws a few pictures for each
camera, and from then on the stream sends those, without a copy. Ticks, snapshots and the protocol are as ever.

    with ReplayedStream() as server:
        client = carla.Client(server.host, server.port)
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from carlaseg.config import SimulateConfig  # noqa: E402
from carlaseg.recording.embedded import READY  # noqa: E402
from carlaseg.simulator import command  # noqa: E402
from carlaseg.simulator.scene import ByteArray, CameraSpec, Frame, Pose, Town, Weather  # noqa: E402

real_renderer = command.make_renderer
PICTURES = 8
"""Different ones a camera: enough that none is in the processor's cache when it comes again."""


class DrawnOnce:
    """Stands before the renderer, and asks it only for each camera's first pictures."""

    def __init__(self, town: Town, weather: Weather) -> None:
        self._renderer = real_renderer(town, weather)
        self._drawn: dict[int, list[ByteArray]] = {}
        self._turn: dict[int, int] = {}

    def set_weather(self, weather: Weather) -> None:
        """Passed on."""
        self._renderer.set_weather(weather)

    def add_camera(self, spec: CameraSpec) -> int:
        """Passed on."""
        return self._renderer.add_camera(spec)

    def remove_camera(self, key: int) -> None:
        """Passed on, and its pictures forgotten."""
        self._drawn.pop(key, None)
        self._renderer.remove_camera(key)

    def render(self, views: Sequence[tuple[int, Pose]], frame: Frame) -> Mapping[int, ByteArray]:
        """The next picture of each camera: drawn for its first ones, from then on those in turn."""
        new = [view for view in views if len(self._drawn.setdefault(view[0], [])) < PICTURES]
        for key, picture in (self._renderer.render(new, frame) if new else {}).items():
            self._drawn[key].append(picture)
        sent = {}
        for key, _ in views:
            turn = self._turn[key] = self._turn.get(key, -1) + 1
            sent[key] = self._drawn[key][turn % len(self._drawn[key])]
        return sent

    def close(self) -> None:
        """Passed on."""
        self._renderer.close()


class ReplayedStream:
    """Such a server in a process of its own, for as long as the `with` block lasts.

    Attributes:
        port: RPC port, known inside the block.
        files_folder: a temporary folder for the map files the client is sent.
    """

    host = "127.0.0.1"

    def __enter__(self) -> ReplayedStream:
        """Start it and wait until it listens."""
        self._folder = tempfile.TemporaryDirectory(prefix="carlaseg_", ignore_cleanup_errors=True)
        self.files_folder = Path(self._folder.name)
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if match := READY.search(line):
                self.port = int(match[1])
                return self
        raise RuntimeError(f"the replayed stream ended with exit code {self._process.wait()}")

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._folder.cleanup()


if __name__ == "__main__":
    command.make_renderer = DrawnOnce
    command.simulate(SimulateConfig(port=0, seed=1, exit_with_parent=True))
