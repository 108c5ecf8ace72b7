"""What all instruments have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from carlaseg.simulator.actors import Actor, Sensor, Visible
from carlaseg.simulator.blueprints import number_of
from carlaseg.simulator.collisions import SolidBoxes
from carlaseg.simulator.geography import GeoReference
from carlaseg.simulator.scene import ByteArray, CameraSpec, Pose
from carlaseg.simulator.world import World
from carlaseg.wire.stream import Buffer, serialize_token
from carlaseg.wire.values import ActorDescription, ActorRecord, BoundingBox, Vector3

View = tuple[CameraSpec, Pose]


@dataclass(frozen=True)
class Surroundings:
    """What instruments of an episode measure.

    Attributes:
        world: the episode's actors.
        solid: the town's static things that can be run into.
        reference: where on Earth the town is.
        stream_port: of the sensor streams.
    """

    world: World
    solid: SolidBoxes
    reference: GeoReference
    stream_port: int

    def record(self, actor: Actor) -> ActorRecord:
        """Return what the client is told of an actor."""
        return actor.record(serialize_token(actor.stream_id, self.stream_port) if actor.stream_id else b"")

    def record_of_town(self, tag: int) -> ActorRecord:
        """Return what the client is told of the town's own geometry, which has id 0."""
        description = ActorDescription(0, "static.unknown")
        return ActorRecord(0, 0, description, BoundingBox(Vector3(), Vector3()), bytes((tag,)), b"")

    def visible_by_low_id(self) -> dict[int, Visible]:
        """Return the visible actors by the 16 bits of their id that pictures show."""
        return {actor.actor_id & 0xFFFF: actor for actor in self.world.of_kind(Visible)}


class Instrument:
    """Measures for one sensor, from its first measurement to its last.

    Attributes:
        is_camera: cameras stay silent when the world is not rendered; other instruments may still have it drawn.
        needs_only_pictures: `messages` looks at its pictures and nothing else: the world may have gone on meanwhile.
    """

    is_camera = False
    needs_only_pictures = False

    def __init__(self, sensor: Sensor, surroundings: Surroundings) -> None:
        self.sensor = sensor
        self.surroundings = surroundings

    def number(self, name: str, default: float = 0.0) -> float:
        """Return one of the sensor's attributes."""
        return number_of(self.sensor.attributes, name, default)

    def views(self, elapsed_s: float) -> Sequence[View]:
        """Return the pictures needed of this frame; the measurement spans `elapsed_s` of simulation time."""
        return ()

    def messages(self, pictures: Sequence[ByteArray]) -> Iterable[tuple[Buffer, ...]]:
        """Return what to send, without the header, made of the pictures that `views` asked for."""
        raise NotImplementedError

    def random(self) -> np.random.Generator:
        """Return this measurement's random numbers: they depend on the seed and the count of measurements alone."""
        return np.random.default_rng((abs(int(self.number("noise_seed"))), self.sensor.measurements))
