"""Who touches whom: bounding boxes on the ground plane. There is no crash physics; contact is only reported."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from carlaseg.simulator.actors import Visible
from carlaseg.simulator.poses import ZERO, Footprint, footprint, overlaps
from carlaseg.simulator.scene import Town
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
        if other is not actor and other.parent_id != actor.actor_id and overlaps(place, other.footprint):
            yield Contact(other, other.tag)
    static = solid.touched(place)
    if static is not None:
        yield static
