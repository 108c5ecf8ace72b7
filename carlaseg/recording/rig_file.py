"""Rigs from TOML files, and those that come with carlaseg (`rigs/*.toml`).

A file names mounts: places on the ego, each with one sensor or several that share it. A sensor's name is its kind and
its mount's name, `rgb_front`. docs/recording.md has an example and all keys.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from carlaseg.config import Size, check_range, from_mapping, nearest
from carlaseg.dataset.rig_records import Pose
from carlaseg.dataset.writer import IMAGES, MASKS
from carlaseg.errors import ConfigError
from carlaseg.files import unreadable
from carlaseg.recording.kinds import KINDS
from carlaseg.recording.rig import CameraView, RigSpec, SensorSpec

NAME = re.compile(r"[a-z][a-z0-9_]*")
OURS = {
    "fov": "fov_deg beside the mount's name",
    "image_size_x": "size or camera_size beside the mount's name",
    "image_size_y": "size or camera_size beside the mount's name",
    "sensor_tick": "--every on the command line",
    "role_name": "the mount's name",
}
"""Attributes that a rig's file does not set, and what says the same. Set there, what is written down would be untrue:
the calibration, the size, the ticks that are saved, and whose actors a killed recording left behind."""


@dataclass(frozen=True, kw_only=True)
class Mount:
    """A place on the ego vehicle, as a file describes it.

    Attributes:
        name: of the place.
        sensors: kinds of the sensors there.
        location_m: x forward, y right, z up, from CARLA's origin of the vehicle.
        rotation_deg: pitch (up), yaw (to the right), roll.
        size: height x width of the saved pictures.
        camera_size: height x width the cameras draw at; `size` when not given.
        fov_deg: horizontal field of view of the cameras.
    """

    name: str
    sensors: tuple[str, ...]
    location_m: tuple[float, ...] = (0.0, 0.0, 0.0)
    rotation_deg: tuple[float, ...] = (0.0, 0.0, 0.0)
    size: Size | None = None
    camera_size: Size | None = None
    fov_deg: float = 90.0


def preset_names() -> list[str]:
    """Names of the rigs that come with carlaseg."""
    folder = resources.files("carlaseg.recording") / "rigs"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_rig(name_or_path: str) -> RigSpec:
    """The rig of a preset's name or of a file.

    Raises:
        ConfigError: no such preset or file, or one that describes no rig we can record from.
    """
    path = Path(name_or_path)
    if path.suffix == ".toml" or path.is_file():
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"--rig {path}: expected a readable TOML file, received {unreadable(error)}.") from error
        return parse_rig(text, path.stem, f"--rig {path}")
    presets = preset_names()
    if name_or_path not in presets:
        near = nearest(name_or_path, presets)
        raise ConfigError(
            f"--rig: expected a TOML file or one of {', '.join(presets)}, received {name_or_path!r}."
            + (f" Nearest: {near}." if near else "")
        )
    preset = resources.files("carlaseg.recording") / "rigs" / f"{name_or_path}.toml"
    return parse_rig(preset.read_text(encoding="utf-8"), name_or_path, f"rig {name_or_path}")


def parse_rig(text: str, name: str, where: str) -> RigSpec:
    """The rig that a TOML text describes.

    Args:
        text: of the file.
        name: of the rig.
        where: the text is from, for messages.

    Raises:
        ConfigError: not TOML, an unknown key or kind, two sensors of a name, no pair of RGB and semantic camera.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: expected TOML, received {error}.") from error
    mounts = values.pop("mount", None)
    values.pop("title", None)
    shared_keys = ("size", "camera_size", "fov_deg")
    for key in values:
        if key not in shared_keys:
            near = nearest(key, ("mount", "title", *shared_keys))
            raise ConfigError(
                f"{where}: expected title, {', '.join(shared_keys)} or [[mount]], received {key!r}."
                + (f" Nearest: {near}." if near else "")
            )
    if not isinstance(mounts, list) or not mounts:
        raise ConfigError(f"{where}: expected at least one [[mount]], received none.")
    sensors: list[SensorSpec] = []
    for number, mount in enumerate(mounts, 1):
        if not isinstance(mount, dict):
            raise ConfigError(f"{where}: expected [[mount]] to be a table, received {mount!r}.")
        sensors += _sensors_of(values | mount, f"{where}, mount {mount.get('name', number)}")
    _refuse_twins(sensors, where)
    return RigSpec(name, _pair_first(sensors, where))


