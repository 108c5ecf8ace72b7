"""Training results that two cores can bear, each by one command: `python benchmarks/recipes.py` lists them.

    python benchmarks/recipes.py carla23              # one of them; several names are done one after the other
    python benchmarks/recipes.py carla23 --epochs 40  # other flags go to `carlaseg train` as they are

Each is a `carlaseg train` with the flags below, on data beside the checkout (`--data` for another place). What it gave
goes to benchmarks/results/NAME/: the command, commit, seed, machine and time, the settings, the curves, the scores.
KITTI Road is also scored as its benchmark does, by the maximum F1 over all thresholds of the road's probability, in the
image. Two of its training images have labels of the whole road here: figures on them show that it works, no more.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from measuring import RESULTS, machine  # noqa: E402

from carlaseg.backend import prepare_backend  # noqa: E402
from carlaseg.checkpoint import RunFolder, load_model  # noqa: E402
from carlaseg.cli import COMMANDS, parse  # noqa: E402
from carlaseg.config import TrainConfig  # noqa: E402
from carlaseg.console import say  # noqa: E402
from carlaseg.errors import CarlasegError  # noqa: E402
from carlaseg.training.keep import source_commit  # noqa: E402

KEPT = ("config.json", "metrics.jsonl", "per_class.csv", "curves.png")


@dataclass(frozen=True)
class Recipe:
    """One result.

    Attributes:
        what: for people.
        flags: of `carlaseg train`, {data} standing for the folder of the data sets.
    """

    what: str
    flags: str


COMMON = "--size 120x160 --batch-size 8 --augment flip --learning-rate 2e-3 --ema 0.98"
RECIPES = {
    "carla23": Recipe(
        "real CARLA 0.9.10 to 0.9.13, train to val, 23 tags",
        f"--dataset {{data}}/carla_tags23 --model enet --epochs 5 {COMMON}",
    ),
    "carla13": Recipe(
        "the same in CARLA's first 13 tags, by a remap",
        f"--dataset {{data}}/carla_tags23 --classes carla-0.9.0 --model enet --epochs 5 {COMMON}",
    ),
    "carla_to_camvid": Recipe(
        "trained on CARLA, validated on CamVid's photographs, 11 classes by meaning",
        "--dataset {data}/carla_tags23 --validation {data}/camvid --classes camvid --model enet "
        f"--epochs 5 {COMMON}",
    ),
    "carla_and_camvid": Recipe(
        "trained on CamVid and CARLA, three frames to one, validated on CamVid",
        "--dataset {data}/camvid {data}/carla_tags23 --dataset-weights 3 1 --validation {data}/camvid "
        f"--classes camvid --model enet --epochs 5 {COMMON}",
    ),
    "kitti_road": Recipe(
        "KITTI Road: one image to train on, one to validate on, so that it shows that it works, and no more",
        "--dataset {data}/kitti_road_sample --model enet --epochs 60 --size 96x320 --batch-size 4 --augment scale "
        "--class-weights median --learning-rate 5e-3",
    ),
    "carla_to_kitti_road": Recipe(
        "road or not: trained on CARLA, validated on KITTI Road's two labelled images",
        "--dataset {data}/carla_tags23 --validation {data}/kitti_road_sample --classes kitti-road --model enet "
        f"--epochs 4 {COMMON}",
    ),
}


def main() -> int:
    """List, or train and keep what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(RECIPES))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the data sets")
    parser.add_argument("--runs", type=Path, default=Path("build/recipes"))
    given, flags = parser.parse_known_args()
    unknown = [name for name in given.names if name not in RECIPES]
    if unknown:
        parser.error(f"no recipe {unknown[0]}; there are {', '.join(RECIPES)}")
    for name in given.names:
        try:
            perform(name, shlex.split(RECIPES[name].flags.format(data=given.data)) + flags, given.runs)
        except CarlasegError as error:
            print(f"{name}: {error.message}", file=sys.stderr)
            return error.exit_code
    if not given.names:
        for name, recipe in RECIPES.items():
            print(f"{name:<20} {recipe.what}\n{'':<20} carlaseg train {recipe.flags}")
    return 0


def perform(name: str, flags: list[str], runs: Path) -> None:
    """Train one recipe and keep its files."""
    from carlaseg.training.train import train

    config = parse("train", COMMANDS["train"], [*flags, "--runs", str(runs)])
    done = train(config)
    assert done is not None
    run = RunFolder(done.run)
    scores = done.scores
    values: dict[str, Any] = {
        "what": RECIPES[name].what,
        "command": f"carlaseg train {shlex.join(flags)}",
        "commit": source_commit(),
        "seed": config.seed,
        "machine": machine(["keras", "numpy", "opencv-python"]),
        "seconds": round(done.seconds, 1),
        "epochs": done.epochs,
        "best_epoch": done.best_epoch,
        "mean_iou": scores.mean_iou,
        "pixel_accuracy": scores.pixel_accuracy,
        "classes_shown": scores.present,
    }
    if config.classes == "kitti-road" or "kitti" in str(config.dataset[0]):
        values["road"] = road_figures(run, config)
    keep(name, run, values)


def keep(name: str, run: RunFolder, values: dict[str, Any]) -> None:
    """Write benchmarks/results/NAME/."""
    folder = RESULTS / name
    folder.mkdir(parents=True, exist_ok=True)
    for file in KEPT:
        shutil.copyfile(run.path / file, folder / file)
    (folder / "result.json").write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    say("kept", f"{folder.relative_to(ROOT)}: mIoU {values['mean_iou']:.3f}, {values['seconds'] / 60:.1f} min")


def road_figures(run: RunFolder, config: TrainConfig) -> dict[str, Any]:
    """Maximum F1 and average precision of the road, at the size of the network."""
    prepare_backend()
    from keras import ops

    from carlaseg.metrics import RoadCounts, road_counts
    from carlaseg.pipeline import for_evaluation, select

    selection = select(config)
    model = load_model(run)
    counts = RoadCounts(np.zeros(256, np.int64), np.zeros(256, np.int64))
    for images, masks in for_evaluation(selection.validation, selection.tables, config.size, 1, cache="none"):
        probability = ops.convert_to_numpy(ops.softmax(model.predict_on_batch(images)))[..., 1]
        counts += road_counts(probability, masks)
    figures = counts.to_json()
    say(
        "road",
        f"maximum F1 {figures['max_f1']:.4f} at {figures['threshold']:.2f} on {len(selection.validation)} images",
    )
    return {**figures, "images": len(selection.validation)}


if __name__ == "__main__":
    raise SystemExit(main())
