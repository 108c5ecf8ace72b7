"""`carlaseg simulate`: build the town, open the ports, say so, serve until told to stop."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from carlaseg.config import SimulateConfig
from carlaseg.errors import SimulatorError
from carlaseg.simulator.faults.calls import Life
from carlaseg.simulator.faults.stage import await_turn, first_life, set_the_stage
from carlaseg.simulator.recording_file import RecordingFolder
from carlaseg.simulator.scene import Town, Weather
from carlaseg.simulator.sensors import CameraRenderer
from carlaseg.simulator.server import HOST, RpcServer, listen
from carlaseg.simulator.simulation import Simulation
from carlaseg.simulator.stream_server import StreamServer


@dataclass(frozen=True)
class GeneratedTowns:
    """The towns of `carlaseg.simulator.town`, all with one seed."""

    seed: int

    def names(self) -> Sequence[str]:
        """Return the names that can be built."""
        from carlaseg.simulator.town import town_names

        return tuple(town_names())

    def build(self, name: str, opendrive: str | None) -> Town:
        """Return a town."""
        from carlaseg.simulator.town import build_town

        return build_town(name, seed=self.seed, opendrive=opendrive)


def make_renderer(town: Town, weather: Weather) -> CameraRenderer:
    """Return the software renderer for a town; Panda3D is loaded here and not before."""
    from carlaseg.simulator.renderer import Renderer

    return Renderer(town, weather)


def simulate(config: SimulateConfig) -> None:
    """Run the embedded simulator until SIGINT, SIGTERM, or (when asked) the end of standard input.

    Prints one line on standard output when clients can connect.

    Raises:
        SimulatorError: the port is in use, or there is no such town.
        ConfigError: the plan of faults cannot be read.
    """
    logging.basicConfig(format="carlaseg simulate: %(message)s", level=logging.WARNING, stream=sys.stderr)
    towns = GeneratedTowns(config.seed)
    if config.town not in towns.names():
        raise SimulatorError(
            f"--town: expected one of {', '.join(towns.names())}, received '{config.town}'",
            next_steps=(("the first of them", f"carlaseg simulate --town {towns.names()[0]}"),),
        )
    # A server without a plan of faults or a control door has none of their code in its way.
    life = None
    if config.faults is not None or config.control_port is not None:
        life = Life.handed_on() or first_life(config.port, config.control_port, config.faults)
        await_turn(life)
    listener = listen(config.port if life is None else life.port)
    port: int = listener.getsockname()[1]
    # CARLA's own server streams on the next port; clients take whatever the token says.
    streams = StreamServer(port + 1 if port < 65535 else 0)
    parts = (towns, config.town, make_renderer)
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(streams.close)
        control = ""
        try:
            if life is None:
                simulation = Simulation(*parts, streams, 1.0 / config.fps, RecordingFolder(config.recordings))
                server = RpcServer(listener, simulation)
            else:
                stage = set_the_stage(listener, streams, life, parts, 1.0 / config.fps)
                cleanup.callback(stage.streams.close)
                simulation, server = stage.simulation, stage.server
                control = "" if stage.control_port is None else f", control door {stage.control_port}"
        except BaseException:
            listener.close()
            raise
        cleanup.callback(simulation.close)
        for number in (signal.SIGINT, signal.SIGTERM):
            before = signal.signal(number, lambda *_: server.stop())
            cleanup.callback(signal.signal, number, before)
        if config.exit_with_parent:
            _stop_at_end_of_input(server)
        print(
            f"carlaseg simulate: listening on {HOST}:{server.port}, town {config.town}, seed {config.seed}{control}",
            flush=True,
        )
        server.serve()


def simulate_command(config: SimulateConfig) -> int:
    """Run `simulate` for the command line and return its exit code: being told to stop is success."""
    simulate(config)
    return 0


def _stop_at_end_of_input(server: RpcServer) -> None:
    """A parent that dies, however it dies, closes its end of the pipe: then stop."""

    def watch() -> None:
        while os.read(0, 4096):
            continue
        server.stop()

    threading.Thread(target=watch, name="end of input", daemon=True).start()
