"""Whether the ego stands still: frames of a red light are copies of each other, and a stuck car never moves again.

Pure bookkeeping of places and ticks; who looks them up is the drive.
"""

from __future__ import annotations

import math

Place = tuple[float, float, float]

STILL_M = 0.3
"""A car that waits sways on its springs; one that has moved less than this since has not driven."""


class StandingWatch:
    """How long the ego has stood, and how far it is from the last saved frame.

    Args:
        time_step_s: of one tick.
        min_distance_m: frames nearer than this to the last saved one are not worth saving; 0 saves all of them.
        max_standing_s: frames of a standing ego are saved all the same for so long.
        stuck_after_s: the ego is stuck when it has stood for so long.
    """

    def __init__(self, time_step_s: float, min_distance_m: float, max_standing_s: float, stuck_after_s: float) -> None:
        self._time_step_s = time_step_s
        self._min_distance_m = min_distance_m
        self._max_standing_s = max_standing_s
        self._stuck_after_s = stuck_after_s
        self._place: Place | None = None
        self._stopped_at: tuple[int, Place] | None = None
        self._saved_place: Place | None = None
        self._tick = 0

    def look(self, tick: int, place: Place) -> None:
        """Take note of where the ego is in this tick of the drive."""
        self._tick, self._place = tick, place
        if self._stopped_at is None or math.dist(place, self._stopped_at[1]) > STILL_M:
            self._stopped_at = (tick, place)

    def saved(self) -> None:
        """The frame of the tick looked at last was saved."""
        self._saved_place = self._place

    def begin_anew(self) -> None:
        """The ego was put elsewhere: what was before counts no longer."""
        self._stopped_at = None

    @property
    def standing_s(self) -> float:
        """For how long the ego has not moved."""
        return 0.0 if self._stopped_at is None else (self._tick - self._stopped_at[0]) * self._time_step_s

    @property
    def is_stuck(self) -> bool:
        """Whether it has stood for too long."""
        return self.standing_s >= self._stuck_after_s

    @property
    def is_worth_saving(self) -> bool:
        """Whether a frame from here shows something that the last saved one does not."""
        if self._min_distance_m <= 0.0 or self._saved_place is None or self._place is None:
            return True
        if math.dist(self._place, self._saved_place) >= self._min_distance_m:
            return True
        return 0.0 < self.standing_s <= self._max_standing_s
