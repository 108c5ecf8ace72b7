"""`carlaseg simulate`: build the town, open the ports, say so, serve until told to stop."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import platform
import signal
import socket
import sys
import threading
from pathlib import Path

from carlaseg.config import SimulateConfig, nearest
from carlaseg.errors import ConfigError, SimulatorError
from carlaseg.simulator.faults.calls import Life
from carlaseg.simulator.faults.stage import await_turn, first_life, set_the_stage
from carlaseg.simulator.recording_file import RecordingFolder
from carlaseg.simulator.scene import Town, Weather
from carlaseg.simulator.sensors import CameraRenderer
from carlaseg.simulator.server import HOST, RpcServer, listen
from carlaseg.simulator.simulation import Simulation
from carlaseg.simulator.stream_server import StreamServer
from carlaseg.simulator.town_library import TownLibrary
from carlaseg.simulator.town_picture import check_name, picture_from_above, write_picture


def make_renderer(town: Town, weather: Weather) -> CameraRenderer:
    """Return the software renderer for a town; Panda3D is loaded here and not before."""
    from carlaseg.simulator.renderer import Renderer

    return Renderer(town, weather)


def simulate(config: SimulateConfig) -> None:
    """Run the embedded simulator until SIGINT, SIGTERM, or (when asked) the end of standard input.

    Prints one line on standard output when clients can connect.

    Raises:
        SimulatorError: the port is in use, or this system's sockets cannot do what is needed.
        ConfigError: there is no such town; the plan of faults or an OpenDRIVE file cannot be read.
    """
    if not hasattr(socket, "MSG_DONTWAIT"):
        raise SimulatorError(
            "the embedded simulator: expected Linux or macOS, whose sockets send without waiting, received "
            f"{platform.system()}.",
            (("on Windows", "run carlaseg in WSL, or record from a CARLA server"),),
        )
    logging.basicConfig(format="carlaseg simulate: %(message)s", level=logging.WARNING, stream=sys.stderr)
    towns = TownLibrary(config.seed, config.opendrive)
    town = _first_town(config, towns)
    # A server without a plan of faults or a control door has none of their code in its way.
    life = None
    if config.faults is not None or config.control_port is not None:
        life = Life.handed_on() or first_life(config.port, config.control_port, config.faults)
        await_turn(life)
    listener = listen(config.port if life is None else life.port)
    port: int = listener.getsockname()[1]
    # CARLA's own server streams on the next port; clients take whatever the token says.
    streams = StreamServer(port + 1 if port < 65535 else 0)
    parts = (towns, town, make_renderer)
    recordings = RecordingFolder(config.recordings)
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(streams.close)
        control = ""
        try:
            if life is None:
                simulation = Simulation(*parts, streams, 1.0 / config.fps, recordings)
                server = RpcServer(listener, simulation)
            else:
                stage = set_the_stage(listener, streams, life, parts, 1.0 / config.fps, recordings)
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
            f"carlaseg simulate: listening on {HOST}:{server.port}, town {town}, seed {config.seed}{control}",
            flush=True,
        )
        _collect_seldom(cleanup)
        server.serve()


def _collect_seldom(cleanup: contextlib.ExitStack) -> None:
    """Look for garbage in cycles less often: a tick makes hundreds of short-lived objects and hardly a cycle.

    benchmarks/simulator.py, pairs: 105 to 109 a second at 160x160 before, 125 to 134 after.
    """
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()  # the town stays: no collection shall look at it
    gc.set_threshold(20_000, 20, 50)
    cleanup.callback(gc.set_threshold, *thresholds)
    cleanup.callback(gc.unfreeze)


def simulate_command(config: SimulateConfig) -> int:
    """Do what the command line asks for and return the exit code: being told to stop is success."""
    if config.list_maps:
        print("\n".join(TownLibrary(config.seed, config.opendrive).names()))
    elif config.picture is not None:
        _draw_town(config, config.picture)
    else:
        simulate(config)
    return 0


def _first_town(config: SimulateConfig, towns: TownLibrary) -> str:
    town = config.town or towns.names()[0]
    if not towns.has(town):
        near = nearest(town, towns.names())
        raise ConfigError(
            f"--town: expected one of {', '.join(towns.names())}, received {town!r}."
            + (f" Nearest: {near}." if near else "")
        )
    return town


def _draw_town(config: SimulateConfig, path: Path) -> None:
    check_name(path)
    towns = TownLibrary(config.seed, config.opendrive)
    town = towns.build(_first_town(config, towns), None)
    renderer = make_renderer(town, Weather(fog_density=0.0))
    try:
        picture = picture_from_above(town, renderer)
    finally:
        renderer.close()
    write_picture(path, picture)
    print(f"carlaseg simulate: {town.name} from above, {picture.shape[0]}x{picture.shape[1]}, in {path}")


def _stop_at_end_of_input(server: RpcServer) -> None:
    """A parent that dies, however it dies, closes its end of the pipe: then stop."""

    def watch() -> None:
        while os.read(0, 4096):
            continue
        server.stop()

    threading.Thread(target=watch, name="end of input", daemon=True).start()
