"""What is carried on the ego vehicle: sensors by name, where they sit, and how they see.

A rig is plain data (`SensorSpec`), so that one from a file can take the place of the pair built here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from carlaseg.config import RecordConfig
from carlaseg.dataset.records import Pose, SensorRecord
from carlaseg.errors import ConfigError, SimulatorError
from carlaseg.recording.session import OUR_ROLE, Session
from carlaseg.recording.streams import FrameBarrier, SensorFrame, SensorStream

SENSOR_KINDS = {"sensor.camera.rgb": "rgb", "sensor.camera.semantic_segmentation": "semantic"}


@dataclass(frozen=True)
class SensorSpec:
    """One sensor as it is asked for; what the server made of it is a `SensorRecord`.

    Attributes:
        name: unique in the rig.
        blueprint: CARLA's name for it.
        size: (height, width) of the saved pictures.
        camera_size: (height, width) the camera draws at.
        fov_deg: horizontal field of view.
        pose_ego: where it sits on the ego vehicle.
        attributes: further blueprint attributes to set, where the server has them.
    """

    name: str
    blueprint: str
    size: tuple[int, int]
    camera_size: tuple[int, int]
    fov_deg: float
    pose_ego: Pose
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """What it delivers: "rgb" or "semantic"."""
        return SENSOR_KINDS[self.blueprint]


def front_pair(config: RecordConfig) -> tuple[SensorSpec, SensorSpec]:
    """An RGB and a semantic camera in the same place, looking the same way with the same pinhole."""
    camera_size = config.camera_size or config.size
    pose = Pose((config.camera_x, 0.0, config.camera_z), (config.camera_pitch, 0.0, 0.0))
    rgb = SensorSpec(
        "rgb_front",
        "sensor.camera.rgb",
        config.size,
        camera_size,
        config.fov,
        pose,
        # CARLA blurs moving things by default, and the labels then end where no edge is.
        {"motion_blur_intensity": "0.0"},
    )
    return rgb, dataclasses.replace(
        rgb, name="semantic_front", blueprint="sensor.camera.semantic_segmentation", attributes={}
    )


@dataclass(frozen=True)
class MountedSensor:
    """A sensor on the server: the actor, its stream, and the attributes the server reports for it."""

    spec: SensorSpec
    actor: Any
    stream: SensorStream
    reported: Mapping[str, str]

    @property
    def record(self) -> SensorRecord:
        """What is written down about it."""
        spec = self.spec
        return SensorRecord(
            spec.name, spec.blueprint, spec.size, spec.camera_size, spec.fov_deg, spec.pose_ego, self.reported
        )


class Rig:
    """The sensors on one ego vehicle; nothing is drawn for them before `listen`.

    Args:
        session: they are spawned through it and end with it.
        ego: the vehicle they sit on.
        specs: what to mount; the order is kept.

    Raises:
        ConfigError: the server refuses a sensor as configured.
    """

    def __init__(self, session: Session, ego: Any, specs: Sequence[SensorSpec]) -> None:
        self.sensors = tuple(self._mount(session, ego, spec) for spec in specs)
        self._barrier = FrameBarrier((sensor.stream for sensor in self.sensors), session.timeout_s)

    def listen(self) -> None:
        """Open every sensor's stream; data comes from the next tick on."""
        for sensor in self.sensors:
            sensor.actor.listen(sensor.stream.receive)

    def rest(self) -> None:
        """Close every sensor's stream: nothing is drawn for them until `listen`."""
        for sensor in self.sensors:
            sensor.actor.stop()

    def collect(self, frame: int) -> dict[str, SensorFrame]:
        """Every sensor's data of exactly this frame, by sensor name.

        Raises:
            MissingFrame: a sensor did not deliver it in time.
        """
        return self._barrier.collect(frame)

    def listen_again(self, names: Sequence[str]) -> None:
        """Open the streams of these sensors anew: the cure where a connection, rather than a frame, was lost."""
        for sensor in self.sensors:
            if sensor.spec.name in names:
                sensor.actor.stop()
                sensor.actor.listen(sensor.stream.receive)

    @staticmethod
    def _mount(session: Session, ego: Any, spec: SensorSpec) -> MountedSensor:
        carla = session.carla
        try:
            blueprint = session.world.get_blueprint_library().find(spec.blueprint)
        except IndexError as error:
            raise SimulatorError(f"{spec.name}: expected a server that has {spec.blueprint}, received none.") from error
        wanted = {
            "image_size_x": str(spec.camera_size[1]),
            "image_size_y": str(spec.camera_size[0]),
            "fov": str(spec.fov_deg),
            "role_name": f"{OUR_ROLE}_{spec.name}",
            # Never a time: it drifts against the steps. Decimation counts ticks.
            "sensor_tick": "0.0",
            **spec.attributes,
        }
        for key, value in wanted.items():
            if blueprint.has_attribute(key):
                blueprint.set_attribute(key, value)
        pose = carla.Transform(carla.Location(*spec.pose_ego.location_m), carla.Rotation(*spec.pose_ego.rotation_deg))
        try:
            actor = session.spawn(blueprint, pose, attach_to=ego)
        except RuntimeError as error:
            height, width = spec.camera_size
            raise ConfigError(
                f"--camera-size: expected a size the server can draw, received {height}x{width} (HxW), for which it "
                f"refuses {spec.blueprint}: {error}. Nothing was written.",
                (("smaller", "carlaseg record --camera-size 600x800"),),
            ) from error
        stream = SensorStream(spec.name)
        return MountedSensor(spec, actor, stream, {str(k): str(v) for k, v in actor.attributes.items()})
