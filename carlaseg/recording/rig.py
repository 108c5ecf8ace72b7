"""What is carried on the ego vehicle: sensors by name, where they sit, and how they see.

A rig is plain data (`SensorSpec`), so that one from a file can take the place of the pair built here. Cameras are
pinholes: `intrinsics` gives their matrix at the size they draw, and at the size that is saved.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from carlaseg.config import RecordConfig
from carlaseg.errors import ConfigError, SimulatorError
from carlaseg.recording.session import OUR_ROLE, Session
from carlaseg.recording.streams import FrameBarrier, SensorFrame, SensorStream

Matrix = tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]


@dataclass(frozen=True, slots=True)
class Mount:
    """Where a sensor sits on the ego: metres before, right of and above its origin; degrees."""

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    pitch: float = 0.0
    yaw: float = 0.0
    roll: float = 0.0


@dataclass(frozen=True)
class SensorSpec:
    """One sensor of a rig.

    Attributes:
        name: unique in the rig.
        kind: what it delivers.
        blueprint: CARLA's name for it.
        height: of its pictures, as drawn, in pixels.
        width: likewise.
        fov_deg: horizontal field of view.
        mount: where it sits.
        attributes: further blueprint attributes to set, where the server has them.
    """

    name: str
    kind: Literal["rgb", "semantic"]
    blueprint: str
    height: int
    width: int
    fov_deg: float
    mount: Mount
    attributes: Mapping[str, str] = field(default_factory=dict)


def front_pair(config: RecordConfig) -> tuple[SensorSpec, SensorSpec]:
    """An RGB and a semantic camera in the same place, looking the same way with the same pinhole."""
    height, width = config.camera_size or config.size
    mount = Mount(x=config.camera_x, z=config.camera_z, pitch=config.camera_pitch)
    rgb = SensorSpec(
        "rgb_front",
        "rgb",
        "sensor.camera.rgb",
        height,
        width,
        config.fov,
        mount,
        # CARLA blurs moving things by default, and the labels then end where no edge is.
        {"motion_blur_intensity": "0.0"},
    )
    semantic = SensorSpec(
        "semantic_front", "semantic", "sensor.camera.semantic_segmentation", height, width, config.fov, mount
    )
    return rgb, semantic


def intrinsics(height: int, width: int, fov_deg: float) -> Matrix:
    """The pinhole matrix of a CARLA camera, in pixels of the size it draws.

    Source: CARLA's `client_bounding_boxes.py`: f = W / (2 tan(fov / 2)), the field of view being horizontal.
    """
    focal = width / (2.0 * math.tan(math.radians(fov_deg) / 2.0))
    return ((focal, 0.0, width / 2.0), (0.0, focal, height / 2.0), (0.0, 0.0, 1.0))


def resized_intrinsics(matrix: Matrix, drawn: tuple[int, int], saved: tuple[int, int]) -> Matrix:
    """The pinhole matrix after pictures of (height, width) `drawn` are resized to `saved`.

    Where the aspect changes the two focal lengths differ.
    """
    vertical, horizontal = saved[0] / drawn[0], saved[1] / drawn[1]
    (fx, _, cx), (_, fy, cy), _ = matrix
    return ((fx * horizontal, 0.0, cx * horizontal), (0.0, fy * vertical, cy * vertical), (0.0, 0.0, 1.0))


@dataclass(frozen=True)
class MountedSensor:
    """A spec on the server: the actor, its stream, and the attributes the server reports for it."""

    spec: SensorSpec
    actor: Any
    stream: SensorStream
    reported: Mapping[str, str]


class Rig:
    """The sensors on one ego vehicle, listening.

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
            "image_size_x": str(spec.width),
            "image_size_y": str(spec.height),
            "fov": str(spec.fov_deg),
            "role_name": f"{OUR_ROLE}_{spec.name}",
            # Never a time: it drifts against the steps. Decimation counts ticks.
            "sensor_tick": "0.0",
            **spec.attributes,
        }
        for key, value in wanted.items():
            if blueprint.has_attribute(key):
                blueprint.set_attribute(key, value)
        m = spec.mount
        pose = carla.Transform(carla.Location(m.x, m.y, m.z), carla.Rotation(m.pitch, m.yaw, m.roll))
        try:
            actor = session.spawn(blueprint, pose, attach_to=ego)
        except RuntimeError as error:
            raise ConfigError(
                f"--camera-size: expected a size the server can draw, received {spec.height}x{spec.width} (HxW), for "
                f"which it refuses {spec.blueprint}: {error}. Nothing was written.",
                (("smaller", "carlaseg record --camera-size 600x800"),),
            ) from error
        stream = SensorStream(spec.name)
        actor.listen(stream.receive)
        return MountedSensor(spec, actor, stream, {str(k): str(v) for k, v in actor.attributes.items()})
