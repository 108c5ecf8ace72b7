"""One frozen dataclass a command: every setting, its default, its check. No argument parsing here.

A value comes from the dataclass default, else from `--config FILE` (TOML or JSON), else from a flag, the last one
winning. The effective configuration is written into every recording, run and output folder and can be passed back as
`--config`. The command line makes its flags from these dataclasses; a field's docstring is its help text.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from carlaseg.errors import ConfigError

ConfigT = TypeVar("ConfigT")


class Size(NamedTuple):
    """A picture's (height, width) in pixels, written `160x160`."""

    height: int
    width: int

    @classmethod
    def parse(cls, text: str) -> Size:
        """Read `HxW`.

        Raises:
            ConfigError: the text is not two positive numbers with an x between them.
        """
        match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text.strip().lower())
        if match is None or "0" in match.groups():
            raise ConfigError(f"size: expected HxW in pixels, for example 160x160, received {text!r}.")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"


@dataclass(frozen=True, kw_only=True)
class RecordConfig:
    """Record RGB and semantic segmentation from a CARLA server in synchronous mode."""

    frames: int = 200
    """Frames to save."""
    every: int = 5
    """Save one tick in so many: a decimation in ticks, never in seconds."""
    size: Size = Size(160, 160)
    """Height x width of the saved pictures."""
    camera_size: Size | None = None
    """Height x width the camera draws at; the saved size when not given. RGB is averaged down, ids are picked."""
    fps: float = 20.0
    """Simulation steps a second; the fixed time step is its inverse."""
    fov: float = 90.0
    """Horizontal field of view of the cameras, in degrees."""
    camera_x: float = 1.6
    """Metres the camera sits before the centre of the ego vehicle."""
    camera_z: float = 1.7
    """Metres the camera sits above the ground."""
    camera_pitch: float = -15.0
    """Degrees the camera looks up (down when negative)."""
    seed: int = 0
    """Seed of the ego's start, the traffic, the walkers and (embedded) the town."""
    driver: Literal["autopilot", "waypoints"] = "autopilot"
    """Who drives the ego: the TrafficManager's autopilot, or a seeded walk along lane waypoints."""
    traffic: int = 20
    """Other vehicles."""
    walkers: int = 20
    """Pedestrians."""
    weather: str = "ClearNoon"
    """A preset's name as in carla.WeatherParameters, for example ClearNoon, HardRainSunset."""
    town: str | None = None
    """Town to load; the server's current one (or the embedded simulator's default) when not given."""
    simulator: Literal["server", "embedded"] = "server"
    """A running CARLA server at --host and --port, or the embedded simulator, started and stopped here."""
    host: str = "127.0.0.1"
    """Address of the CARLA server."""
    port: int = 2000
    """RPC port of the CARLA server."""
    traffic_port: int | None = None
    """Port of the client's TrafficManager; a free one is found when not given."""
    timeout: float = 10.0
    """Seconds to wait for the server before giving up."""
    warmup: int = 20
    """Ticks before the first saved frame, for cars to settle and exposure to adapt."""
    output: Path = Path("dataset")
    """Folder that gets a new recording folder."""
    name: str | None = None
    """Name of the recording folder; town, weather and seed when not given."""
    colour: bool = True
    """Also write seg/, the coloured segmentation for people to look at."""
    writers: int = 2
    """Threads that encode and write pictures."""
    queue: int = 32
    """Frames that may wait for the writers before the simulation is held back."""
    preview: bool = False
    """Show RGB with the segmentation over it in a window while recording."""
    allow_version_mismatch: bool = False
    """Go on although client and server are of different CARLA versions."""
    json: bool = False
    """Print the result as one JSON object on standard output."""

    def __post_init__(self) -> None:
        """Refuse values that no recording can have."""
        check_range("--frames", self.frames, 1)
        check_range("--every", self.every, 1)
        check_range("--fps", self.fps, 1, 1000)
        check_range("--fov", self.fov, 1, 170)
        check_range("--traffic", self.traffic, 0)
        check_range("--walkers", self.walkers, 0)
        check_range("--warmup", self.warmup, 0)
        check_range("--writers", self.writers, 1, 64)
        check_range("--queue", self.queue, 1)
        check_range("--timeout", self.timeout, 0.1)
        check_range("--port", self.port, 1, 65535)


