"""The embedded simulator through the real client: pictures, ticks, start, memory, bytes.

    python benchmarks/simulator.py [--quick] [--opendrive FOLDER] [--soak TICKS] [--only PART...] [--output FILE]

A generated town with 50 vehicles driven by the client's TrafficManager and 30 walkers. A pair is one RGB and one
semantic picture of one tick, both received. The server runs on one core (it is pinned where the system can), the
client on the others. With --opendrive the same is measured in Town01 and Town04 of that folder: cost should follow
what is seen, not how large the town is. The wire is measured with a renderer that costs nothing, against a bare
loopback copy of messages of the same size in the same run, twice: pictures back to back (the wire alone: each message
is sent many times), and pairs tick by tick (with the client's call for each tick in between). With --opendrive also
how far from the centres of Town03's lanes the TrafficManager keeps cars. --soak runs so many ticks with four cameras
and watches the server's memory: some 8 minutes for 10,000.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import queue
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import carla  # noqa: E402
from measuring import machine  # noqa: E402

from carlaseg.recording.traffic_watch import TrafficWatch  # noqa: E402

SIZES_WH = ((160, 160), (800, 600), (1280, 720))
GOALS = (110.0, 60.0, 35.0)
VEHICLES, WALKERS = 50, 30
WAIT_S = 60.0
REPEATED = 50
"""How often a picture is sent where the wire alone is measured."""
TOWNS = ("Town01", "Town04")
CROOKED = "Town03"
NEAR_CENTRE_M = 0.3
PARTS = ("pairs", "wire", "towns", "lanes", "soak")
TM_PORT = 18_000

FREE_DRAWING = """
import sys, threading
import numpy as np
from carlaseg.simulator.server import RpcServer, listen
from carlaseg.simulator.simulation import Simulation
from carlaseg.simulator.stream_server import StreamServer
from carlaseg.simulator.town_library import TownLibrary
from carlaseg.wire.stream import WORLD_STREAM_ID

class Blank:
    def __init__(self, town, weather): self.specs, self.image = {}, None
    def set_weather(self, weather): pass
    def add_camera(self, spec):
        self.specs[len(self.specs) + 1] = np.zeros((spec.height, spec.width, 4), np.uint8)
        return len(self.specs)
    def remove_camera(self, key): pass
    def render(self, views, frame): return {key: self.specs[key] for key, _ in views}
    def close(self): pass

class Repeating(StreamServer):
    def publish(self, stream_id, parts, may_wait):
        for _ in range(1 if stream_id == WORLD_STREAM_ID else int(sys.argv[1])):
            super().publish(stream_id, parts, may_wait)

