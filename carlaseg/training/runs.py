"""`carlaseg runs`: what was trained, how well, for how long, and what changed since the last run on the same data."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carlaseg import config as configs
from carlaseg.checkpoint import RunFolder
from carlaseg.config import RunsConfig, TrainConfig, to_json
from carlaseg.console import duration, result, say
from carlaseg.errors import CarlasegError, CheckpointError

SAME_DATA = ("dataset", "validation", "validation_share", "scheme", "classes")
"""Settings that decide what a score means; runs that differ in one of them are not compared."""
NOT_A_CHANGE = (
    *SAME_DATA,
    "run",
    "runs",
    "resume",
    "json",
    "dry_run",
    "minutes",
    "cache",
    "tensorboard",
    "require_gpu",
    "processes",
    "coordinator",
    "process",
)
CHANGES_SHOWN = 4


@dataclass(frozen=True)
class Line:
    """A row of the table.

    Attributes:
        run: name of the folder.
        model: name of the network.
        data: folders it trained on.
        best_mean_iou: best validation mIoU, 0 to 1; None before the first epoch.
        epochs: epochs done.
        of_epochs: epochs asked for.
        train_s: seconds of training steps.
        compared_with: the last run before it on the same data; None when there is none.
        difference: best mIoU less that run's.
        changed: settings that differ from that run's, `name before -> after`.
    """

    run: str
    model: str
    data: tuple[str, ...]
    best_mean_iou: float | None
    epochs: int
    of_epochs: int | None
    train_s: float
    compared_with: str | None = None
    difference: float | None = None
    changed: tuple[str, ...] = ()


def table(runs: Path) -> list[Line]:
    """Every run under a folder, oldest first; a folder that cannot be read is said and left out."""
    found: list[tuple[float, Line, TrainConfig]] = []
    for path in sorted(runs.glob("*/")):
        if not (path / "config.json").is_file() or not (path / "model.json").is_file():
            continue
        run = RunFolder(path)
        try:
            # model.json is written once, when the run begins.
            began_s = (path / "model.json").stat().st_mtime
            config = configs.load(TrainConfig, path / "config.json")
            found.append((began_s, _line(run, config), config))
        except CarlasegError as error:
            say("note", f"{path} is left out: {error.message}")
    found.sort(key=lambda entry: (entry[0], entry[1].run))
    lines: list[Line] = []
    last: dict[tuple[str, ...], tuple[Line, TrainConfig]] = {}
    for _, line, config in found:
        data = tuple(str(getattr(config, name)) for name in SAME_DATA)
        if data in last:
            line = _compared(line, config, *last[data])
        lines.append(line)
        last[data] = (line, config)
    return lines


def comparison(line: Line) -> str | None:
    """A run against the one before, in a sentence; None when there is nothing to compare with."""
    if line.compared_with is None or line.difference is None:
        return None
    changed = ", ".join(line.changed[:CHANGES_SHOWN]) or "no setting differs"
    more = len(line.changed) - CHANGES_SHOWN
    return f"mIoU {line.difference:+.3f} against {line.compared_with}, the last run on the same data: {changed}" + (
        f", and {more} more" if more > 0 else ""
    )


def runs_command(config: RunsConfig) -> int:
    """`carlaseg runs`.

    Raises:
        CheckpointError: there is no run.
    """
    lines = table(config.runs)
    if not lines:
        raise CheckpointError(
            f"{config.runs}: expected at least one run, received none.",
            (("train one", "carlaseg train --dataset dataset"),),
        )
    if config.json:
        result(json.dumps({"format": 1, "runs": [dataclasses.asdict(line) for line in lines]}))
        return 0
    for text in _printed(lines):
        result(text)
    return 0


def _line(run: RunFolder, config: TrainConfig) -> Line:
    records = run.metrics()
    return Line(
        run=run.name,
        model=config.model,
        data=tuple(str(folder) for folder in config.dataset),
        best_mean_iou=max((float(record["val_mean_iou"]) for record in records), default=None),
        epochs=len(records),
        of_epochs=config.epochs,
        train_s=sum(float(record.get("train_s", 0.0)) for record in records),
    )


def _compared(line: Line, config: TrainConfig, other: Line, before: TrainConfig) -> Line:
    now, then = to_json(config), to_json(before)
    changed = tuple(
        f"{name} {_short(then[name])} -> {_short(now[name])}"
        for name in now
        if name not in NOT_A_CHANGE and now[name] != then[name]
    )
    both = line.best_mean_iou is not None and other.best_mean_iou is not None
    difference = (line.best_mean_iou or 0.0) - (other.best_mean_iou or 0.0) if both else None
    return dataclasses.replace(line, compared_with=other.run, difference=difference, changed=changed)


def _printed(lines: Sequence[Line]) -> list[str]:
    width = max(len("run"), *(len(line.run) for line in lines))
    model = max(len("network"), *(len(line.model) for line in lines))
    head = f"{'run':<{width}}  {'network':<{model}}  {'mIoU':>6} {'change':>7} {'epochs':>9} {'trained':>8}   data"
    rows = [head]
    for line in lines:
        score = "-" if line.best_mean_iou is None else f"{line.best_mean_iou:.3f}"
        change = "" if line.difference is None else f"{line.difference:+.3f}"
        epochs = f"{line.epochs}/{line.of_epochs or '?'}"
        rows.append(
            f"{line.run:<{width}}  {line.model:<{model}}  {score:>6} {change:>7} {epochs:>9} "
            f"{duration(line.train_s):>8}   {' '.join(line.data)}"
        )
    said = comparison(lines[-1])
    return rows if said is None else [*rows, "", f"the newest: {said}"]


def _short(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
