"""The commands of `apply_batch`: a number on the wire, a frozen dataclass here.

Each command is `[[number, arguments]]`. `COMMANDS` maps the numbers of the 0.9.16 client to the dataclasses below; the
fields of a dataclass are its arguments, in order.

Source: carla 0.9.16 client, the order of the alternatives of rpc::Command's variant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from carlaseg.errors import ProtocolError
from carlaseg.wire.structs import parse, wrong
from carlaseg.wire.values import (
    AckermannControl,
    ActorDescription,
    Transform,
    Vector3,
    VehicleControl,
    VehiclePhysics,
    WalkerControl,
)

MAX_NESTING = 4
"""Commands may follow a spawn, and those may spawn: a real script nests one deep."""


@dataclass(frozen=True, slots=True)
class SpawnActor:
    """Spawn, then run `do_after`, whose commands name the new actor by id 0. `attachment` is noise without parent."""

    description: ActorDescription
    transform: Transform
    parent: int | None
    attachment: int
    socket: str
    do_after: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class DestroyActor:
    """Take an actor out of the world."""

    actor_id: int


@dataclass(frozen=True, slots=True)
class ApplyVehicleControl:
    """Set a vehicle's pedals and wheel."""

    actor_id: int
    control: VehicleControl


@dataclass(frozen=True, slots=True)
class ApplyAckermannControl:
    """Set a vehicle's wanted speed and steering angle."""

    actor_id: int
    control: AckermannControl


@dataclass(frozen=True, slots=True)
class ApplyWalkerControl:
    """Set where a walker goes."""

    actor_id: int
    control: WalkerControl


@dataclass(frozen=True, slots=True)
class ApplyVehiclePhysics:
    """Set a vehicle's physics."""

    actor_id: int
    physics: VehiclePhysics


@dataclass(frozen=True, slots=True)
class ApplyTransform:
    """Put an actor somewhere."""

    actor_id: int
    transform: Transform


@dataclass(frozen=True, slots=True)
class ApplyWalkerState:
    """Put a walker where the client's own navigation moved it; z is the walking surface's."""

    actor_id: int
    transform: Transform
    speed: float


@dataclass(frozen=True, slots=True)
class ApplyTargetVelocity:
    """Set an actor's velocity, m/s."""

    actor_id: int
    velocity: Vector3


@dataclass(frozen=True, slots=True)
class ApplyTargetAngularVelocity:
    """Set an actor's angular velocity, degrees a second."""

    actor_id: int
    angular_velocity: Vector3


@dataclass(frozen=True, slots=True)
class ApplyImpulse:
    """Push an actor once, newton seconds."""

    actor_id: int
    impulse: Vector3


@dataclass(frozen=True, slots=True)
class ApplyForce:
    """Push an actor during a tick, newtons."""

    actor_id: int
    force: Vector3


@dataclass(frozen=True, slots=True)
class ApplyAngularImpulse:
    """Turn an actor once."""

    actor_id: int
    impulse: Vector3


@dataclass(frozen=True, slots=True)
class ApplyTorque:
    """Turn an actor during a tick."""

    actor_id: int
    torque: Vector3


@dataclass(frozen=True, slots=True)
class SetSimulatePhysics:
    """Switch an actor's physics."""

    actor_id: int
    enabled: bool


@dataclass(frozen=True, slots=True)
class SetEnableGravity:
    """Switch an actor's gravity."""

    actor_id: int
    enabled: bool


@dataclass(frozen=True, slots=True)
class SetAutopilot:
    """Announce that the client's TrafficManager drives an actor, or no longer does."""

    actor_id: int
    enabled: bool


@dataclass(frozen=True, slots=True)
class ShowDebugTelemetry:
    """Switch an actor's debug drawing."""

    actor_id: int
    enabled: bool


@dataclass(frozen=True, slots=True)
class SetVehicleLightState:
    """Set a vehicle's lamps, a bit mask."""

    actor_id: int
    bits: int


@dataclass(frozen=True, slots=True)
class ApplyLocation:
    """Put an actor somewhere and leave its attitude."""

    actor_id: int
    location: Vector3


@dataclass(frozen=True, slots=True)
class ConsoleCommand:
    """A line for Unreal's console."""

    line: str


@dataclass(frozen=True, slots=True)
class SetTrafficLightState:
    """Switch a traffic light: 0 red, 1 yellow, 2 green, 3 off, 4 unknown."""

    actor_id: int
    state: int


COMMANDS: tuple[type[Any], ...] = (
    SpawnActor,
    DestroyActor,
    ApplyVehicleControl,
    ApplyAckermannControl,
    ApplyWalkerControl,
    ApplyVehiclePhysics,
    ApplyTransform,
    ApplyWalkerState,
    ApplyTargetVelocity,
    ApplyTargetAngularVelocity,
    ApplyImpulse,
    ApplyForce,
    ApplyAngularImpulse,
    ApplyTorque,
    SetSimulatePhysics,
    SetEnableGravity,
    SetAutopilot,
    ShowDebugTelemetry,
    SetVehicleLightState,
    ApplyLocation,
    ConsoleCommand,
    SetTrafficLightState,
)


def parse_command(value: object, where: str, for_actor: int | None = None, depth: int = 0) -> Any:
    """Return a command of a batch.

    Args:
        value: `[[number, arguments]]`, decoded.
        where: named in errors.
        for_actor: stands in for actor id 0, in commands that follow a spawn.
        depth: how many spawns deep.

    Raises:
        ProtocolError: not a command, an unknown number, or wrong arguments.
    """
    if depth > MAX_NESTING:
        raise ProtocolError(f"{where}: expected commands nested at most {MAX_NESTING} deep, received more")
    if type(value) is not list or len(value) != 1 or type(value[0]) is not list or len(value[0]) != 2:
        raise wrong(where, "a command [[number, arguments]]", value)
    number, arguments = value[0]
    if type(number) is not int or not 0 <= number < len(COMMANDS):
        raise wrong(where, f"a command number below {len(COMMANDS)}", number)
    if (
        for_actor is not None
        and type(arguments) is list
        and arguments
        and type(arguments[0]) is int
        and arguments[0] == 0
    ):
        arguments = [for_actor, *arguments[1:]]
    return parse(COMMANDS[number], arguments, f"{where} ({COMMANDS[number].__name__})")
