"""A TrafficManager that sleeps through a tick, and what wakes it.

In synchronous mode `world.tick()` hands a step to the TrafficManager's thread once the state of the frame is there, and
waits for its end without a time limit. Both signals are sent outside the lock that the other side waits under
(`TrafficManagerLocal::Run` and `SynchronousTick` of LibCarla 0.9.16), so one can fall between a look and a sleep; then
both wait for ever. Seen several times in runs of some 1,500 ticks of 3 ms, both threads of the client in those waits.
Leaving synchronous mode sends the first signal again. The waiting tick holds the lock that every call of the Python
interface needs, so the call goes to the TrafficManager's own port, where a second client would ask.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Any

import msgpack

LOOK_EVERY_S = 2.0
"""A step of the TrafficManager takes milliseconds; one that has not ended between two looks sleeps."""
ANSWER_TIMEOUT_S = 2.0
ANSWER_BYTES = 256
REQUEST = 0
"""Type of a msgpack-rpc message that asks; the answer is a few bytes."""


class TrafficWatch:
    """Ticks a world, looks after each tick from a thread of its own, wakes the TrafficManager that sleeps through one.

    A tick whose state has not come is the server's to answer, and left alone.

    Args:
        world: the client's, in synchronous mode.
        port: of the TrafficManager, in this process.
        look_every_s: time between two looks.

    Attributes:
        frame_before_tick: the world's frame when the tick that is waited for was asked for; None between ticks.
        woken: how often.
    """

    def __init__(self, world: Any, port: int, look_every_s: float = LOOK_EVERY_S) -> None:
        self.frame_before_tick: int | None = None
        self.woken = 0
        self._world, self._port, self._look_every_s = world, port, look_every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="carlaseg-traffic", daemon=True)
        self._thread.start()

    def tick(self, timeout_s: float = 10.0) -> int:
        """As `world.tick`: the frame.

        Raises:
            RuntimeError: the server refuses, is silent, or gone.
        """
        self.frame_before_tick = int(self._world.get_snapshot().frame)
        try:
            return int(self._world.tick(timeout_s))
        finally:
            self.frame_before_tick = None

    def close(self) -> None:
        """End the thread."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        suspect = None
        while not self._over.wait(self._look_every_s):
            before = self.frame_before_tick
            thinking = before is not None and int(self._world.get_snapshot().frame) > before
            if thinking and suspect == before:
                self._wake()
            suspect = before if thinking else None

    def _wake(self) -> None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), ANSWER_TIMEOUT_S) as line:
            self.woken += 1  # before the tick that waits can return
            for number, mode in enumerate((False, True)):
                line.sendall(msgpack.packb([REQUEST, number, "set_synchronous_mode", [mode]]))
                line.recv(ANSWER_BYTES)
