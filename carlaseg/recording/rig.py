"""What is carried on the ego vehicle: sensors by name, where they sit, and how they see.

A rig is plain data (`RigSpec`), from a file (`rig_file`) or from the flags (`front_pair`). Its first two sensors are
the pair that makes a frame: an RGB and a semantic camera in the same place with the same pinhole.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from carlaseg.config import RecordConfig, nearest
from carlaseg.dataset.rig_records import InstrumentRecord, Pose, SensorRecord
from carlaseg.dataset.writer import IMAGES, MASKS
from carlaseg.errors import ConfigError, SimulatorError
from carlaseg.recording.connection import is_time_out
from carlaseg.recording.kinds import KINDS, SensorKind
from carlaseg.recording.orphans import OUR_ROLE
from carlaseg.recording.session import Session
from carlaseg.recording.streams import FrameBarrier, SensorFrame, SensorStream

SHARP = {"motion_blur_intensity": "0.0"}
"""CARLA blurs moving things by default, and the labels then end where no edge is."""


@dataclass(frozen=True)
class CameraView:
    """How a camera sees.

    Attributes:
        size: (height, width) of the saved pictures.
        camera_size: (height, width) it draws at.
        fov_deg: horizontal field of view.
    """

    size: tuple[int, int]
    camera_size: tuple[int, int]
    fov_deg: float


@dataclass(frozen=True)
class SensorSpec:
    """One sensor as it is asked for; what the server made of it is a `SensorRecord` or an `InstrumentRecord`.

    Attributes:
        name: unique in the rig.
        kind: a key of `KINDS`.
        pose_ego: where it sits on the ego vehicle.
        view: how it sees; None for what is no camera.
        attributes: further blueprint attributes to set.
        folder: of its files in a recording; empty where its data goes into the frame's line.
    """

    name: str
    kind: str
    pose_ego: Pose
    view: CameraView | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    folder: str = ""

    @property
    def what(self) -> SensorKind:
        """The kind, spelled out."""
        return KINDS[self.kind]

    def wrong_length(self, data: Any) -> str | None:
        """What is wrong with the length of the data's body; None when nothing is."""
        if not self.what.unit_bytes:
            return None
        received = len(data.raw_data)
        if self.view is not None:
            height, width = self.view.camera_size
            expected = self.what.unit_bytes * height * width
            return None if received == expected else f"{self.name}: {received} bytes instead of {expected}"
        rest = received % self.what.unit_bytes
        return f"{self.name}: {received} bytes are no whole points" if rest else None

    def values(self, data: Any) -> dict[str, Any] | None:
        """What of the data goes into the frame's line; None for pictures and points alone."""
        return None if self.what.values is None else self.what.values(data)

    def array(self, data: Any) -> NDArray[Any]:
        """The data as it is written: a picture of the saved size, or points."""
        if self.view is not None and self.what.picture is not None:
            return self.what.picture(data, self.view.size)
        assert self.what.points is not None
        return self.what.points(data)


@dataclass(frozen=True)
class RigSpec:
    """All sensors of a rig as asked for.

    Attributes:
        name: for people.
        sensors: the RGB and the semantic camera of the pair first.
    """

    name: str
    sensors: tuple[SensorSpec, ...]

    @property
    def pair(self) -> tuple[SensorSpec, SensorSpec]:
        """The RGB camera and the semantic one in the same place."""
        return self.sensors[0], self.sensors[1]

    @property
    def others(self) -> tuple[SensorSpec, ...]:
        """All but the pair."""
        return self.sensors[2:]

    def pair_arrays(self, sensors: Mapping[str, SensorFrame]) -> tuple[NDArray[Any], NDArray[Any]]:
        """The pair's data by sensor name as RGB, uint8 [H, W, 3], and tags, uint8 [H, W]."""
        rgb, semantic = self.pair
        return rgb.array(sensors[rgb.name].data), semantic.array(sensors[semantic.name].data)

    def other_arrays(self, sensors: Mapping[str, SensorFrame]) -> dict[str, NDArray[Any]]:
        """What the other sensors' files hold, by folder, from their data by sensor name."""
        return {
            sensor.folder: sensor.array(sensors[sensor.name].data) for sensor in self.others if sensor.what.has_files
        }


