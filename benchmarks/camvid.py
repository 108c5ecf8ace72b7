"""The published CamVid run, whole, in one command: from packed data to weights with a card.

    python benchmarks/camvid.py --pack build/camvid.npz                                    # once, where the data is
    KERAS_BACKEND=torch python benchmarks/camvid.py --model fc_densenet103 --minutes 25 --resume
    python benchmarks/camvid.py --model fc_densenet56 --size 160x224 --minutes 1 --epochs 40   # where there is no GPU

It needs NumPy, Keras with a backend, and OpenCV; no network, no imgaug, no TensorFlow. The same command again goes on
from the step the last one stopped at; with other --epochs it ends earlier or later, its schedule anew from there.
Training images are packed as WebP of quality 95, validation images without loss.

The recipe: AdamW, warm-up and cosine, label smoothing, crops of which half seek a rare class, whole frames in the last
sixth, frames mirrored, scaled 0.7 to 2 times, turned and lit (`--augment scale`), averaged weights with re-estimated
batch-norm statistics, bfloat16 on a GPU. `--set NAME=VALUE` changes any setting of `carlaseg train`.

The figures are those of the FC-DenseNet paper: intersections and unions summed over the whole split, void left out of
both, mean of the 11 classes. They are on the validation split; the literature's are on the test split.
"""

from __future__ import annotations

import argparse
import json
import platform
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from carlaseg.backend import prepare_backend  # noqa: E402
from carlaseg.checkpoint import RunFolder, load_model, save_weights  # noqa: E402
from carlaseg.config import Size, TrainConfig, from_mapping, to_json  # noqa: E402
from carlaseg.console import say  # noqa: E402
from carlaseg.errors import CarlasegError, Interrupted  # noqa: E402

CLASSES = 11
PACKED_QUALITY = 95
LOSSLESS = 101
"""OpenCV's WebP quality above 100 means without loss."""


