"""The actors of an episode and what each of them remembers between two ticks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from carlaseg.simulator.blueprints import Blueprint, Extent
from carlaseg.simulator.poses import ZERO, Footprint, Triple, footprint, rotation_matrix, unrotate
from carlaseg.simulator.scene import Pose, TrafficLightSite, VisibleActor
from carlaseg.wire.values import (
    AckermannControl,
    ActorDescription,
    ActorRecord,
    BoundingBox,
    Vector3,
    VehicleControl,
    VehiclePhysics,
    WalkerControl,
    WheelPhysics,
)

RED, YELLOW, GREEN, OFF = 0, 1, 2, 3
"""CARLA's traffic light states."""

DEFAULT_SPEED_LIMIT_KMH = 30.0
MAX_STEER_DEG = 50.0
"""Front wheels at full lock; with 35 the client's TrafficManager comes out of tight corners 0.7 m off the lane."""
FACTORY_PHYSICS = VehiclePhysics(
    wheels=(WheelPhysics(max_steer_angle=MAX_STEER_DEG),) * 2 + (WheelPhysics(max_steer_angle=0.0),) * 2
)
"""What a CARLA vehicle has before it passes a speed sign."""


@dataclass(kw_only=True)
class Actor:
    """Anything with an id.

    Attributes:
        actor_id: never used again in the life of a server.
        description: what the client asked for, given back to whoever asks.
        pose: world frame, as of the last tick.
        parent_id: 0 for none.
        relative_pose: in the parent's frame, for attached actors.
        velocity: m/s, world frame.
        angular_velocity: degrees a second.
        acceleration: m/s2, world frame.
        extent: half sizes.
        center: of the bounding box, in the actor's frame.
        tag: CARLA 0.9.14 semantic tag, 0 for what is not seen.
        stream_id: 0 for actors that send no data.
    """

    actor_id: int
    description: ActorDescription
    pose: Pose
    parent_id: int = 0
    relative_pose: Pose | None = None
    velocity: Triple = ZERO
    angular_velocity: Triple = ZERO
    acceleration: Triple = ZERO
    extent: Extent = (0.0, 0.0, 0.0)
    center: Triple = ZERO
    tag: int = 0
    stream_id: int = 0
    attributes: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        """Read the attributes once."""
        self.attributes = {one.id: one.value for one in self.description.attributes}

    @property
    def type_id(self) -> str:
        """CARLA's name of the blueprint."""
        return self.description.id

    @property
    def bounding_box(self) -> BoundingBox:
        """The box around the actor, in its own frame."""
        return BoundingBox(Vector3(*self.center), Vector3(*self.extent), actor_id=self.actor_id)

    @property
    def footprint(self) -> Footprint:
        """Where it stands."""
        return footprint(self.pose, self.center, self.extent)

    def record(self, token: bytes) -> ActorRecord:
        """Return what the client is told of the actor; `token` is its stream's, empty for none."""
        tags = bytes((self.tag,)) if self.tag else b""
        return ActorRecord(self.actor_id, self.parent_id, self.description, self.bounding_box, tags, token)


@dataclass(kw_only=True)
class Visible(Actor):
    """An actor with a body to draw.

    Attributes:
        blueprint: tells which body.
        color: RGB 0-255.
        travelled_m: turns wheels and swings legs.
        collides: false for one that passes through everything.
    """

    blueprint: Blueprint
    color: tuple[int, int, int] = (128, 128, 128)
    travelled_m: float = 0.0
    collides: bool = True

    def drawn(self) -> VisibleActor:
        """Return what the renderer needs."""
        body = self.blueprint.body
        assert body is not None  # by construction: only blueprints with a body make Visible actors
        return VisibleActor(
            self.actor_id,
            body,
            self.blueprint.id,
            self.extent,
            self.pose,
            self.color,
            self.tag,
            travelled_m=self.travelled_m,
        )


@dataclass(frozen=True, slots=True)
class Tyres:
    """What the wheels of a vehicle have in common, worked out once for as long as its physics stay."""

    physics: VehiclePhysics
    friction: float
    stiffness: float
    steer_limit_rad: float


