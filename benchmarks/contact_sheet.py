"""Pictures of the embedded simulator's towns for the documentation, and which tag is to be seen in which town.

    python benchmarks/contact_sheet.py [--maps FOLDER] [--out docs/pictures] [--tags]

Writes weathers.jpg (two rows a town, a column a weather, RGB over semantic) and above.jpg (each town from above). The
same call writes the same pictures. With --tags it also prints, for each CARLA tag, the towns that have it (the table in
docs/towns.md).
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import random
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from carlaseg.labels import scheme
from carlaseg.simulator.renderer import Renderer
from carlaseg.simulator.scene import CameraSpec, Frame, Pose, Town, Weather
from carlaseg.simulator.town import town_names
from carlaseg.simulator.town_library import TownLibrary

TILE = (150, 268)
_ABOVE_M = 500.0
_ABOVE_A_ROW = 5
WEATHERS = {
    "clear": Weather(),
    "cloudy": Weather(cloudiness=90.0),
    "rain": Weather(cloudiness=90.0, precipitation=80.0, wetness=90.0, fog_density=6.0),
    "fog": Weather(cloudiness=50.0, fog_density=30.0),
    "sunset": Weather(sun_altitude_angle=6.0),
    "night": Weather(sun_altitude_angle=-40.0),
}

# Tags that no town brings along.
ELSEWHERE = {11: "everywhere"} | dict.fromkeys((12, 13, 15, 16, 18, 19), "actors that are spawned")


def eye_of(town: Town, renderer: Renderer, camera: int, rng: random.Random) -> Pose:
    """Of some places on the lanes, the one from which most kinds of things are to be seen."""
    best, most = Pose(), -1.0
    for spawn in rng.sample(town.spawn_points, min(24, len(town.spawn_points))):
        pose = dataclasses.replace(spawn, z=spawn.z + 1.1, pitch=-5.0)
        tags = renderer.render([(camera, pose)], Frame(()))[camera][..., 2]
        shares = np.bincount(tags.ravel(), minlength=256) / tags.size
        score = float((np.minimum(shares, 0.05) > 0.001).sum() + np.minimum(shares, 0.12).sum() * 4)
        if score > most:
            best, most = pose, score
    return best


def from_above(town: Town, renderer: Renderer) -> NDArray[np.uint8]:
    """The town as a mosaic of pictures taken straight down, uint8 (360, 360, 3) BGR: one camera does not see so far."""
    x0, y0, x1, y1 = town.bounds_town
    blocks = max(1, round(max(x1 - x0, y1 - y0) / 450.0))
    half = max(x1 - x0, y1 - y0) / blocks / 2
    height = float(np.median(town.road_height_grid)) + _ABOVE_M
    spec = CameraSpec("rgb", 720 // blocks, 720 // blocks, 2 * math.degrees(math.atan(half / _ABOVE_M)))
    camera = renderer.add_camera(spec)
    left, top = (x0 + x1) / 2 - blocks * half, (y0 + y1) / 2 + blocks * half
    rows = []
    for row in range(blocks):
        pictures = []
        for column in range(blocks):
            # Looking down with yaw -90: up in the picture is north.
            eye = Pose(left + (2 * column + 1) * half, -(top - (2 * row + 1) * half), height, -90.0, -90.0)
            pictures.append(renderer.render([(camera, eye)], Frame(()))[camera][..., :3])
        rows.append(np.hstack(pictures))
    return cv2.resize(np.vstack(rows), (360, 360), interpolation=cv2.INTER_AREA)


def sheet(towns: Iterable[Town], tags: dict[str, set[int]]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Both pictures, uint8 (H, W, 3) BGR; fills `tags` with what each town has."""
    palette = scheme("carla-0.9.14").palette[:, ::-1]
    rows, above = [], []
    for town in towns:
        rng = random.Random(5)
        renderer = Renderer(town)
        rgb, semantic = (renderer.add_camera(CameraSpec(kind, *TILE, 90.0)) for kind in ("rgb", "semantic"))
        eye = eye_of(town, renderer, semantic, rng)
        columns = []
        for weather in WEATHERS.values():
            drawn = renderer.render([(rgb, eye), (semantic, eye)], Frame((), weather=weather))
            columns.append(np.vstack([drawn[rgb][..., :3], palette[drawn[semantic][..., 2]]]))
        rows.append(np.hstack(columns))
        above.append(from_above(town, renderer))
        tags[town.name] = {part.tag for part in town.parts}
        renderer.close()
    above += [np.zeros_like(above[0])] * (-len(above) % min(len(above), _ABOVE_A_ROW))
    wide = min(len(above), _ABOVE_A_ROW)
    return np.vstack(rows), np.vstack([np.hstack(above[k : k + wide]) for k in range(0, len(above), wide)])


def main() -> None:
    """Draw, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=Path, help="folder of OpenDRIVE files for more towns")
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    parser.add_argument("--tags", action="store_true", help="print which town has which tag")
    given = parser.parse_args()
    library = TownLibrary(3, [] if given.maps is None else [given.maps])
    generated = town_names()
    names = (*generated, *(name for name in library.names() if name not in generated))
    tags: dict[str, set[int]] = {}
    given.out.mkdir(parents=True, exist_ok=True)
    for name, picture in zip(
        ("weathers", "above"), sheet((library.build(name, None) for name in names), tags), strict=True
    ):
        path = given.out / f"{name}.jpg"
        cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, 80])
        print(f"{path}: {picture.shape[1]}x{picture.shape[0]}, {path.stat().st_size // 1024} KiB")
    if given.tags:
        tag_names = scheme("carla-0.9.14").names
        print("\n| tag | towns |\n| --- | --- |")
        for tag in range(1, 29):
            have = [town for town, found in tags.items() if tag in found]
            where = "everywhere" if len(have) == len(tags) else ", ".join(have) or ELSEWHERE.get(tag, "nowhere")
            print(f"| {tag} {tag_names[tag]} | {where} |")


if __name__ == "__main__":
    main()
