"""Calls about what actors are made of: components, bones, sockets."""

from __future__ import annotations

from carlaseg.errors import SimulatorError
from carlaseg.simulator.actors import Actor, Vehicle, Walker
from carlaseg.simulator.calls_session import Caller
from carlaseg.simulator.poses import transform_of
from carlaseg.simulator.skeletons import bones_of, component_names, in_world, relative_to_parent
from carlaseg.wire.values import BoneTransforms, Skeleton, Transform


def _actor(caller: Caller, actor_id: int) -> Actor:
    return caller.simulation.world.find(actor_id, Actor)


def _component(caller: Caller, actor_id: int, name: str) -> Actor:
    actor = _actor(caller, actor_id)
    if name not in component_names(actor):
        raise SimulatorError(
            f"actor {actor_id}: expected a component ({', '.join(component_names(actor))}), received '{name[:80]}'"
        )
    return actor


def get_actor_component_names(caller: Caller, actor_id: int) -> list[str]:
    """Names of an actor's components."""
    return list(component_names(_actor(caller, actor_id)))


def get_actor_component_world_transform(caller: Caller, actor_id: int, name: str) -> Transform:
    """Where a component is: all are where the actor is."""
    return transform_of(_component(caller, actor_id, name).pose)


def get_actor_component_relative_transform(caller: Caller, actor_id: int, name: str) -> Transform:
    """Where a component is in the actor's frame: all are at its origin."""
    _component(caller, actor_id, name)
    return Transform()


def get_actor_bone_names(caller: Caller, actor_id: int) -> list[str]:
    """Names of an actor's bones."""
    return [bone.name for bone in bones_of(_actor(caller, actor_id))]


def get_actor_bone_world_transforms(caller: Caller, actor_id: int) -> list[Transform]:
    """Where an actor's bones are, in the order of their names."""
    actor = _actor(caller, actor_id)
    return [transform_of(in_world(actor, bone)) for bone in bones_of(actor)]


def get_actor_bone_relative_transforms(caller: Caller, actor_id: int) -> list[Transform]:
    """Where an actor's bones are in the frames of their parents, in the order of their names."""
    bones = bones_of(_actor(caller, actor_id))
    return [transform_of(relative_to_parent(bone, bones)) for bone in bones]


def get_vehicle_bone_world_transforms(caller: Caller, actor_id: int) -> list[Transform]:
    """Where a vehicle's bones are: its base, then its wheels."""
    caller.simulation.world.find(actor_id, Vehicle)
    return get_actor_bone_world_transforms(caller, actor_id)


def get_bones_transform(caller: Caller, actor_id: int) -> Skeleton:
    """A walker's bones: it stands with its arms out, whatever its gait is drawn like."""
    walker = caller.simulation.world.find(actor_id, Walker)
    bones = bones_of(walker)
    return Skeleton(
        tuple(
            BoneTransforms(
                bone.name,
                transform_of(in_world(walker, bone)),
                transform_of(bone.pose),
                transform_of(relative_to_parent(bone, bones)),
            )
            for bone in bones
        )
    )


def get_actor_socket_names(caller: Caller, actor_id: int) -> list[str]:
    """Names of an actor's sockets: there are none."""
    _actor(caller, actor_id)
    return []


def get_actor_socket_world_transforms(caller: Caller, actor_id: int) -> list[Transform]:
    """Where an actor's sockets are: there are none."""
    _actor(caller, actor_id)
    return []


def get_actor_socket_relative_transforms(caller: Caller, actor_id: int) -> list[Transform]:
    """Where an actor's sockets are in its frame: there are none."""
    _actor(caller, actor_id)
    return []


CALLS = (
    get_actor_component_names,
    get_actor_component_world_transform,
    get_actor_component_relative_transform,
    get_actor_bone_names,
    get_actor_bone_world_transforms,
    get_actor_bone_relative_transforms,
    get_vehicle_bone_world_transforms,
    get_bones_transform,
    get_actor_socket_names,
    get_actor_socket_world_transforms,
    get_actor_socket_relative_transforms,
)
