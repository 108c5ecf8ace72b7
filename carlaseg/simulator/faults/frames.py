"""Faults of sensor streams: an outlet that stands in front of the real one."""

from __future__ import annotations

import heapq
import struct
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

from carlaseg.simulator.faults.plan import Fault
from carlaseg.simulator.faults.schedule import Schedule
from carlaseg.simulator.simulation import StreamOutlet
from carlaseg.wire.stream import WORLD_STREAM_ID, Buffer

WORLD = "world"
"""How plans call the stream of episode states."""
_HEADER_BYTES, _IMAGE_HEADER_BYTES = 48, 12
_FRAME = struct.Struct("<Q")
_FRAME_OFFSET = 8

Parts = Sequence[Buffer]


class FaultyStreams:
    """Passes messages on, except where the plan in force says otherwise.

    Args:
        streams: the real outlet.
        schedule: returns the plan in force.
    """

    def __init__(self, streams: StreamOutlet, schedule: Callable[[], Schedule]) -> None:
        self._streams = streams
        self._schedule = schedule
        self._late = _LateMessages(streams)
        self._held: dict[int, Parts] = {}
        self._messages: dict[int, int] = {}
        self._dead: set[int] = set()
        self.names = {WORLD_STREAM_ID: WORLD}
        self.stopping = threading.Event()

    @property
    def port(self) -> int:
        """The streaming port."""
        return self._streams.port

    def begin_plan(self) -> None:
        """Count messages anew; what is on its way stays so."""
        self._messages.clear()

    def has_subscriber(self, stream_id: int) -> bool:
        """Return whether somebody listens."""
        return self._streams.has_subscriber(stream_id)

    def open(self, stream_id: int) -> None:
        """Let clients subscribe to a stream, unless it is dead for good."""
        if stream_id not in self._dead:
            self._streams.open(stream_id)

    def close_stream(self, stream_id: int) -> None:
        """Refuse new subscribers."""
        self._held.pop(stream_id, None)
        self._streams.close_stream(stream_id)

    def hang_up(self, stream_id: int) -> None:
        """Cut off everyone who listens to a stream."""
        self._streams.hang_up(stream_id)

    def expect_subscriber(self, stream_id: int) -> None:
        """Note that a client has asked for a stream's token."""
        if stream_id not in self._dead:
            self._streams.expect_subscriber(stream_id)

    def await_expected(self, timeout_s: float) -> None:
        """Wait until everyone noted has connected."""
        self._streams.await_expected(timeout_s)

    def stop_waiting(self) -> None:
        """Let nobody be waited for any more, a stalled tick included."""
        self.stopping.set()
        self._streams.stop_waiting()

    def publish(self, stream_id: int, parts: Parts, may_wait: bool) -> None:
        """Send a message, or what the plan makes of it."""
        message = self._messages[stream_id] = self._messages.get(stream_id, 0) + 1
        faults = self._schedule().of_frame(self.names.get(stream_id, ""), stream_id, message)
        for fault in faults:
            parts = _spoiled(fault, parts)
        kinds = {fault.kind for fault in faults}
        ready = [] if "lost" in kinds else [parts, parts] if "doubled" in kinds else [parts]
        if "dead_stream" in kinds:
            self._kill(stream_id, any(fault.for_good for fault in faults))
            ready = []
        elif "out_of_order" in kinds and ready and stream_id not in self._held:
            self._held[stream_id] = ready.pop()
        elif stream_id in self._held and ready:
            ready.append(self._held.pop(stream_id))
        late_s = sum(fault.seconds for fault in faults if fault.kind == "late")
        for one in ready:
            if late_s > 0.0 or self._late.has(stream_id):
                self._late.add(stream_id, one, late_s)
            else:
                self._streams.publish(stream_id, one, may_wait)

    def _kill(self, stream_id: int, for_good: bool) -> None:
        if for_good:
            self._dead.add(stream_id)
            self._streams.close_stream(stream_id)
        self._held.pop(stream_id, None)
        self._streams.hang_up(stream_id)

    def close(self) -> None:
        """End the thread that sends late messages; those still waiting are never sent."""
        self._late.close()


def _spoiled(fault: Fault, parts: Parts) -> Parts:
    """Return a message as a fault changes its bytes."""
    if fault.kind == "wrong_frame":
        first = bytes(parts[0])
        frame = _FRAME.unpack_from(first, _FRAME_OFFSET)[0] + fault.offset
        patched = first[:_FRAME_OFFSET] + _FRAME.pack(max(frame, 0)) + first[_FRAME_OFFSET + _FRAME.size :]
        return (patched, *parts[1:])
    is_image = len(parts) == 3 and len(parts[1]) == _IMAGE_HEADER_BYTES
    if fault.kind == "black" and is_image:
        pixels = np.zeros((len(parts[2]) // 4, 4), np.uint8)
        pixels[:, 3] = 255
        return (*parts[:2], pixels.data.cast("B"))
    if fault.kind == "truncated" and is_image:
        return (*parts[:2], memoryview(parts[2])[: len(parts[2]) // 2])
    return parts


class _LateMessages:
    """Messages that are sent later, by a thread of their own; each stream keeps its order."""

    def __init__(self, streams: StreamOutlet) -> None:
        self._streams = streams
        self._changed = threading.Condition()
        self._waiting: list[tuple[float, int, int, Parts]] = []
        self._last_due_s: dict[int, float] = {}
        self._pending: dict[int, int] = {}
        self._count = 0
        self._closed = False
        self._thread: threading.Thread | None = None

    def has(self, stream_id: int) -> bool:
        """Return whether a message of that stream has not been sent yet."""
        return self._pending.get(stream_id, 0) > 0

    def add(self, stream_id: int, parts: Parts, late_s: float) -> None:
        """Take a message that is due in so many seconds, but after those before it."""
        with self._changed:
            due_s = max(time.monotonic() + late_s, self._last_due_s.get(stream_id, 0.0))
            self._last_due_s[stream_id] = due_s
            self._count += 1
            self._pending[stream_id] = self._pending.get(stream_id, 0) + 1
            heapq.heappush(self._waiting, (due_s, self._count, stream_id, parts))
            if self._thread is None:
                self._thread = threading.Thread(target=self._send, name="late messages", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def _send(self) -> None:
        while True:
            with self._changed:
                while not self._closed and not (self._waiting and self._waiting[0][0] <= time.monotonic()):
                    next_s = self._waiting[0][0] - time.monotonic() if self._waiting else None
                    self._changed.wait(next_s)
                if self._closed:
                    return
                _, _, stream_id, parts = heapq.heappop(self._waiting)
            self._streams.publish(stream_id, parts, may_wait=False)
            with self._changed:
                self._pending[stream_id] -= 1

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(5.0)
