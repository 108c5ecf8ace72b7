"""A plan: towns x weathers x times x drivers x seeds x drives, as a list of recordings, each with settings and a name.

The names follow from the plan alone, so the recordings on disk are the plan's state: what is there and whole is done.
A town belongs to one split; the same streets in training and test would make every score a lie.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from carlaseg.config import RecordConfig, check_range, from_mapping, nearest, to_json
from carlaseg.dataset.layouts.listing import SPLITS
from carlaseg.dataset.reader import is_recording, read_metadata
from carlaseg.errors import ConfigError, DatasetError
from carlaseg.files import unreadable
from carlaseg.recording.place import FREE_TO_CHANGE
from carlaseg.recording.weather import weather_preset

TIMES = {"day": 60.0, "evening": 15.0, "sunset": 3.0, "dusk": -4.0, "night": -60.0}
"""Degrees of the sun above the horizon."""
SEEDS_APART = 1000
"""Between the drives of a seed; so many seeds a plan may have."""
KEYS = ("output", "towns", "splits", "weathers", "times", "drivers", "seeds", "drives", "frames", "record", "server")


@dataclass(frozen=True)
class PlannedDrive:
    """One recording of a plan.

    Attributes:
        split: "train", "val" or "test"; empty where the plan has none.
        config: of the recording.
    """

    split: str
    config: RecordConfig

    @property
    def folder(self) -> Path:
        """Where it goes."""
        assert self.config.name is not None
        return (self.config.output / self.config.name).absolute()

    def frames_done(self) -> int:
        """How many frames are there; all of them where a rule ended the drive earlier.

        Raises:
            DatasetError: the recording there is not the one planned.
        """
        if not is_recording(self.folder):
            return 0
        metadata = read_metadata(self.folder)
        planned, recorded = to_json(self.config), {**to_json(RecordConfig()), **metadata.configuration}
        for key in sorted(planned.keys() - FREE_TO_CHANGE):
            if planned[key] != recorded.get(key):
                raise DatasetError(
                    f"{self.folder}: expected the recording of this plan, received one with {key} "
                    f"{recorded.get(key)} instead of {planned[key]}. Nothing was changed.",
                    (("another folder", 'output = "..." in the plan'),),
                )
        if metadata.ended is None:
            return 0
        done = metadata.counts.get("frames", 0)
        return self.config.frames if metadata.counts.get("ended_by_rule") else min(done, self.config.frames)


@dataclass(frozen=True)
class PlannedServer:
    """The server that a plan starts for itself.

    Attributes:
        command: what starts it; None where somebody else does.
        restart_every: drives after which it is ended and started anew, against its leaks; 0 never does.
        start_timeout_s: how long it may take to answer.
        attempts: how often in a row a drive may fail without a new frame before the plan is given up.
    """

    command: str | None = None
    restart_every: int = 0
    start_timeout_s: float = 180.0
    attempts: int = 3

    def __post_init__(self) -> None:
        """Refuse a server that cannot be started, or watched."""
        check_range("[server] restart_every", self.restart_every, 0)
        check_range("[server] start_timeout_s", self.start_timeout_s, 1)
        check_range("[server] attempts", self.attempts, 1)
        if self.command is not None:
            server_words(self.command)


@dataclass(frozen=True)
class Plan:
    """All recordings of a plan, in the order in which they are made.

    Attributes:
        path: of the file.
        drives: town by town, so that towns are loaded as rarely as can be.
        server: how it is started and watched.
    """

    path: Path
    drives: tuple[PlannedDrive, ...]
    server: PlannedServer

    @property
    def frames(self) -> int:
        """Of all drives."""
        return sum(drive.config.frames for drive in self.drives)


def load_plan(path: Path, overrides: Mapping[str, Any] | None = None) -> Plan:
    """Read a plan.

    Args:
        path: of the TOML file.
        overrides: settings of `carlaseg record`, given as flags, that win over the plan's `[record]`.

    Raises:
        ConfigError: no such file, not TOML, an unknown key, a town in two splits, a value that cannot be used.
    """
    where = f"plan {path}"
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where}: expected a readable TOML file, received {unreadable(error)}.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: expected TOML, received {error}.") from error
    for key in values:
        if key not in KEYS:
            near = nearest(key, KEYS)
            raise ConfigError(
                f"{where}: expected {', '.join(KEYS)}, received {key!r}." + (f" Nearest: {near}." if near else "")
            )
    common = {**_table(values, "record", where), **(overrides or {})}
    for key in ("town", "weather", "seed", "frames", "driver", "sun_altitude", "name", "plan"):
        if key in common:
            raise ConfigError(
                f"{where}: expected {key} for each drive by the plan's own keys, received "
                + (f"--{key.replace('_', '-')} beside it." if key in (overrides or {}) else "one in [record].")
            )
    common.setdefault("reload", True)
    server = from_mapping(PlannedServer, _table(values, "server", where), f"{where}, [server]")
    drives = tuple(_drives(values, common, Path(str(values.get("output", "dataset"))), where))
    if not drives:
        raise ConfigError(f"{where}: expected at least one drive, received none: a list is empty.")
    return Plan(path, drives, server)


def refuse_unknown_weathers(plan: Plan, carla: Any) -> None:
    """Make sure that the client knows a plan's weathers: no server need be waited for to say so.

    Raises:
        ConfigError: it does not; the nearest is named.
    """
    for name in dict.fromkeys(drive.config.weather for drive in plan.drives):
        weather_preset(carla, name, f"plan {plan.path}, weathers")


def server_words(command: str) -> list[str]:
    """The words of the line that starts a server, split as by a shell.

    Raises:
        ConfigError: there are none, or a quotation mark is not closed.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ConfigError(
            f"[server] command: expected a line as for a shell, received {command!r}: {error}."
        ) from error
    if not words:
        raise ConfigError("[server] command: expected a line as for a shell, received an empty one.")
    return words