streams = Repeating(0)
server = RpcServer(listen(0), Simulation(TownLibrary(0), "carlaseg_grid", Blank, streams))
print(f"carlaseg simulate: listening on 127.0.0.1:{server.port}, town blank, seed 0", flush=True)
threading.Thread(target=lambda: (sys.stdin.read(), server.stop()), daemon=True).start()
server.serve()
streams.close()
"""


@contextlib.contextmanager
def server(command: list[str]) -> Iterator[tuple[int, int, float]]:
    """A server process: its port, its process id, seconds until it listened."""
    began_s = time.perf_counter()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        ready_s = time.perf_counter() - began_s
        with contextlib.suppress(AttributeError, OSError):
            os.sched_setaffinity(process.pid, {0})
        yield int(line.split("127.0.0.1:")[1].split(",")[0]), process.pid, ready_s
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


def simulate(*flags: str) -> list[str]:
    return [sys.executable, "-m", "carlaseg", "simulate", "--port", "0", "--exit-with-parent", *flags]


def memory_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def processor_s(pid: int) -> float:
    """Processor time a process has used, in itself and in the kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Street:
    """A synchronous world with traffic, and cameras on one of the cars."""

    def __init__(self, port: int, vehicles: int = VEHICLES, walkers: int = WALKERS) -> None:
        global TM_PORT
        self.client = carla.Client("127.0.0.1", port)
        self.client.set_timeout(WAIT_S)
        self.world = self.client.get_world()
        settings = self.world.get_settings()
        settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
        self.world.apply_settings(settings)
        TM_PORT += 1
        self.manager = self.client.get_trafficmanager(TM_PORT)
        self.manager.set_synchronous_mode(True)
        self.manager.set_random_device_seed(1)
        self.watch = TrafficWatch(self.world, TM_PORT)
        library = self.world.get_blueprint_library()
        cars = [one for one in library.filter("vehicle.*") if int(one.get_attribute("number_of_wheels")) == 4]
        points = self.world.get_map().get_spawn_points()
        batch = [
            carla.command.SpawnActor(cars[i % len(cars)], point).then(
                carla.command.SetAutopilot(carla.command.FutureActor, True, TM_PORT)
            )
            for i, point in enumerate(points[:vehicles])
        ]
        spawned = self.client.apply_batch_sync(batch, True)
        self.cars = [one.actor_id for one in spawned if not one.error]
        people = library.filter("walker.pedestrian.*")
        self.walkers = []
        for i in range(walkers):
            place = self.world.get_random_location_from_navigation()
            if place is not None:
                self.walkers.append(self.world.try_spawn_actor(people[i % len(people)], carla.Transform(place)))
        self.world.tick()
        controller = library.find("controller.ai.walker")
        for walker in filter(None, self.walkers):
            mind = self.world.spawn_actor(controller, carla.Transform(), walker)
            self.world.tick()
            mind.start()
            mind.go_to_location(self.world.get_random_location_from_navigation())
        self.sensors: list[tuple[Any, queue.Queue[int]]] = []

    def listen(self, kinds: tuple[str, ...], size_wh: tuple[int, int]) -> None:
        """Put cameras on the first car."""
        parent = self.world.get_actor(self.cars[0]) if self.cars else None
        at = carla.Transform(carla.Location(x=1.6, z=1.7))
        for kind in kinds:
            blueprint = self.world.get_blueprint_library().find(f"sensor.camera.{kind}")
            blueprint.set_attribute("image_size_x", str(size_wh[0]))
            blueprint.set_attribute("image_size_y", str(size_wh[1]))
            camera = self.world.spawn_actor(blueprint, at, attach_to=parent)
            frames: queue.Queue[int] = queue.Queue()
            camera.listen(lambda image, frames=frames: frames.put(image.frame))
            self.sensors.append((camera, frames))
        # A picture that nobody subscribed to yet is not sent: tick until every line is open.
        while any(frames.empty() for _, frames in self.sensors):
            self.world.tick()
            time.sleep(0.05)

    def silence(self) -> None:
        """Take the cameras away."""
        for camera, _ in self.sensors:
            camera.stop()
            camera.destroy()
        self.sensors.clear()
        self.world.tick()

    def run(self, ticks: int, copies: int = 1) -> float:
        """Ticks a second, every picture received, each so many times."""
        began_s = time.perf_counter()
        for _ in range(ticks):
            frame = self.watch.tick()
            for _, frames in self.sensors:
                left = copies
                while left:
                    left -= frames.get(timeout=WAIT_S) == frame
        return ticks / (time.perf_counter() - began_s)

    def close(self) -> None:
        """Take the cameras away and end the TrafficManager."""
        self.silence()
        self.watch.close()
        self.manager.set_synchronous_mode(False)
        self.manager.shut_down()


def pairs(street: Street, pid: int, sizes: tuple[tuple[int, int], ...], ticks: int, rounds: int) -> dict[str, Any]:
    """Pairs a second by size, and the server's processor time for one of their ticks."""
    rates, server_ms = {}, {}
    for size_wh in sizes:
        name = f"{size_wh[0]}x{size_wh[1]}"
        street.listen(("rgb", "semantic_segmentation"), size_wh)
        street.run(ticks)  # every body and wheel position is drawn for the first time once
        began_s = processor_s(pid)
        rates[name] = statistics.median(street.run(ticks) for _ in range(rounds))
        server_ms[name] = 1000 * (processor_s(pid) - began_s) / (ticks * rounds)
        street.silence()
    return {"pairs_per_s": rates, "server_ms": server_ms}


