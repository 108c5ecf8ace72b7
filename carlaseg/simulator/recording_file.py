"""The simulator's own recordings of what moved: gzip of JSON lines, one a frame, after one about the whole.

Not CARLA's binary format, whose files cannot be read here nor these there. Files lie in one folder: whatever path a
client names, its last part alone counts, so that no client writes elsewhere.
"""

from __future__ import annotations

import gzip
import json
import re
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO, cast

from carlaseg.errors import SimulatorError

FORMAT = "carlaseg-simulator-recording"
VERSION = 1
SUFFIX = ".jsonl.gz"
MAX_FRAMES = 1_000_000
MAX_LINE_CHARACTERS = 4 << 20
_NAME = re.compile(r"[A-Za-z0-9_.\- ]{1,120}")


@dataclass(frozen=True)
class Born:
    """An actor that appears: its id in the recording, blueprint, attributes and pose (x, y, z, pitch, yaw, roll)."""

    id: int
    type_id: str
    attributes: dict[str, str]
    pose: list[float]


@dataclass(frozen=True)
class RecordedFrame:
    """One frame.

    Attributes:
        number: of the frame, from 1.
        elapsed_s: since the recording began.
        born: actors that appeared.
        gone: ids of those that vanished.
        poses: id (as text) to pose and speed: x, y, z, pitch, yaw, roll, m/s.
        lights: signal id to traffic light state, where it changed.
        contacts: pairs of ids in contact, 0 for the town.
    """

    number: int
    elapsed_s: float
    born: list[Born]
    gone: list[int]
    poses: dict[str, list[float]]
    lights: dict[str, int]
    contacts: list[list[int]]


class RecordingFolder:
    """Where recordings lie; made when the first is written.

    Args:
        folder: None for a temporary one, which goes with `close`.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    def path(self, name: str) -> Path:
        """Return where a recording lies, whatever folder its name says.

        Raises:
            SimulatorError: the name cannot be one of a file.
        """
        last = re.split(r"[\\/]", name)[-1]
        if _NAME.fullmatch(last) is None or last.strip(". ") == "":
            raise SimulatorError(f"recording: expected a file name, received '{name[:80]}'")
        if self._folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="carlaseg_recordings_", ignore_cleanup_errors=True)
            self._folder = Path(self._temporary.name)
        return self._folder / (last + SUFFIX)

    def close(self) -> None:
        """Clear a temporary folder away."""
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = self._folder = None


class RecordingWriter:
    """Writes one recording, line by line."""

    def __init__(self, path: Path, about: dict[str, Any]) -> None:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = cast(TextIO, gzip.open(path, "wt", compresslevel=1, encoding="utf-8"))  # noqa: SIM115 (see close)
        except OSError as error:
            raise SimulatorError(f"recording {path}: expected to be able to write, received: {error}") from error
        self._file.write(json.dumps({"format": FORMAT, "version": VERSION, **about}) + "\n")

    def add(self, frame: RecordedFrame) -> None:
        """Write a frame."""
        self._file.write(json.dumps(asdict(frame), separators=(",", ":")) + "\n")

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


class Recording:
    """A recording that can be read.

    Attributes:
        about: map, seed and date.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.about = next(self._lines())
        if self.about.get("format") != FORMAT or self.about.get("version") != VERSION:
            raise SimulatorError(f"recording {path.name}: expected {FORMAT} {VERSION}, received another format")

    def frames(self) -> Iterator[RecordedFrame]:
        """Return its frames in order.

        Raises:
            SimulatorError: the file is damaged.
        """
        lines = self._lines()
        next(lines)
        for count, line in enumerate(lines):
            if count >= MAX_FRAMES:
                return
            try:
                born = [Born(**one) for one in line.pop("born")]
                yield RecordedFrame(born=born, **line)
            except (TypeError, KeyError) as error:
                raise SimulatorError(f"recording {self._path.name}, frame {count + 1}: damaged ({error})") from error

    def _lines(self) -> Iterator[dict[str, Any]]:
        try:
            with gzip.open(self._path, "rt", encoding="utf-8") as file:
                while line := file.readline(MAX_LINE_CHARACTERS):
                    value = json.loads(line)
                    if not isinstance(value, dict):
                        raise ValueError("not a table")
                    yield value
        except FileNotFoundError:
            raise SimulatorError(f"File {self._path.name.removesuffix(SUFFIX)} not found on server") from None
        except (OSError, ValueError, EOFError) as error:
            raise SimulatorError(f"recording {self._path.name}: expected a recording, received: {error}") from error
