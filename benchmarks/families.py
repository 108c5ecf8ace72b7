"""The seven families of networks on CamVid by one common small recipe at equal budget: so many minutes of steps each.

    python benchmarks/families.py                    # 3 minutes each at 120x160, about half an hour in all
    python benchmarks/families.py --minutes 0.2      # an impression
    python benchmarks/families.py --models enet unet # some of them; figures of the others stay as they are

What is equal: data, order and augmentation of the frames, size, batch, optimiser, loss, seed, and the clock. The
learning rate falls by a cosine of the time that is gone, so that each ends its own schedule; a network whose step takes
twice as long sees half the pictures. From scratch. Compiling and the first step are outside of the clock. The score is
that of the averaged weights with batch-norm statistics of their own (a hundred steps would leave the running ones far
behind), on the 101 validation images at the same size, at the end alone: no epoch is chosen. The table says what so
little time on this machine gives, not how good a network can become.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from measuring import RESULTS, machine  # noqa: E402

from carlaseg.backend import prepare_backend  # noqa: E402
from carlaseg.config import Size, TrainConfig  # noqa: E402

FAMILIES = (
    "fc_densenet56", "fcn8s_mobilenet", "segnet", "unet_batch_norm", "pspnet_mobilenet_v2",
    "deeplab_v3_plus_mobilenet_v2", "enet",
)  # fmt: skip
"""One of each, the member that a small machine can train."""


def main() -> int:
    """Train each, write the table after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=list(FAMILIES))
    parser.add_argument("--minutes", type=float, default=3.0, help="of training steps, each network")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/camvid"))
    parser.add_argument("--size", type=Size.parse, default=Size(120, 160))
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    file = RESULTS / "families.json"
    settings = {"minutes": given.minutes, "size": str(given.size), "batch_size": given.batch_size, "seed": given.seed}
    before = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    networks = before.get("networks", {}) if before.get("settings") == settings else {}
    for name in given.models:
        networks[name] = trained(name, given)
        values = {"machine": machine(["keras", "tensorflow", "numpy"]), "settings": settings, "networks": networks}
        file.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
        print(row(name, networks[name]), flush=True)
    print(f"\n{row('network')}")
    for name, figures in sorted(networks.items(), key=lambda entry: -entry[1]["mean_iou"]):
        print(row(name, figures))
    return 0


def trained(name: str, given: argparse.Namespace) -> dict[str, Any]:
    """One network's figures."""
    prepare_backend()
    import keras

    from carlaseg.metrics import Scores
    from carlaseg.models.cost import multiply_adds
    from carlaseg.pipeline import for_evaluation, for_training, select
    from carlaseg.training.averaging import Averaged
    from carlaseg.training.loop import validate
    from carlaseg.training.network import build_network, compile_for_training, scorer

    config = TrainConfig(
        dataset=(given.data,), model=name, size=given.size, batch_size=given.batch_size, seed=given.seed,
        augment="scale", learning_rate=1e-3, weight_decay=1e-3, clip_norm=5.0, ema=0.98,
    )  # fmt: skip
    selection = select(config)
    keras.utils.set_random_seed(given.seed)
    model, _ = build_network(config, selection.target.num_classes)
    compile_for_training(model, config, None)
    batches = for_training(
        selection.train, selection.tables, config.size, config.batch_size, config.augment, config.seed
    )
    images, masks = batches.batch(0, 0)
    model.train_on_batch(images, masks)
    steps, losses = train_by_the_clock(model, batches, given.minutes * 60, config.learning_rate)
    frames = for_evaluation(selection.validation, selection.tables, config.size, config.batch_size)
    with Averaged(model).in_place(batches, 0):
        scored = validate(scorer(model), frames, selection.target.num_classes, ())
    assert scored is not None
    scores = Scores.from_confusion(scored.confusion, selection.target.names)
    figures = {
        "parameters": model.count_params(),
        "multiply_adds": multiply_adds(model, *config.size),
        "steps": steps,
        "images": steps * config.batch_size,
        "loss": losses,
        "mean_iou": scores.mean_iou,
        "pixel_accuracy": scores.pixel_accuracy,
        "iou": {entry.name: entry.iou for entry in scores.classes},
    }
    keras.utils.clear_session(free_memory=True)
    return figures


def train_by_the_clock(model: Any, batches: Any, seconds: float, peak: float) -> tuple[int, list[float]]:
    """Steps until the clock says stop; how many, and the mean loss of each tenth of the time."""
    began_s = time.monotonic()
    tenths: list[list[float]] = [[] for _ in range(10)]
    steps = 0
    for epoch in count():
        with closing(batches.epoch(epoch)) as stream:
            for images, masks in stream:
                gone = (time.monotonic() - began_s) / seconds
                if gone >= 1:
                    return steps, [round(sum(part) / len(part), 4) for part in tenths if part]
                warm = min(1.0, gone / 0.05)
                model.optimizer.learning_rate = peak * max(warm * 0.5 * (1 + math.cos(math.pi * gone)), 1e-3)
                tenths[int(10 * gone)].append(float(model.train_on_batch(images, masks)))
                steps += 1
    raise AssertionError("epochs never end")


def row(name: str, figures: dict[str, Any] | None = None) -> str:
    """A line of the table; its head without figures."""
    if figures is None:
        return f"{name:<30} {'parameters':>11} {'GMAC':>6} {'images':>7} {'loss':>6} {'mIoU':>6} {'accuracy':>8}"
    return (
        f"{name:<30} {figures['parameters']:>11,} {figures['multiply_adds'] / 1e9:>6.2f} {figures['images']:>7} "
        f"{figures['loss'][-1] if figures['loss'] else 0:>6.2f} {figures['mean_iou']:>6.3f} "
        f"{figures['pixel_accuracy']:>8.3f}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