def _send_all(port_queue: Any, size: int, count: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port_queue.put(listener.getsockname()[1])
        connection, _ = listener.accept()
        with connection:
            message = memoryview(bytes(size))
            for _ in range(count):
                connection.sendall(message)


def loopback_bytes_per_s(size: int, count: int) -> float:
    """A process sends, this one receives: what the machine can do."""
    fresh = multiprocessing.get_context("spawn")  # a fork of a process with the client's threads in it may hang
    ports: Any = fresh.Queue()
    sender = fresh.Process(target=_send_all, args=(ports, size, count))
    sender.start()
    with socket.create_connection(("127.0.0.1", ports.get(timeout=WAIT_S))) as connection:
        buffer = bytearray(size)
        began_s, left = time.perf_counter(), size * count
        while left:
            received = connection.recv_into(buffer)
            if not received:
                break
            left -= received
        rate = (size * count - left) / (time.perf_counter() - began_s)
    sender.join()
    return rate


def wire(ticks: int, rounds: int) -> dict[str, dict[str, float]]:
    """Bytes of pictures received against bytes that only have to be copied; the two take turns."""
    result: dict[str, dict[str, float]] = {}
    for name, copies in (("", REPEATED), ("tick_by_tick_", 1)):
        with server([sys.executable, "-c", FREE_DRAWING, str(copies)]) as (port, pid, _):
            street = Street(port, 1, 0)
            for width, height in SIZES_WH[1:]:
                street.listen(("rgb", "semantic_segmentation"), (width, height))
                count, size = -(-ticks // copies), width * height * 4
                street.run(2, copies)
                ours, copy, server_s, client_s = [], [], 0.0, 0.0
                for _ in range(rounds):
                    began_s = processor_s(pid), time.process_time()
                    ours.append(street.run(count, copies) * 2 * copies * size)
                    server_s += processor_s(pid) - began_s[0]
                    client_s += time.process_time() - began_s[1]
                    copy.append(loopback_bytes_per_s(size, 2 * copies * count))
                figures = result.setdefault(f"{width}x{height}", {})
                figures[f"{name}mb_per_s"] = statistics.median(ours) / 1e6
                figures[f"{name}loopback_mb_per_s"] = statistics.median(copy) / 1e6
                figures[f"{name}server_ms"] = 1000 * server_s / (rounds * copies * count)
                figures[f"{name}client_ms"] = 1000 * client_s / (rounds * copies * count)
                shares = (one / other for one, other in zip(ours, copy, strict=True))
                figures[f"{name}share"] = statistics.median(shares)
                street.silence()
            street.close()
    return result


def soak(ticks: int) -> dict[str, Any]:
    """The server's memory after each tenth of so many ticks with four cameras; the first tenth fills what is kept."""
    with server(simulate()) as (port, pid, _):
        street = Street(port, 10, 5)
        street.listen(("rgb", "semantic_segmentation", "instance_segmentation", "depth"), (160, 160))
        memory, began_s = [], time.perf_counter()
        for tenth in range(10):
            street.run(max(ticks // 10, 1))
            memory.append(memory_mb(pid))
            print(f"soak: {(tenth + 1) * ticks // 10} ticks, {memory[-1]:.1f} MB", file=sys.stderr, flush=True)
        elapsed_s = time.perf_counter() - began_s
        street.close()
    return {"ticks": ticks, "memory_mb": memory, "grown_mb": memory[-1] - memory[0], "elapsed_s": elapsed_s}


def drawn(ticks: int, rounds: int, sizes: tuple[tuple[int, int], ...]) -> dict[str, Any]:
    """Start, ticks and pairs a second in a generated town of 500 m x 500 m."""
    with server(simulate()) as (_, _, first_s):
        pass
    with server(simulate()) as (port, pid, again_s):
        street = Street(port)
        actors = {"vehicles": len(street.cars), "walkers": len(list(filter(None, street.walkers)))}
        street.run(50)
        ticks_per_s = statistics.median(street.run(4 * ticks) for _ in range(rounds))
        figures = pairs(street, pid, sizes, ticks, rounds)
        result = {
            "start_s": {"first": first_s, "cached": again_s},
            "actors": actors,
            "ticks_per_s": ticks_per_s,
            **figures,
            "memory_mb": memory_mb(pid),
        }
        street.close()
    return result


def towns(folder: Path, ticks: int, rounds: int) -> dict[str, Any]:
    """Pairs a second in a small and in a large town."""
    result = {}
    for town in TOWNS:
        flags = simulate("--town", town, "--opendrive", str(folder / f"{town}.xodr"))
        with server(flags) as (port, pid, start_s):
            street = Street(port)
            street.run(20)
            figures = pairs(street, pid, SIZES_WH[:2], ticks, rounds)
            result[town] = {"start_s": start_s, "memory_mb": memory_mb(pid), **figures}
            street.close()
    return result


def lanes(folder: Path, ticks: int) -> dict[str, Any]:
    """How far from the centre of their lanes the TrafficManager drives cars, off junctions and changing no lanes."""
    offsets_m: list[float] = []
    with server(simulate("--town", CROOKED, "--opendrive", str(folder / f"{CROOKED}.xodr"))) as (port, _, _):
        street = Street(port, walkers=0)
        cars = [street.world.get_actor(number) for number in street.cars]
        for car in cars:
            street.manager.auto_lane_change(car, False)
        street.run(100)
        for _ in range(ticks):
            street.run(5)
            for car in cars:
                here = car.get_location()
                centre = street.world.get_map().get_waypoint(here)
                if not centre.is_junction and car.get_velocity().length() > 1.0:
                    right, away = centre.transform.get_right_vector(), here - centre.transform.location
                    offsets_m.append(abs(away.x * right.x + away.y * right.y))
        street.close()
    near = sum(offset < NEAR_CENTRE_M for offset in offsets_m) / len(offsets_m)
    return {"places": len(offsets_m), "within_0.3_m": near, "median_m": statistics.median(offsets_m),
            "largest_m": max(offsets_m)}  # fmt: skip


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    ticks, rounds = (20, 1) if arguments.quick else (150, 5)
    result: dict[str, Any] = {"machine": machine(["carla", "panda3d", "numpy"])}
    with tempfile.TemporaryDirectory() as cache:
        os.environ["CARLASEG_CACHE_DIR"] = cache
        if "pairs" in arguments.only:
            result |= drawn(ticks, rounds, SIZES_WH[:2] if arguments.quick else SIZES_WH)
        if "wire" in arguments.only:
            result["wire"] = wire(ticks, rounds)
        if "towns" in arguments.only and arguments.opendrive:
            result["towns"] = towns(arguments.opendrive, ticks, rounds)
        if "lanes" in arguments.only and arguments.opendrive:
            result["lanes"] = lanes(arguments.opendrive, ticks)
        if "soak" in arguments.only and arguments.soak:
            result["soak"] = soak(arguments.soak)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few ticks of each, to see that it runs")
    parser.add_argument("--opendrive", type=Path, help="folder with Town01.xodr, Town03.xodr and Town04.xodr")
    parser.add_argument("--soak", type=int, default=0, help="ticks with four cameras")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="measure these alone")
    parser.add_argument("--output", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args()
    if arguments.opendrive:
        for path in (arguments.opendrive / f"{town}.xodr" for town in (*TOWNS, CROOKED)):
            if not path.is_file():
                parser.error(
                    f"--opendrive: expected a folder with {', '.join((*TOWNS, CROOKED))} (.xodr), received no {path}."
                )
    result = measure(arguments)
    print(json.dumps(result, indent=2))
    for (size, found), goal in zip(result.get("pairs_per_s", {}).items(), GOALS, strict=False):
        print(f"{size}: {found:6.1f} pairs/s, goal {goal:g}")
    for size, figures in result.get("wire", {}).items():
        print(
            f"wire, {size}: {figures['share']:.0%} of the loopback copy, goal 75%; "
            f"with a call for each tick {figures['tick_by_tick_share']:.0%}"
        )
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
