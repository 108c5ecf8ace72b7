"""Calls about recordings of what moves: start, stop, look, replay."""

from __future__ import annotations

from carlaseg.simulator.calls_session import Caller
from carlaseg.simulator.poses import pose_of
from carlaseg.simulator.recording_reports import describe, describe_blocked, describe_collisions
from carlaseg.wire.values import Transform


def start_recorder(caller: Caller, name: str, additional_data: bool = False) -> str:
    """Begin to record under a name; where, as text."""
    return f"Recording on file: {caller.simulation.start_recording(name)}"


def stop_recorder(caller: Caller) -> None:
    """Finish the recording."""
    caller.simulation.stop_recording()


def show_recorder_file_info(caller: Caller, name: str, show_all: bool = False) -> str:
    """What a recording holds, as text."""
    return "\n".join(describe(caller.simulation.recording(name), show_all)) + "\n"


def show_recorder_collisions(caller: Caller, name: str, first: object, second: object) -> str:
    """Contacts in a recording between two kinds of actors (h, v, w, t, o, a), as text."""
    letters = [chr(one) if isinstance(one, int) and 0 <= one < 128 else str(one) for one in (first, second)]
    return "\n".join(describe_collisions(caller.simulation.recording(name), letters[0], letters[1])) + "\n"


def show_recorder_actors_blocked(caller: Caller, name: str, min_time: float = 30.0, min_distance: float = 10.0) -> str:
    """Vehicles in a recording that stood for `min_time` seconds within `min_distance` centimetres, as text."""
    return "\n".join(describe_blocked(caller.simulation.recording(name), min_time, min_distance)) + "\n"


def replay_file(
    caller: Caller,
    name: str,
    start: float = 0.0,
    duration: float = 0.0,
    follow_id: int = 0,
    replay_sensors: bool = False,
    offset: Transform = Transform(),  # noqa: B008 (frozen)
) -> str:
    """Play a recording back; what is played, as text. Sensors are not in recordings."""
    return caller.simulation.start_replay(name, start, duration, follow_id, pose_of(offset))


def stop_replayer(caller: Caller, keep_actors: bool = False) -> None:
    """End a replay; its actors go unless they are kept."""
    caller.simulation.stop_replay(keep_actors)


def set_replayer_time_factor(caller: Caller, factor: float) -> None:
    """Set how fast recordings are played."""
    caller.simulation.replay_options.time_factor = max(factor, 0.0)


def set_replayer_ignore_hero(caller: Caller, ignore: bool) -> None:
    """Leave the hero out of replays, or not."""
    caller.simulation.replay_options.ignore_hero = ignore


def set_replayer_ignore_spectator(caller: Caller, ignore: bool) -> None:
    """Leave the spectator alone in replays, or not."""
    caller.simulation.replay_options.ignore_spectator = ignore


CALLS = (
    start_recorder,
    stop_recorder,
    show_recorder_file_info,
    show_recorder_collisions,
    show_recorder_actors_blocked,
    replay_file,
    stop_replayer,
    set_replayer_time_factor,
    set_replayer_ignore_hero,
    set_replayer_ignore_spectator,
)
