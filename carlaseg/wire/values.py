"""What CARLA's calls carry, one frozen dataclass a struct. Field order is wire order (see `structs`).

Metres, degrees, CARLA's world frame, unless a field says otherwise.

Source: carla 0.9.16 client, struct layouts from its debug information, confirmed by the client decoding our bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


@dataclass(frozen=True, slots=True)
class Vector3:
    """A place, a direction or a half size."""

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0


@dataclass(frozen=True, slots=True)
class Vector2:
    """A point of a curve."""

    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Rotation:
    """An attitude in degrees."""

    pitch: float = 0.0
    yaw: float = 0.0
    roll: float = 0.0


@dataclass(frozen=True, slots=True)
class Transform:
    """A place and an attitude."""

    location: Vector3 = Vector3()
    rotation: Rotation = Rotation()


@dataclass(frozen=True, slots=True)
class BoundingBox:
    """A box around an actor, in the actor's own frame; `extent` are half sizes."""

    location: Vector3
    extent: Vector3
    rotation: Rotation = Rotation()
    actor_id: int = 0


class AttributeType(IntEnum):
    """How a blueprint attribute's text is to be read. It starts at 1: the client refuses 0."""

    BOOL = 1
    INT = 2
    FLOAT = 3
    STRING = 4
    RGB_COLOR = 5


@dataclass(frozen=True, slots=True)
class ActorAttribute:
    """An attribute a blueprint offers. Values are text, whatever the type."""

    id: str
    type: int
    value: str
    recommended_values: tuple[str, ...]
    is_modifiable: bool = True
    restrict_to_recommended: bool = False


@dataclass(frozen=True, slots=True)
class ActorDefinition:
    """A blueprint; `tags` are comma separated."""

    uid: int
    id: str
    tags: str
    attributes: tuple[ActorAttribute, ...]


@dataclass(frozen=True, slots=True)
class AttributeValue:
    """An attribute as a client chose it."""

    id: str
    type: int
    value: str


@dataclass(frozen=True, slots=True)
class ActorDescription:
    """What a client asks to be spawned."""

    uid: int
    id: str
    attributes: tuple[AttributeValue, ...] = ()


@dataclass(frozen=True, slots=True)
class ActorRecord:
    """An actor as the client learns of it; `stream_token` is empty for all but sensors that send data."""

    id: int
    parent_id: int
    description: ActorDescription
    bounding_box: BoundingBox
    semantic_tags: bytes
    stream_token: bytes


@dataclass(frozen=True, slots=True)
class TokenStruct:
    """A stream token where CARLA wraps it in a struct of its own."""

    token: bytes


@dataclass(frozen=True, slots=True)
class EpisodeAnnouncement:
    """The current episode and the token of its state stream (CARLA: EpisodeInfo)."""

    id: int
    token: TokenStruct


@dataclass(frozen=True, slots=True)
class MapDescription:
    """The map's name and its recommended spawn points (CARLA: MapInfo)."""

    name: str
    spawn_points: tuple[Transform, ...]


@dataclass(frozen=True, slots=True)
class EpisodeSettings:
    """World settings. The defaults are those of a CARLA server that has just started."""

    synchronous_mode: bool = False
    no_rendering_mode: bool = False
    fixed_delta_seconds: float | None = None
    substepping: bool = True
    max_substep_delta_time: float = 0.01
    max_substeps: int = 10
    max_culling_distance: float = 0.0
    deterministic_ragdolls: bool = False
    tile_stream_distance: float = 3000.0
    actor_active_distance: float = 2000.0
    spectator_as_ego: bool = True


@dataclass(frozen=True, slots=True)
class WeatherParameters:
    """CARLA's fourteen weather parameters: percent, degrees, metres."""

    cloudiness: float
    precipitation: float
    precipitation_deposits: float
    wind_intensity: float
    sun_azimuth_angle: float
    sun_altitude_angle: float
    fog_density: float
    fog_distance: float
    fog_falloff: float
    wetness: float
    scattering_intensity: float
    mie_scattering_scale: float
    rayleigh_scattering_scale: float
    dust_storm: float


@dataclass(frozen=True, slots=True)
class VehicleControl:
    """Pedals, wheel and gear of a vehicle: throttle and brake 0 to 1, steer -1 (left) to 1."""

    throttle: float = 0.0
    steer: float = 0.0
    brake: float = 0.0
    hand_brake: bool = False
    reverse: bool = False
    manual_gear_shift: bool = False
    gear: int = 0


@dataclass(frozen=True, slots=True)
class AckermannControl:
    """Wanted steering angle (radians), speed (m/s) and acceleration (m/s2) of a vehicle."""

    steer: float
    steer_speed: float
    speed: float
    acceleration: float
    jerk: float


