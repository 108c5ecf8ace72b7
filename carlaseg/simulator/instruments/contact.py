"""What is touched and what is near: collisions and obstacles, both by bounding boxes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from carlaseg.simulator.actors import Vehicle, Visible
from carlaseg.simulator.blueprints import is_true
from carlaseg.simulator.collisions import Contact, contacts_of, first_on_path
from carlaseg.simulator.instruments.instrument import Instrument
from carlaseg.simulator.poses import ZERO, Triple
from carlaseg.simulator.scene import ByteArray
from carlaseg.wire.sensor_payloads import collision_part, obstacle_part
from carlaseg.wire.stream import Buffer
from carlaseg.wire.values import ActorRecord, Vector3

_WALKER_KG = 70.0


class Collisions(Instrument):
    """Everything the sensor's parent touches, every tick that it touches it."""

    def messages(self, pictures: Sequence[ByteArray]) -> Iterator[tuple[Buffer, ...]]:
        """Return one message a contact."""
        around = self.surroundings
        parent = around.world.actors.get(self.sensor.parent_id)
        if not isinstance(parent, Visible) or not parent.collides:
            return
        for contact in contacts_of(parent, around.world, around.solid):
            impulse = Vector3(*_impulse(parent, contact))
            yield (collision_part(around.record(parent), _record(self, contact), impulse),)


class Obstacles(Instrument):
    """The first thing in front of the sensor: a sphere is moved along its axis.

    Source: CARLA, ObstacleDetectionSensor.cpp. The sphere meets bounding boxes here, and never the ground.
    """

    def messages(self, pictures: Sequence[ByteArray]) -> Iterator[tuple[Buffer, ...]]:
        """Return one message when there is an obstacle, none when there is not."""
        around, sensor = self.surroundings, self.sensor
        met = first_on_path(
            around.world,
            None if is_true(sensor.attributes, "only_dynamics", False) else around.solid,
            sensor.pose,
            self.number("distance", 5.0),
            self.number("hit_radius", 0.5),
            sensor.parent_id,
        )
        if met is not None:
            distance_m, contact = met
            yield (obstacle_part(around.record(sensor), _record(self, contact), distance_m),)


def _record(instrument: Instrument, contact: Contact) -> ActorRecord:
    if contact.actor is not None:
        return instrument.surroundings.record(contact.actor)
    return instrument.surroundings.record_of_town(contact.tag)


def _impulse(sensed: Visible, contact: Contact) -> Triple:
    mass = sensed.physics.mass if isinstance(sensed, Vehicle) else _WALKER_KG
    theirs = contact.actor.velocity if contact.actor is not None else ZERO
    ours = sensed.velocity
    return mass * (theirs[0] - ours[0]), mass * (theirs[1] - ours[1]), mass * (theirs[2] - ours[2])
