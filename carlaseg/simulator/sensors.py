"""What each sensor sends after a tick: which of them are due, and their payloads.

A sensor that fails is reported once and skipped; the tick goes on. Random numbers depend on the sensor's `noise_seed`
and on how often it has measured, never on frame numbers, ids or clocks.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np

from carlaseg.simulator.actors import Actor, Sensor, Vehicle, Visible
from carlaseg.simulator.blueprints import number_of
from carlaseg.simulator.collisions import Contact, SolidBoxes, contacts_of
from carlaseg.simulator.geography import GeoReference, read_geo_reference
from carlaseg.simulator.poses import ZERO, Triple, rotation_matrix, unrotate
from carlaseg.simulator.scene import ByteArray, CameraSpec, Frame, Pose, Weather
from carlaseg.simulator.world import World
from carlaseg.wire.sensor_payloads import collision_part, gnss_part, image_parts, imu_part
from carlaseg.wire.stream import Buffer, SensorType, serialize_sensor_header, serialize_token
from carlaseg.wire.values import ActorDescription, ActorRecord, BoundingBox, Vector3

logger = logging.getLogger(__name__)

GRAVITY_MPS2 = 9.81
_TICK_TOLERANCE_S = 1e-6
"""sensor_tick and the time step arrive as 32-bit floats: twenty steps of 0.05 s must make 1.0 s."""

Message = tuple[int, tuple[Buffer, ...]]


class CameraRenderer(Protocol):
    """What draws: `carlaseg.simulator.renderer.Renderer`, or a stand-in in tests. One thread calls it.

    Arrays that `render` returns belong to the caller: they are sent without a copy, some time later.
    """

    def set_weather(self, weather: Weather) -> None: ...  # noqa: D102
    def add_camera(self, spec: CameraSpec) -> int: ...  # noqa: D102
    def remove_camera(self, key: int) -> None: ...  # noqa: D102
    def render(self, views: Sequence[tuple[int, Pose]], frame: Frame) -> Mapping[int, ByteArray]: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


class SensorSuite:
    """All sensors of an episode, with the cameras the renderer keeps for them."""

    def __init__(self, world: World, renderer: CameraRenderer, stream_port: int) -> None:
        self._world = world
        self._renderer = renderer
        self._stream_port = stream_port
        self._cameras: dict[int, int] = {}
        self._failed: set[int] = set()
        self._solid = SolidBoxes(world.town)
        self._reference: GeoReference = read_geo_reference(world.town.opendrive)

    def measure(self, is_heard: Callable[[int], bool], draws: bool) -> Iterator[Message]:
        """Return (stream id, message parts) of every sensor that is due and has a listener.

        Args:
            is_heard: whether a stream has a subscriber.
            draws: false when the world is not rendered: cameras then stay silent.
        """
        world = self._world
        self._forget_destroyed()
        due = [sensor for sensor in world.of_kind(Sensor) if self._is_due(sensor) and is_heard(sensor.stream_id)]
        cameras = [sensor for sensor in due if sensor.blueprint.camera is not None]
        for sensor in due:
            if sensor.blueprint.camera is not None:
                continue
            try:
                for payload in self._payloads(sensor):
                    yield sensor.stream_id, (self._header(sensor), payload)
            except Exception as error:  # one sensor's fault must not end the world
                self._report(sensor, error)
        if draws and cameras:
            yield from self._draw(cameras)

    def close(self) -> None:
        """Give back the renderer's cameras."""
        for key in self._cameras.values():
            self._renderer.remove_camera(key)
        self._cameras.clear()

    def _is_due(self, sensor: Sensor) -> bool:
        if sensor.since_last_s is not None and sensor.period_s > 0.0:
            sensor.since_last_s += self._world.delta_s
            if sensor.since_last_s + _TICK_TOLERANCE_S < sensor.period_s:
                return False
        sensor.since_last_s = 0.0
        sensor.measurements += 1
        return True

    def _header(self, sensor: Sensor) -> bytes:
        sensor_type = sensor.blueprint.sensor_type
        assert sensor_type is not None  # by construction: only blueprints with one make a Sensor
        return serialize_sensor_header(sensor_type, self._world.frame, self._world.elapsed_s, sensor.pose)

    def _report(self, sensor: Sensor, error: Exception) -> None:
        if sensor.actor_id not in self._failed:
            self._failed.add(sensor.actor_id)
            logger.warning(
                "sensor %d (%s): no data in frame %d and perhaps later, %s: %s",
                sensor.actor_id,
                sensor.type_id,
                self._world.frame,
                type(error).__name__,
                error,
            )
            logger.debug("trace", exc_info=error)

    # Cameras

    def _forget_destroyed(self) -> None:
        gone = [actor_id for actor_id in self._cameras if actor_id not in self._world.actors]
        for actor_id in gone:
            self._renderer.remove_camera(self._cameras.pop(actor_id))

    def _camera_key(self, sensor: Sensor) -> int:
        key = self._cameras.get(sensor.actor_id)
        if key is None:
            kind = sensor.blueprint.camera
            assert kind is not None  # by the caller's choice
            spec = CameraSpec(
                kind,
                int(number_of(sensor.attributes, "image_size_y", 600)),
                int(number_of(sensor.attributes, "image_size_x", 800)),
                number_of(sensor.attributes, "fov", 90.0),
            )
            key = self._cameras[sensor.actor_id] = self._renderer.add_camera(spec)
        return key

    def _draw(self, sensors: list[Sensor]) -> Iterator[Message]:
        frame = self._world.drawn_frame()
        try:
            views = [(self._camera_key(sensor), sensor.pose) for sensor in sensors]
            images = self._renderer.render(views, frame)
        except Exception as error:
            if len(sensors) == 1:
                self._report(sensors[0], error)
                return
            # Somebody among them fails: each for itself, so that the others go on.
            for sensor in sensors:
                yield from self._draw([sensor])
            return
        for sensor, (key, _) in zip(sensors, views, strict=True):
            fov_deg = number_of(sensor.attributes, "fov", 90.0)
            yield sensor.stream_id, (self._header(sensor), *image_parts(images[key], fov_deg))

    # The others

    def _payloads(self, sensor: Sensor) -> Iterator[bytes]:
        sensor_type = sensor.blueprint.sensor_type
        if sensor_type is SensorType.GNSS:
            yield self._gnss(sensor)
        elif sensor_type is SensorType.IMU:
            yield self._imu(sensor)
        elif sensor_type is SensorType.COLLISION:
            yield from self._collisions(sensor)

    def _gnss(self, sensor: Sensor) -> bytes:
        pose, noise = sensor.pose, _Noise(sensor)
        latitude, longitude = self._reference.locate(pose.x, pose.y)
        return gnss_part(
            latitude + noise.draw("noise_lat_bias", "noise_lat_stddev"),
            longitude + noise.draw("noise_lon_bias", "noise_lon_stddev"),
            pose.z + noise.draw("noise_alt_bias", "noise_alt_stddev"),
        )

    def _imu(self, sensor: Sensor) -> bytes:
        axes, noise = rotation_matrix(sensor.pose), _Noise(sensor)
        ax, ay, az = sensor.acceleration
        felt = unrotate(axes, (ax, ay, az + GRAVITY_MPS2))
        turned = unrotate(axes, _radians(sensor.angular_velocity))
        acceleration = [
            value + noise.draw("", f"noise_accel_stddev_{axis}") for value, axis in zip(felt, "xyz", strict=True)
        ]
        turning = [
            value + noise.draw(f"noise_gyro_bias_{axis}", f"noise_gyro_stddev_{axis}")
            for value, axis in zip(turned, "xyz", strict=True)
        ]
        # North is -y in CARLA's frame.
        compass = (math.radians(sensor.pose.yaw) + math.pi / 2) % (2 * math.pi)
        return imu_part(Vector3(*acceleration), Vector3(*turning), compass)

    def _collisions(self, sensor: Sensor) -> Iterator[bytes]:
        parent = self._world.actors.get(sensor.parent_id)
        if not isinstance(parent, Visible):
            return
        for contact in contacts_of(parent, self._world, self._solid):
            yield collision_part(self._record(parent), self._other(contact), Vector3(*_impulse(parent, contact)))

    def _record(self, actor: Actor) -> ActorRecord:
        token = serialize_token(actor.stream_id, self._stream_port) if actor.stream_id else b""
        return actor.record(token)

    def _other(self, contact: Contact) -> ActorRecord:
        if contact.actor is not None:
            return self._record(contact.actor)
        description = ActorDescription(0, "static.unknown")
        return ActorRecord(0, 0, description, BoundingBox(Vector3(), Vector3()), bytes((contact.tag,)), b"")


class _Noise:
    """Gaussian noise of one measurement."""

    def __init__(self, sensor: Sensor) -> None:
        self._attributes = sensor.attributes
        seed = int(number_of(sensor.attributes, "noise_seed"))
        self._random = np.random.default_rng((abs(seed), sensor.measurements))

    def draw(self, bias: str, deviation: str) -> float:
        """Return one number: the attribute `bias` plus noise of the attribute `deviation`."""
        spread = number_of(self._attributes, deviation)
        noise = float(self._random.standard_normal()) * spread if spread > 0.0 else 0.0
        return number_of(self._attributes, bias) + noise


def _radians(degrees: Triple) -> Triple:
    return math.radians(degrees[0]), math.radians(degrees[1]), math.radians(degrees[2])


def _impulse(sensed: Visible, contact: Contact) -> Triple:
    mass = sensed.physics.mass if isinstance(sensed, Vehicle) else 70.0
    theirs = contact.actor.velocity if contact.actor is not None else ZERO
    ours = sensed.velocity
    return mass * (theirs[0] - ours[0]), mass * (theirs[1] - ours[1]), mass * (theirs[2] - ours[2])
