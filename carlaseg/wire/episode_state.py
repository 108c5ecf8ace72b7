"""The world observer's message: the episode's clock, then 119 bytes for each actor.

Source: carla 0.9.16 client, EpisodeStateSerializer::Header and detail::ActorDynamicState (packed).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from carlaseg.wire.stream import PoseLike, SensorType
from carlaseg.wire.values import VehicleControl, WalkerControl

Triple = tuple[float, float, float]

_ACTIVE = 1
_MAP_CHANGED = 1
_OPENING = struct.Struct("<QQd6f Qdf3iI")
_PLAIN = struct.Struct("<IB15f54x")
_VEHICLE = struct.Struct("<IB15f 3f???if B?IB 24x")
_WALKER = struct.Struct("<IB15f 3ff? 37x")
_TRAFFIC_LIGHT = struct.Struct("<IB15f 32s4fI?B")
_MIN_GEAR, _MAX_GEAR = -(1 << 31), (1 << 31) - 1
_NO_CONTROL_FAILURE = 0


def serialize_opening(
    episode_id: int, frame: int, elapsed_s: float, platform_s: float, delta_s: float, map_changed: bool
) -> bytes:
    """Return the 84 bytes before the first actor: the sensor header and the episode's header."""
    return _OPENING.pack(
        SensorType.WORLD_OBSERVER,
        frame,
        elapsed_s,
        *(0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
        episode_id,
        platform_s,
        delta_s,
        *(0, 0, 0),
        _MAP_CHANGED if map_changed else 0,
    )


def serialize_plain(
    actor_id: int, pose: PoseLike, velocity: Triple, angular_velocity: Triple, acceleration: Triple
) -> bytes:
    """Return the entry of an actor that has nothing but a motion: sensors, the spectator, props."""
    return _PLAIN.pack(
        *(actor_id, _ACTIVE, pose.x, pose.y, pose.z, pose.pitch, pose.yaw, pose.roll),
        *velocity,
        *angular_velocity,
        *acceleration,
    )


def serialize_vehicle(
    actor_id: int,
    pose: PoseLike,
    velocity: Triple,
    angular_velocity: Triple,
    acceleration: Triple,
    control: VehicleControl,
    speed_limit_kmh: float,
    traffic_light: tuple[int, int] | None,
) -> bytes:
    """Return a vehicle's entry.

    Args:
        actor_id: of the vehicle.
        pose: world frame.
        velocity: m/s, world frame.
        angular_velocity: degrees a second.
        acceleration: m/s2, world frame.
        control: the one in force.
        speed_limit_kmh: where the vehicle is.
        traffic_light: (state, actor id) of the light that governs the vehicle, or None: the TrafficManager obeys this.
    """
    light_state, light_id = traffic_light or (2, 0)
    return _VEHICLE.pack(
        *(actor_id, _ACTIVE, pose.x, pose.y, pose.z, pose.pitch, pose.yaw, pose.roll),
        *velocity,
        *angular_velocity,
        *acceleration,
        *(control.throttle, control.steer, control.brake),
        *(control.hand_brake, control.reverse, control.manual_gear_shift),
        min(max(control.gear, _MIN_GEAR), _MAX_GEAR),
        speed_limit_kmh,
        light_state,
        traffic_light is not None,
        light_id,
        _NO_CONTROL_FAILURE,
    )


def serialize_walker(
    actor_id: int,
    pose: PoseLike,
    velocity: Triple,
    angular_velocity: Triple,
    acceleration: Triple,
    control: WalkerControl,
) -> bytes:
    """Return a walker's entry."""
    direction = control.direction
    return _WALKER.pack(
        *(actor_id, _ACTIVE, pose.x, pose.y, pose.z, pose.pitch, pose.yaw, pose.roll),
        *velocity,
        *angular_velocity,
        *acceleration,
        *(direction.x, direction.y, direction.z, control.speed, control.jump),
    )


def serialize_traffic_light(
    actor_id: int,
    pose: PoseLike,
    signal_id: str,
    times_s: Triple,
    elapsed_s: float,
    pole_index: int,
    frozen: bool,
    state: int,
) -> bytes:
    """Return a traffic light's entry; `times_s` are green, yellow, red, and `signal_id` the OpenDRIVE signal's."""
    return _TRAFFIC_LIGHT.pack(
        *(actor_id, _ACTIVE, pose.x, pose.y, pose.z, pose.pitch, pose.yaw, pose.roll),
        *(0.0,) * 9,
        signal_id.encode()[:31],
        *times_s,
        elapsed_s,
        pole_index,
        frozen,
        state,
    )


def join_states(opening: bytes, actors: Iterable[bytes]) -> bytes:
    """Return the whole message, as the client wants it: one piece."""
    return b"".join((opening, *actors))
