"""The two records of a recording: `recording.json` and a line of `frames.jsonl`.

docs/dataset-format.md is the law; fields stand here in its order. Coordinates are CARLA's: left-handed, x forward,
y right, z up, metres, degrees.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from carlaseg.errors import DatasetError
from carlaseg.labels import SCHEMES, LabelScheme

FORMAT_VERSION = 1
"""Raised when a reader of the old version could misread the new one; every release reads all older versions."""


_FOLDERS_OF_THE_PAIR = {"sensor.camera.rgb": "rgb", "sensor.camera.semantic_segmentation": "seg_raw"}
"""Of recordings that do not say, because they were made when there was nothing but the pair."""


@dataclass(frozen=True)
class Pose:
    """Where something is and which way it looks, in the world or relative to the ego vehicle.

    Attributes:
        location_m: x, y, z.
        rotation_deg: pitch, yaw, roll.
    """

    location_m: tuple[float, float, float]
    rotation_deg: tuple[float, float, float]

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {"location_m": list(self.location_m), "rotation_deg": list(self.rotation_deg)}

    @classmethod
    def from_json(cls, value: Any, where: str) -> Pose:
        """From JSON values.

        Raises:
            DatasetError: something is missing or of another kind.
        """
        fields = _mapping(value, where)
        return cls(_triple(fields, "location_m", where), _triple(fields, "rotation_deg", where))


def intrinsics(
    fov_deg: float, size: tuple[int, int], camera_size: tuple[int, int] | None = None
) -> tuple[tuple[float, float, float], ...]:
    """Pinhole matrix K of the saved pictures, rows top to bottom, in pixels.

    Args:
        fov_deg: horizontal field of view of the camera, as in CARLA's blueprint.
        size: (height, width) of the saved picture.
        camera_size: (height, width) the camera drew at; `size` when not given. A resize that is not uniform gives fx !=
            fy.

    Source:
        CARLA's `fov` is horizontal: f = W / (2 tan(fov / 2)), principal point in the middle.
    """
    drawn_height, drawn_width = camera_size or size
    height, width = size
    focal = drawn_width / (2 * math.tan(math.radians(fov_deg) / 2))
    return (
        (focal * width / drawn_width, 0.0, width / 2),
        (0.0, focal * height / drawn_height, height / 2),
        (0.0, 0.0, 1.0),
    )


@dataclass(frozen=True)
class SensorRecord:
    """One camera of the rig.

    Attributes:
        name: its name in frames and files.
        blueprint: CARLA's blueprint id, for example "sensor.camera.rgb".
        size: (height, width) of the saved pictures.
        camera_size: (height, width) the camera draws at.
        fov_deg: horizontal field of view.
        pose_ego: pose relative to the ego vehicle.
        attributes: blueprint attributes as the server reported them.
        folder: of its files in the recording.
    """

    name: str
    blueprint: str
    size: tuple[int, int]
    camera_size: tuple[int, int]
    fov_deg: float
    pose_ego: Pose
    attributes: Mapping[str, str] = field(default_factory=dict)
    folder: str = ""

    def to_json(self) -> dict[str, Any]:
        """As JSON values, with the intrinsics K of the saved pictures worked out."""
        return {
            "name": self.name,
            "blueprint": self.blueprint,
            "size": list(self.size),
            "camera_size": list(self.camera_size),
            "fov_deg": self.fov_deg,
            "intrinsics": [list(row) for row in intrinsics(self.fov_deg, self.size, self.camera_size)],
            "pose_ego": self.pose_ego.to_json(),
            "attributes": dict(self.attributes),
            "folder": self.folder,
        }

    @classmethod
    def from_json(cls, value: Any, where: str) -> SensorRecord:
        """From JSON values; the intrinsics follow from the rest.

        Raises:
            DatasetError: something is missing or of another kind.
        """
        fields = _mapping(value, where)
        return cls(
            name=_get(fields, "name", str, where),
            blueprint=_get(fields, "blueprint", str, where),
            size=_size(fields, "size", where),
            camera_size=_size(fields, "camera_size", where),
            fov_deg=_number(fields, "fov_deg", where),
            pose_ego=Pose.from_json(fields.get("pose_ego"), f"{where}, pose_ego"),
            attributes={str(key): str(text) for key, text in _mapping(fields.get("attributes", {}), where).items()},
            folder=str(fields.get("folder") or _FOLDERS_OF_THE_PAIR.get(str(fields.get("blueprint")), "")),
        )


@dataclass(frozen=True)
class InstrumentRecord:
    """One sensor of the rig that is no camera: a lidar, a radar, GNSS, an IMU.

    Attributes:
        name: its name in frames.
        blueprint: CARLA's blueprint id.
        folder: of its files; empty where its measurements stand in the frames' lines.
        pose_ego: pose relative to the ego vehicle.
        attributes: blueprint attributes as the server reported them.
    """

    name: str
    blueprint: str
    folder: str
    pose_ego: Pose
    attributes: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "name": self.name,
            "blueprint": self.blueprint,
            "folder": self.folder,
            "pose_ego": self.pose_ego.to_json(),
            "attributes": dict(self.attributes),
        }

    @classmethod
    def from_json(cls, value: Any, where: str) -> InstrumentRecord:
        """From JSON values.

        Raises:
            DatasetError: something is missing or of another kind.
        """
        fields = _mapping(value, where)
        return cls(
            name=_get(fields, "name", str, where),
            blueprint=_get(fields, "blueprint", str, where),
            folder=_get(fields, "folder", str, where),
            pose_ego=Pose.from_json(fields.get("pose_ego"), f"{where}, pose_ego"),
            attributes={str(key): str(text) for key, text in _mapping(fields.get("attributes", {}), where).items()},
        )


@dataclass(frozen=True)
class FileRecord:
    """One file of a frame: its path in the recording, its length in bytes, its CRC-32 in hexadecimal."""

    path: str
    length: int
    crc32: str

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {"path": self.path, "length": self.length, "crc32": self.crc32}

    @classmethod
    def from_json(cls, value: Any, where: str) -> FileRecord:
        """From JSON values.

        Raises:
            DatasetError: something is missing, of another kind, or the path leaves the recording.
        """
        fields = _mapping(value, where)
        path = _get(fields, "path", str, where)
        if path.startswith("/") or "\\" in path or ":" in path or ".." in path.split("/"):
            raise DatasetError(f"{where}: expected a path inside the recording, received {path!r}.")
        return cls(path, _get(fields, "length", int, where), _get(fields, "crc32", str, where))


@dataclass(frozen=True)
class FrameRecord:
    """One line of `frames.jsonl`: a complete frame.

    Attributes:
        frame: the tick of the drive, counted from its first; its files are numbered by it.
        timestamp_s: simulation time.
        ego: pose of the ego vehicle in the world.
        sensors: pose of each sensor in the world, by name.
        velocity_mps: the ego's velocity in the world.
        speed_kmh: the ego's speed.
        weather: the weather's numbers under CARLA's names.
        files: what was written, by folder; the writer fills it in.
        events: what else happened in this frame (a collision, a lane crossed), each with a "kind".
        measurements: of sensors that measure a few numbers rather than a picture, by sensor name.
    """

    frame: int
    timestamp_s: float
    ego: Pose
    sensors: Mapping[str, Pose]
    velocity_mps: tuple[float, float, float]
    speed_kmh: float
    weather: Mapping[str, float]
    files: Mapping[str, FileRecord] = field(default_factory=dict)
    events: tuple[Mapping[str, Any], ...] = ()
    measurements: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As JSON values, `frame` first: readers that want the number alone need not parse the line."""
        values = {
            "frame": self.frame,
            "timestamp_s": self.timestamp_s,
            "ego": self.ego.to_json(),
            "sensors": {name: pose.to_json() for name, pose in self.sensors.items()},
            "velocity_mps": list(self.velocity_mps),
            "speed_kmh": self.speed_kmh,
            "weather": dict(self.weather),
            "files": {name: file.to_json() for name, file in self.files.items()},
            "events": [dict(event) for event in self.events],
        }
        if self.measurements:
            values["measurements"] = {name: dict(measured) for name, measured in self.measurements.items()}
        return values

    def to_line(self) -> bytes:
        """As one line of `frames.jsonl`, its newline included."""
        return json.dumps(self.to_json(), separators=(",", ":"), allow_nan=False).encode() + b"\n"

    @classmethod
    def from_json(cls, value: Any, where: str) -> FrameRecord:
        """From JSON values.

        Raises:
            DatasetError: something is missing or of another kind.
        """
        fields = _mapping(value, where)
        return cls(
            frame=_get(fields, "frame", int, where),
            timestamp_s=_number(fields, "timestamp_s", where),
            ego=Pose.from_json(fields.get("ego"), f"{where}, ego"),
            sensors={
                str(name): Pose.from_json(pose, f"{where}, sensor {name}")
                for name, pose in _mapping(fields.get("sensors"), where).items()
            },
            velocity_mps=_triple(fields, "velocity_mps", where),
            speed_kmh=_number(fields, "speed_kmh", where),
            weather={str(name): float(value) for name, value in _mapping(fields.get("weather"), where).items()},
            files={
                str(name): FileRecord.from_json(file, f"{where}, file {name}")
                for name, file in _mapping(fields.get("files"), where).items()
            },
            events=tuple(_mapping(event, where) for event in fields.get("events", [])),
            measurements={
                str(name): _mapping(measured, f"{where}, measurements of {name}")
                for name, measured in _mapping(fields.get("measurements", {}), where).items()
            },
        )

    @classmethod
    def from_line(cls, line: bytes, where: str) -> FrameRecord:
        """From a line of `frames.jsonl`.

        Raises:
            DatasetError: the line is not a whole record.
        """
        return cls.from_json(json_line(line, where), where)