@dataclass(kw_only=True)
class Vehicle(Visible):
    """A vehicle that follows its pedals and its wheel.

    Attributes:
        control: in force.
        ackermann: in force instead of pedals, until the next VehicleControl.
        speed: m/s along the heading, negative in reverse.
        physics: as last set.
        ground_friction: of the friction trigger it is in, None outside of any.
        tyres: means of the wheels of the physics in force, None before the first step.
        has_gravity: false for one that floats where it is: no wheel touches anything then.
        ackermann_gains: as last set, or CARLA's defaults; read back, nothing more.
        wheel_angles_deg: (steer, pitch) of wheels that a client has turned by hand; None leaves one to the vehicle.
        simulates_physics: false for vehicles that only go where they are put.
        constant_velocity: m/s in the vehicle's own frame, while it is forced.
        sticky_control: false when a control lasts for one tick.
        traffic_light_id: of the light that governs it, 0 for none.
        light_bits: lamps.
    """

    control: VehicleControl = field(default_factory=VehicleControl)
    ackermann: AckermannControl | None = None
    speed: float = 0.0
    physics: VehiclePhysics = FACTORY_PHYSICS
    ground_friction: float | None = None
    tyres: Tyres | None = None
    has_gravity: bool = True
    ackermann_gains: tuple[float, ...] = (0.15, 0.0, 0.25, 0.01, 0.0, 0.01)
    wheel_angles_deg: dict[int, tuple[float | None, float | None]] = field(default_factory=dict)
    simulates_physics: bool = True
    constant_velocity: Vector3 | None = None
    sticky_control: bool = True
    traffic_light_id: int = 0
    light_bits: int = 0
    steer_deg: float = 0.0
    speed_limit_kmh: float = DEFAULT_SPEED_LIMIT_KMH

    @property
    def effective_physics(self) -> VehiclePhysics:
        """The physics in force where the vehicle is."""
        if self.ground_friction is None:
            return self.physics
        wheels = tuple(replace(wheel, tire_friction=self.ground_friction) for wheel in self.physics.wheels)
        return replace(self.physics, wheels=wheels)

    def drawn(self) -> VisibleActor:
        """Return what the renderer needs."""
        body = self.blueprint.body
        assert body is not None  # by construction, as above
        by_hand_deg, _ = self.wheel_angles_deg.get(0, (None, None))
        return VisibleActor(
            self.actor_id,
            body,
            self.blueprint.id,
            self.extent,
            self.pose,
            self.color,
            self.tag,
            self.steer_deg if by_hand_deg is None else by_hand_deg,
            self.travelled_m,
            self.light_bits,
        )


@dataclass(kw_only=True)
class Walker(Visible):
    """A pedestrian: goes where its control says, or where the client's navigation puts it."""

    control: WalkerControl = field(default_factory=WalkerControl)
    navigated: bool = False


@dataclass(kw_only=True)
class TrafficLight(Actor):
    """A traffic light of the town.

    Attributes:
        site: where it stands and whom it stops.
        state: RED, YELLOW, GREEN or OFF.
        green_s: how long it is green, and so on; as the client set it.
        elapsed_s: since the state began.
        pole_index: within its group.
    """

    site: TrafficLightSite
    state: int = RED
    green_s: float = 10.0
    yellow_s: float = 3.0
    red_s: float = 2.0
    elapsed_s: float = 0.0
    pole_index: int = 0


@dataclass(kw_only=True)
class Sensor(Actor):
    """A sensor whose data the server sends.

    Attributes:
        blueprint: tells what it measures.
        period_s: simulation time between two measurements, 0 for every tick.
        since_last_s: simulation time since the last measurement; None before the first.
        credit_s: by how much the last measurement came later than its period, at most a period: the next comes earlier.
        measurements: how many there were: the noise's only clock.
    """

    blueprint: Blueprint
    period_s: float = 0.0
    since_last_s: float | None = None
    credit_s: float = 0.0
    measurements: int = 0


@dataclass(kw_only=True)
class FrictionTrigger(Actor):
    """A box in which tyres have another friction; it is not seen."""

    friction: float = 3.5

    def holds(self, vehicle: Vehicle) -> bool:
        """Return whether the middle of a vehicle is inside."""
        axes = rotation_matrix(self.pose)
        pose = vehicle.pose
        z = pose.z + vehicle.center[2]
        own = unrotate(axes, (pose.x - self.pose.x, pose.y - self.pose.y, z - self.pose.z))
        return all(abs(value) <= half for value, half in zip(own, self.extent, strict=True))
