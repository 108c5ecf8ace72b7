"""Where the time of a recording goes, by stage."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class Stopwatch:
    """Seconds spent in each named stage; stages of several threads add up. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what happens inside the block to a stage."""
        began_s = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - began_s)

    def add(self, name: str, seconds: float) -> None:
        """Count seconds measured elsewhere."""
        with self._lock:
            self._seconds[name] += seconds

    def reset(self) -> None:
        """Begin to count anew."""
        with self._lock:
            self._seconds.clear()

    @property
    def seconds(self) -> Mapping[str, float]:
        """Seconds by stage, so far."""
        with self._lock:
            return dict(self._seconds)

    def shares(self, *names: str) -> str:
        """The stages' shares of their sum, for people: `simulator 71 %, wait 12 %`."""
        seconds = self.seconds
        total = sum(seconds.get(name, 0.0) for name in names)
        if total <= 0:
            return ""
        return ", ".join(f"{name} {seconds.get(name, 0.0) / total:.0%}" for name in names)
