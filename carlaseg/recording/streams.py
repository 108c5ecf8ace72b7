"""From what sensors send to what one tick saw: exactly that frame from each of them, or a reason why not.

A sensor's data comes on a thread of the client, in its own time; `world.tick()` returning says nothing about it. The
callback does nothing but keep a reference: no copy, no RPC (which deadlocks inside a callback), no waiting.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

KEPT_FRAMES = 4
"""Data a sensor may be ahead; the oldest goes when nobody takes it, so that ticks that are not saved cost no memory."""

SAME_TIME_S = 1e-4
"""No time step is as short as that."""

SHORTEST_WAIT_S = 2.0
PATIENCE = 10.0
"""A frame is given up after so many times the longest wait seen, within [SHORTEST_WAIT_S, the timeout]."""


@dataclass(frozen=True, slots=True)
class SensorFrame:
    """One sensor's data of one tick.

    Attributes:
        name: of the sensor in its rig.
        frame: the simulator's frame number.
        timestamp_s: simulation time in seconds.
        data: the client's own object (a `carla.Image`); its `raw_data` stays valid as long as this does.
    """

    name: str
    frame: int
    timestamp_s: float
    data: Any


class MissingFrame(Exception):
    """A tick that not every sensor delivered in time; the frame is dropped, the recording goes on.

    Args:
        frame: the simulator's frame number.
        reason: which sensor, and what came instead.
        names: the sensors that did not deliver.
    """

    def __init__(self, frame: int, reason: str, names: tuple[str, ...]) -> None:
        super().__init__(f"frame {frame}: {reason}")
        self.frame = frame
        self.reason = reason
        self.names = names


class SensorStream:
    """The newest data of one sensor, by frame number. `receive` is its callback; thread-safe."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._kept: deque[Any] = deque(maxlen=KEPT_FRAMES)
        self._arrived = threading.Condition()

    def receive(self, data: Any) -> None:
        """Keep a reference to data; runs on the client's thread."""
        with self._arrived:
            self._kept.append(data)
            self._arrived.notify_all()

    def take(self, frame: int, deadline_s: float, timestamp_s: float | None = None) -> SensorFrame | None:
        """The data of exactly this frame, or None when it does not come before `deadline_s` (monotonic clock).

        Data of earlier frames is let go. Data of later ones is kept: a late tick of the server may have sent it. Data
        that carries the frame's number but another time than `timestamp_s` is of another frame, and let go as well.
        """
        with self._arrived:
            while True:
                self._drop_before(frame)
                for data in self._kept:
                    if data.frame == frame and _same_time(data, timestamp_s):
                        self._kept.remove(data)
                        return SensorFrame(self.name, frame, float(data.timestamp), data)
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    return None
                self._arrived.wait(left_s)

    def let_go_before(self, frame: int) -> None:
        """Let go of the data of earlier frames."""
        with self._arrived:
            self._drop_before(frame)

    def _drop_before(self, frame: int) -> None:
        while self._kept and self._kept[0].frame < frame:
            self._kept.popleft()

    def newest_frame(self) -> int | None:
        """The highest frame number kept, or None."""
        with self._arrived:
            return max((int(data.frame) for data in self._kept), default=None)


class FrameBarrier:
    """Waits until every sensor has delivered one tick's frame.

    The wait adapts: a machine whose pictures take 0.8 s is not given up after 2 s, and a fast one does not stand still
    for the whole timeout over one lost frame.

    Args:
        streams: of all sensors of the rig.
        timeout_s: the longest wait for one frame; also the wait for the first one.
    """

    def __init__(self, streams: Iterable[SensorStream], timeout_s: float) -> None:
        self._streams = tuple(streams)
        self._timeout_s = timeout_s
        self._longest_wait_s: float | None = None

    @property
    def patience_s(self) -> float:
        """How long the next frame will be waited for."""
        if self._longest_wait_s is None:
            return self._timeout_s
        return min(self._timeout_s, max(SHORTEST_WAIT_S, PATIENCE * self._longest_wait_s))

    def collect(self, frame: int, timestamp_s: float | None = None) -> dict[str, SensorFrame]:
        """Data of exactly this frame from every sensor, by name.

        Args:
            frame: the simulator's frame number.
            timestamp_s: simulation time of that frame; data of another time is not taken for it.

        Raises:
            MissingFrame: a sensor did not deliver it in time.
        """
        began_s = time.monotonic()
        patience_s = self.patience_s
        collected: dict[str, SensorFrame] = {}
        missing: list[SensorStream] = []
        for stream in self._streams:
            # Once one is missing the others get no further wait: the frame is lost already.
            deadline_s = began_s + patience_s if not missing else 0.0
            sensor_frame = stream.take(frame, deadline_s, timestamp_s)
            if sensor_frame is None:
                missing.append(stream)
            else:
                collected[stream.name] = sensor_frame
        if missing:
            names = tuple(stream.name for stream in missing)
            others = [f"{s.name}: frame {s.newest_frame()}" for s in missing if s.newest_frame() is not None]
            instead = f", received {', '.join(others)} instead" if others else ""
            raise MissingFrame(frame, f"nothing from {', '.join(names)} within {patience_s:.1f} s{instead}", names)
        self._longest_wait_s = max(self._longest_wait_s or 0.0, time.monotonic() - began_s)
        return collected


def _same_time(data: Any, timestamp_s: float | None) -> bool:
    return timestamp_s is None or abs(float(data.timestamp) - timestamp_s) < SAME_TIME_S