@dataclass(frozen=True, kw_only=True)
class SimulateConfig:
    """Run the embedded simulator: a small CARLA 0.9.16 server on this machine's loopback address."""

    port: int = 2000
    """RPC port; 0 finds a free one and prints it."""
    town: str = "carlaseg_grid"
    """Generated town to build."""
    seed: int = 0
    """Seed of the town."""
    fps: float = 20.0
    """Steps a second while no client has switched to synchronous mode."""
    exit_with_parent: bool = False
    """End when standard input reaches its end, as it does when the parent process dies."""

    def __post_init__(self) -> None:
        """Refuse ports that do not exist."""
        check_range("--port", self.port, 0, 65535)
        check_range("--fps", self.fps, 1, 1000)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Train a segmentation network with Keras on one or more recordings or plain folders."""

    dataset: tuple[Path, ...] = (Path("dataset"),)
    """Recordings, folders of recordings or plain image folders to train on."""
    validation: tuple[Path, ...] = ()
    """Folders to validate on; when none is given, whole drives are held out of --dataset."""
    validation_share: float = 0.2
    """Share of the frames to hold out, by whole drives, when --validation is not given."""
    model: str = "fc_densenet"
    """Network: fc_densenet (free form), fc_densenet56, fc_densenet67, fc_densenet103 (`carlaseg models` lists them)."""
    size: Size = Size(160, 160)
    """Height x width the network trains at."""
    batch_size: int = 4
    """Images a step."""
    epochs: int | None = None
    """Epochs in all, those before a --resume included; 30 for a new run when not given."""
    groups: int = 5
    """Free form: down and up blocks."""
    layers_per_block: int = 4
    """Free form: dense layers a block."""
    growth_rate: int = 12
    """Free form: new feature maps a dense layer."""
    first_filters: int = 36
    """Free form: feature maps of the first convolution."""
    compression: float = 0.6
    """Free form: share of feature maps a transition down keeps."""
    dropout_rate: float = 0.2
    """Dropout in every dense layer."""
    scheme: str | None = None
    """Label scheme of the dataset, where it does not say and cannot be detected."""
    classes: str | None = None
    """Label scheme to train on, by a remap of meaning (camvid, cityscapes-train); the dataset's own when not given."""
    augment: Literal["none", "flip", "road", "strong"] = "road"
    """Augmentation preset."""
    optimizer: Literal["adamw", "sgd", "rmsprop"] = "adamw"
    """Optimiser."""
    learning_rate: float = 1e-3
    """Highest learning rate of the schedule."""
    weight_decay: float = 1e-4
    """Decoupled weight decay; never on batch norm or biases."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """Learning rate over the run."""
    class_weights: Literal["none", "median", "inverse-log"] = "none"
    """Weights a class in the loss, from the training set's pixel counts."""
    patience: int = 0
    """Stop after so many epochs without a better validation mIoU; 0 never does."""
    cache: Literal["none", "ram"] = "ram"
    """Where decoded frames are kept for later epochs."""
    seed: int = 0
    """Seed of weights, order, augmentation and dropout."""
    run: str | None = None
    """Name of the run folder under --runs; date, time and model when not given."""
    runs: Path = Path("runs")
    """Folder of run folders."""
    resume: Path | None = None
    """Run folder to continue in (`latest` for the newest): weights, optimiser, schedule, random state, best score."""
    init_from: Path | None = None
    """Run folder whose weights a new run starts with."""
    tensorboard: bool = False
    """Also write TensorBoard event files into the run folder."""
    require_gpu: bool = False
    """End with exit code 2 when no GPU would be used."""
    dry_run: bool = False
    """Say what would be trained, and stop before the first step."""
    json: bool = False
    """Print the result as one JSON object on standard output."""

    def __post_init__(self) -> None:
        """Refuse values that no training can have."""
        check_range("--batch-size", self.batch_size, 1)
        if self.epochs is not None:
            check_range("--epochs", self.epochs, 1)
        check_range("--groups", self.groups, 1, 8)
        check_range("--layers-per-block", self.layers_per_block, 1, 64)
        check_range("--growth-rate", self.growth_rate, 1, 256)
        check_range("--first-filters", self.first_filters, 1, 1024)
        check_range("--compression", self.compression, 0.05, 1.0)
        check_range("--dropout-rate", self.dropout_rate, 0.0, 0.95)
        check_range("--validation-share", self.validation_share, 0.01, 0.9)
        check_range("--learning-rate", self.learning_rate, 1e-8, 10.0)
        check_range("--patience", self.patience, 0)