def main() -> int:
    """Pack, or train, score and keep the weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path, metavar="FILE", help="write the packed data there, and stop")
    parser.add_argument(
        "--data", type=Path, default=ROOT.parent / "shared" / "data" / "camvid", help="CamVid's folders"
    )
    parser.add_argument("--packed", type=Path, default=ROOT / "build" / "camvid.npz", help="the packed data")
    parser.add_argument("--model", default="fc_densenet56")
    parser.add_argument("--size", type=Size.parse, default=Size(360, 480))
    parser.add_argument("--crop", type=Size.parse, help="0.62 of the size, in whole 32s, when not given")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=400)
    parser.add_argument("--minutes", type=float, help="stop then; the same command with --resume goes on")
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run of this model and seed, if there is one"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=Path, default=ROOT / "build" / "camvid_runs")
    parser.add_argument("--weights", type=Path, default=ROOT / "weights", help="where the best weights are kept")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="other settings of carlaseg train")
    given = parser.parse_args()
    try:
        if given.pack is not None:
            pack(given.data, given.pack)
            return 0
        return run(given)
    except CarlasegError as error:
        print(f"camvid: {error.message}", file=sys.stderr)
        for label, step in error.next_steps:
            print(f"  {label}  {step}", file=sys.stderr)
        return error.exit_code


# === The data ===


def pack(data: Path, file: Path) -> None:
    """Both splits as one file below 50 MB: images as WebP, masks as they are."""
    arrays: dict[str, Any] = {}
    for split in ("train", "val"):
        paths = sorted(path for path in (data / split).iterdir() if path.suffix in (".png", ".webp"))
        if not paths:
            raise SystemExit(f"{data / split}: expected CamVid's images, received none.")
        quality = PACKED_QUALITY if split == "train" else LOSSLESS
        images = [cv2.imencode(".webp", cv2.imread(str(p)), [cv2.IMWRITE_WEBP_QUALITY, quality])[1] for p in paths]
        masks = [cv2.imread(str(data / f"{split}annot" / f"{p.stem}.png"), cv2.IMREAD_GRAYSCALE) for p in paths]
        arrays[f"{split}_names"] = np.array([path.stem for path in paths])
        arrays[f"{split}_bytes"] = np.concatenate([image.ravel() for image in images])
        arrays[f"{split}_lengths"] = np.array([image.size for image in images])
        arrays[f"{split}_masks"] = np.stack(masks)
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(file, **arrays)
    say("packed", f"{file}: {file.stat().st_size / 1e6:.1f} MB")


def unpack(packed: Path) -> Path:
    """The folders that `pack` read, beside the file; made once."""
    folder = packed.with_suffix("")
    if (folder / "complete").is_file():
        return folder
    with np.load(packed) as arrays:
        for split in ("train", "val"):
            for part in (split, f"{split}annot"):
                (folder / part).mkdir(parents=True, exist_ok=True)
            ends = np.cumsum(arrays[f"{split}_lengths"])
            stream, masks = arrays[f"{split}_bytes"], arrays[f"{split}_masks"]
            for name, end, length, mask in zip(
                arrays[f"{split}_names"], ends, arrays[f"{split}_lengths"], masks, strict=True
            ):
                (folder / split / f"{name}.webp").write_bytes(stream[end - length : end].tobytes())
                cv2.imwrite(str(folder / f"{split}annot" / f"{name}.png"), mask)
    (folder / "complete").touch()
    return folder


# === The run ===


def run(given: argparse.Namespace) -> int:
    """Train until the end or the clock, score the best weights on val, keep them if they are better."""
    from carlaseg.training.train import train

    name = f"{given.model}_{given.size}_seed{given.seed}"
    folder = given.runs / name
    if given.resume and (folder / "last.weights.h5").is_file():
        config = TrainConfig(resume=folder, runs=given.runs, epochs=given.epochs, minutes=given.minutes)
    else:
        config = recipe(given, unpack(given.packed) if given.packed.is_file() else given.data, free_name(folder))
        folder = given.runs / (config.run or name)
    began_s = time.monotonic()
    finished = True
    try:
        train(config)
    except Interrupted as stopped:
        finished = False
        say("stopped", stopped.message)
    seconds = time.monotonic() - began_s
    spent = spent_s(folder, seconds)
    if (folder / "best.weights.h5").is_file():
        keep(RunFolder(folder), given, finished, spent)
    else:
        say("note", "no epoch was finished: nothing to score yet")
    if not finished:
        say("next", f"python {shlex.join(sys.argv)}{'' if given.resume else ' --resume'}")
    return 0


def free_name(folder: Path) -> str:
    """The folder's name, or with a number where a run of that name is there already."""
    number, name = 1, folder.name
    while (folder.parent / name).exists():
        number += 1
        name = f"{folder.name}_{number}"
    return name


