"""Calls about single actors: spawning, placing, pushing, steering."""

from __future__ import annotations

from carlaseg.errors import SimulatorError
from carlaseg.simulator.actors import Actor, Vehicle, Visible, Walker
from carlaseg.simulator.calls_session import Caller
from carlaseg.simulator.poses import pose_of
from carlaseg.simulator.scene import Pose
from carlaseg.simulator.vehicles import local_to_world, push, set_velocity
from carlaseg.simulator.walkers import stand
from carlaseg.wire.values import (
    ActorDescription,
    ActorRecord,
    BoundingBox,
    Transform,
    Vector3,
    WalkerControl,
)


def _record(caller: Caller, actor: Actor) -> ActorRecord:
    return actor.record(caller.token(actor.stream_id) if actor.stream_id else b"")


def spawned(caller: Caller, description: ActorDescription, transform: Transform, parent: int | None) -> Actor:
    """Return a new actor, with its stream open; `parent` is None for none."""
    if parent == 0:  # an actor that was meant to be fixed to one that there is not
        raise SimulatorError("unable to attach actor: parent actor 0 not found")
    return caller.simulation.spawn(description, pose_of(transform), parent or 0)


def spawn_actor(caller: Caller, description: ActorDescription, transform: Transform) -> ActorRecord:
    """Put a new actor into the world."""
    return _record(caller, spawned(caller, description, transform, None))


def spawn_actor_with_parent(
    caller: Caller,
    description: ActorDescription,
    transform: Transform,
    parent: int,
    attachment: int = 0,
    bone: str = "",
) -> ActorRecord:
    """Put a new actor into the world, fixed to another. Spring arms are as stiff as the rest."""
    return _record(caller, spawned(caller, description, transform, parent))


def destroy_actor(caller: Caller, actor_id: int) -> bool:
    """Take an actor out of the world."""
    return caller.simulation.destroy(actor_id)


def get_actors_by_id(caller: Caller, actor_ids: tuple[int, ...]) -> list[ActorRecord]:
    """Those of the actors that live, each once."""
    actors = caller.simulation.world.actors
    return [_record(caller, actors[actor_id]) for actor_id in dict.fromkeys(actor_ids) if actor_id in actors]


def get_actor_bounding_box(caller: Caller, actor_id: int) -> BoundingBox:
    """An actor's box; destroyed actors keep theirs, since the client's TrafficManager may still ask."""
    actor = caller.simulation.world.remembered(actor_id)
    if actor is None:
        raise SimulatorError(f"actor {actor_id}: expected an actor of this server, received an id it never gave")
    return actor.bounding_box


def set_actor_transform(caller: Caller, actor_id: int, transform: Transform) -> None:
    """Put an actor somewhere."""
    world = caller.simulation.world
    actor = world.find(actor_id, Actor)
    world.place(actor, pose_of(transform))
    if isinstance(actor, Walker):
        stand(actor, world.elevation)


def set_actor_location(caller: Caller, actor_id: int, location: Vector3) -> None:
    """Put an actor somewhere, its attitude unchanged."""
    world = caller.simulation.world
    actor = world.find(actor_id, Actor)
    before = actor.relative_pose if actor.parent_id in world.actors and actor.relative_pose else actor.pose
    world.place(actor, Pose(location.x, location.y, location.z, before.pitch, before.yaw, before.roll))
    if isinstance(actor, Walker):
        stand(actor, world.elevation)


def set_actor_target_velocity(caller: Caller, actor_id: int, velocity: Vector3) -> None:
    """Give a vehicle a velocity, along its heading."""
    actor = caller.simulation.world.find(actor_id, Actor)
    if isinstance(actor, Vehicle):
        set_velocity(actor, velocity)


def enable_actor_constant_velocity(caller: Caller, actor_id: int, velocity: Vector3) -> None:
    """Hold a vehicle at a velocity in its own frame."""
    vehicle = caller.simulation.world.find(actor_id, Vehicle)
    vehicle.constant_velocity = velocity
    set_velocity(vehicle, local_to_world(vehicle, velocity))


def disable_actor_constant_velocity(caller: Caller, actor_id: int) -> None:
    """Let a vehicle follow its pedals again."""
    caller.simulation.world.find(actor_id, Vehicle).constant_velocity = None


def add_actor_impulse(caller: Caller, actor_id: int, impulse: Vector3) -> None:
    """Push a vehicle once, newton seconds."""
    actor = caller.simulation.world.find(actor_id, Actor)
    if isinstance(actor, Vehicle):
        push(actor, impulse)


def add_actor_impulse_at_location(caller: Caller, actor_id: int, impulse: Vector3, location: Vector3) -> None:
    """Push a vehicle once; where does not matter to it."""
    add_actor_impulse(caller, actor_id, impulse)


def add_actor_force(caller: Caller, actor_id: int, force: Vector3) -> None:
    """Push a vehicle with so many newtons during one tick."""
    seconds = caller.simulation.delta_s
    add_actor_impulse(caller, actor_id, Vector3(force.x * seconds, force.y * seconds, force.z * seconds))


def add_actor_force_at_location(caller: Caller, actor_id: int, force: Vector3, location: Vector3) -> None:
    """Push a vehicle during one tick; where does not matter to it."""
    add_actor_force(caller, actor_id, force)


def set_actor_collisions(caller: Caller, actor_id: int, enabled: bool) -> None:
    """Let an actor touch others, or pass through them unseen by collision sensors and at spawning."""
    actor = caller.simulation.world.actors.get(actor_id)
    if isinstance(actor, Visible):
        actor.collides = enabled


def set_actor_enable_gravity(caller: Caller, actor_id: int, enabled: bool) -> None:
    """Let a vehicle stand on the ground, or float at its height, its wheels in the air."""
    actor = caller.simulation.world.find(actor_id, Actor)
    if isinstance(actor, Vehicle):
        actor.has_gravity = enabled


def set_actor_simulate_physics(caller: Caller, actor_id: int, enabled: bool) -> None:
    """Let an actor move by itself, or only where it is put. Destroyed actors are no error: see `World`, rule 2."""
    actor = caller.simulation.world.actors.get(actor_id)
    if isinstance(actor, Vehicle):
        actor.simulates_physics = enabled
        if not enabled:
            actor.speed = 0.0


def apply_control_to_walker(caller: Caller, actor_id: int, control: WalkerControl) -> None:
    """Set where a walker goes."""
    walker = caller.simulation.world.find(actor_id, Walker)
    walker.control = control
    walker.navigated = False


CALLS = (
    spawn_actor,
    spawn_actor_with_parent,
    destroy_actor,
    get_actors_by_id,
    get_actor_bounding_box,
    set_actor_transform,
    set_actor_location,
    set_actor_target_velocity,
    enable_actor_constant_velocity,
    disable_actor_constant_velocity,
    add_actor_impulse,
    add_actor_impulse_at_location,
    add_actor_force,
    add_actor_force_at_location,
    set_actor_collisions,
    set_actor_enable_gravity,
    set_actor_simulate_physics,
    apply_control_to_walker,
)