@dataclass(frozen=True, kw_only=True)
class InferConfig:
    """Run a trained network over a folder of images and write ids, colours, panels and metrics."""

    run: Path = Path("latest")
    """Run folder, or `latest` for the newest one under --runs."""
    runs: Path = Path("runs")
    """Folder of run folders."""
    input: Path = Path("dataset_test")
    """Images to segment: recordings, a plain folder, a dataset in a known layout."""
    output: Path = Path("dataset_out")
    """Folder that gets the results; a run's results go to a folder of their own inside it."""
    name: str | None = None
    """Name of the results folder; the run's and the input's names when not given."""
    checkpoint: Literal["best", "last"] = "best"
    """Which weights of the run."""
    size: Size | None = None
    """Height x width the network sees; the size it was trained at when not given. Results have the input's size."""
    batch_size: int = 1
    """Images a step; one at a time is the quickest on a CPU."""
    scheme: str | None = None
    """Label scheme of the truth, where the input does not say."""
    split: str | None = None
    """Split of the input to use (train, val, test), where its layout has splits."""
    panels: bool = True
    """Write the panels (image, truth, prediction, median-filtered prediction, overlay)."""
    overwrite: bool = False
    """Replace an existing results folder."""
    json: bool = False
    """Print the result as one JSON object on standard output."""

    def __post_init__(self) -> None:
        """Refuse an impossible batch."""
        check_range("--batch-size", self.batch_size, 1)


@dataclass(frozen=True, kw_only=True)
class VerifyConfig:
    """Check a dataset: pairs, files, sizes, ids. Exit code 5 when something is wrong."""

    folder: Path = Path("dataset")
    """Folder to check."""
    deep: bool = False
    """Decode every file and compare its checksum, rather than look at its header."""
    scheme: str | None = None
    """Label scheme of the masks, where the dataset does not say."""
    json: bool = False
    """Print the report as one JSON object on standard output."""


@dataclass(frozen=True, kw_only=True)
class StatsConfig:
    """Count pixels and images a class; print the table, loss weights, and draw a picture."""

    folder: Path = Path("dataset")
    """Folder to count."""
    scheme: str | None = None
    """Label scheme of the masks, where the dataset does not say."""
    output: Path | None = None
    """Folder for stats.json, classes.csv, classes.png; printed only when not given."""
    json: bool = False
    """Print the result as one JSON object on standard output."""


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """Join a run's curves, scores and pictures in one self-contained HTML page."""

    run: Path = Path("latest")
    """Run folder, or `latest` for the newest one under --runs."""
    runs: Path = Path("runs")
    """Folder of run folders."""
    results: tuple[Path, ...] = ()
    """Inference results folders to show; those made from the run under dataset_out/ when not given."""
    output: Path | None = None
    """HTML file to write; report.html in the run folder when not given."""


@dataclass(frozen=True, kw_only=True)
class DoctorConfig:
    """Run small pieces of everything on this machine and say what works and how to mend what does not."""

    host: str = "127.0.0.1"
    """Address where a CARLA server may be."""
    port: int = 2000
    """Its RPC port."""
    json: bool = False
    """Print the result as one JSON object on standard output."""


