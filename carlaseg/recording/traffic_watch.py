"""A TrafficManager that sleeps through a tick, and what wakes it.

In synchronous mode `world.tick()` hands a step to the TrafficManager's thread once the state of the frame is there, and
waits for its end without a time limit. Both signals are sent outside the lock that the other side waits under
(`TrafficManagerLocal::Run` and `SynchronousTick` of LibCarla 0.9.16), so one can fall between a look and a sleep; then
both wait for ever. Seen once in some thousand ticks of 3 ms, with both threads of the client in those two waits.
Leaving synchronous mode sends the first signal again.
"""

from __future__ import annotations

import threading
from typing import Any, Protocol

LOOK_EVERY_S = 2.0
"""A step of the TrafficManager takes milliseconds; one that has not ended between two looks sleeps."""


class Ticking(Protocol):
    """What is asked of a session: the frame before the tick it waits for, None between ticks; and its world."""

    frame_before_tick: int | None
    world: Any


class TrafficWatch:
    """Looks after a session's ticks from a thread of its own, and wakes the TrafficManager that sleeps through one.

    A tick whose state has not come is the server's to answer, and left alone.

    Args:
        session: whose ticks.
        manager: the `carla.TrafficManager`.
        look_every_s: time between two looks.

    Attributes:
        woken: how often.
    """

    def __init__(self, session: Ticking, manager: Any, look_every_s: float = LOOK_EVERY_S) -> None:
        self.woken = 0
        self._session, self._manager, self._look_every_s = session, manager, look_every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="carlaseg-traffic", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        suspect = None
        while not self._over.wait(self._look_every_s):
            before = self._session.frame_before_tick
            thinking = before is not None and int(self._session.world.get_snapshot().frame) > before
            if thinking and suspect == before:
                self._manager.set_synchronous_mode(False)
                self._manager.set_synchronous_mode(True)
                self.woken += 1
            suspect = before if thinking else None
