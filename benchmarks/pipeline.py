"""The input pipeline against decoding, resizing and one-hot encoding in a Python loop over pixels.

    python benchmarks/pipeline.py [--quick] [--dataset DIR] [--scheme NAME] [--size HxW]

Without --dataset: the repository's own dataset/, or frames made on the spot where it is missing, and CamVid
(../shared/data/camvid, as PNGs, which is how others hand it out) as well where it lies beside the checkout. Each round
runs the peer, our first epoch (files -> batches, two threads) and our later epochs (batches from memory) one after the
other; figures are medians of the rounds. The peer does per frame what the user's earlier scripts did: cv2.imread,
cv2.resize, a loop over the pixels that sets one of C floats. Neither side scales pixels to floats or augments; the
column "augmented" adds our augmentation to later epochs, for information. Decoding large PNGs bounds the first epoch of
both sides, and only threads help there: with two cores it is at most twice as fast.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import cv2  # noqa: E402
import numpy as np  # noqa: E402
from measuring import write_results  # noqa: E402

from carlaseg.config import Size  # noqa: E402
from carlaseg.dataset import Dataset, Sample, open_dataset  # noqa: E402
from carlaseg.pipeline import TrainingBatches, for_training  # noqa: E402

BATCH = 4
WORKERS = 2
GOAL_FIRST, GOAL_LATER = 4.0, 100.0


def peer_epoch(samples: Sequence[Sample], size: Size, num_classes: int, table: np.ndarray) -> None:
    """Decode, resize and one-hot encode every frame, pixel by pixel."""
    for start in range(0, len(samples), BATCH):
        images, targets = [], []
        for sample in samples[start : start + BATCH]:
            image = cv2.imread(str(sample.image_path))
            images.append(cv2.resize(image, (size.width, size.height)))
            mask = cv2.imread(str(sample.mask_path), cv2.IMREAD_UNCHANGED)
            mask = mask if mask.ndim == 2 else mask[..., 2]
            mask = table[cv2.resize(mask, (size.width, size.height), interpolation=cv2.INTER_NEAREST)]
            target = np.zeros((size.height, size.width, num_classes), np.float32)
            for row in range(size.height):
                for column in range(size.width):
                    class_id = mask[row, column]
                    if class_id < num_classes:
                        target[row, column, class_id] = 1.0
            targets.append(target)
        np.stack(images), np.stack(targets)


def consume(batches: TrainingBatches, epoch: int) -> None:
    for images, masks in batches.epoch(epoch, workers=WORKERS):
        assert images.shape[:3] == masks.shape


def seconds(work: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    work()
    return time.perf_counter() - began_s


def compare(name: str, data: Dataset, size: Size, rounds: int, frames: int) -> dict[str, Any]:
    assert data.scheme is not None
    samples, table = list(data.samples)[:frames], data.scheme.void_table
    times: dict[str, list[float]] = {"peer": [], "first": [], "later": [], "augmented": []}

    def fresh(augment: str) -> TrainingBatches:
        return for_training(samples, {data.scheme.name: table}, size, BATCH, augment, seed=0, cache="ram")

    consume(fresh("road"), 0)  # the page cache and imgaug's import are nobody's merit
    for _ in range(rounds):
        times["peer"].append(seconds(partial(peer_epoch, samples, size, data.scheme.num_classes, table)))
        batches, augmented = fresh("none"), fresh("road")
        times["first"].append(seconds(partial(consume, batches, 0)))
        times["later"].append(statistics.median(seconds(partial(consume, batches, e)) for e in range(1, 6)))
        consume(augmented, 0)
        times["augmented"].append(seconds(partial(consume, augmented, 1)))
    rate = {key: len(samples) / statistics.median(values) for key, values in times.items()}
    first = cv2.imread(str(samples[0].image_path))
    row = {
        "data": name,
        "frames": len(samples),
        "on_disk": f"{first.shape[0]}x{first.shape[1]} {samples[0].image_path.suffix[1:]}",
        "size": str(size),
        "classes": data.scheme.num_classes,
        "peer_images_per_s": rate["peer"],
        "first_epoch_images_per_s": rate["first"],
        "later_epochs_images_per_s": rate["later"],
        "later_epochs_augmented_images_per_s": rate["augmented"],
        "first_epoch_times": rate["first"] / rate["peer"],
        "later_epochs_times": rate["later"] / rate["peer"],
    }
    rates = f"{rate['peer']:8.1f} {rate['first']:8.1f} {rate['later']:9.0f} {rate['augmented']:9.0f}"
    times_faster = f"{row['first_epoch_times']:6.1f}x {row['later_epochs_times']:7.0f}x"
    print(f"{name:<12} {row['on_disk']:<14} {row['size']:<8} {rates}   {times_faster}", flush=True)
    return row


def made_on_the_spot(folder: Path, frames: int) -> Path:
    """Frames like a recording's: smooth shapes with texture, 29 tags, 160x160."""
    rng = np.random.default_rng(0)
    for part in ("rgb", "seg_raw"):
        (folder / part).mkdir(parents=True)
    for number in range(frames):
        mask = cv2.resize(rng.integers(0, 29, (8, 8)).astype(np.uint8), (160, 160), interpolation=cv2.INTER_NEAREST)
        colour = rng.integers(0, 255, (29, 3)).astype(np.uint8)[mask].astype(np.int16)
        image = np.clip(colour + rng.normal(0, 4, colour.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / "rgb" / f"rgb_{number:08d}.png"), image)
        cv2.imwrite(str(folder / "seg_raw" / f"seg_raw_{number:08d}.png"), mask)
    return folder


