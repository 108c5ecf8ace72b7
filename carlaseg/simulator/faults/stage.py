"""Puts the parts of a misbehaving server together, for a first life or a later one."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from pathlib import Path

from carlaseg.errors import ConfigError
from carlaseg.files import unreadable
from carlaseg.simulator.faults.calls import FaultyAnswers, FaultySimulation, Life
from carlaseg.simulator.faults.door import MAX_LINE_BYTES, ControlConversation
from carlaseg.simulator.faults.frames import FaultyStreams
from carlaseg.simulator.faults.plan import parse_plan
from carlaseg.simulator.faults.schedule import Schedule
from carlaseg.simulator.recording_file import RecordingFolder
from carlaseg.simulator.server import RpcServer, listen
from carlaseg.simulator.simulation import RendererFactory, StreamOutlet, TownSource


@dataclass
class FaultyStage:
    """A server with a plan of faults.

    Attributes:
        server: the whole.
        simulation: what it serves.
        streams: its outlet.
        control_port: of the control door, None for none.
    """

    server: RpcServer
    simulation: FaultySimulation
    streams: FaultyStreams
    control_port: int | None


def first_life(port: int, control_port: int | None, plan: Path | None) -> Life:
    """Return where a server begins: with the plan of a file, or with none.

    Raises:
        ConfigError: no such file, or not a plan.
    """
    if plan is None:
        return Life(port, control_port, "")
    try:
        text = plan.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--faults {plan}: expected a readable TOML file, received {unreadable(error)}.") from error
    if len(text.encode()) > MAX_LINE_BYTES:
        raise ConfigError(f"--faults {plan}: expected at most {MAX_LINE_BYTES} bytes, received {len(text.encode())}.")
    parse_plan(text, f"--faults {plan}")
    return Life(port, control_port, text)


def await_turn(life: Life) -> None:
    """Stay dead as long as the plan said."""
    time.sleep(life.wait_s)


def set_the_stage(
    listener: socket.socket,
    streams: StreamOutlet,
    life: Life,
    parts: tuple[TownSource, str, RendererFactory],
    default_delta_s: float,
    recordings: RecordingFolder | None = None,
) -> FaultyStage:
    """Return a server that misbehaves as the plan of `life` says.

    Args:
        listener: of the RPC port.
        streams: the real outlet.
        life: where to begin.
        parts: towns, the first town's name, and what makes renderers.
        default_delta_s: time step while the client has set none.
        recordings: where recordings lie; None for a temporary folder.

    Raises:
        SimulatorError: the control port is in use, or there is no such town.
        ConfigError: the plan is none.
    """
    progress = life.progress or {}
    schedule = Schedule(parse_plan(life.plan, "plan of faults"), progress.get("ticks", 0), progress.get("struck", []))
    door = None if life.control_port is None else listen(life.control_port)
    here = Life(listener.getsockname()[1], None if door is None else door.getsockname()[1], life.plan)
    lives = [here]
    simulations: list[FaultySimulation] = []

    def die(restart_after_s: float | None) -> None:
        lives[0].end(restart_after_s, simulations[0].schedule.progress())

    def keep(text: str) -> None:
        lives[0] = Life(here.port, here.control_port, text)

    try:
        outlet = FaultyStreams(streams, lambda: simulations[0].schedule if simulations else schedule)
        simulation = FaultySimulation(*parts, outlet, default_delta_s, schedule, recordings)
        simulations.append(simulation)
    except BaseException:
        if door is not None:
            door.close()
        raise
    doors = [] if door is None else [(door, lambda: ControlConversation(simulation, keep, die))]
    server = RpcServer(listener, simulation, FaultyAnswers(die), doors)
    return FaultyStage(server, simulation, outlet, here.control_port)