def front_pair(config: RecordConfig) -> RigSpec:
    """An RGB and a semantic camera in the same place, looking the same way with the same pinhole."""
    view = CameraView(config.size, config.camera_size or config.size, config.fov)
    pose = Pose((config.camera_x, 0.0, config.camera_z), (config.camera_pitch, 0.0, 0.0))
    return RigSpec(
        "front",
        (
            SensorSpec("rgb_front", "rgb", pose, view, folder=IMAGES),
            SensorSpec("semantic_front", "semantic", pose, view, folder=MASKS),
        ),
    )


@dataclass(frozen=True)
class MountedSensor:
    """A sensor on the server: the actor, its stream, and the attributes the server reports for it."""

    spec: SensorSpec
    actor: Any
    stream: SensorStream
    reported: Mapping[str, str]


class Rig:
    """The sensors on one ego vehicle; nothing is drawn for them before `listen`.

    Args:
        session: they are spawned through it and end with it.
        ego: the vehicle they sit on.
        spec: what to mount; the order is kept.

    Raises:
        ConfigError: the server refuses a sensor as configured.
        SimulatorError: the server has no such sensor.
    """

    def __init__(self, session: Session, ego: Any, spec: RigSpec) -> None:
        self.spec = spec
        library = session.world.get_blueprint_library()
        # All of them before the first is spawned: one sentence about everything that is missing.
        blueprints = _find_blueprints(session, library, spec)
        self.sensors = tuple(
            _mount(session, ego, sensor, blueprint) for sensor, blueprint in zip(spec.sensors, blueprints, strict=True)
        )
        self._listening: set[str] = set()
        self._barrier = FrameBarrier((sensor.stream for sensor in self.sensors), session.timeout_s)

    @property
    def camera_records(self) -> tuple[SensorRecord, ...]:
        """What is written down about the cameras."""
        return tuple(_camera_record(sensor, sensor.spec.view) for sensor in self.sensors if sensor.spec.view)

    @property
    def instrument_records(self) -> tuple[InstrumentRecord, ...]:
        """What is written down about the other sensors."""
        return tuple(
            InstrumentRecord(s.spec.name, s.spec.what.blueprint, s.spec.folder, s.spec.pose_ego, s.reported)
            for s in self.sensors
            if s.spec.view is None
        )

    def listen(self) -> None:
        """Open every sensor's stream; data comes from the next tick on."""
        self._open(self.sensors)

    def rest(self) -> None:
        """Let sensors measure only what they need: nothing is drawn until `listen` for those that remember nothing.

        The others' streams are open afterwards, or opened.
        """
        self._open(sensor for sensor in self.sensors if sensor.spec.what.remembers)
        for sensor in self.sensors:
            if sensor.spec.name in self._listening and not sensor.spec.what.remembers:
                sensor.actor.stop()
                self._listening.remove(sensor.spec.name)

    def _open(self, sensors: Iterable[MountedSensor]) -> None:
        for sensor in sensors:
            if sensor.spec.name not in self._listening:
                sensor.actor.listen(sensor.stream.receive)
                self._listening.add(sensor.spec.name)

    def collect(self, frame: int, timestamp_s: float) -> dict[str, SensorFrame]:
        """Every sensor's data of exactly this frame and simulation time, by sensor name.

        Raises:
            MissingFrame: a sensor did not deliver it in time.
        """
        return self._barrier.collect(frame, timestamp_s)

    def let_go_before(self, frame: int) -> None:
        """Let go of every sensor's data of earlier frames, which nobody will collect: it may be megabytes each."""
        for sensor in self.sensors:
            sensor.stream.let_go_before(frame)

    def listen_again(self, names: Sequence[str]) -> None:
        """Open the streams of these sensors anew: the cure where a connection, rather than a frame, was lost."""
        for sensor in self.sensors:
            if sensor.spec.name in names:
                sensor.actor.stop()
                sensor.actor.listen(sensor.stream.receive)


