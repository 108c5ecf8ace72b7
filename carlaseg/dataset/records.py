"""The two records of a recording: `recording.json` and a line of `frames.jsonl`.

docs/dataset-format.md is the law; fields stand here in its order. Coordinates are CARLA's: left-handed, x forward,
y right, z up, metres, degrees.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from carlaseg.dataset.json_fields import frame_number, listed, mapping, moment, number, required, triple
from carlaseg.dataset.rig_records import InstrumentRecord, Pose, SensorRecord
from carlaseg.errors import DatasetError
from carlaseg.labels import SCHEMES, LabelScheme

FORMAT_VERSION = 1
"""Raised when a reader of the old version could misread the new one; every release reads all older versions."""


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
        fields = mapping(value, where)
        path = required(fields, "path", str, where)
        if path.startswith("/") or "\\" in path or ":" in path or ".." in path.split("/"):
            raise DatasetError(f"{where}: expected a path inside the recording, received {path!r}.")
        return cls(path, required(fields, "length", int, where), required(fields, "crc32", str, where))


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
        fields = mapping(value, where)
        weather = mapping(fields.get("weather"), f"{where}, weather")
        return cls(
            frame=frame_number(fields, where),
            timestamp_s=number(fields, "timestamp_s", where),
            ego=Pose.from_json(fields.get("ego"), f"{where}, ego"),
            sensors={
                str(name): Pose.from_json(pose, f"{where}, sensor {name}")
                for name, pose in mapping(fields.get("sensors"), where).items()
            },
            velocity_mps=triple(fields, "velocity_mps", where),
            speed_kmh=number(fields, "speed_kmh", where),
            weather={str(name): number(weather, name, f"{where}, weather") for name in weather},
            files={
                str(name): FileRecord.from_json(file, f"{where}, file {name}")
                for name, file in mapping(fields.get("files"), where).items()
            },
            events=tuple(mapping(event, where) for event in listed(fields, "events", where)),
            measurements={
                str(name): mapping(measured, f"{where}, measurements of {name}")
                for name, measured in mapping(fields.get("measurements", {}), where).items()
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
        sensors = tuple(str(name) for name in listed(fields, "sensors", where))
        return cls(frame_number(fields, where), required(fields, "reason", str, where), sensors)


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
        fields = mapping(value, where)
        version = required(fields, "format_version", int, where)
        if version > FORMAT_VERSION:
            raise DatasetError(
                f"{where}: expected format_version up to {FORMAT_VERSION}, received {version}. "
                "A newer carlaseg wrote it.",
                (("upgrade", "pip install --upgrade carlaseg"),),
            )
        named = mapping(fields.get("label_scheme"), f"{where}, label_scheme")
        name = required(named, "name", str, f"{where}, label_scheme")
        if name not in SCHEMES:
            raise DatasetError(f"{where}: expected a label_scheme of {', '.join(SCHEMES)}, received {name!r}.")
        seeds = mapping(fields.get("seeds"), f"{where}, seeds")
        counts = mapping(fields.get("counts", {}), f"{where}, counts")
        return cls(
            carlaseg_version=required(fields, "carlaseg_version", str, where),
            client_version=required(fields, "client_version", str, where),
            server_version=required(fields, "server_version", str, where),
            simulator=required(fields, "simulator", str, where),
            town=required(fields, "town", str, where),
            weather=required(fields, "weather", str, where),
            seeds={str(key): required(seeds, key, int, f"{where}, seeds") for key in seeds},
            rig=tuple(SensorRecord.from_json(sensor, f"{where}, rig") for sensor in listed(fields, "rig", where)),
            label_scheme=SCHEMES[name],
            configuration=mapping(fields.get("configuration"), where),
            command=tuple(str(word) for word in listed(fields, "command", where)),
            started=moment(fields, "started", where),
            ended=None if fields.get("ended") is None else moment(fields, "ended", where),
            counts={str(key): required(counts, key, int, f"{where}, counts") for key in counts},
            instruments=tuple(
                InstrumentRecord.from_json(instrument, f"{where}, instruments")
                for instrument in listed(fields, "instruments", where)
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
    return mapping(value, where)
