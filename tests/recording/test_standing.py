"""A standing ego, settled pictures, rules and slots: what decides about a frame, without a server."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from carlaseg.config import RecordConfig
from carlaseg.recording.pictures import is_blank
from carlaseg.recording.rules import DriveRules
from carlaseg.recording.settling import STEADY_TICKS, Settling
from carlaseg.recording.slots import slot_of_tick, tick_of_slot
from carlaseg.recording.standing import StandingWatch


def test_a_slot_owns_the_ticks_up_to_the_next_one() -> None:
    config = RecordConfig(every=5, warmup=20)
    assert [tick_of_slot(config, slot) for slot in (0, 1, 2)] == [21, 26, 31]
    assert [slot_of_tick(config, tick) for tick in (21, 25, 26, 30)] == [0, 0, 1, 1]


def watch(**settings: float) -> StandingWatch:
    return StandingWatch(0.5, **({"min_distance_m": 0.0, "max_standing_s": 0.0, "stuck_after_s": 60.0} | settings))


def test_frames_are_worth_saving_again_once_the_ego_has_moved_far_enough() -> None:
    standing = watch(min_distance_m=2.0)
    standing.look(1, (0.0, 0.0, 0.0))
    assert standing.is_worth_saving, "the first one shows something new"
    standing.saved()
    worth = []
    for tick, x in enumerate((0.0, 0.5, 1.5, 2.1, 2.2), 2):
        standing.look(tick, (x, 0.0, 0.0))
        worth.append(standing.is_worth_saving)
    assert worth == [False, False, False, True, True]


def test_a_standing_ego_is_saved_for_as_long_as_was_asked_for() -> None:
    standing = watch(min_distance_m=2.0, max_standing_s=1.0)
    standing.look(0, (0.0, 0.0, 0.0))
    standing.saved()
    worth = []
    for tick in range(1, 5):
        # Swaying on its springs is standing.
        standing.look(tick, (0.05 * (tick % 2), 0.0, 0.0))
        worth.append(standing.is_worth_saving)
    assert worth == [True, True, False, False]
    assert standing.standing_s == 2.0


def test_the_ego_is_stuck_after_its_time_and_free_again_elsewhere() -> None:
    standing = watch(stuck_after_s=3.0)
    rules = DriveRules(RecordConfig(when_collision="end"))
    for tick in range(7):
        standing.look(tick, (1.0, 1.0, 0.0))
    broken = rules.broken(standing, frozenset())
    assert broken is not None
    assert (broken.reason, broken.action) == ("stuck", "restart")
    standing.begin_anew()
    standing.look(7, (50.0, 1.0, 0.0))
    assert rules.broken(standing, frozenset({"lane_invasion"})) is None, "a lane invasion is only marked"
    collided = rules.broken(standing, frozenset({"collision"}))
    assert collided is not None
    assert collided.action == "end"


@dataclass
class Drawn:
    """The part of a `carla.Image` that is looked at."""

    height: int
    width: int
    raw_data: bytes


def drawn(brightness: float, spread: float = 20.0) -> Drawn:
    noise = np.random.default_rng(0).normal(brightness, spread, (32, 32, 4)) if spread else np.full((32, 32, 4), 0.0)
    return Drawn(32, 32, np.clip(noise, 0, 255).astype(np.uint8).tobytes())


def test_pictures_have_settled_when_the_exposure_no_longer_moves() -> None:
    settling = Settling()
    assert not any(settling.look(drawn(level)) for level in (240, 200, 160, 140, 130, 125))
    steady = [settling.look(drawn(124)) for _ in range(STEADY_TICKS)]
    assert steady == [False] * (STEADY_TICKS - 1) + [True]


@pytest.mark.parametrize("first", [drawn(0, 0.0)])
def test_black_pictures_never_settle_and_are_known_as_such(first: Drawn) -> None:
    settling = Settling()
    assert not any(settling.look(first) for _ in range(20))
    assert is_blank(first)
    one_pixel = bytearray(first.raw_data)
    one_pixel[4 * 33] = 1
    assert not is_blank(Drawn(32, 32, bytes(one_pixel)))
