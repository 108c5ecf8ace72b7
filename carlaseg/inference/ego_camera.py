"""What the ego of a running CARLA server sees, with CARLA's own labels, from a process that knows CARLA.

Inference and recording know each other by that process's output alone; `carlaseg.recording.ego_stream` says what it is.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from carlaseg import labels
from carlaseg.children import await_end, environment
from carlaseg.config import RecordConfig, Size, to_json
from carlaseg.dataset import Sample
from carlaseg.errors import CarlasegError, ConfigError, DatasetError, ProtocolError, SimulatorError
from carlaseg.inference.films import Film
from carlaseg.pipeline import Frame

FPS, EVERY = 20.0, 2
"""Ten frames a second of simulated time, at steps short enough for CARLA's physics."""
STOP_TIMEOUT_S = 15.0
ADDRESS = re.compile(r"carla://(?P<host>[^/:]+)(?::(?P<port>\d{1,5}))?/?")
ERRORS = {error.exit_code: error for error in (ConfigError, SimulatorError, ProtocolError, DatasetError)}


def ego_camera(
    address: str, name: str, size: tuple[int, int], closing: ExitStack, max_frames: int | None = None
) -> Film:
    """The front camera of an ego on autopilot among traffic, spawned on a CARLA server. It stands when this returns.

    Args:
        address: carla://HOST or carla://HOST:PORT.
        name: of its results.
        size: (height, width) of the camera.
        closing: when it closes, the ego and all that came with it are gone, and the server is as it was found.
        max_frames: stop after so many.

    Raises:
        ConfigError: no such address.
        SimulatorError: no server there, or one of another version.
    """
    match = ADDRESS.fullmatch(address)
    if match is None:
        raise ConfigError(f"--input: expected carla://HOST:PORT, received {address!r}.")
    ego = _Ego(
        RecordConfig(
            host=match["host"], port=int(match["port"] or 2000), size=Size(*size), fps=FPS, every=EVERY, warmup=10
        )
    )
    closing.callback(ego.close)
    header = ego.read_line()
    scheme = labels.scheme(str(header["scheme"])) if header.get("scheme") else None

    def frames(table: NDArray[np.uint8] | None) -> Iterator[Frame]:
        number = 0
        while max_frames is None or number < max_frames:
            began_s = time.perf_counter()
            line = ego.read_line()
            image, tags = ego.read_array(3), ego.read_array(2)
            truth = None if table is None else np.asarray(cv2.LUT(tags, table), np.uint8)
            sample = Sample(
                image_path=Path(address.replace("//", "")),
                mask_path=None,
                mask_encoding=None,
                scheme=None,
                drive=name,
                frame=int(line["frame"]),
                town=str(header["town"]),
                weather=str(header["weather"]),
                name=f"{name}_{number:06d}",
            )
            yield Frame(sample, image, truth, None, time.perf_counter() - began_s)
            number += 1

    return Film(name, address, FPS / EVERY, max_frames, scheme, True, frames)


class _Ego:
    """The process, and what comes out of it."""

    def __init__(self, config: RecordConfig) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "carlaseg.recording.ego_stream", json.dumps(to_json(config))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
            # A Ctrl-C on the terminal is for us; the ego ends when its input does, and cleans up.
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout

    def read_line(self) -> dict[str, Any]:
        text = self._output.readline()
        if not text:
            raise SimulatorError(
                "the ego's process: expected another frame, received its end "
                f"(exit code {self._process.wait(STOP_TIMEOUT_S)})."
            )
        line: dict[str, Any] = json.loads(text)
        if "error" in line:
            error = ERRORS.get(int(line["exit_code"]), CarlasegError)
            raise error(str(line["error"]), tuple((str(a), str(b)) for a, b in line["next_steps"]))
        return line

    def read_array(self, dimensions: int) -> NDArray[np.uint8]:
        try:
            array = np.lib.format.read_array(_Pipe(self._output), allow_pickle=False)
        except ValueError as error:
            raise SimulatorError(f"the ego's process: expected a whole picture, received {error}.") from error
        if array.dtype != np.uint8 or array.ndim != dimensions:
            raise SimulatorError(f"the ego's process: expected bytes, received {array.dtype} of {array.ndim} axes.")
        return array

    def close(self) -> None:
        self._input.close()
        # It may be waiting for somebody to read what it writes; it may also be stuck, and then it is ended.
        reading = threading.Thread(target=self._read_to_the_end, name="carlaseg-ego", daemon=True)
        reading.start()
        await_end(self._process, STOP_TIMEOUT_S)
        reading.join()
        self._output.close()

    def _read_to_the_end(self) -> None:
        while self._output.read(1 << 20):
            pass


class _Pipe:
    """A pipe that NumPy reads as any stream: what it takes for a file it reads by position, which a pipe has not."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self.read = pipe.read
