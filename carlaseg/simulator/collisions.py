"""Who touches whom: bounding boxes on the ground plane. There is no crash physics; contact is only reported."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from carlaseg.simulator.actors import Visible
from carlaseg.simulator.poses import (
    ZERO,
    Footprint,
    Triple,
    compose,
    footprint,
    overlaps,
    rotate,
    rotation_matrix,
    unrotate,
)
from carlaseg.simulator.scene import Pose, Town
from carlaseg.simulator.world import World

SOLID_TAGS = (3, 4, 5, 28)
"""Building, wall, fence, guard rail: static things that fill their box; a tree's or a lamp's hangs over the road."""


@dataclass(frozen=True, slots=True)
class Contact:
    """One contact: with an actor, or (None) with the town's geometry of a semantic tag."""

    actor: Visible | None
    tag: int


class SolidBoxes:
    """The town's static things that can be run into."""

    def __init__(self, town: Town) -> None:
        self._boxes = [box for box in town.level_boxes if box.tag in SOLID_TAGS]
        self._footprints = [footprint(box.pose, ZERO, box.extent) for box in self._boxes]
        self._centers = np.array([(box.pose.x, box.pose.y) for box in self._boxes]).reshape(-1, 2)
        self._radii = np.array([place.radius for place in self._footprints])

    def boxes(self) -> Iterator[tuple[int, Pose, Triple]]:
        """Return (tag, pose of the middle, half sizes) of each."""
        return ((box.tag, box.pose, box.extent) for box in self._boxes)

    def touched(self, place: Footprint) -> Contact | None:
        """Return the contact with the first of them that a footprint touches, None when it touches none."""
        reach = self._radii + place.radius
        near = np.all(np.abs(self._centers - (place.x, place.y)) < reach[:, None], axis=1)
        for index in np.flatnonzero(near):
            if overlaps(place, self._footprints[index]):
                return Contact(None, self._boxes[index].tag)
        return None


def contacts_of(actor: Visible, world: World, solid: SolidBoxes) -> Iterator[Contact]:
    """Return everything an actor touches now, of the town's own things at most one."""
    place = actor.footprint
    for other in world.of_kind(Visible):
        if other is actor or other.parent_id == actor.actor_id or not other.collides:
            continue
        if overlaps(place, other.footprint):
            yield Contact(other, other.tag)
    static = solid.touched(place)
    if static is not None:
        yield static


def first_on_path(
    world: World, solid: SolidBoxes | None, start: Pose, length_m: float, radius_m: float, but: int
) -> tuple[float, Contact] | None:
    """Return what a sphere that moves along the axis of `start` meets first, and after how many metres.

    Args:
        world: whose visible actors it may meet.
        solid: the town's things it may meet; None for none.
        start: where the sphere's middle begins; it moves forward.
        length_m: how far.
        radius_m: of the sphere.
        but: id of an actor that it passes through.
    """
    forward = rotate(rotation_matrix(start), (1.0, 0.0, 0.0))
    best: tuple[float, Contact] | None = None
    for other in world.of_kind(Visible):
        if other.actor_id == but:
            continue
        middle = compose(other.pose, Pose(*other.center))
        distance_m = _meets(start, forward, middle, other.extent, radius_m)
        if distance_m <= length_m and (best is None or distance_m < best[0]):
            best = distance_m, Contact(other, other.tag)
    for tag, pose, extent in () if solid is None else solid.boxes():
        if math.hypot(pose.x - start.x, pose.y - start.y) > length_m + radius_m + math.hypot(extent[0], extent[1]):
            continue
        distance_m = _meets(start, forward, pose, extent, radius_m)
        if distance_m <= length_m and (best is None or distance_m < best[0]):
            best = distance_m, Contact(None, tag)
    return best


def _meets(start: Pose, forward: Triple, middle: Pose, extent: Triple, radius_m: float) -> float:
    """How far a sphere goes until it touches a box, infinite if it never does; the box grows by the radius."""
    axes = rotation_matrix(middle)
    origin = unrotate(axes, (start.x - middle.x, start.y - middle.y, start.z - middle.z))
    direction = unrotate(axes, forward)
    enter, leave = 0.0, math.inf
    for here, along, half in zip(origin, direction, extent, strict=True):
        reach = half + radius_m
        if abs(along) < 1e-9:
            if abs(here) > reach:
                return math.inf
            continue
        near, far = sorted(((-reach - here) / along, (reach - here) / along))
        enter, leave = max(enter, near), min(leave, far)
    return enter if enter <= leave else math.inf
