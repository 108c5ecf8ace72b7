"""Bones and components of actors: names under which CARLA's client asks for them, and where they are.

The bodies here have no skin: bones are places in the actor's frame, and walkers stand with their arms out.

Source: bone names after CARLA's pedestrian and vehicle skeletons, as its documentation of bone control lists them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from carlaseg.simulator.actors import Actor, Vehicle, Walker
from carlaseg.simulator.poses import compose
from carlaseg.simulator.scene import Pose

VEHICLE_COMPONENTS = ("VehicleMesh", "VehicleBounds", "CollisionMesh")
WALKER_COMPONENTS = ("CharacterMesh0", "CollisionCylinder")
OTHER_COMPONENTS = ("DefaultSceneRoot",)

_FINGERS = ("Thumb", "Index", "Middle", "Ring", "Pinky")


class _AddBone(Protocol):
    def __call__(self, name: str, parent: str, aside: float, height: float, ahead: float = 0.0) -> None: ...


@dataclass(frozen=True, slots=True)
class Bone:
    """A bone: its name, its parent's name ("" for the root) and its place in the actor's frame."""

    name: str
    parent: str
    pose: Pose


def component_names(actor: Actor) -> tuple[str, ...]:
    """Return the names of an actor's components."""
    if isinstance(actor, Vehicle):
        return VEHICLE_COMPONENTS
    return WALKER_COMPONENTS if isinstance(actor, Walker) else OTHER_COMPONENTS


def bones_of(actor: Actor) -> tuple[Bone, ...]:
    """Return an actor's bones; none for what is neither vehicle nor walker."""
    if isinstance(actor, Vehicle):
        return _vehicle_bones(actor)
    return _walker_bones(actor) if isinstance(actor, Walker) else ()


def in_world(actor: Actor, bone: Bone) -> Pose:
    """Return a bone's pose in the world."""
    return compose(actor.pose, bone.pose)


def relative_to_parent(bone: Bone, bones: tuple[Bone, ...]) -> Pose:
    """Return a bone's pose in its parent's frame; no bone here is turned against another."""
    parent = next((one.pose for one in bones if one.name == bone.parent), Pose())
    return Pose(bone.pose.x - parent.x, bone.pose.y - parent.y, bone.pose.z - parent.z)


def wheel_places(vehicle: Vehicle) -> tuple[tuple[float, float], ...]:
    """Return x and y of the wheels in the vehicle's frame: front left, front right, rear left, rear right."""
    length, width = 0.6 * vehicle.extent[0], 0.85 * vehicle.extent[1]
    return (length, -width), (length, width), (-length, -width), (-length, width)


def _vehicle_bones(vehicle: Vehicle) -> tuple[Bone, ...]:
    radius_m = vehicle.physics.wheels[0].radius / 100.0 if vehicle.physics.wheels else 0.35
    names = ("Wheel_Front_Left", "Wheel_Front_Right", "Wheel_Rear_Left", "Wheel_Rear_Right")
    wheels = (
        Bone(name, "Vehicle_Base", Pose(x, y, radius_m))
        for name, (x, y) in zip(names, wheel_places(vehicle), strict=True)
    )
    return Bone("Vehicle_Base", "", Pose()), *wheels


def _walker_bones(walker: Walker) -> tuple[Bone, ...]:
    half = walker.extent[2]
    bones: list[Bone] = []

    def add(name: str, parent: str, aside: float, height: float, ahead: float = 0.0) -> None:
        # `height` counts from the soles, in heights of the whole walker; the actor's origin is its middle.
        bones.append(Bone(name, parent, Pose(ahead * 2 * half, aside * 2 * half, (height - 0.5) * 2 * half)))

    add("crl_root", "", 0.0, 0.0)
    add("crl_hips__C", "crl_root", 0.0, 0.53)
    add("crl_spine__C", "crl_hips__C", 0.0, 0.58)
    add("crl_spine01__C", "crl_spine__C", 0.0, 0.68)
    add("crl_neck__C", "crl_spine01__C", 0.0, 0.83)
    add("crl_Head__C", "crl_neck__C", 0.0, 0.89)
    for side, sign in (("L", -1.0), ("R", 1.0)):
        add(f"crl_eye__{side}", "crl_Head__C", 0.02 * sign, 0.93, 0.05)
    for side, sign in (("R", 1.0), ("L", -1.0)):
        _add_arm(add, side, sign)
        add(f"crl_thigh__{side}", "crl_hips__C", 0.055 * sign, 0.52)
        add(f"crl_leg__{side}", f"crl_thigh__{side}", 0.055 * sign, 0.28)
        add(f"crl_foot__{side}", f"crl_leg__{side}", 0.055 * sign, 0.045)
        add(f"crl_toe__{side}", f"crl_foot__{side}", 0.055 * sign, 0.01, 0.07)
        add(f"crl_toeEnd__{side}", f"crl_toe__{side}", 0.055 * sign, 0.01, 0.11)
    return tuple(bones)


def _add_arm(add: _AddBone, side: str, sign: float) -> None:
    add(f"crl_shoulder__{side}", "crl_spine01__C", 0.03 * sign, 0.81)
    add(f"crl_arm__{side}", f"crl_shoulder__{side}", 0.10 * sign, 0.81)
    add(f"crl_foreArm__{side}", f"crl_arm__{side}", 0.26 * sign, 0.81)
    add(f"crl_hand__{side}", f"crl_foreArm__{side}", 0.40 * sign, 0.81)
    for number, finger in enumerate(_FINGERS):
        parent = f"crl_hand__{side}"
        for joint, reach in (("", 0.43), ("01", 0.45), ("02", 0.465), ("End", 0.48)):
            name = f"crl_hand{finger}{joint}__{side}"
            add(name, parent, reach * sign, 0.81, 0.02 * (2 - number))
            parent = name
