"""A TrafficManager that sleeps through a tick is woken, and nothing else is touched."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest

from carlaseg.recording.traffic_watch import TrafficWatch

LOOK_EVERY_S = 0.01


class SleepingManager:
    """Ends its step when synchronous mode is left, as LibCarla's does when its first signal was lost."""

    def __init__(self) -> None:
        self.modes: list[bool] = []
        self.awake = threading.Event()

    def set_synchronous_mode(self, mode: bool) -> None:
        self.modes.append(mode)
        if mode:
            self.awake.set()


def session_at(frame: int, before: int | None) -> SimpleNamespace:
    world = SimpleNamespace(get_snapshot=lambda: SimpleNamespace(frame=frame))
    return SimpleNamespace(frame_before_tick=before, world=world)


def test_a_traffic_manager_that_sleeps_through_a_tick_is_woken_and_stays_synchronous() -> None:
    session, manager = session_at(frame=8, before=7), SleepingManager()
    watch = TrafficWatch(session, manager, LOOK_EVERY_S)
    assert manager.awake.wait(10)
    session.frame_before_tick = None
    watch.close()
    assert watch.woken >= 1
    assert manager.modes[:2] == [False, True]
    assert manager.modes[-1] is True


@pytest.mark.parametrize(
    ("frame", "before"), [(7, 7), (8, None)], ids=["the server has not answered", "nobody waits for a tick"]
)
def test_a_traffic_manager_is_left_alone_when(frame: int, before: int | None) -> None:
    manager = SleepingManager()
    watch = TrafficWatch(session_at(frame, before), manager, LOOK_EVERY_S)
    time.sleep(10 * LOOK_EVERY_S)
    watch.close()
    assert manager.modes == []


def test_ticks_that_go_on_are_not_taken_for_one_that_stands() -> None:
    session, manager = session_at(frame=10**9, before=0), SleepingManager()
    watch = TrafficWatch(session, manager, look_every_s=0.05)
    ends_s = time.monotonic() + 0.3
    while time.monotonic() < ends_s:
        session.frame_before_tick += 1
        time.sleep(0.001)
    session.frame_before_tick = None
    watch.close()
    assert manager.modes == []
