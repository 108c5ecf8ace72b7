"""Who touches whom: bounding boxes on the ground plane. There is no crash physics; contact is only reported."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from carlaseg.simulator.actors import Visible
from carlaseg.simulator.poses import footprint, overlaps
from carlaseg.simulator.world import World

SOLID_TAGS = (3, 4, 5, 28)
"""Building, wall, fence, guard rail: static things that fill their box; a tree's or a lamp's hangs over the road."""


@dataclass(frozen=True, slots=True)
class Contact:
    """One contact: with an actor, or (None) with the town's geometry of a semantic tag."""

    actor: Visible | None
    tag: int


def contacts_of(actor: Visible, world: World) -> Iterator[Contact]:
    """Return everything an actor touches now."""
    place = actor.footprint
    for other in world.of_kind(Visible):
        if other is not actor and other.parent_id != actor.actor_id and overlaps(place, other.footprint):
            yield Contact(other, other.tag)
    boxes = [box for box in world.town.level_boxes if box.tag in SOLID_TAGS]
    if not boxes:
        return
    centers = np.array([(box.pose.x, box.pose.y) for box in boxes])
    reaches = np.array([box.extent[0] + box.extent[1] for box in boxes]) + place.radius
    near = np.all(np.abs(centers - (place.x, place.y)) < reaches[:, None], axis=1)
    for index in np.flatnonzero(near):
        box = boxes[index]
        if overlaps(place, footprint(box.pose, (0.0, 0.0, 0.0), box.extent)):
            yield Contact(None, box.tag)
            return
