"""How long the embedded simulator's renderer takes for a pair of pictures, RGB and semantic, in a generated town.

Run: python benchmarks/renderer.py [--frames 40]. Prints a table of medians: wall time, and processor time in brackets
(the renderer uses one core, so the two differ by what else the machine does). Poses are taken from the town's spawn
points, 1.7 m above the road, pitch -8, field of view 90 degrees; the same ones in every row.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time

from carlaseg.simulator.renderer import Renderer
from carlaseg.simulator.scene import BodyKind, CameraSpec, Frame, Pose, Town, VisibleActor, Weather
from carlaseg.simulator.town import build_town

SIZES = ((160, 160), (600, 800), (720, 1280))
WEATHERS = {
    "clear day": Weather(),
    "fog": Weather(fog_density=40.0),
    "rain": Weather(precipitation=80.0, cloudiness=90.0, wetness=90.0),
    "night": Weather(sun_altitude_angle=-40.0),
}
BODIES: tuple[tuple[BodyKind, str, tuple[float, float, float], int], ...] = (
    ("car", "vehicle.tesla.model3", (2.40, 1.08, 0.74), 14),
    ("car", "vehicle.audi.etron", (2.43, 1.02, 0.82), 14),
    ("van", "vehicle.mercedes.sprinter", (2.96, 0.99, 1.28), 14),
    ("truck", "vehicle.carlamotors.firetruck", (4.23, 1.45, 1.91), 15),
    ("bicycle", "vehicle.bh.crossbike", (0.74, 0.43, 0.90), 19),
)


def actors_of(town: Town, vehicles: int, tick: int) -> tuple[VisibleActor, ...]:
    """Vehicles at spawn points, each a little farther on at every tick so that their wheels turn."""
    shown = []
    for number, spawn in enumerate(town.spawn_points[:vehicles]):
        kind, variant, extent, tag = BODIES[number % len(BODIES)]
        pose = dataclasses.replace(spawn, z=spawn.z - 0.5)
        color = (40 * number % 256, 90, 255 - 40 * number % 256)
        shown.append(VisibleActor(100 + number, kind, variant, extent, pose, color, tag, 0.0, 0.4 * tick, 3))
    return tuple(shown)


def eyes_of(town: Town, count: int) -> list[Pose]:
    spawns = town.spawn_points[20:] or town.spawn_points
    return [
        dataclasses.replace(spawns[i % len(spawns)], z=spawns[i % len(spawns)].z + 1.2, pitch=-8.0)
        for i in range(count)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--vehicles", type=int, default=20)
    arguments = parser.parse_args()
    started = time.perf_counter()
    town = build_town()
    built = time.perf_counter()
    renderer = Renderer(town)
    ready = time.perf_counter()
    triangles = sum(len(part.triangles) for part in town.parts)
    print(
        f"town {town.name}: {triangles} triangles, built in {built - started:.2f} s, renderer in {ready - built:.2f} s"
    )
    names = "".join(f"{name:>18}" for name in WEATHERS)
    print(f"RGB + semantic pair, ms wall (cpu){names}")
    for height, width in SIZES:
        cameras = [renderer.add_camera(CameraSpec(kind, height, width, 90.0)) for kind in ("rgb", "semantic")]
        cells = []
        for weather in WEATHERS.values():
            renderer.set_weather(weather)
            walls, cpus = [], []
            for tick, eye in enumerate(eyes_of(town, arguments.frames)):
                frame = Frame(actors_of(town, arguments.vehicles, tick), weather=weather, elapsed_s=tick * 0.05)
                wall, cpu = time.perf_counter(), time.process_time()
                renderer.render([(camera, eye) for camera in cameras], frame)
                walls.append(time.perf_counter() - wall)
                cpus.append(time.process_time() - cpu)
            cells.append(f"{statistics.median(walls) * 1e3:.1f} ({statistics.median(cpus) * 1e3:.1f})")
        print(f"{f'{width}x{height}':>32}" + "".join(f"{cell:>18}" for cell in cells))
        for camera in cameras:
            renderer.remove_camera(camera)
    changes = []
    for weather in (*WEATHERS.values(), *WEATHERS.values()):
        before = time.process_time()
        renderer.set_weather(weather)
        changes.append(time.process_time() - before)
    typical, longest = statistics.median(changes) * 1e3, max(changes) * 1e3
    print(f"change of weather: median {typical:.0f} ms, longest {longest:.0f} ms of processor time")
    renderer.close()


if __name__ == "__main__":
    main()