def as_png(source: Path, target: Path, count: int) -> None:
    """The first pictures of a folder, decoded and written as PNG."""
    target.mkdir(parents=True)
    for path in sorted(source.iterdir())[:count]:
        cv2.imwrite(str(target / f"{path.stem}.png"), cv2.imread(str(path), cv2.IMREAD_UNCHANGED))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer frames and rounds; nothing is written")
    parser.add_argument("--dataset", type=Path)
    parser.add_argument("--scheme")
    parser.add_argument("--size", type=Size.parse, default=Size(160, 160))
    given = parser.parse_args()
    rounds, frames = (3, 16) if given.quick else (7, 96)
    print(f"{'images/s':<36} {'peer':>8} {'first':>8} {'later':>9} {'augmented':>9}   first/peer  later/peer")
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        if given.dataset is not None:
            data = open_dataset(given.dataset, given.scheme)
            rows.append(compare(given.dataset.name, data, given.size, rounds, frames))
        else:
            own = ROOT / "dataset"
            name = "dataset/" if own.is_dir() else "made here"
            folder = own if own.is_dir() else made_on_the_spot(Path(scratch) / "made", frames)
            scheme = None if own.is_dir() else "carla-0.9.14"
            rows.append(compare(name, open_dataset(folder, scheme), given.size, rounds, frames))
            camvid = ROOT.parent / "shared" / "data" / "camvid"
            if camvid.is_dir():
                as_png(camvid / "train", Path(scratch) / "camvid" / "train", frames)
                as_png(camvid / "trainannot", Path(scratch) / "camvid" / "trainannot", frames)
                data = open_dataset(Path(scratch) / "camvid", "camvid", "train")
                rows.append(compare("CamVid", data, given.size, rounds, frames))
    if not given.quick and given.dataset is None:
        write_results("pipeline", ("opencv-python", "numpy", "imgaug"), rounds=rounds, threads=WORKERS, rows=rows)
    met = rows[0]["first_epoch_times"] >= GOAL_FIRST and rows[0]["later_epochs_times"] >= GOAL_LATER
    print(f"goal, first row: {GOAL_FIRST:g}x and {GOAL_LATER:g}x: {'met' if met else 'missed'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