@dataclass(frozen=True, kw_only=True)
class ModelsConfig:
    """List the networks with their parameters."""

    num_classes: int = 29
    """Classes to build them with."""
    json: bool = False
    """Print the table as one JSON object on standard output."""


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """Record from the embedded simulator, train a small network, run a test set, write the report. Offline."""

    output: Path = Path("demo_out")
    """Folder that gets the recordings, the run, the predictions and the report."""
    frames: int = 60
    """Frames a drive; two drives to train on, one to validate on, one to test on."""
    epochs: int = 8
    """Epochs of training."""
    seed: int = 0
    """Seed of everything."""
    overwrite: bool = field(default=True)
    """Replace what an earlier demo left in the folder."""

    def __post_init__(self) -> None:
        """Refuse an empty demo."""
        check_range("--frames", self.frames, 8)
        check_range("--epochs", self.epochs, 1)


def check_range(where: str, value: float, low: float, high: float | None = None) -> None:
    """Refuse a number outside [low, high].

    Raises:
        ConfigError: with the flag, the range and the value.
    """
    if value < low or (high is not None and value > high):
        expected = f"at least {low:g}" if high is None else f"{low:g} to {high:g}"
        raise ConfigError(f"{where}: expected {expected}, received {value:g}.")


def nearest(name: str, known: typing.Iterable[str]) -> str | None:
    """The known name most like the given one, or None when none is near."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return matches[0] if matches else None


def to_json(config: Any) -> dict[str, Any]:
    """A configuration as plain JSON values; `from_mapping` reads it back."""
    return {f.name: _plain(getattr(config, f.name)) for f in dataclasses.fields(config)}


def from_mapping(config_class: type[ConfigT], values: Mapping[str, Any], where: str) -> ConfigT:
    """Build a configuration from plain values.

    Args:
        config_class: one of the dataclasses above.
        values: field name to a JSON or TOML value; fields that are missing keep their default.
        where: file the values came from, for messages.

    Raises:
        ConfigError: an unknown key (the nearest known one is named) or a value of the wrong kind.
    """
    hints = typing.get_type_hints(config_class)
    known = {f.name for f in dataclasses.fields(config_class)}  # type: ignore[arg-type]
    parsed: dict[str, Any] = {}
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in known:
            near = nearest(name, known)
            hint = f" Nearest: {near}." if near else ""
            raise ConfigError(f"{where}: expected a setting of {config_class.__name__}, received {key!r}.{hint}")
        parsed[name] = _parse(hints[name], value, f"{where}, {key}")
    return config_class(**parsed)


def load(config_class: type[ConfigT], path: Path) -> ConfigT:
    """Read a configuration file: TOML, or JSON as carlaseg itself writes it.

    Raises:
        ConfigError: no such file, not TOML or JSON, an unknown key, a value of the wrong kind.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--config {path}: expected a readable TOML or JSON file, received {error}.") from error
    try:
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (json.JSONDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"--config {path}: expected TOML or JSON, received {error}.") from error
    if not isinstance(values, dict):
        raise ConfigError(f"--config {path}: expected a table of settings, received {type(values).__name__}.")
    return from_mapping(config_class, values, f"--config {path}")


def _plain(value: Any) -> Any:
    if isinstance(value, Size):
        return str(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _parse(hint: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        inner = next(arm for arm in typing.get_args(hint) if arm is not type(None))
        return _parse(inner, value, where)
    if origin is Literal:
        allowed = typing.get_args(hint)
        if value not in allowed:
            raise ConfigError(f"{where}: expected one of {', '.join(map(str, allowed))}, received {value!r}.")
        return value
    if origin is tuple:
        items = value if isinstance(value, list) else [value]
        return tuple(_parse(typing.get_args(hint)[0], item, where) for item in items)
    if hint is Size and isinstance(value, str):
        return Size.parse(value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint in (int, bool, str) and type(value) is hint:
        return value
    raise ConfigError(f"{where}: expected {getattr(hint, '__name__', hint)}, received {value!r}.")