def _find_blueprints(session: Session, library: Any, rig: RigSpec) -> Iterator[Any]:
    known = sorted(str(blueprint.id) for blueprint in library.filter("sensor.*"))
    missing = sorted({sensor.what.blueprint for sensor in rig.sensors} - set(known))
    if missing:
        raise SimulatorError(
            f"rig {rig.name}: expected a server that has {', '.join(missing)}, received {session.server_version} at "
            f"{session.host}:{session.port}, which has {', '.join(known)}. Nothing was written."
        )
    # The library makes a copy at each look, so that attributes set for one sensor are not the next one's.
    return (library.find(sensor.what.blueprint) for sensor in rig.sensors)


def _mount(session: Session, ego: Any, spec: SensorSpec, blueprint: Any) -> MountedSensor:
    # Never a time for sensor_tick: it drifts against the steps. Decimation counts ticks.
    ours = {"role_name": f"{OUR_ROLE}_{spec.name}", "sensor_tick": "0.0"}
    if spec.view is not None:
        height, width = spec.view.camera_size
        ours |= {"image_size_x": str(width), "image_size_y": str(height), "fov": str(spec.view.fov_deg)}
    if spec.kind in ("lidar", "semantic_lidar"):
        # A whole turn a tick; CARLA's 10 turns a second give half a turn at 20 steps a second.
        ours["rotation_frequency"] = f"{1.0 / session.time_step_s:g}"
    for key, value in (ours | SHARP).items():
        if key not in spec.attributes and blueprint.has_attribute(key):
            blueprint.set_attribute(key, value)
    for key, value in spec.attributes.items():
        _set_attribute(spec, blueprint, key, value)
    carla = session.carla
    pose = carla.Transform(carla.Location(*spec.pose_ego.location_m), carla.Rotation(*spec.pose_ego.rotation_deg))
    try:
        actor = session.spawn(blueprint, pose, attach_to=ego)
    except RuntimeError as error:
        if is_time_out(error):
            raise
        raise _refused(spec, error) from error
    return MountedSensor(
        spec, actor, SensorStream(spec.name), {str(key): str(value) for key, value in actor.attributes.items()}
    )


def _set_attribute(spec: SensorSpec, blueprint: Any, key: str, value: str) -> None:
    where = f"sensor {spec.name}"
    if not blueprint.has_attribute(key):
        near = nearest(key, [str(attribute.id) for attribute in blueprint])
        raise ConfigError(
            f"{where}: expected an attribute of {spec.what.blueprint}, received {key!r}."
            + (f" Nearest: {near}." if near else "")
        )
    # The client takes any text for a number, and the server then counts with none.
    kind = str(blueprint.get_attribute(key).type).rsplit(".", 1)[-1]
    if (kind in ("Int", "Float") and not _is_number(value)) or (kind == "Bool" and value not in ("true", "false")):
        raise ConfigError(f"{where}: expected {key} as {kind}, received {value!r}.")
    blueprint.set_attribute(key, value)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _refused(spec: SensorSpec, error: RuntimeError) -> ConfigError:
    if spec.view is None:
        return ConfigError(
            f"sensor {spec.name}: expected a sensor the server can spawn, received attributes for which it refuses "
            f"{spec.what.blueprint}: {error}. Nothing was written."
        )
    height, width = spec.view.camera_size
    return ConfigError(
        f"sensor {spec.name}: expected a camera the server can draw, received {height}x{width} (HxW), for which it "
        f"refuses {spec.what.blueprint}: {error}. Nothing was written.",
        (("smaller", "--camera-size 600x800, or camera_size in the rig's file"),),
    )


def _camera_record(sensor: MountedSensor, view: CameraView) -> SensorRecord:
    spec = sensor.spec
    return SensorRecord(
        spec.name,
        spec.what.blueprint,
        view.size,
        view.camera_size,
        view.fov_deg,
        spec.pose_ego,
        sensor.reported,
        spec.folder,
    )
