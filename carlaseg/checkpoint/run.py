"""Run folders: made once, never overwritten, every file whole; see `carlaseg.checkpoint`."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from carlaseg import __version__
from carlaseg.config import LARGEST_PIXELS, to_json
from carlaseg.errors import CheckpointError, ConfigError
from carlaseg.files import disk_fault

FORMAT = 1
LARGEST_NUM_CLASSES = 255
"""A class id is a byte, and 255 is void."""
LARGEST_TEXT_BYTES = 16 * 2**20
"""No text file of a run is as large as this; a larger one is refused before it is read."""
Which = Literal["best", "last"]


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What it takes to build a run's network again and to read its answers; model.json.

    Attributes:
        network: name in `carlaseg.models`.
        num_classes: channels of the logits.
        options: keyword options of the builder.
        scheme: label scheme of the classes.
        class_names: one a class.
        palette: (red, green, blue) a class, 0 to 255.
        size: (height, width) the network was trained at.
        parameters: numbers in the network, batch-norm statistics included.
        input: what the network expects of an image.
    """

    network: str
    num_classes: int
    options: Mapping[str, Any] = field(default_factory=dict)
    scheme: str
    class_names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    size: tuple[int, int]
    parameters: int
    input: str = "uint8 RGB, (height, width, 3), 0 to 255; rescaling is inside the network"


class RunFolder:
    """A run folder that exists. Make one with `create`, find one with `find`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    @classmethod
    def create(cls, runs: Path, model: str, name: str | None = None) -> RunFolder:
        """Make a new folder under `runs`, named by date, time and model, or as told.

        Two runs started in the same second get two folders.

        Raises:
            ConfigError: a folder of the given name exists.
            CheckpointError: the folder cannot be made.
        """
        try:
            runs.mkdir(parents=True, exist_ok=True)
            if name is not None:
                path = runs / name
                if path.parent != runs:
                    raise ConfigError(f"--run: expected a plain name, received {name!r}; --runs says where.")
                try:
                    path.mkdir()
                except FileExistsError:
                    raise ConfigError(
                        f"--run {name}: expected a name that is free, received one that {path} has. "
                        "Nothing was changed.",
                        (
                            ("continue it", f"carlaseg train --resume {shlex.quote(str(path))}"),
                            ("or", "give another --run"),
                        ),
                    ) from None
                return cls(path)
            while True:
                path = runs / f"{time.strftime('%Y-%m-%d_%H%M%S')}_{model}"
                try:
                    path.mkdir()
                except FileExistsError:
                    time.sleep(0.05)  # the name is free again within the second
                    continue
                return cls(path)
        except OSError as error:
            raise CheckpointError(
                f"{runs}: expected a folder to write runs into, received {disk_fault(error)}."
            ) from error

    @contextmanager
    def ours(self) -> Iterator[None]:
        """Hold the folder while it is trained in: two trainings in one would each write half of what is there.

        Raises:
            CheckpointError: another process holds it.
        """
        if sys.platform == "win32":
            yield  # a folder cannot be locked there
            return
        import fcntl

        folder = os.open(self.path, os.O_RDONLY)
        try:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CheckpointError(
                    f"{self.path}: expected a run that nobody trains, received one that another process is training. "
                    "Nothing was changed."
                ) from None
            yield
        finally:
            os.close(folder)

    @classmethod
    def find(cls, run: Path, runs: Path = Path("runs")) -> RunFolder:
        """The run folder that a path means: the folder, a file in it, its name under `runs`, or `latest`.

        Raises:
            CheckpointError: there is no such run.
        """
        if str(run) == "latest":
            return cls.latest(runs)
        for path in (run, runs / run):
            folder = path.parent if path.is_file() else path
            if (folder / "model.json").is_file() or (folder / "config.json").is_file():
                return cls(folder)
        raise CheckpointError(
            f"{run}: expected a run folder (it holds config.json and model.json), received "
            f"{'a folder without them' if run.is_dir() else 'no such folder'}.",
            (("see the runs", f"carlaseg runs --runs {shlex.quote(str(runs))}"),),
        )

    @classmethod
    def latest(cls, runs: Path = Path("runs")) -> RunFolder:
        """The newest run under `runs`.

        Raises:
            CheckpointError: there is none.
        """
        found = [path for path in runs.glob("*/") if (path / "model.json").is_file()] if runs.is_dir() else []
        if not found:
            raise CheckpointError(
                f"{runs}: expected at least one run, received none.",
                (("train one", "carlaseg train --dataset dataset"),),
            )
        return cls(max(found, key=lambda path: ((path / "model.json").stat().st_mtime_ns, path.name)))

    def weights(self, which: Which) -> Path:
        """Where the weights are: best.weights.h5 or last.weights.h5."""
        return self.path / f"{which}.weights.h5"

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.name

    # === Text files ===

    def write_text(self, name: str, text: str) -> Path:
        """Write a file of the run, all or nothing."""
        path = self.path / name
        with whole_file(path) as beside:
            beside.write_text(text, encoding="utf-8")
        return path

    def write_json(self, name: str, value: Any) -> Path:
        """Write a JSON file of the run, all or nothing."""
        return self.write_text(name, json.dumps(value, indent=2, ensure_ascii=False) + "\n")

    def read_json(self, name: str) -> dict[str, Any]:
        """A JSON object of the run.

        Raises:
            CheckpointError: the file is missing, too large, or no JSON object.
        """
        path = self.path / name
        try:
            value = json.loads(_text(path))
        except (OSError, ValueError, RecursionError) as error:
            raise CheckpointError(f"{path}: expected a readable JSON file, received {error}.") from error
        if not isinstance(value, dict):
            raise CheckpointError(f"{path}: expected a JSON object, received {type(value).__name__}.")
        return value

    def write_config(self, config: Any) -> None:
        """Write the effective settings; `--config` reads them back."""
        self.write_json("config.json", to_json(config))

    def write_environment(self, **more: Any) -> None:
        """Write versions, machine, and whatever else the caller knows of the machine and of how the run began."""
        self.write_json(
            "environment.json",
            {
                "carlaseg": __version__,
                "python": platform.python_version(),
                "platform": platform.platform(),
                "cpu_count": os.cpu_count(),
                "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
                "packages": {
                    name: _version(name) for name in ("keras", "tensorflow", "jax", "torch", "numpy", "imgaug")
                },
                **more,
            },
        )

    def write_model_card(self, card: ModelCard) -> None:
        """Write model.json."""
        self.write_json("model.json", {"format": FORMAT, **asdict(card)})

    def model_card(self) -> ModelCard:
        """Read model.json.

        Raises:
            CheckpointError: it is missing, damaged, or of a newer format.
        """
        values = self.read_json("model.json")
        path = self.path / "model.json"
        if values.pop("format", None) != FORMAT:
            raise CheckpointError(f"{path}: expected format {FORMAT}, received another; a newer carlaseg wrote it.")
        try:
            card = ModelCard(
                network=str(values["network"]),
                num_classes=int(values["num_classes"]),
                options=_plain_options(values["options"]),
                scheme=str(values["scheme"]),
                class_names=tuple(str(name) for name in values["class_names"]),
                palette=tuple((int(r), int(g), int(b)) for r, g, b in values["palette"]),
                size=(int(values["size"][0]), int(values["size"][1])),
                parameters=int(values["parameters"]),
                input=str(values["input"]),
            )
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
            raise CheckpointError(f"{path}: expected the description of a network, received {error!r}.") from error
        if not 1 <= card.num_classes <= LARGEST_NUM_CLASSES:
            raise CheckpointError(
                f"{path}: expected 1 to {LARGEST_NUM_CLASSES} classes, received {card.num_classes:,}."
            )
        if not len(card.class_names) == len(card.palette) == card.num_classes:
            raise CheckpointError(
                f"{path}: expected {card.num_classes} class names and colours, "
                f"received {len(card.class_names)} and {len(card.palette)}."
            )
        if min(card.size) < 1 or card.size[0] * card.size[1] > LARGEST_PIXELS:
            raise CheckpointError(
                f"{path}: expected a size of at most {LARGEST_PIXELS:,} pixels, received {card.size[0]}x{card.size[1]}."
            )
        if not all(0 <= part <= 255 for colour in card.palette for part in colour):
            raise CheckpointError(f"{path}: expected colours of three numbers from 0 to 255, received others.")
        return card

    # === Metrics: a line an epoch ===

    def append_metrics(self, record: Mapping[str, Any]) -> None:
        """Add an epoch's figures to metrics.jsonl, and write metrics.csv from the whole of it."""
        self._write_metrics([*self.metrics(), dict(record)])

    def keep_metrics(self, epochs: int) -> list[dict[str, Any]]:
        """Drop what was written after so many epochs (a run that died between two files), and return the rest."""
        kept = [record for record in self.metrics() if int(record.get("epoch", 0)) <= epochs]
        self._write_metrics(kept)
        return kept

    def metrics(self) -> list[dict[str, Any]]:
        """The epochs' figures, oldest first; empty before the first.

        Raises:
            CheckpointError: metrics.jsonl is damaged.
        """
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return []
        try:
            records = [json.loads(line) for line in _text(path).splitlines() if line.strip()]
        except (OSError, ValueError, RecursionError) as error:
            raise CheckpointError(f"{path}: expected one JSON object a line, received {error}.") from error
        if not all(isinstance(record, dict) for record in records):
            raise CheckpointError(f"{path}: expected one JSON object a line, received something else.")
        return records

    def _write_metrics(self, records: Sequence[Mapping[str, Any]]) -> None:
        self.write_text("metrics.jsonl", "".join(json.dumps(record) + "\n" for record in records))
        columns = list(dict.fromkeys(key for record in records for key in record))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
        self.write_text("metrics.csv", text.getvalue())


