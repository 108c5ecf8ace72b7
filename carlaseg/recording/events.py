"""What happens to the ego beside its pictures: collisions and lane markings crossed, by tick.

These sensors say something only when something happens, so no frame ever waits for them. An event goes into the first
saved frame after its tick: by then it has arrived, whatever the order of the client's threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from carlaseg.recording.orphans import OUR_ROLE
from carlaseg.recording.session import Session

MOST_A_FRAME = 16
"""Two cars wedged into each other collide in every step of the physics; a line must not grow without end."""


@dataclass(frozen=True)
class Event:
    """Something that happened in one tick.

    Attributes:
        simulator_frame: the simulator's frame number.
        kind: "collision" or "lane_invasion".
        details: what else is known, as JSON values.
    """

    simulator_frame: int
    kind: str
    details: tuple[tuple[str, Any], ...]


class EgoEvents:
    """Listens for what happens to the ego; a server without such sensors has nothing to say.

    Args:
        session: the sensors are spawned through it and end with it.
        ego: the vehicle.
    """

    def __init__(self, session: Session, ego: Any) -> None:
        self._lock = threading.Lock()
        self._events: list[Event] = []
        self._noticed_until = 0
        self._wanted_from = 0
        known = {str(blueprint.id) for blueprint in session.world.get_blueprint_library().filter("sensor.other.*")}
        for blueprint_id, receive in (
            ("sensor.other.collision", self._collision),
            ("sensor.other.lane_invasion", self._lane_invasion),
        ):
            if blueprint_id in known:
                self._listen(session, ego, blueprint_id, receive)

    def take(self, before_frame: int) -> list[Event]:
        """Events of the simulator's frames before this one that were not taken yet; each once, in order."""
        with self._lock:
            taken = sorted(
                {event for event in self._events if self._wanted_from <= event.simulator_frame < before_frame},
                key=lambda event: (event.simulator_frame, event.kind, event.details),
            )
            self._events = [event for event in self._events if event.simulator_frame >= before_frame]
        return taken[:MOST_A_FRAME]

    def let_go_before(self, frame: int) -> None:
        """Let go of what happened in the simulator's frames before this one, also of what has yet to arrive."""
        with self._lock:
            self._wanted_from = frame

    def noticed(self, before_frame: int) -> frozenset[str]:
        """Kinds of what happened in the simulator's frames before this one, since this was asked last."""
        with self._lock:
            kinds = {e.kind for e in self._events if self._noticed_until <= e.simulator_frame < before_frame}
            self._noticed_until = before_frame
        return frozenset(kinds)

    def _listen(self, session: Session, ego: Any, blueprint_id: str, receive: Callable[[Any], None]) -> None:
        blueprint = session.world.get_blueprint_library().find(blueprint_id)
        if blueprint.has_attribute("role_name"):
            blueprint.set_attribute("role_name", f"{OUR_ROLE}_{blueprint_id.rsplit('.', 1)[-1]}")
        # Not worth a recording: a drive without its events is still a drive.
        with suppress(RuntimeError):
            sensor = session.spawn(blueprint, session.carla.Transform(), attach_to=ego)
            sensor.listen(receive)

    def _collision(self, event: Any) -> None:
        with suppress(RuntimeError, AttributeError):
            self._add(Event(int(event.frame), "collision", (("with", str(event.other_actor.type_id)),)))

    def _lane_invasion(self, event: Any) -> None:
        markings = tuple(sorted({str(marking.type).rsplit(".", 1)[-1] for marking in event.crossed_lane_markings}))
        self._add(Event(int(event.frame), "lane_invasion", (("markings", markings),)))

    def _add(self, event: Event) -> None:
        with self._lock:
            self._events.append(event)
            # Nobody may take them for a long unseen drive.
            del self._events[: -64 * MOST_A_FRAME]
