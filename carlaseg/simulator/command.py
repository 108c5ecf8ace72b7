"""`carlaseg simulate`: build the town, open the ports, say so, serve until told to stop."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from carlaseg.config import SimulateConfig
from carlaseg.errors import SimulatorError
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
    """
    logging.basicConfig(format="carlaseg simulate: %(message)s", level=logging.WARNING, stream=sys.stderr)
    towns = GeneratedTowns(config.seed)
    if config.town not in towns.names():
        raise SimulatorError(
            f"--town: expected one of {', '.join(towns.names())}, received '{config.town}'",
            next_steps=(("the first of them", f"carlaseg simulate --town {towns.names()[0]}"),),
        )
    listener = listen(config.port)
    port: int = listener.getsockname()[1]
    # CARLA's own server streams on the next port; clients take whatever the token says.
    streams = StreamServer(port + 1 if port < 65535 else 0)
    try:
        simulation = Simulation(towns, config.town, make_renderer, streams, 1.0 / config.fps)
        server = RpcServer(listener, simulation)
    except BaseException:
        listener.close()
        streams.close()
        raise
    before = {number: signal.signal(number, lambda *_: server.stop()) for number in (signal.SIGINT, signal.SIGTERM)}
    if config.exit_with_parent:
        _stop_at_end_of_input(server)
    print(f"carlaseg simulate: listening on {HOST}:{server.port}, town {config.town}, seed {config.seed}", flush=True)
    try:
        server.serve()
    finally:
        for number, action in before.items():
            signal.signal(number, action)
        streams.close()
        simulation.close()


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
