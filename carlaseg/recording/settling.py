"""Whether a camera's pictures have settled: exposure adapted, textures streamed in, nothing black any more.

By mean and spread of their brightness alone, tick after tick: whatever is still on its way changes them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from carlaseg.recording.pictures import bgra

STEADY_TICKS = 5
"""Pictures in a row that must be alike. CARLA streams textures in for several ticks, in steps."""
CHANGE = 3.0
"""Of 255: passing cars and a cloud stay below, an exposure that adapts does not."""
SMALLEST_SPREAD = 1.0
"""A picture of one colour is none, however steady."""
THINNING = 4


class Settling:
    """Looks at one camera's pictures until they are steady."""

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None
        self._steady = 0

    def look(self, camera_image: Any) -> bool:
        """Take the next picture, a `carla.Image`; gives whether the last few were alike."""
        brightness = bgra(camera_image)[::THINNING, ::THINNING, 1].astype(np.float32)
        now = (float(brightness.mean()), float(brightness.std()))
        alike = (
            self._last is not None
            and now[1] >= SMALLEST_SPREAD
            and all(abs(after - before) <= CHANGE for before, after in zip(self._last, now, strict=True))
        )
        self._steady = self._steady + 1 if alike else 0
        self._last = now
        return self._steady >= STEADY_TICKS
