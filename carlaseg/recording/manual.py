"""The ego driven by hand, from the keyboard, with the preview window as windscreen.

A window of OpenCV tells which key was pressed, never that it was let go. So a key acts for a moment, and holding it,
which repeats it, keeps it acting. All time here is simulation time: the same keys in the same ticks drive the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from carlaseg.recording.drivers import put_at_rest, reported_velocity_mps

HOLD_S = 0.6
"""A press acts for so long: longer than the pause of half a second before a held key repeats."""
FULL_THROTTLE = 0.65
FULL_BRAKE = 0.8
STEER_PER_S = 1.2
STEER_BACK_PER_S = 1.8
MOST_STEER = 0.7

KEYS = {
    "w": "throttle",
    "s": "brake",
    "a": "left",
    "d": "right",
    " ": "hand brake",
    "r": "reverse",
    "q": "end",
    "\x1b": "end",
}
"""Letters, which every window system of OpenCV numbers alike; the numbers of arrow keys differ."""

HELP = "w throttle, s brake, a d steer, space hand brake, r reverse, q or Esc end; click the window first"


@dataclass(frozen=True)
class Control:
    """What the pedals and the wheel say, in the terms of `carla.VehicleControl`."""

    throttle: float
    brake: float
    steer: float
    hand_brake: bool
    reverse: bool


class Pedals:
    """Key presses as a control of the vehicle, tick by tick.

    Attributes:
        ended: whether somebody asked for the end.
    """

    def __init__(self) -> None:
        self.ended = False
        self._left_s: dict[str, float] = {}
        self._steer = 0.0
        self._reverse = False

    def press(self, key: str) -> None:
        """A key was pressed, or repeated; one without a meaning does nothing."""
        meaning = KEYS.get(key.lower())
        if meaning == "end":
            self.ended = True
        elif meaning == "reverse":
            self._reverse = not self._reverse
        elif meaning is not None:
            self._left_s[meaning] = HOLD_S

    def step(self, time_step_s: float) -> Control:
        """The control of the next tick."""
        acting = {meaning for meaning, left_s in self._left_s.items() if left_s > 0.0}
        self._left_s = {meaning: left_s - time_step_s for meaning, left_s in self._left_s.items()}
        wish = ("right" in acting) - ("left" in acting)
        if wish:
            self._steer += wish * STEER_PER_S * time_step_s
            self._steer = min(max(self._steer, -MOST_STEER), MOST_STEER)
        else:
            back = STEER_BACK_PER_S * time_step_s
            self._steer = 0.0 if abs(self._steer) <= back else self._steer - back * (1.0 if self._steer > 0.0 else -1.0)
        braking = "brake" in acting
        return Control(
            throttle=FULL_THROTTLE if "throttle" in acting and not braking else 0.0,
            brake=FULL_BRAKE if braking else 0.0,
            steer=self._steer,
            hand_brake="hand brake" in acting,
            reverse=self._reverse,
        )


class ManualDriver:
    """Somebody at the keyboard drives; ticks wait for the clock, so that a second takes a second.

    Args:
        carla: the client's module.
        ego: the vehicle.
        time_step_s: of one tick.
        keys: the keys pressed since this was asked last; None once nobody can press any, because the window is closed.
    """

    restarts = 0

    def __init__(self, carla: Any, ego: Any, time_step_s: float, keys: Callable[[], Iterable[str] | None]) -> None:
        self._carla = carla
        self._ego = ego
        self._time_step_s = time_step_s
        self._keys = keys
        self._pedals = Pedals()
        self._window_closed = False
        self._next_tick_s = 0.0

    @property
    def finished(self) -> str | None:
        """The end that was asked for."""
        if self._window_closed:
            return "the window was closed"
        return "the end that was asked for" if self._pedals.ended else None

    def before_tick(self) -> None:
        """Wait for the clock and pass on what the keys say."""
        pause_s = self._next_tick_s - time.monotonic()
        if pause_s > 0.0:
            time.sleep(pause_s)
        # A slow simulator is not caught up with: nobody can drive in leaps.
        self._next_tick_s = time.monotonic() + self._time_step_s
        pressed = self._keys()
        self._window_closed = pressed is None
        for key in pressed or ():
            self._pedals.press(key)
        control = self._pedals.step(self._time_step_s)
        self._ego.apply_control(
            self._carla.VehicleControl(
                throttle=control.throttle,
                brake=control.brake,
                steer=control.steer,
                hand_brake=control.hand_brake,
                reverse=control.reverse,
            )
        )

    def velocity_mps(self, ego_snapshot: Any) -> tuple[float, float, float]:
        """As the simulator reports it."""
        return reported_velocity_mps(ego_snapshot)

    def begin_anew(self, place: Any) -> bool:
        """Put the ego there, at rest."""
        put_at_rest(self._ego, place)
        return True
