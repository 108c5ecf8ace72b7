"""`carlaseg keep`: the weights of a run as float16 with a card, in a folder small enough to share and to commit.

The folder is read like a run, so whatever takes a run takes it: infer, export, train --init-from.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from carlaseg import __version__
from carlaseg.backend import prepare_backend
from carlaseg.checkpoint import KEPT, RunFolder, load_model, save_weights
from carlaseg.config import KeepConfig
from carlaseg.console import counted, duration, result, say
from carlaseg.errors import CheckpointError, ConfigError
from carlaseg.files import disk_fault

COPIED = ("model.json", "config.json", "environment.json", "metrics.jsonl", "metrics.csv", "validation_metrics.json")


def keep(config: KeepConfig) -> Path:
    """Keep a run's best weights, which are those that its validation scored.

    Returns:
        Their folder.

    Raises:
        CheckpointError: no such run, its weights cannot be used, or they were not scored.
        ConfigError: weights of that name are there and are no worse.
    """
    run = RunFolder.find(config.run, config.runs)
    card = run.model_card()
    scores = run.read_json("validation_metrics.json")
    mean_iou = _number(run, scores, "mean_iou")
    _refuse_scores_of_others(run, scores)
    target = config.weights / (config.name or run.name)
    if target.exists() and not config.overwrite:
        _refuse_better(RunFolder(target), mean_iou)
    prepare_backend()
    model = load_model(run, "best")
    try:
        config.weights.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".keep-", dir=config.weights) as beside:
            made = RunFolder(Path(beside) / target.name)
            made.path.mkdir()
            for name in COPIED:
                if (run.path / name).is_file():
                    shutil.copyfile(run.path / name, made.path / name)
            save_weights(made.weights("best"), model, half=True)
            made.write_text("README.md", _card(run, made, config, scores, target))
            if target.exists():
                target.rename(Path(beside) / "before")
            made.path.rename(target)
    except OSError as error:
        raise CheckpointError(f"{target}: expected room to write it, received {disk_fault(error)}.") from error
    say("kept", f"{target}: {card.network}, {RunFolder(target).weights('best').stat().st_size / 1e6:.2f} MB")
    return target


def keep_command(config: KeepConfig) -> int:
    """`carlaseg keep`: keeps the weights and says how they are used.

    Returns:
        0.
    """
    target = keep(config)
    weights = RunFolder(target).weights("best")
    if config.json:
        result(json.dumps({"path": str(target), "bytes": weights.stat().st_size, "sha256": _sha256(weights)}))
    else:
        result(str(target))
    known = target.name if config.weights == Path(KEPT) else str(target)
    say("next", f"carlaseg infer --weights {shlex.quote(known)} --input FOLDER")
    return 0


def _refuse_scores_of_others(run: RunFolder, scores: dict[str, Any]) -> None:
    """A run that was continued and stopped has newer best weights than its last end has scored by class."""
    best = [record.get("epoch") for record in run.metrics() if record.get("best")]
    if best and scores.get("epoch", best[-1]) != best[-1]:
        raise CheckpointError(
            f"{run}: expected scores of its best weights, which are of epoch {best[-1]}, received those of epoch "
            f"{scores['epoch']}: it was stopped before its end. Nothing was kept.",
            (("let it end", f"carlaseg train --resume {shlex.quote(str(run))}"),),
        )


def _refuse_better(there: RunFolder, mean_iou: float) -> None:
    before = _number(there, there.read_json("validation_metrics.json"), "mean_iou")
    if before >= mean_iou:
        raise ConfigError(
            f"{there}: expected weights that are better than those that are there (validation mIoU {before:.4f}), "
            f"received {mean_iou:.4f}. Nothing was changed.",
            (("replace them all the same", "the same command with --overwrite"), ("or keep both", "--name ANOTHER")),
        )


def _card(run: RunFolder, made: RunFolder, config: KeepConfig, scores: dict[str, Any], target: Path) -> str:
    """README.md: whose weights these are, what they were trained on, how good they are. Facts alone."""
    card = run.model_card()
    settings = run.read_json("config.json")
    environment = run.read_json("environment.json") if (run.path / "environment.json").is_file() else {}
    epochs = run.metrics()
    weights = made.weights("best")
    seconds = sum(float(epoch.get("train_s") or 0.0) for epoch in epochs)
    facts = {
        "network": f"`{card.network}`, {card.parameters:,} parameters, options `{json.dumps(card.options)}`",
        "classes": f"{card.num_classes} of the scheme {card.scheme}",
        "data": ", ".join(f"`{folder}`" for folder in settings.get("dataset", [])) or "unknown",
        "licence of the data, and so of the weights": config.data_licence,
        "size": f"{card.size[0]}x{card.size[1]} (height x width)",
        "command": f"`{shlex.join(str(word) for word in environment.get('command', [])) or 'unknown'}`",
        "commit": source_commit(),
        "seed": settings.get("seed", "unknown"),
        "machine": ", ".join(str(environment[key]) for key in ("device", "backend") if key in environment) or "unknown",
        "time": f"{counted(len(epochs), 'epoch')}, {duration(seconds)} of training steps",
        "weights": f"float16, {weights.stat().st_size:,} bytes, SHA-256 `{_sha256(weights)}`",
        "kept by": f"carlaseg {__version__} from the run {run.name}",
    }
    rows = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
    classes = "\n".join(
        f"| {entry['name']} | {entry['share']:.2%} | {_percent(entry['iou'])} | {_percent(entry['recall'])} |"
        for entry in sorted(scores.get("classes", []), key=lambda entry: -entry["share"])
    )
    return f"""---
library_name: keras
pipeline_tag: image-segmentation
tags: [semantic-segmentation, carla, carlaseg]
---

# {target.name}

| | |
| --- | --- |
{rows}

## On the run's validation frames

mean IoU **{_percent(scores.get("mean_iou"))}** over {scores.get("classes_present")} classes, pixel accuracy
{_percent(scores.get("pixel_accuracy"))}. The epoch was chosen on the same frames.

| class | share | IoU % | recall % |
| --- | ---: | ---: | ---: |
{classes}

## Use

```
carlaseg infer --weights {shlex.quote(target.name)} --input FOLDER_OF_IMAGES
```
"""


def _number(run: RunFolder, values: dict[str, Any], name: str) -> float:
    value = values.get(name)
    if not isinstance(value, int | float):
        raise CheckpointError(
            f"{run.path / 'validation_metrics.json'}: expected the {name} of a validation, received {value!r}."
        )
    return float(value)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def source_commit() -> str:
    """The commit of the source tree this runs from, where it is one."""
    here = Path(__file__).resolve().parents[2]
    # An installed package may lie inside somebody else's repository, whose commit says nothing of ours.
    if not (here / ".git").exists() or shutil.which("git") is None:
        return "unknown (not run from a source tree)"
    asked = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=here, capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() if asked.returncode == 0 else "unknown"