def _sensors_of(values: Mapping[str, Any], where: str) -> list[SensorSpec]:
    attributes = values.get("attributes", {})
    mount = from_mapping(Mount, {key: value for key, value in values.items() if key != "attributes"}, where)
    if not NAME.fullmatch(mount.name):
        raise ConfigError(f"{where}: expected a name of small letters, digits and _, received {mount.name!r}.")
    if not mount.sensors:
        raise ConfigError(f"{where}: expected sensors, some of {', '.join(KINDS)}, received none.")
    check_range(f"{where}, fov_deg", mount.fov_deg, 1, 170)
    specs = []
    pose = Pose(_three(mount.location_m, "location_m", where), _three(mount.rotation_deg, "rotation_deg", where))
    for kind in mount.sensors:
        if kind not in KINDS:
            near = nearest(kind, KINDS)
            raise ConfigError(
                f"{where}: expected sensors of the kinds {', '.join(KINDS)}, received {kind!r}."
                + (f" Nearest: {near}." if near else "")
            )
        view = None
        if KINDS[kind].is_camera:
            if mount.size is None:
                raise ConfigError(f'{where}: expected the cameras\' size, for example size = "600x800", received none.')
            view = CameraView(mount.size, mount.camera_size or mount.size, mount.fov_deg)
        name = f"{kind}_{mount.name}"
        folder = name if KINDS[kind].has_files else ""
        specs.append(SensorSpec(name, kind, pose, view, _attributes(attributes, kind, mount.sensors, where), folder))
    return specs


def _attributes(tables: Any, kind: str, kinds: tuple[str, ...], where: str) -> dict[str, str]:
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise ConfigError(f"{where}: expected attributes by kind, for example attributes.rgb.gamma = 2.2.")
    if unknown := sorted(set(tables) - set(kinds)):
        raise ConfigError(f"{where}: expected attributes of {', '.join(kinds)}, received those of {unknown[0]}.")
    for key in tables.get(kind, {}):
        if key in OURS:
            raise ConfigError(f"{where}: expected {OURS[key]}, received attributes.{kind}.{key}. Nothing was written.")
    return {str(key): _text(value) for key, value in tables.get(kind, {}).items()}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _three(values: tuple[float, ...], key: str, where: str) -> tuple[float, float, float]:
    if len(values) != 3:
        raise ConfigError(f"{where}: expected {key} as 3 numbers, received {len(values)}.")
    for value in values:
        check_range(f"{where}, {key}", value, -1000, 1000)
    return values[0], values[1], values[2]


def _refuse_twins(sensors: list[SensorSpec], where: str) -> None:
    seen: set[str] = set()
    for sensor in sensors:
        if sensor.name in seen:
            raise ConfigError(f"{where}: expected every sensor under a name of its own, received {sensor.name} again.")
        seen.add(sensor.name)


def _pair_first(sensors: list[SensorSpec], where: str) -> tuple[SensorSpec, ...]:
    """The same sensors, the first RGB camera that has a semantic one beside it, and that one, before the others."""
    for rgb in (sensor for sensor in sensors if sensor.kind == "rgb"):
        for semantic in (sensor for sensor in sensors if sensor.kind == "semantic"):
            if (rgb.pose_ego, rgb.view) == (semantic.pose_ego, semantic.view):
                others = [sensor for sensor in sensors if sensor not in (rgb, semantic)]
                return replace(rgb, folder=IMAGES), replace(semantic, folder=MASKS), *others
    raise ConfigError(
        f'{where}: expected a mount with sensors = ["rgb", "semantic"], received none. Their pictures make a frame; '
        "other sensors come beside them."
    )
