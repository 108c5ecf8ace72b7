"""Whether frames of the embedded simulator teach what real CARLA frames show.

    python benchmarks/teaches_carla.py --real ../shared/data/carla_tags23 [--maps FOLDER] [--steps 500] [--quick]

Trains the same small FC-DenseNet for the same steps twice, from the same weights: on frames drawn here (all towns, all
weathers), and on the real frames named in the folder's train.txt. Tests both on the frames named in its val.txt, on the
classes that both sides have, and prints both mIoUs and their ratio. Target: 0.70. No real frame is looked at in the
first training. --only trains one side and takes the other's figures from the last run of the same steps. --quick shows
that it runs; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from measuring import RESULTS, write_results
from numpy.typing import NDArray

from carlaseg.metrics import Scores, confusion_matrix
from carlaseg.simulator.renderer import Renderer
from carlaseg.simulator.scene import BodyKind, CameraSpec, Frame, Pose, Town, VisibleActor, Weather
from carlaseg.simulator.town_library import TownLibrary

BATCH, VOID = 4, 255
NAME = "teaches_carla"
TARGET = 0.70
SIDES = ("embedded", "real")
# Name, tags of CARLA 0.9.14 (drawn here), tags of CARLA 0.9.10 to 0.9.13 (the real frames). Others are void.
CLASSES: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = (
    ("road", (1,), (7,)),
    ("road line", (24,), (6,)),
    ("sidewalk", (2,), (8,)),
    ("building", (3,), (1,)),
    ("vegetation", (9,), (9,)),
    ("terrain", (10,), (22,)),
    ("sky", (11,), (13,)),
    ("pole", (6,), (5,)),
    ("fence", (5,), (2,)),
    ("vehicle", (14, 15, 16, 18, 19), (10,)),
    ("pedestrian", (12, 13), (4,)),
    ("sign and light", (7, 8), (12, 18)),
)
BODIES: tuple[tuple[BodyKind, str, tuple[float, float, float], int], ...] = (
    ("car", "vehicle.tesla.model3", (2.40, 1.08, 0.74), 14),
    ("car", "vehicle.audi.etron", (2.43, 1.02, 0.82), 14),
    ("car", "vehicle.mini.cooper_s", (1.90, 0.98, 0.74), 14),
    ("van", "vehicle.mercedes.sprinter", (2.96, 0.99, 1.28), 14),
    ("truck", "vehicle.carlamotors.firetruck", (4.23, 1.45, 1.91), 15),
    ("motorcycle", "vehicle.yamaha.yzf", (1.10, 0.43, 0.76), 18),
    ("bicycle", "vehicle.bh.crossbike", (0.74, 0.43, 0.90), 19),
)
COLORS = ((230, 230, 230), (24, 24, 26), (140, 142, 146), (180, 30, 30), (30, 60, 150), (200, 160, 40), (60, 90, 60))

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def table_of(column: int) -> NDArray[np.uint8]:
    """From tags to class ids, uint8 (256,)."""
    table = np.full(256, VOID, np.uint8)
    for number, row in enumerate(CLASSES):
        table[list(row[column])] = number
    return table


def actors_of(town: Town, rng: random.Random) -> tuple[VisibleActor, ...]:
    """Vehicles on the lanes and people on the sidewalks."""
    shown: list[VisibleActor] = []
    for number, spawn in enumerate(rng.sample(town.spawn_points, min(40, len(town.spawn_points)))):
        kind, variant, extent, tag = rng.choice(BODIES)
        on_road = dataclasses.replace(spawn, z=spawn.z - 0.5)
        color = rng.choice(COLORS)
        shown.append(VisibleActor(100 + number, kind, variant, extent, on_road, color, tag, 0.0, rng.uniform(0, 9), 0))
    for number in range(40 if len(town.walk_quads) else 0):
        x, y, z = rng.choice(town.walk_quads).mean(axis=0)
        pose = Pose(float(x), float(y), float(z) + 0.93, yaw=rng.uniform(0, 360))
        variant, color = f"walker.pedestrian.{rng.randrange(1, 50):04d}", rng.choice(COLORS)
        walked = rng.uniform(0, 9)
        shown.append(
            VisibleActor(300 + number, "pedestrian", variant, (0.19, 0.19, 0.93), pose, color, 12, 0.0, walked, 0)
        )
    return tuple(shown)


def weather_of(rng: random.Random) -> Weather:
    """A weather: mostly by day, dry or wet, now and then fog, seldom night."""
    night = rng.random() < 0.02
    return Weather(
        cloudiness=rng.choice((5.0, 15.0, 30.0, 40.0, 60.0, 90.0)),
        precipitation=rng.choice((0.0,) * 10 + (30.0, 70.0)),
        wetness=rng.choice((0.0, 0.0, 30.0, 80.0)),
        fog_density=rng.choice((0.0, 0.0, 0.0, 3.0, 3.0, 6.0, 15.0)),
        fog_distance=20.0,
        sun_altitude_angle=-30.0 if night else rng.uniform(4.0, 80.0),
        sun_azimuth_angle=rng.uniform(0.0, 360.0),
    )


def drawn_frames(count: int, maps: Path | None, size: tuple[int, int], seed: int) -> list[Pair]:
    """Frames of the embedded simulator: RGB uint8 (H, W, 3) at twice `size` averaged down, and class ids (H, W)."""
    rng = random.Random(seed)
    library = TownLibrary(seed, [] if maps is None else [maps])
    table, frames = table_of(1), []
    height, width = size
    names = library.names()
    for number, name in enumerate(names):
        town = library.build(name, None)
        renderer = Renderer(town)
        share = count * (number + 1) // len(names) - len(frames)
        while share > 0:
            weather, actors = weather_of(rng), actors_of(town, rng)
            field = rng.choice((80.0, 90.0, 100.0, 110.0))
            cameras = [renderer.add_camera(CameraSpec(k, 2 * height, 2 * width, field)) for k in ("rgb", "semantic")]
            for spawn in rng.sample(town.spawn_points, min(4, share, len(town.spawn_points))):
                ahead, yaw = rng.uniform(-1.0, 3.0), math.radians(spawn.yaw)
                eye = Pose(
                    spawn.x + ahead * math.cos(yaw),
                    spawn.y + ahead * math.sin(yaw),
                    spawn.z - 0.5 + rng.uniform(0.7, 1.9),
                    rng.uniform(-4.0, 3.0),
                    spawn.yaw + rng.uniform(-20.0, 20.0),
                )
                free = tuple(a for a in actors if math.hypot(a.pose.x - eye.x, a.pose.y - eye.y) > 4.5)
                pictures = renderer.render([(camera, eye) for camera in cameras], Frame(free, weather=weather))
                rgb = np.ascontiguousarray(pictures[cameras[0]][..., 2::-1])
                tags = pictures[cameras[1]][::2, ::2, 2]
                frames.append((cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA), table[tags]))
                share -= 1
            for camera in cameras:
                renderer.remove_camera(camera)
        renderer.close()
        print(f"  {name}: {len(frames)} frames drawn", flush=True)
    return frames


def real_frames(folder: Path, names: str, size: tuple[int, int]) -> list[Pair]:
    """The real frames that a list names."""
    table, (height, width) = table_of(2), size
    frames = []
    for stem in (folder / names).read_text().split():
        bgr = cv2.imread(str(folder / "rgb" / f"{stem}.webp"))
        tags = cv2.imread(str(folder / "seg_raw" / f"{stem}.png"), cv2.IMREAD_UNCHANGED)
        if bgr is None or tags is None:
            raise SystemExit(f"teaches_carla: {folder}: expected rgb and seg_raw of {stem}, found one of them missing.")
        rgb = cv2.resize(bgr, (width, height), interpolation=cv2.INTER_AREA)[..., ::-1]
        down = cv2.resize(tags, (width, height), interpolation=cv2.INTER_NEAREST)
        frames.append((np.ascontiguousarray(rgb), table[down]))
    return frames


def batches(frames: list[Pair], steps: int, seed: int) -> Iterator[Pair]:
    """Random batches, both sides augmented alike: mirrored, zoomed, brighter or darker, noisy."""
    rng = np.random.default_rng(seed)
    height, width = frames[0][1].shape
    for _ in range(steps):
        images, masks = [], []
        for index in rng.integers(0, len(frames), BATCH):
            image, mask = frames[index]
            zoom = rng.uniform(1.0, 1.5)
            tall, wide = round(height / zoom), round(width / zoom)
            y, x = int(rng.integers(0, height - tall + 1)), int(rng.integers(0, width - wide + 1))
            cut, ids = image[y : y + tall, x : x + wide], mask[y : y + tall, x : x + wide]
            if rng.random() < 0.5:
                cut, ids = cut[:, ::-1], ids[:, ::-1]
            cut = cv2.resize(np.ascontiguousarray(cut), (width, height), interpolation=cv2.INTER_LINEAR)
            ids = cv2.resize(np.ascontiguousarray(ids), (width, height), interpolation=cv2.INTER_NEAREST)
            tone = rng.uniform(0.75, 1.3) * rng.uniform(0.93, 1.07, 3)
            bright = 255.0 * (cut / 255.0 * tone) ** rng.uniform(0.8, 1.25) + rng.normal(
                0, rng.uniform(0, 6), cut.shape
            )
            images.append(np.clip(bright, 0, 255).astype(np.uint8))
            masks.append(ids)
        yield np.stack(images), np.stack(masks)


def new_network() -> Any:
    """A small FC-DenseNet, the same weights at every call."""
    from carlaseg.models import build

    return build(
        "fc_densenet",
        len(CLASSES),
        groups=3,
        layers_per_block=2,
        growth_rate=8,
        first_filters=16,
        dropout_rate=0.1,
        seed=1,
    )


def trained(frames: list[Pair], steps: int, seed: int, what: str) -> Any:
    """A network trained on frames for some steps, rate falling as a cosine."""
    import keras

    from carlaseg.training.losses import segmentation_loss

    network = new_network()
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps))
    loss = segmentation_loss(("ce",))
    network.compile(optimizer=optimizer, loss=loss)
    begun, recent = time.perf_counter(), []
    for step, (images, masks) in enumerate(batches(frames, steps, seed), 1):
        recent.append(float(network.train_on_batch(images, masks)))
        if step % max(1, steps // 10) == 0:
            seconds = time.perf_counter() - begun
            print(f"  {what}: step {step} of {steps}, loss {np.mean(recent[-50:]):.3f}, {seconds:.0f} s", flush=True)
    return network


def scores_of(network: Any, frames: list[Pair]) -> Scores:
    """How well a network does on frames."""
    counts = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    for start in range(0, len(frames), BATCH):
        part = frames[start : start + BATCH]
        logits = np.asarray(network.predict_on_batch(np.stack([image for image, _ in part])))
        truth = np.stack([mask for _, mask in part])
        counts += confusion_matrix(truth, logits.argmax(axis=-1).astype(np.uint8), len(CLASSES), VOID)
    return Scores.from_confusion(counts, tuple(name for name, _, _ in CLASSES))


def main() -> None:
    """Draw, train twice, test twice, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, required=True, help="folder with rgb, seg_raw, train.txt and val.txt")
    parser.add_argument("--maps", type=Path, help="folder of OpenDRIVE files for more towns")
    parser.add_argument("--frames", type=int, default=440, help="frames to draw")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--only", choices=SIDES, help="train on one side, keep the other's figures")
    parser.add_argument("--size", default="96x128", help="height and width of the frames")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="few frames and steps; shows that it runs")
    given = parser.parse_args()
    tall, wide = given.size.split("x")
    shape = (int(tall), int(wide))
    frames, steps = (24, 12) if given.quick else (given.frames, given.steps)
    size = {"frames": frames, "steps": steps, "batch": BATCH, "size": list(shape)}
    found = {} if given.quick else earlier(size)
    test = real_frames(given.real, "val.txt", shape)[: 16 if given.quick else None]
    for side in (given.only,) if given.only else SIDES:
        print(f"{side} frames")
        pairs = (
            drawn_frames(frames, given.maps, shape, given.seed)
            if side == "embedded"
            else real_frames(given.real, "train.txt", shape)
        )
        scores = scores_of(trained(pairs, steps, given.seed, side), test)
        found[side] = {"mean": scores.mean_iou, **{row.name: row.iou for row in scores.classes}}
        if not given.quick:
            write_results(NAME, ("keras", "tensorflow", "numpy", "opencv-python"), **size, iou=found)
    print(f"\n{'class':<16}" + "".join(f"{side:>10}" for side in found))
    for name in (*(row[0] for row in CLASSES), "mean"):
        cells = (found[side].get(name) for side in found)
        print(f"{name:<16}" + "".join(f"{'-' if cell is None else f'{cell:.3f}':>10}" for cell in cells))
    if len(found) == len(SIDES) and found["real"]["mean"]:
        ratio = (found["embedded"]["mean"] or 0.0) / found["real"]["mean"]
        print(f"ratio {ratio:.2f}, target {TARGET:.2f}" + (" (--quick: means nothing)" if given.quick else ""))


def earlier(size: dict[str, Any]) -> dict[str, dict[str, float | None]]:
    """Figures of the last run, if it was of the same size."""
    path = RESULTS / f"{NAME}.json"
    if not path.is_file():
        return {}
    kept: dict[str, Any] = json.loads(path.read_text())
    same = all(kept.get(key) == value for key, value in size.items())
    return dict(kept["iou"]) if same else {}


if __name__ == "__main__":
    main()
