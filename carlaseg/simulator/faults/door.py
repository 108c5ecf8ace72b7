"""The control door: JSON objects, one a line, by which a test changes the plan and asks what has happened.

    {"do": "plan", "text": "..."}             put a plan in force, counts begin at none; "" for no faults
    {"do": "report"}                          what has struck, and what the world holds
    {"do": "die", "restart_after_s": 0.5}     die now; without a time for ever

Each line is answered by one: {"ok": true, ...} or {"ok": false, "error": "..."}.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any, cast

from carlaseg.errors import CarlasegError, ConfigError, ProtocolError
from carlaseg.simulator.faults.calls import FaultySimulation
from carlaseg.simulator.faults.plan import LONGEST_S, parse_plan

MAX_LINE_BYTES = 64 << 10
"""A plan must also fit into an environment variable, by which it outlives a restart."""


class ControlConversation:
    """One connection to the control door.

    Args:
        simulation: whose plan is controlled.
        keep: told the text of each plan put in force.
        die: ends the process; takes the seconds until a restart, or None.
    """

    def __init__(
        self, simulation: FaultySimulation, keep: Callable[[str], None], die: Callable[[float | None], None]
    ) -> None:
        self._simulation = simulation
        self._keep = keep
        self._die = die
        self._received = b""

    def hear(self, chunk: bytes) -> Iterator[bytes]:
        """Return an answer for each line that is complete.

        Raises:
            ProtocolError: a line is longer than any plan may be.
        """
        *lines, self._received = (self._received + chunk).split(b"\n")
        for line in lines:
            yield json.dumps(self._obey(line)).encode() + b"\n"
        if len(self._received) > MAX_LINE_BYTES:
            raise ProtocolError(
                f"control door: expected lines of at most {MAX_LINE_BYTES} bytes, received a longer one"
            )

    def _obey(self, line: bytes) -> dict[str, Any]:
        try:
            wish = json.loads(line)
            if not isinstance(wish, dict):
                raise ConfigError(f"control door: expected a JSON object, received {line[:80]!r}")
            return {"ok": True, **self._done(wish)}
        except CarlasegError as error:
            return {"ok": False, "error": error.message}
        except (ValueError, RecursionError) as error:
            return {"ok": False, "error": f"control door: expected a line of JSON, received {line[:80]!r} ({error})"}

    def _done(self, wish: dict[str, Any]) -> dict[str, Any]:
        action = wish.get("do")
        if action == "report":
            return self._report()
        if action == "plan" and isinstance(wish.get("text"), str):
            self._simulation.put_plan(parse_plan(wish["text"], "control door, plan"))
            self._keep(wish["text"])
            return {}
        if action == "die":
            restart_after_s = wish.get("restart_after_s")
            if restart_after_s is not None and not _is_wait(restart_after_s):
                raise ConfigError(
                    f"control door, restart_after_s: expected 0 to {LONGEST_S:g} seconds, received {restart_after_s!r}"
                )
            self._die(restart_after_s)
        raise ConfigError(f"control door: expected to 'do' a plan with a text, report or die, received {wish!r:.80}")

    def _report(self) -> dict[str, Any]:
        simulation, schedule = self._simulation, self._simulation.schedule
        world = simulation.world
        return {
            "ticks": schedule.ticks,
            "struck": schedule.struck,
            "log": [asdict(strike) for strike in schedule.log],
            "frame": world.frame,
            "episode": world.episode_id,
            "map": world.town.name,
            "settings": asdict(simulation.settings),
            "actors": [[actor.actor_id, actor.type_id] for actor in world.actors.values()],
        }


def _is_wait(value: object) -> bool:
    return type(value) in (int, float) and 0.0 <= cast(float, value) <= LONGEST_S  # false for what is no number
