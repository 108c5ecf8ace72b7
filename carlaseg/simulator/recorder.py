"""Records what moves in the world, and plays recordings back into it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from carlaseg.errors import SimulatorError
from carlaseg.simulator.actors import Actor, TrafficLight, Vehicle, Visible
from carlaseg.simulator.blueprints import LIBRARY
from carlaseg.simulator.collisions import SolidBoxes, contacts_of
from carlaseg.simulator.poses import compose
from carlaseg.simulator.recording_file import Born, RecordedFrame, Recording, RecordingWriter
from carlaseg.simulator.scene import Pose
from carlaseg.simulator.world import World
from carlaseg.wire.values import ActorDescription, AttributeType, AttributeValue


def _numbers(pose: Pose) -> list[float]:
    return [round(value, 4) for value in (pose.x, pose.y, pose.z, pose.pitch, pose.yaw, pose.roll)]


class Recorder:
    """Writes one recording while ticks go by."""

    def __init__(self, world: World, writer: RecordingWriter) -> None:
        self._writer = writer
        self._started_s = world.elapsed_s
        self._known: set[int] = set()
        self._lights: dict[str, int] = {}
        self._solid = SolidBoxes(world.town)
        self._count = 0

    def note(self, world: World) -> None:
        """Write the current frame."""
        self._count += 1
        visible = list(world.of_kind(Visible))
        ids = {actor.actor_id for actor in visible}
        lights = {light.site.signal_id: light.state for light in world.of_kind(TrafficLight)}
        contacts = []
        for actor in visible:
            if not isinstance(actor, Vehicle) or not actor.collides:
                continue
            for contact in contacts_of(actor, world, self._solid):
                contacts.append([actor.actor_id, contact.actor.actor_id if contact.actor is not None else 0])
        self._writer.add(
            RecordedFrame(
                self._count,
                round(world.elapsed_s - self._started_s, 6),
                [
                    Born(actor.actor_id, actor.type_id, actor.attributes, _numbers(actor.pose))
                    for actor in visible
                    if actor.actor_id not in self._known
                ],
                sorted(self._known - ids),
                {
                    str(actor.actor_id): [*_numbers(actor.pose), round(math.hypot(*actor.velocity), 3)]
                    for actor in visible
                },
                {signal: state for signal, state in lights.items() if self._lights.get(signal) != state},
                contacts,
            )
        )
        self._known, self._lights = ids, lights

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()


@dataclass
class ReplayOptions:
    """What clients set before they replay.

    Attributes:
        time_factor: seconds of recording a second of simulation.
        ignore_hero: leave out the vehicle whose role is "hero".
        ignore_spectator: leave the spectator where it is even when an actor is followed.
    """

    time_factor: float = 1.0
    ignore_hero: bool = False
    ignore_spectator: bool = False


class Replayer:
    """Moves actors of its own as a recording says.

    Args:
        world: in which it plays.
        recording: what it plays.
        start_s: where it begins; negative counts from the end.
        duration_s: how long it plays; 0 for all.
        follow_id: id in the recording of the actor the spectator follows, 0 for none.
        offset: of the spectator in the frame of that actor.
    """

    def __init__(
        self,
        world: World,
        recording: Recording,
        start_s: float,
        duration_s: float,
        follow_id: int,
        offset: Pose,
        options: ReplayOptions,
    ) -> None:
        self._world = world
        self._options = options
        self._frames = list(recording.frames())
        if not self._frames:
            raise SimulatorError("recording: expected at least one frame, received none")
        total_s = self._frames[-1].elapsed_s
        self._time_s = min(max(start_s if start_s >= 0.0 else total_s + start_s, 0.0), total_s)
        self._end_s = min(self._time_s + duration_s, total_s) if duration_s > 0.0 else total_s
        self._follow_id, self._offset = follow_id, offset
        self._next = 0
        self._here: dict[int, Actor | None] = {}
        self.total_s = total_s
        self._catch_up(0.0)

    @property
    def span_s(self) -> tuple[float, float]:
        """Where it is and where it ends."""
        return self._time_s, self._end_s

    def step(self, delta_s: float) -> bool:
        """Move on by a tick; return whether it goes on."""
        self._time_s = min(self._time_s + delta_s * self._options.time_factor, self._end_s)
        self._catch_up(delta_s)
        return self._time_s < self._end_s - 1e-9

    def _catch_up(self, delta_s: float) -> None:
        last = None
        while self._next < len(self._frames) and self._frames[self._next].elapsed_s <= self._time_s + 1e-6:
            last = self._frames[self._next]
            self._next += 1
            for born in last.born:
                self._here[born.id] = self._bear(born)
            for actor_id in last.gone:
                self._remove(actor_id)
            for light in self._world.of_kind(TrafficLight):
                light.state = last.lights.get(light.site.signal_id, light.state)
        if last is None:
            return
        for text, numbers in last.poses.items():
            recorded_id = int(text)
            actor = self._here.get(recorded_id)
            if actor is not None and actor.actor_id in self._world.actors:
                self._move(actor, Pose(*numbers[:6]), delta_s)
                if recorded_id == self._follow_id and not self._options.ignore_spectator:
                    self._world.spectator.pose = compose(actor.pose, self._offset)

    def _bear(self, born: Born) -> Actor | None:
        if born.type_id not in LIBRARY or (self._options.ignore_hero and born.attributes.get("role_name") == "hero"):
            return None
        types = {one.id: one.type for one in LIBRARY[born.type_id].definition.attributes}
        attributes = tuple(
            AttributeValue(name, types.get(name, AttributeType.STRING), str(value))
            for name, value in born.attributes.items()
        )
        actor = self._world.spawn(ActorDescription(0, born.type_id, attributes), Pose(*born.pose), anywhere=True)
        if isinstance(actor, Vehicle):
            actor.simulates_physics = False
        return actor

    def _move(self, actor: Actor, pose: Pose, delta_s: float) -> None:
        before = actor.pose
        actor.pose = pose
        if delta_s > 0.0:
            actor.velocity = (
                (pose.x - before.x) / delta_s,
                (pose.y - before.y) / delta_s,
                (pose.z - before.z) / delta_s,
            )
        if isinstance(actor, Visible):
            actor.travelled_m += math.hypot(pose.x - before.x, pose.y - before.y)

    def _remove(self, actor_id: int) -> None:
        actor = self._here.pop(actor_id, None)
        if actor is not None:
            self._world.destroy(actor.actor_id)

    def end(self, keep_actors: bool) -> None:
        """Stop playing; the actors go, or stand where they are and take controls."""
        for actor in self._here.values():
            if actor is None:
                continue
            if not keep_actors:
                self._world.destroy(actor.actor_id)
            elif isinstance(actor, Vehicle):
                actor.simulates_physics = True
