"""What the user has asked to happen when a drive goes wrong: mark it, begin anew elsewhere, or end the drive."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from carlaseg.config import RecordConfig
from carlaseg.recording.standing import StandingWatch


@dataclass(frozen=True)
class BrokenRule:
    """Something happened that has a consequence.

    Attributes:
        reason: what happened, for people and for the ledger.
        action: "restart" or "end".
    """

    reason: str
    action: str


class DriveRules:
    """The rules of one drive.

    Args:
        config: of the recording.
    """

    def __init__(self, config: RecordConfig) -> None:
        self._when_stuck = config.when_stuck
        self._when = {"collision": config.when_collision, "lane_invasion": config.when_lane_invasion}

    def broken(self, standing: StandingWatch, noticed: Set[str]) -> BrokenRule | None:
        """The rule broken now, the gravest first.

        Args:
            standing: how long the ego has stood.
            noticed: kinds of events since the last call.
        """
        for kind, action in self._when.items():
            if kind in noticed and action != "mark":
                return BrokenRule(kind.replace("_", " "), action)
        if standing.is_stuck:
            return BrokenRule("stuck", self._when_stuck)
        return None
