"""Whether a fault strikes now. The answer depends on the plan, its seed and the occasion's number, on nothing else."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from carlaseg.simulator.faults.plan import KINDS, Fault, FaultPlan

MAX_LOG = 10_000


@dataclass(frozen=True)
class Strike:
    """A fault that has struck.

    Attributes:
        kind: of the fault.
        tick: ticks that clients had asked for since the plan was put in force.
        occasion: number of the occasion.
        subject: sensor or blueprint concerned, empty for ticks and loads.
    """

    kind: str
    tick: int
    occasion: int
    subject: str = ""


@dataclass
class Schedule:
    """The state of one plan in force.

    Attributes:
        plan: what is to go wrong.
        ticks: that clients have asked for.
        struck: how often each fault has struck, in the plan's order.
        log: the latest strikes.
        in_asked_tick: whether a tick that a client asked for is under way; a free run's ticks are not counted.
    """

    plan: FaultPlan
    ticks: int = 0
    struck: list[int] = field(default_factory=list)
    log: list[Strike] = field(default_factory=list)
    in_asked_tick: bool = False

    def __post_init__(self) -> None:
        """Begin, or go on where `struck` says."""
        self.struck = [*self.struck, *[0] * len(self.plan.faults)][: len(self.plan.faults)]
        self._seen: dict[int, int] = {}

    def of_tick(self) -> list[Fault]:
        """Count a tick and return the faults that strike it."""
        self.ticks += 1
        return [
            fault
            for number, fault in enumerate(self.plan.faults)
            if KINDS[fault.kind].subject == "tick" and self._strikes(number, self.ticks, "")
        ]

    def of_frame(self, sensor: str, stream_id: int, message: int) -> list[Fault]:
        """Return the faults that strike a message of a stream, the `message`-th since the plan was put in force."""
        strikes = []
        for number, fault in enumerate(self.plan.faults):
            if KINDS[fault.kind].subject != "frame" or not fnmatchcase(sensor, fault.sensor):
                continue
            if fault.counted == "ticks" and not self.in_asked_tick:
                continue
            occasion = self.ticks if fault.counted == "ticks" else message
            if self._strikes(number, occasion, sensor, stream_id):
                strikes.append(fault)
        return strikes

    def of_call(self, subject: str, blueprint: str = "") -> Fault | None:
        """Return the first fault that strikes a call of a subject: "spawn", "destroy" or "load"."""
        found = None
        for number, fault in enumerate(self.plan.faults):
            if KINDS[fault.kind].subject != subject or not fnmatchcase(blueprint, fault.blueprint):
                continue
            occasion = self._seen[number] = self._seen.get(number, 0) + 1
            if found is None and self._strikes(number, occasion, blueprint):
                found = fault
        return found

    def _strikes(self, number: int, occasion: int, subject: str, salt: int = 0) -> bool:
        fault, when = self.plan.faults[number], self.plan.faults[number].when
        if when.at:
            if occasion not in when.at:
                return False
        elif occasion < when.first or (when.last is not None and occasion > when.last):
            return False
        if when.times is not None and self.struck[number] >= when.times:
            return False
        if when.chance < 1.0:
            drawn = random.Random(f"{self.plan.seed}/{number}/{occasion}/{salt}").random()
            if drawn >= when.chance:
                return False
        self.struck[number] += 1
        self.log.append(Strike(fault.kind, self.ticks, occasion, subject))
        del self.log[:-MAX_LOG]
        return True

    def progress(self) -> dict[str, Any]:
        """Return what a restarted server needs to go on: plain values for JSON."""
        return {"ticks": self.ticks, "struck": self.struck}
