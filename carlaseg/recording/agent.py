"""CARLA's behaviour agent as a driver, where the user has it.

The `agents` package lies in CARLA's own download, `PythonAPI/carla`, and in no wheel; it is imported here and nowhere
else, when somebody asks for it.
"""

from __future__ import annotations

import contextlib
import importlib
import random
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from carlaseg.errors import CarlasegError, ConfigError, SimulatorError
from carlaseg.recording.connection import import_carla
from carlaseg.recording.drivers import put_at_rest, reported_velocity_mps

NEAR_M = 20.0
"""A destination nearer than this is no drive."""


def import_behaviour_agent() -> type[Any]:
    """CARLA's class `agents.navigation.behavior_agent.BehaviorAgent`.

    Raises:
        ConfigError: it cannot be imported, with what to do.
        SimulatorError: CARLA's client, which it needs, is not installed.
    """
    import_carla()
    wanted = "--driver agent: expected CARLA's Python package `agents`"
    try:
        module = importlib.import_module("agents.navigation.behavior_agent")
        return module.BehaviorAgent  # type: ignore[no-any-return]
    except ModuleNotFoundError as error:
        missing = error.name or "agents"
        if missing.split(".")[0] != "agents":
            raise ConfigError(
                f"{wanted}, received one that needs {missing!r}, which is not installed.",
                (("install it", f"pip install {missing}"),),
            ) from error
        raise ConfigError(
            f"{wanted}, received none. It lies in CARLA's download, in PythonAPI/carla, and not in the wheel.",
            (
                ("say where it is", "export PYTHONPATH=/path/to/CARLA/PythonAPI/carla"),
                ("or without it", "carlaseg record --driver autopilot"),
            ),
        ) from error
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{wanted} with navigation.behavior_agent.BehaviorAgent, received {error}.") from error


class BehaviourAgent:
    """The ego goes from place to place by CARLA's behaviour agent: it minds lights, signs, cars and pedestrians.

    Args:
        ego: the vehicle.
        behaviour: "cautious", "normal" or "aggressive".
        places: where it may go (`carla.Transform`).
        seed: decides which place is next.

    Raises:
        ConfigError: CARLA's `agents` package is not there, or is of another make.
    """

    restarts = 0
    finished = None

    def __init__(self, ego: Any, behaviour: str, places: Sequence[Any], seed: int) -> None:
        agent_class = import_behaviour_agent()
        self._ego = ego
        self._places = tuple(places)
        self._random = random.Random(seed)
        # The agent's planner draws from Python's own generator when it runs out of route.
        random.seed(seed)
        with _foreign_code():
            self._agent = agent_class(ego, behavior=behaviour)
        self._go_on(ego.get_location())

    def before_tick(self) -> None:
        """Let the agent look and decide; a new destination where it has reached the last one."""
        with _foreign_code():
            if self._agent.done():
                self._go_on(self._ego.get_location())
            self._ego.apply_control(self._agent.run_step())

    def velocity_mps(self, ego_snapshot: Any) -> tuple[float, float, float]:
        """As the simulator reports it."""
        return reported_velocity_mps(ego_snapshot)

    def begin_anew(self, place: Any) -> bool:
        """Put the ego there, at rest, with a new destination."""
        put_at_rest(self._ego, place)
        self._go_on(place.location)
        return True

    def _go_on(self, start: Any) -> None:
        far = [place for place in self._places if place.location.distance(start) > NEAR_M] or list(self._places)
        with _foreign_code():
            self._agent.set_destination(self._random.choice(far).location, start)


@contextlib.contextmanager
def _foreign_code() -> Iterator[None]:
    """What the agent prints is talk, and standard output is for results; what it raises is told in one sentence.

    Raises:
        SimulatorError: in place of whatever the agent's own code raised.
        RuntimeError: the client's, which the session understands.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except (RuntimeError, CarlasegError):
        raise
    except Exception as error:
        raise SimulatorError(
            f"--driver agent: expected a control from CARLA's agent, received {type(error).__name__}: {error}.",
            (("another driver", "carlaseg record --driver autopilot ..."),),
        ) from error