@dataclass(frozen=True)
class DroppedRecord:
    """One line of `dropped.jsonl`: a tick that was due and is not in the recording.

    Attributes:
        frame: the tick of the drive, as frames are numbered.
        reason: what was wrong with it.
        sensors: names of those that did not deliver; empty where it was not a sensor that failed.
    """

    frame: int
    reason: str
    sensors: tuple[str, ...] = ()

    def to_line(self) -> bytes:
        """As one line, its newline included."""
        value = {"frame": self.frame, "reason": self.reason, "sensors": list(self.sensors)}
        return json.dumps(value, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes, where: str) -> DroppedRecord:
        """From a line.

        Raises:
            DatasetError: the line is not a whole record.
        """
        fields = json_line(line, where)
        sensors = tuple(str(name) for name in fields.get("sensors", []))
        return cls(_get(fields, "frame", int, where), _get(fields, "reason", str, where), sensors)


@dataclass(frozen=True)
class RecordingMetadata:
    """`recording.json`: all that is the same for every frame.

    Attributes:
        carlaseg_version: version of carlaseg that recorded.
        client_version: version of the carla client.
        server_version: version the server gave.
        simulator: "embedded" (a stand-in: its pictures teach the pipeline, not the world) or "carla".
        town: the map's name.
        weather: the weather preset's name.
        seeds: every seed used, by what it was for.
        rig: the cameras; the first two are those of `rgb/` and `seg_raw/`.
        label_scheme: scheme of the ids in `seg_raw/`.
        configuration: the effective configuration; can be passed back as `--config`.
        command: what was typed, so that it can be typed again.
        started: when, ISO 8601 with zone.
        ended: when; None while recording, and for ever when the recorder was killed.
        counts: what was counted ("frames", "dropped", ...) at the end.
        instruments: the sensors that are no cameras.
    """

    carlaseg_version: str
    client_version: str
    server_version: str
    simulator: str
    town: str
    weather: str
    seeds: Mapping[str, int]
    rig: tuple[SensorRecord, ...]
    label_scheme: LabelScheme
    configuration: Mapping[str, Any]
    command: tuple[str, ...]
    started: str
    ended: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    instruments: tuple[InstrumentRecord, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As JSON values, the label table spelled out for readers that have no carlaseg."""
        return {
            "format_version": FORMAT_VERSION,
            "carlaseg_version": self.carlaseg_version,
            "client_version": self.client_version,
            "server_version": self.server_version,
            "simulator": self.simulator,
            "town": self.town,
            "weather": self.weather,
            "seeds": dict(self.seeds),
            "rig": [sensor.to_json() for sensor in self.rig],
            "instruments": [instrument.to_json() for instrument in self.instruments],
            "label_scheme": {
                "name": self.label_scheme.name,
                "classes": [
                    {"id": label.class_id, "name": label.name, "color": list(label.color)}
                    for label in self.label_scheme.classes
                ],
            },
            "configuration": dict(self.configuration),
            "command": list(self.command),
            "started": self.started,
            "ended": self.ended,
            "counts": dict(self.counts),
        }

    @classmethod
    def from_json(cls, value: Any, where: str) -> RecordingMetadata:
        """From JSON values.

        Raises:
            DatasetError: something is missing or of another kind, the format is newer than we are, the scheme is
                unknown.
        """
        fields = _mapping(value, where)
        version = _get(fields, "format_version", int, where)
        if version > FORMAT_VERSION:
            raise DatasetError(
                f"{where}: expected format_version up to {FORMAT_VERSION}, received {version}. "
                "A newer carlaseg wrote it.",
                (("upgrade", "pip install --upgrade carlaseg"),),
            )
        named = _mapping(fields.get("label_scheme"), f"{where}, label_scheme")
        name = _get(named, "name", str, f"{where}, label_scheme")
        if name not in SCHEMES:
            raise DatasetError(f"{where}: expected a label_scheme of {', '.join(SCHEMES)}, received {name!r}.")
        rig = fields.get("rig", [])
        return cls(
            carlaseg_version=_get(fields, "carlaseg_version", str, where),
            client_version=_get(fields, "client_version", str, where),
            server_version=_get(fields, "server_version", str, where),
            simulator=_get(fields, "simulator", str, where),
            town=_get(fields, "town", str, where),
            weather=_get(fields, "weather", str, where),
            seeds={str(key): int(seed) for key, seed in _mapping(fields.get("seeds"), where).items()},
            rig=tuple(SensorRecord.from_json(sensor, f"{where}, rig") for sensor in rig),
            label_scheme=SCHEMES[name],
            configuration=_mapping(fields.get("configuration"), where),
            command=tuple(str(word) for word in fields.get("command", [])),
            started=_get(fields, "started", str, where),
            ended=fields.get("ended"),
            counts={str(key): int(count) for key, count in _mapping(fields.get("counts", {}), where).items()},
            instruments=tuple(
                InstrumentRecord.from_json(instrument, f"{where}, instruments")
                for instrument in fields.get("instruments", [])
            ),
        )


def json_line(line: bytes, where: str) -> dict[str, Any]:
    """A line of `frames.jsonl` as JSON values.

    Raises:
        DatasetError: the line is not a JSON object.
    """
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{where}: expected a frame as JSON, received {line[:40]!r} ({error}).") from error
    return _mapping(value, where)


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DatasetError(f"{where}: expected a JSON object, received {_kind(value)}.")
    return value


def _get(fields: Mapping[str, Any], key: str, kind: type[Any], where: str) -> Any:
    value = fields.get(key)
    if type(value) is not kind:
        raise DatasetError(f"{where}: expected {key} as {kind.__name__}, received {_kind(value)}.")
    return value


def _number(fields: Mapping[str, Any], key: str, where: str) -> float:
    value = fields.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DatasetError(f"{where}: expected {key} as a number, received {_kind(value)}.")
    return float(value)


def _numbers(fields: Mapping[str, Any], key: str, count: int, where: str) -> list[Any]:
    value = fields.get(key)
    if not isinstance(value, list) or len(value) != count or any(type(item) not in (int, float) for item in value):
        raise DatasetError(f"{where}: expected {key} as {count} numbers, received {_kind(value)}.")
    return value


def _triple(fields: Mapping[str, Any], key: str, where: str) -> tuple[float, float, float]:
    first, second, third = _numbers(fields, key, 3, where)
    return float(first), float(second), float(third)


def _size(fields: Mapping[str, Any], key: str, where: str) -> tuple[int, int]:
    height, width = _numbers(fields, key, 2, where)
    return int(height), int(width)


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"{type(value).__name__} {str(value)[:40]!r}"
