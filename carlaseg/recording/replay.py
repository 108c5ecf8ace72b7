"""A log of CARLA's own recorder, played back under our sensors: the same drive in other weather, by another rig.

The server plays it; its vehicles and pedestrians are the log's, and the ego is one of them. Nobody drives it, so
nothing can put it elsewhere: where a rule would restart, the drive ends.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from dataclasses import dataclass
from typing import Any

from carlaseg.errors import ConfigError, SimulatorError
from carlaseg.recording.connection import is_time_out
from carlaseg.recording.session import Session

LINE = re.compile(
    r"^Map: (?P<map>\S+)|^Frame \d+ at (?P<at>[\d.]+) seconds|^ Create (?P<born>\d+): (?P<type>\S+)"
    r"|^ +role_name = (?P<role>.+?) *$|^ Destroy (?P<gone>\d+)|^Duration: (?P<duration>[\d.]+) seconds",
    re.MULTILINE,
)
APPEARS_WITHIN_TICKS = 5


@dataclass(frozen=True)
class Log:
    """What a log's description says, as far as a replay needs it.

    Attributes:
        town: the map's name without its path.
        roles: how many vehicles have each `role_name`.
        begins_s: when the vehicle that was asked for appears in it; None when there is none.
        ends_s: when it leaves, or the log ends.
    """

    town: str
    roles: Counter[str]
    begins_s: float | None
    ends_s: float


def read_description(text: str, role: str) -> Log | None:
    """The description that CARLA's client gives of a log, read for the first vehicle of a role; None for other text.

    Source:
        CARLA documentation, "Recorder": the text of `show_recorder_file_info`.
    """
    town, roles, now_s = "", Counter[str](), 0.0
    born, kind = "", ""
    begins_s: float | None = None
    ego, ends_s = "", None
    for found in LINE.finditer(text):
        what, value = str(found.lastgroup), found[str(found.lastgroup)]
        if what == "map":
            town = value.rsplit("/", 1)[-1]
        elif what in ("at", "duration"):
            now_s = float(value)
        elif what == "type":
            born, kind = found["born"], value
        elif what == "role" and kind.startswith("vehicle."):
            roles[value] += 1
            if value == role and begins_s is None:
                begins_s, ego = now_s, born
        elif what == "gone" and value == ego and ends_s is None:
            ends_s = now_s
    return Log(town, roles, begins_s, now_s if ends_s is None else ends_s) if town else None


class ReplayedEgo:
    """The vehicle of a log that carries the rig; the log is played from where it appears, as soon as this exists.

    Args:
        session: in synchronous mode, in the log's town; the replay ends with it.
        log: the log's name, as the server finds it.
        role: `role_name` of the vehicle; the first one where several have it.

    Attributes:
        ego: the vehicle.
        vehicles: how many others the log has moved so far.
        walkers: how many pedestrians.

    Raises:
        ConfigError: there is no such log, it is of another town, or has no such vehicle.
        SimulatorError: the server plays it and no vehicle appears.
    """

    restarts = 0

    def __init__(self, session: Session, log: str, role: str) -> None:
        self._session = session
        self._log = log
        begins_s, ends_s = self._looked_up(role)
        self._duration_s = ends_s - begins_s
        before = {int(actor.id) for actor in session.world.get_actors()}
        settings = session.world.get_settings()
        session.client.replay_file(log, begins_s, 0.0, 0, False)
        session.before_leaving(lambda: session.client.stop_replayer(False))
        if not session.world.get_settings().synchronous_mode:
            # Some servers begin a replay running freely (carla-simulator/carla#4144).
            session.world.apply_settings(settings)
        self._ticks = 0
        self._place: Any = None
        self.ego = self._appeared(before, role)

    def _looked_up(self, role: str) -> tuple[float, float]:
        """Seconds of the log between which the ego is in it, after a look whether it can be replayed here."""
        where = f"--replay {self._log}"
        try:
            text = str(self._session.client.show_recorder_file_info(self._log, False))
        except RuntimeError as error:
            if is_time_out(error):
                raise
            text = str(error)
        log = read_description(text, role)
        if log is None:
            said = text.strip().splitlines()[:1] or ["nothing"]
            raise ConfigError(
                f"{where}: expected a log of CARLA's recorder, by the name the server finds it by (a file in its "
                f"CarlaUE4/Saved, or a whole path), received {said[0]!r}."
            )
        if log.town != self._session.town:
            raise ConfigError(
                f"{where}: expected a log of the town loaded, {self._session.town}, received one of {log.town}.",
                (
                    (
                        "load its town",
                        f"carlaseg record --driver replay --replay {shlex.quote(self._log)} --town {log.town} ...",
                    ),
                ),
            )
        if log.begins_s is None:
            known = ", ".join(f"{role} ({count})" for role, count in sorted(log.roles.items())) or "none"
            raise ConfigError(f"--replay-ego: expected a role_name that {self._log} has ({known}), received {role!r}.")
        return log.begins_s, log.ends_s

    def _appeared(self, before: set[int], role: str) -> Any:
        for _ in range(APPEARS_WITHIN_TICKS):
            self._session.tick()
            self._ticks += 1
            new = [actor for actor in self._session.world.get_actors() if int(actor.id) not in before]
            cars = [actor for actor in new if str(actor.type_id).startswith("vehicle.")]
            carriers = [car for car in cars if car.attributes.get("role_name") == role]
            if carriers:
                self.vehicles = len(cars) - 1
                self.walkers = sum(str(actor.type_id).startswith("walker.pedestrian") for actor in new)
                return min(carriers, key=lambda car: int(car.id))
        raise SimulatorError(
            f"--replay {self._log}: expected a vehicle with role_name {role!r} in its first ticks, received none. "
            "Nothing was written."
        )

    @property
    def finished(self) -> str | None:
        """The end of the log, a tick before the server lets its vehicles go."""
        over = (self._ticks + 1) * self._session.time_step_s >= self._duration_s
        return "the end of the log" if over else None

    def before_tick(self) -> None:
        """Remember where the ego is; the server moves it."""
        ego = self._session.snapshot.find(self.ego.id)
        self._place = None if ego is None else ego.get_transform().location
        self._ticks += 1

    def velocity_mps(self, ego_snapshot: Any) -> tuple[float, float, float]:
        """From the place it had a tick before: vehicles that are put where a log says report no speed of their own."""
        if self._place is None:
            return 0.0, 0.0, 0.0
        way = ego_snapshot.get_transform().location - self._place
        step_s = self._session.time_step_s
        return float(way.x) / step_s, float(way.y) / step_s, float(way.z) / step_s

    def begin_anew(self, place: Any) -> bool:
        """Refused: the log says where the ego is."""
        return False