def _text(path: Path) -> str:
    """A text file of a run; its size is looked at before it is read."""
    size = path.stat().st_size
    if size > LARGEST_TEXT_BYTES:
        raise CheckpointError(
            f"{path}: expected a text file below {LARGEST_TEXT_BYTES:,} bytes, received {size:,}. It was not read."
        )
    return path.read_text(encoding="utf-8")


def _plain_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Builder options as they may stand in a file: plain values, and numbers no network needs to exceed."""
    plain: dict[str, Any] = {}
    for name, value in options.items():
        items = value if isinstance(value, list) else [value]
        if not all(isinstance(item, bool | int | float | str) or item is None for item in items):
            raise ValueError(f"option {name!r} is no plain value")
        if name != "seed" and any(isinstance(item, int | float) and abs(item) > 4096 for item in items):
            raise ValueError(f"option {name!r} is {value}, larger than any network needs")
        plain[name] = tuple(items) if isinstance(value, list) else value
    return plain


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a name beside the path to write to; renamed over it when all went well, removed when not."""
    beside = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield beside
        with open(beside, "rb") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        raise CheckpointError(
            f"{path}: expected room to write it, received {disk_fault(error)}. What was there before is whole."
        ) from error
    finally:
        with contextlib.suppress(OSError):  # a read-only folder, say: its own error is on its way
            beside.unlink(missing_ok=True)