def _drives(values: Mapping[str, Any], common: dict[str, Any], output: Path, where: str) -> list[PlannedDrive]:
    default = RecordConfig()
    weathers = _texts(values, "weathers", [default.weather], where)
    times = values.get("times", [None])
    if not isinstance(times, list):
        raise ConfigError(f"{where}: expected times as a list, received {times!r}.")
    suns = [(time, _sun_altitude(time, where)) for time in times]
    drivers = _texts(values, "drivers", [default.driver], where)
    seeds = values.get("seeds", [0])
    if not isinstance(seeds, list) or not all(type(seed) is int and 0 <= seed < SEEDS_APART for seed in seeds):
        raise ConfigError(f"{where}: expected seeds as whole numbers from 0 to {SEEDS_APART - 1}, received {seeds!r}.")
    frames, count = values.get("frames", default.frames), values.get("drives", 1)
    if type(count) is not int or count < 1:
        raise ConfigError(f"{where}: expected drives as a whole number from 1 on, received {count!r}.")
    drives: list[PlannedDrive] = []
    for split, town in _towns(values, where):
        for weather, (time, sun), driver, seed, number in product(weathers, suns, drivers, seeds, range(count)):
            drive_seed = seed + SEEDS_APART * number
            words = [town, weather, *([_time_word(time)] if time is not None else [])]
            words += [driver] if len(drivers) > 1 else []
            settings = {
                **common,
                "town": town,
                "weather": weather,
                "sun_altitude": sun,
                "driver": driver,
                "seed": drive_seed,
                "frames": frames,
                "output": str(output / split),
                "name": f"{'_'.join(words)}_seed{drive_seed:04d}",
            }
            drives.append(PlannedDrive(split, from_mapping(RecordConfig, settings, where)))
    folders = [drive.folder for drive in drives]
    if len(set(folders)) != len(folders):
        raise ConfigError(f"{where}: expected every town, weather, time, driver and seed once, received one twice.")
    return drives


def _towns(values: Mapping[str, Any], where: str) -> list[tuple[str, str]]:
    if ("towns" in values) == ("splits" in values):
        raise ConfigError(f"{where}: expected either towns = [...] or a table [splits], received both or neither.")
    if "towns" in values:
        return [("", town) for town in _texts(values, "towns", [], where)]
    splits = _table(values, "splits", where)
    split_of: dict[str, str] = {}
    for split in splits:
        if split not in SPLITS:
            raise ConfigError(f"{where}: expected splits of {', '.join(SPLITS)}, received {split!r}.")
        for town in _texts(splits, split, [], where):
            # Town05_Opt has the streets of Town05.
            streets = re.sub(r"_opt$", "", town.lower())
            if split_of.setdefault(streets, split) != split:
                raise ConfigError(
                    f"{where}: expected each town in one split, received {town} in {split_of[streets]} and {split}. "
                    "Frames of the same streets on both sides make every score a lie."
                )
    return [(split, town) for split in splits for town in _texts(splits, split, [], where)]


def _sun_altitude(time: Any, where: str) -> float | None:
    if time is None:
        return None
    if isinstance(time, int | float) and not isinstance(time, bool) and -90 <= time <= 90:
        return float(time)
    if not isinstance(time, str) or time not in TIMES:
        near = nearest(str(time), TIMES)
        raise ConfigError(
            f"{where}: expected times of {', '.join(TIMES)}, or degrees of the sun above the horizon, received "
            f"{time!r}." + (f" Nearest: {near}." if near else "")
        )
    return TIMES[time]


def _time_word(time: Any) -> str:
    return str(time) if isinstance(time, str) else f"sun{float(time):+g}"


def _texts(values: Mapping[str, Any], key: str, default: list[str], where: str) -> list[str]:
    given = values.get(key, default)
    if not isinstance(given, list) or not all(isinstance(item, str) for item in given):
        raise ConfigError(f"{where}: expected {key} as a list of names, received {given!r}.")
    return given


def _table(values: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    table = values.get(key, {})
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: expected a table [{key}], received {table!r}.")
    return {str(name).replace("-", "_"): value for name, value in table.items()}
