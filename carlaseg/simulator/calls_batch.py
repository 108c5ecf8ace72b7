"""The call `apply_batch`: many commands, one outcome each, and perhaps a tick."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from carlaseg.errors import CarlasegError
from carlaseg.simulator import calls_actors, calls_traffic, calls_vehicles
from carlaseg.simulator.actors import Actor, Walker
from carlaseg.simulator.calls_session import Caller
from carlaseg.simulator.walkers import follow_navigation
from carlaseg.wire import commands
from carlaseg.wire.commands import parse_command
from carlaseg.wire.rpc import CommandResult
from carlaseg.wire.values import LightState


@dataclass(frozen=True)
class BatchOutcome:
    """One result for each command, in order: the client crashes on fewer."""

    results: list[CommandResult]


def apply_batch(caller: Caller, batch: tuple[object, ...], do_tick: bool = False) -> BatchOutcome:
    """Run commands in order, one outcome each; then tick if told to."""
    results = [_outcome(caller, command, f"apply_batch, command {place}") for place, command in enumerate(batch)]
    if do_tick:
        caller.simulation.tick(asked_for=True)
    return BatchOutcome(results)


def _outcome(caller: Caller, command: object, where: str) -> CommandResult:
    try:
        return CommandResult(_run(caller, command, where))
    except CarlasegError as error:
        return CommandResult(0, error.message)


def _run(caller: Caller, raw: object, where: str, for_actor: int | None = None, depth: int = 0) -> int:
    """Run a command and return the id of the actor it was about."""
    command = parse_command(raw, where, for_actor, depth)
    if isinstance(command, commands.SpawnActor):
        actor = calls_actors.spawned(caller, command.description, command.transform, command.parent)
        for place, follower in enumerate(command.do_after):
            try:
                _run(caller, follower, f"{where}, do_after {place}", actor.actor_id, depth + 1)
            except CarlasegError:
                continue  # they have no place in the reply
        return actor.actor_id
    if isinstance(command, commands.ConsoleCommand):
        return 0
    _ACTIONS[type(command)](caller, command)
    actor_id: int = command.actor_id
    return actor_id


def _walker_state(caller: Caller, command: commands.ApplyWalkerState) -> None:
    walker = caller.simulation.world.find(command.actor_id, Walker)
    follow_navigation(walker, command.transform, command.speed)


def _nothing(caller: Caller, command: Any) -> None:
    """For what this world has no part that could change; the actor must exist all the same."""
    caller.simulation.world.find(command.actor_id, Actor)


def _with(function: Callable[..., object], *fields: str) -> Callable[[Caller, Any], object]:
    """Return an action that calls `function` with the command's actor id and fields."""
    return lambda caller, command: function(caller, command.actor_id, *(getattr(command, field) for field in fields))


_ACTIONS: Mapping[type, Callable[[Caller, Any], object]] = {
    commands.DestroyActor: _with(calls_actors.destroy_actor),
    commands.ApplyVehicleControl: _with(calls_vehicles.apply_control_to_vehicle, "control"),
    commands.ApplyAckermannControl: _with(calls_vehicles.apply_ackermann_control_to_vehicle, "control"),
    commands.ApplyWalkerControl: _with(calls_actors.apply_control_to_walker, "control"),
    commands.ApplyVehiclePhysics: _with(calls_vehicles.apply_physics_control, "physics"),
    commands.ApplyTransform: _with(calls_actors.set_actor_transform, "transform"),
    commands.ApplyWalkerState: _walker_state,
    commands.ApplyTargetVelocity: _with(calls_actors.set_actor_target_velocity, "velocity"),
    commands.ApplyTargetAngularVelocity: _nothing,
    commands.ApplyImpulse: _with(calls_actors.add_actor_impulse, "impulse"),
    commands.ApplyForce: _with(calls_actors.add_actor_force, "force"),
    commands.ApplyAngularImpulse: _nothing,
    commands.ApplyTorque: _nothing,
    commands.SetSimulatePhysics: _with(calls_actors.set_actor_simulate_physics, "enabled"),
    commands.SetEnableGravity: _with(calls_actors.set_actor_enable_gravity, "enabled"),
    commands.SetAutopilot: _nothing,
    commands.ShowDebugTelemetry: _nothing,
    commands.SetVehicleLightState: lambda caller, command: calls_vehicles.set_vehicle_light_state(
        caller, command.actor_id, LightState(command.bits)
    ),
    commands.ApplyLocation: _with(calls_actors.set_actor_location, "location"),
    commands.SetTrafficLightState: _with(calls_traffic.set_traffic_light_state, "state"),
}

CALLS = (apply_batch,)