def recipe(given: argparse.Namespace, data: Path, name: str) -> TrainConfig:
    """The settings of `carlaseg train` that make this run."""
    prepare_backend()
    from carlaseg.training.device import find_device

    crop = given.crop or Size(*(max(32, int(side * 0.62) // 32 * 32) for side in given.size))
    values = to_json(
        TrainConfig(
            dataset=(data,), model=given.model, size=given.size, batch_size=given.batch_size, epochs=given.epochs,
            seed=given.seed, run=name, runs=given.runs, minutes=given.minutes, augment="scale", crop=crop,
            full_size_epochs=max(1, given.epochs // 6), optimizer="adamw", learning_rate=1e-3, weight_decay=1e-2,
            schedule="cosine", warmup_epochs=given.epochs / 40, label_smoothing=0.05, clip_norm=5.0,
            # About six epochs long, in any run of some length.
            ema=0.996 if given.epochs >= 100 else 0.9,
            precision="mixed_bfloat16" if find_device().is_gpu else "float32",
        )
    )  # fmt: skip
    for change in given.set:
        key, _, text = change.partition("=")
        try:
            values[key] = json.loads(text)
        except json.JSONDecodeError:
            values[key] = text
    return from_mapping(TrainConfig, values, "--set")


def spent_s(folder: Path, seconds: float) -> float:
    """Seconds of all the pieces of the run, this one included; kept beside it."""
    file = folder / "camvid_seconds.json"
    before = json.loads(file.read_text()) if file.is_file() else 0.0
    file.write_text(json.dumps(before + seconds))
    return float(before + seconds)


def keep(run: RunFolder, given: argparse.Namespace, finished: bool, seconds: float) -> None:
    """Score the best weights, and write them as float16 with a card unless better ones are there."""
    import keras

    from carlaseg.config import load
    from carlaseg.metrics import Scores
    from carlaseg.pipeline import for_evaluation, select
    from carlaseg.training.device import find_device
    from carlaseg.training.loop import validate
    from carlaseg.training.network import scorer

    config = load(TrainConfig, run.path / "config.json")
    selection = select(config)
    model = load_model(run)
    frames = for_evaluation(selection.validation, selection.tables, config.size, config.batch_size)
    scored = validate(scorer(model), frames, CLASSES, ())
    assert scored is not None
    scores = Scores.from_confusion(scored.confusion, selection.target.names)
    say("val", f"mIoU {100 * scores.mean_iou:.2f} %   accuracy {100 * scores.pixel_accuracy:.2f} %   {config.size}")
    target = given.weights / f"{config.model}_camvid"
    before = json.loads((target / "validation_metrics.json").read_text()) if (target / "model.json").is_file() else {}
    if before.get("mean_iou", -1.0) >= scores.mean_iou:
        say("kept", f"{target} as it is: {100 * before['mean_iou']:.2f} % mIoU")
        return
    records = run.metrics()
    counts = (len(selection.train), len(selection.validation))
    machine = f"{find_device().name}, keras {keras.version()} on {keras.backend.backend()}"
    readme = card(config, scores, counts, machine, len(records), finished, seconds)  # first: what fails leaves the old
    target.mkdir(parents=True, exist_ok=True)
    kept = RunFolder(target)
    save_weights(kept.weights("best"), model, half=True)
    kept.write_model_card(run.model_card())
    kept.write_json("validation_metrics.json", scores.to_json())
    kept.write_text("README.md", readme)
    kept.write_text("metrics.jsonl", "".join(json.dumps(record) + "\n" for record in records))
    folders = tuple(in_repository(path) for path in config.dataset)
    kept.write_config(replace(config, dataset=folders, runs=in_repository(config.runs)))
    size = kept.weights("best").stat().st_size / 1e6
    say("kept", f"{target}: {size:.1f} MB of float16; carlaseg infer --run {shlex.quote(str(target))} --input FOLDER")


def in_repository(path: Path) -> Path:
    """A path as everybody has it, whose checkout lies elsewhere."""
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else Path(path.name)


def card(
    config: TrainConfig,
    scores: Any,
    counts: tuple[int, int],
    machine: str,
    epochs: int,
    finished: bool,
    seconds: float,
) -> str:
    """README.md of the weights."""
    from carlaseg.training.keep import source_commit

    begun = "" if config.init_from is None else f"| begun with | the weights of `{in_repository(config.init_from)}` |\n"
    whole = "" if finished else f" (stopped after {epochs} of {config.epochs})"
    rows = "\n".join(f"| {c.name} | {100 * (c.iou or 0):.1f} | {100 * (c.recall or 0):.1f} |" for c in scores.classes)
    changed = {k: v for k, v in to_json(config).items() if k not in ("dataset", "runs", "run") and v not in (None, [])}
    return f"""---
library_name: keras
pipeline_tag: image-segmentation
license: cc-by-nc-4.0
---

# {config.model} on CamVid, 11 classes

Float16 weights of `carlaseg.models.build("{config.model}", 11)`.

| | |
|---|---|
| data | CamVid as split by SegNet: {counts[0]} training images, {counts[1]} validation images, {config.size} |
| licence | CamVid is for non-commercial use (Brostow et al. 2009), and so are these weights |
| command | `python {shlex.join(sys.argv)}` |
{begun}| commit | {source_commit()} |
| seed | {config.seed} |
| machine | {machine}, Python {platform.python_version()} |
| time | {seconds / 60:.1f} min, {epochs} epochs{whole} |
| val mIoU | {100 * scores.mean_iou:.2f} % (best epoch chosen on this split) |
| val accuracy | {100 * scores.pixel_accuracy:.2f} % |

On the validation split; figures of the literature are on the test split.

| class | IoU % | recall % |
|---|---|---|
{rows}

Settings: `{json.dumps(changed)}`
"""


if __name__ == "__main__":
    raise SystemExit(main())
