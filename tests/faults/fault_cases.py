"""Cases of a server that misbehaves: every kind of fault alone, then in pairs, all of them by a seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations


@dataclass(frozen=True)
class Pace:
    """How long the recordings of some cases are, and how long their servers keep them waiting.

    Attributes:
        ticks: of a recording, from which those that are struck are drawn.
        late_s: how late a late frame may be; the last one is nearly too late.
        stall_s: how long a tick may stall; the last one is longer than the recordings' time-out.
        restart_s: how long a dead server stays dead.
    """

    ticks: range
    late_s: tuple[float, ...]
    stall_s: tuple[float, ...]
    restart_s: float


UNHURRIED = Pace(ticks=range(1, 34), late_s=(0.1, 0.6, 2.5), stall_s=(1.0, 4.0), restart_s=0.4)
"""Of recordings with a time-out of 3 s."""
BRISK = Pace(ticks=range(9, 19), late_s=(0.05, 0.3), stall_s=(0.2, 1.2), restart_s=0.05)
"""Of recordings with a time-out of 1 s."""

LOSES_TICKS = frozenset({"stalled_tick", "state_without_reply", "reply_without_state"})
"""A tick happens and its call does not return: the client's TrafficManager then misses a step of the world, and no call
makes it up. Frames stay frames of one tick, but of another drive; with `exact` the drive is driven again."""
EXACT_SHARE = 0.75
"""Of the cases that lose ticks."""


@dataclass(frozen=True)
class Case:
    """One plan of faults.

    Attributes:
        name: for people.
        plan: TOML for the simulator.
        kinds: of the faults in it.
        exact: whether the recording is to end at a lost tick, and to be gone on with.
    """

    name: str
    plan: str
    kinds: tuple[str, ...]
    exact: bool

    @property
    def keeps_the_world(self) -> bool:
        """Whether the frames must be those of an undisturbed run."""
        return self.exact or LOSES_TICKS.isdisjoint(self.kinds)


def cases(count: int, pace: Pace, seed: int = 0) -> list[Case]:
    """So many cases: each kind alone first, then every pair of kinds, then pairs and singles again at other moments."""
    rng = random.Random(seed)
    pairs = list(combinations(_WAYS, 2))
    rng.shuffle(pairs)
    chosen: list[tuple[str, ...]] = [*((kind,) for kind in _WAYS), *pairs]
    while len(chosen) < count:
        chosen.append(tuple(rng.sample(list(_WAYS), rng.choice([1, 2, 2, 2]))))
    found = []
    for number, kinds in enumerate(chosen[:count]):
        plan = f"seed = {number}\n" + "".join(_entry(kind, rng, pace) for kind in kinds)
        exact = LOSES_TICKS.isdisjoint(kinds) or rng.random() < EXACT_SHARE
        found.append(Case(f"{number:03d} {' + '.join(kinds)}{' exact' if exact else ''}", plan, kinds, exact))
    return found


def _entry(kind: str, rng: random.Random, pace: Pace) -> str:
    return f'[[fault]]\nkind = "{kind}"\n{_WAYS[kind](rng, pace)}\n'


def _camera(rng: random.Random) -> str:
    return f'sensor = "sensor.camera.{rng.choice(["rgb", "semantic_segmentation", "*"])}"\n'


def _ticks(rng: random.Random, pace: Pace, most: int = 2) -> str:
    return f"at = {sorted(rng.sample(pace.ticks, rng.randint(1, most)))}"


_WAYS: Mapping[str, Callable[[random.Random, Pace], str]] = {
    "late": lambda rng, pace: f"{_camera(rng)}seconds = {rng.choice(pace.late_s)}\n{_ticks(rng, pace)}",
    "lost": lambda rng, pace: _camera(rng) + _ticks(rng, pace),
    "doubled": lambda rng, pace: _camera(rng) + _ticks(rng, pace, 4),
    "out_of_order": lambda rng, pace: _camera(rng) + _ticks(rng, pace),
    "wrong_frame": lambda rng, pace: f"{_camera(rng)}offset = {rng.choice([-2, -1, 1, 2])}\n{_ticks(rng, pace)}",
    "black": lambda rng, pace: _camera(rng) + rng.choice(["last = 20", _ticks(rng, pace, 3)]),
    "truncated": lambda rng, pace: _camera(rng) + _ticks(rng, pace),
    "dead_stream": lambda rng, pace: _camera(rng) + _ticks(rng, pace),
    "zombie": lambda rng, _: f'blueprint = "{rng.choice(["sensor.*", "vehicle.*", "*"])}"\ntimes = {rng.randint(1, 3)}',
    "death": lambda rng, pace: f"restart_after_s = {pace.restart_s}\n{_ticks(rng, pace, 1)}\ntimes = 1",
    "stalled_tick": lambda rng, pace: f"seconds = {rng.choice(pace.stall_s)}\n{_ticks(rng, pace, 1)}",
    "refused_tick": lambda rng, pace: f'text = "not now"\n{_ticks(rng, pace)}',
    "state_without_reply": lambda rng, pace: _ticks(rng, pace, 1),
    "reply_without_state": lambda rng, pace: _ticks(rng, pace, 1),
    "spawn_failure": lambda rng, _: (
        f'blueprint = "{rng.choice(["sensor.camera.*", "vehicle.*", "walker.*"])}"\ntimes = 1'
    ),
    "settings_reset": lambda rng, _: "times = 1",
}
