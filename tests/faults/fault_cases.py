"""Cases of a server that misbehaves: every kind of fault alone, then in pairs, all of them by a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import combinations

LAST_TICK = 34
"""A recording of the tests asks for about so many ticks."""
RESTART_S = 0.4
STALL_S = 4.0
"""Longer than the recordings' time-out of 3 s."""

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


def cases(count: int, seed: int = 0) -> list[Case]:
    """So many cases: each kind alone first, then every pair of kinds, then pairs and singles again at other moments."""
    rng = random.Random(seed)
    pairs = list(combinations(_WAYS, 2))
    rng.shuffle(pairs)
    chosen: list[tuple[str, ...]] = [*((kind,) for kind in _WAYS), *pairs]
    while len(chosen) < count:
        chosen.append(tuple(rng.sample(list(_WAYS), rng.choice([1, 2, 2, 2]))))
    found = []
    for number, kinds in enumerate(chosen[:count]):
        plan = f"seed = {number}\n" + "".join(_entry(kind, rng) for kind in kinds)
        exact = LOSES_TICKS.isdisjoint(kinds) or rng.random() < EXACT_SHARE
        found.append(Case(f"{number:03d} {' + '.join(kinds)}{' exact' if exact else ''}", plan, kinds, exact))
    return found


def _entry(kind: str, rng: random.Random) -> str:
    return f'[[fault]]\nkind = "{kind}"\n{_WAYS[kind](rng)}\n'


def _camera(rng: random.Random) -> str:
    return f'sensor = "sensor.camera.{rng.choice(["rgb", "semantic_segmentation", "*"])}"\n'


def _ticks(rng: random.Random, most: int = 2) -> str:
    return f"at = {sorted(rng.sample(range(1, LAST_TICK), rng.randint(1, most)))}"


_WAYS = {
    "late": lambda rng: f"{_camera(rng)}seconds = {rng.choice([0.1, 0.6, 2.5])}\n{_ticks(rng)}",
    "lost": lambda rng: _camera(rng) + _ticks(rng),
    "doubled": lambda rng: _camera(rng) + _ticks(rng, 4),
    "out_of_order": lambda rng: _camera(rng) + _ticks(rng),
    "wrong_frame": lambda rng: f"{_camera(rng)}offset = {rng.choice([-2, -1, 1, 2])}\n{_ticks(rng)}",
    "black": lambda rng: _camera(rng) + rng.choice(["last = 20", _ticks(rng, 3)]),
    "truncated": lambda rng: _camera(rng) + _ticks(rng),
    "dead_stream": lambda rng: _camera(rng) + _ticks(rng),
    "zombie": lambda rng: f'blueprint = "{rng.choice(["sensor.*", "vehicle.*", "*"])}"\ntimes = {rng.randint(1, 3)}',
    "death": lambda rng: f"restart_after_s = {RESTART_S}\n{_ticks(rng, 1)}\ntimes = 1",
    "stalled_tick": lambda rng: f"seconds = {rng.choice([1.0, STALL_S])}\n{_ticks(rng, 1)}",
    "refused_tick": lambda rng: f'text = "not now"\n{_ticks(rng)}',
    "state_without_reply": lambda rng: _ticks(rng, 1),
    "reply_without_state": lambda rng: _ticks(rng, 1),
    "spawn_failure": lambda rng: f'blueprint = "{rng.choice(["sensor.camera.*", "vehicle.*", "walker.*"])}"\ntimes = 1',
    "settings_reset": lambda rng: "times = 1",
}