@dataclass(frozen=True, slots=True)
class WalkerControl:
    """Where a walker goes and how fast (m/s)."""

    direction: Vector3 = Vector3()
    speed: float = 0.0
    jump: bool = False


@dataclass(frozen=True, slots=True)
class LightState:
    """A vehicle's lamps as a bit mask."""

    bits: int


@dataclass(frozen=True, slots=True)
class WheelPhysics:
    """A wheel: angles in degrees, radius in centimetres, torques in newton metres."""

    tire_friction: float = 3.5
    damping_rate: float = 0.25
    max_steer_angle: float = 70.0
    radius: float = 35.5
    max_brake_torque: float = 1500.0
    max_handbrake_torque: float = 3000.0
    lat_stiff_max_load: float = 2.0
    lat_stiff_value: float = 17.0
    long_stiff_value: float = 1000.0
    position: Vector3 = Vector3()


@dataclass(frozen=True, slots=True)
class GearPhysics:
    """One forward gear."""

    ratio: float
    down_ratio: float
    up_ratio: float


@dataclass(frozen=True, slots=True)
class VehiclePhysics:
    """A vehicle's physics: mass in kilograms, moment of inertia in kg m2."""

    torque_curve: tuple[Vector2, ...] = (Vector2(0.0, 400.0), Vector2(1300.0, 500.0))
    max_rpm: float = 5800.0
    moi: float = 1.0
    damping_rate_full_throttle: float = 0.15
    damping_rate_zero_throttle_clutch_engaged: float = 2.0
    damping_rate_zero_throttle_clutch_disengaged: float = 0.35
    use_gear_autobox: bool = True
    gear_switch_time: float = 0.5
    clutch_strength: float = 10.0
    final_ratio: float = 4.0
    forward_gears: tuple[GearPhysics, ...] = (GearPhysics(2.85, 0.5, 0.65),)
    mass: float = 1700.0
    drag_coefficient: float = 0.3
    center_of_mass: Vector3 = Vector3(0.45, 0.0, -0.3)
    steering_curve: tuple[Vector2, ...] = (Vector2(0.0, 1.0), Vector2(120.0, 0.5))
    wheels: tuple[WheelPhysics, ...] = (
        WheelPhysics(),
        WheelPhysics(),
        WheelPhysics(max_steer_angle=0.0),
        WheelPhysics(max_steer_angle=0.0),
    )
    use_sweep_wheel_collision: bool = True


@dataclass(frozen=True, slots=True)
class LabelledPoint:
    """A point of the world and the semantic tag of what is there."""

    location: Vector3
    label: int


@dataclass(frozen=True, slots=True)
class EnvironmentObject:
    """A static object of the map."""

    transform: Transform
    bounding_box: BoundingBox
    id: int
    name: str
    type: int


@dataclass(frozen=True, slots=True)
class TrafficManagerAddress:
    """Where a client's TrafficManager listens; port 0 means there is none."""

    host: str = ""
    port: int = 0


@dataclass(frozen=True, slots=True)
class AckermannGains:
    """Gains of the Ackermann controller."""

    speed_kp: float
    speed_ki: float
    speed_kd: float
    acceleration_kp: float
    acceleration_ki: float
    acceleration_kd: float


@dataclass(frozen=True, slots=True)
class WheelTelemetry:
    """A wheel's state: friction, slips, rad/s, loads in newtons, torque in newton metres, forces in newtons."""

    tire_friction: float
    lat_slip: float
    long_slip: float
    omega: float
    tire_load: float
    normalized_tire_load: float
    torque: float
    long_force: float
    lat_force: float
    normalized_long_force: float
    normalized_lat_force: float


@dataclass(frozen=True, slots=True)
class VehicleTelemetry:
    """A vehicle's state: m/s, the control in force, engine turns a minute, drag in newtons."""

    speed: float
    steer: float
    throttle: float
    brake: float
    engine_rpm: float
    gear: int
    drag: float
    wheels: tuple[WheelTelemetry, ...]


@dataclass(frozen=True, slots=True)
class Color:
    """Red, green, blue, 0-255."""

    r: int
    g: int
    b: int


@dataclass(frozen=True, slots=True)
class StreetLamp:
    """A lamp of the town that can be switched; group 2 is the street's (CARLA: rpc::LightState)."""

    id: int
    location: Vector3
    intensity: float
    group: int
    color: Color
    active: bool


@dataclass(frozen=True, slots=True)
class BoneTransforms:
    """A bone in the world's frame, the actor's and its parent's."""

    name: str
    world: Transform
    component: Transform
    relative: Transform


@dataclass(frozen=True, slots=True)
class Skeleton:
    """The bones of a walker."""

    bones: tuple[BoneTransforms, ...]
