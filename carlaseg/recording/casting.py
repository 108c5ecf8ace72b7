"""Which driver a configuration asks for, and what it needs that may not be there: asked before anything is spawned."""

from __future__ import annotations

from typing import Any

from carlaseg.config import RecordConfig
from carlaseg.errors import ConfigError
from carlaseg.recording.agent import BehaviourAgent, import_behaviour_agent
from carlaseg.recording.drivers import Autopilot, Driver, LaneFollower, LaneWalk
from carlaseg.recording.manual import ManualDriver
from carlaseg.recording.preview import Cockpit
from carlaseg.recording.session import Session
from carlaseg.recording.traffic import Traffic


def refuse_missing_agent(config: RecordConfig) -> None:
    """Make sure that CARLA's agent is there, where it is to drive.

    Raises:
        ConfigError: it is not.
    """
    if config.driver == "agent":
        import_behaviour_agent()


def refuse_missing_window(config: RecordConfig, has_window: bool) -> None:
    """Make sure that somebody who is to drive by hand can see and press keys.

    Raises:
        ConfigError: there is no window.
    """
    if config.driver == "manual" and not has_window:
        raise ConfigError(
            "--driver manual: expected a display, for the window that shows the street and takes the keys, received "
            "none. Nothing was written.",
            (("without a display", "carlaseg record --driver autopilot"),),
        )


def cast_driver(config: RecordConfig, session: Session, traffic: Traffic, ego: Any, cockpit: Cockpit | None) -> Driver:
    """The driver of the ego, for all but a replay, in which nobody drives."""
    if config.driver == "waypoints":
        starts = [ego.get_transform(), *traffic.places]
        return LaneFollower(ego, LaneWalk(session.map, starts, config.seed, session.time_step_s))
    if config.driver == "agent":
        return BehaviourAgent(ego, config.agent_behaviour, traffic.places, config.seed)
    if config.driver == "manual":
        refuse_missing_window(config, cockpit is not None)
        assert cockpit is not None
        return ManualDriver(session.carla, ego, session.time_step_s, cockpit.keys)
    session.before_leaving(lambda: ego.set_autopilot(False, traffic.port))
    return Autopilot(ego, traffic.port)
