"""`carlaseg fit`: which size and batch of a network fit this machine, and how long an epoch takes.

Peak memory is taken to be a + b x (sum of all layers' outputs). Without a trial a and b are those of `memory`; two
trials, at the two ends of what is asked for and fits, set them for this machine, backend and precision, and every
further trial says how far the model is off.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from carlaseg.config import FitConfig, Size, TrainConfig
from carlaseg.console import duration, result, say
from carlaseg.errors import ConfigError
from carlaseg.training import memory
from carlaseg.training.device import available_memory_bytes, find_device, prepare_backend

FRAMES_WHEN_UNKNOWN = 1000
SAFE_SHARE = 0.9
"""Share of the free memory that may be planned for; the rest is for batches made ahead and other programs."""


@dataclass
class Row:
    """A size and a batch.

    Attributes:
        size: (height, width).
        batch_size: images a step.
        activation_bytes: sum of all layers' outputs.
        expected_bytes: what the model says.
        fits: whether that is within the free memory; None where that is unknown.
        measured_bytes: what a trial took; None without one.
        image_s: seconds an image of a step, measured or scaled by pixels from a trial; None without any.
        epoch_s: seconds of the steps of an epoch.
        note: why a trial gave nothing.
    """

    size: tuple[int, int]
    batch_size: int
    activation_bytes: int
    expected_bytes: int = 0
    fits: bool | None = None
    measured_bytes: int | None = None
    image_s: float | None = None
    epoch_s: float | None = None
    note: str = ""

    @property
    def off(self) -> float | None:
        """How far the model is from the trial, as a share of the trial."""
        return None if self.measured_bytes is None else self.expected_bytes / self.measured_bytes - 1


def fit(config: FitConfig) -> list[Row]:
    """The table: every size with every batch.

    Raises:
        ConfigError: an unknown network.
        DatasetError: a dataset that cannot be opened.
    """
    prepare_backend()
    from carlaseg.training.network import build_network

    device = find_device()
    free = available_memory_bytes(device)
    say("device", f"{device.name}   {device.backend}" + ("" if free is None else f"   {memory.gib(free)} free"))
    model, _ = build_network(TrainConfig(model=config.model, precision=config.precision), config.num_classes)
    # A larger picture or batch of the same network: outputs grow with both, exactly.
    rows = [
        Row((size.height, size.width), batch, memory.activation_bytes(model, size, batch))
        for size in config.sizes
        for batch in sorted(config.batch_sizes)
    ]
    known = (float(memory.fixed_bytes(model)), memory.KEPT_SHARE)
    _expect(rows, *known, free)
    measured: list[Row] = []
    for row in _to_try(rows, config.trials):
        _try(row, config)
        if row.measured_bytes is not None:
            measured.append(row)
            if len(measured) <= 2:
                known = _calibrated(measured, known)
                _expect(rows, *known, free)
    frames = _frames(config)
    timed = [row for row in measured if row.image_s is not None]
    for row in rows:
        if row.image_s is None and timed:
            pixels = row.size[0] * row.size[1]
            near = min(timed, key=lambda other: abs(other.size[0] * other.size[1] - pixels))
            row.image_s = (near.image_s or 0.0) * pixels / (near.size[0] * near.size[1])
        row.epoch_s = None if row.image_s is None else row.image_s * frames
    return rows


def fit_command(config: FitConfig) -> int:
    """`carlaseg fit`."""
    rows = fit(config)
    if config.json:
        values = [{**dataclasses.asdict(row), "off": row.off} for row in rows]
        result(json.dumps({"format": 1, "model": config.model, "precision": config.precision, "rows": values}))
        return 0
    result(
        f"{'size':>9} {'batch':>5} {'memory':>10} {'fits':>5} {'measured':>10} {'off':>6} {'images/s':>8} {'epoch':>9}"
    )
    for row in rows:
        result(_text(row))
    best = best_that_fits(rows)
    if best is not None:
        say("use", f"--model {config.model} --size {Size(*best.size)} --batch-size {best.batch_size}")
    else:
        say("use", f"nothing of this fits; {memory.gib(min(row.expected_bytes for row in rows))} are the least")
    return 0


def best_that_fits(rows: Sequence[Row]) -> Row | None:
    """The largest picture that fits, with its largest batch; None when nothing does."""
    fitting = [row for row in rows if row.fits is not False and not row.note]
    return max(fitting, key=lambda row: (row.size[0] * row.size[1], row.batch_size), default=None)


def _expect(rows: Sequence[Row], fixed: float, share: float, free: int | None) -> None:
    for row in rows:
        row.expected_bytes = int(fixed + share * row.activation_bytes)
        row.fits = None if free is None else row.expected_bytes <= SAFE_SHARE * free


def _to_try(rows: Sequence[Row], count: int) -> list[Row]:
    """The smallest, the one nearest four times as large, then others between, all of what is expected to fit."""
    fitting = sorted((row for row in rows if row.fits is not False), key=lambda row: row.activation_bytes)
    if not fitting or not count:
        return []
    smallest = fitting.pop(0)
    # Four times is far enough apart for a slope, and its trial takes seconds rather than minutes.
    fitting.sort(key=lambda row: abs(row.activation_bytes / smallest.activation_bytes - 4))
    return [smallest, *fitting][:count]


def _calibrated(measured: Sequence[Row], known: tuple[float, float]) -> tuple[float, float]:
    """The two numbers of the model from one trial (the fixed part alone) or two."""
    first = measured[0]
    if len(measured) == 1 or first.activation_bytes == measured[1].activation_bytes:
        return float(first.measured_bytes or 0) - known[1] * first.activation_bytes, known[1]
    second = measured[1]
    share = ((second.measured_bytes or 0) - (first.measured_bytes or 0)) / (
        second.activation_bytes - first.activation_bytes
    )
    return (first.measured_bytes or 0) - share * first.activation_bytes, share


def _try(row: Row, config: FitConfig) -> None:
    """Measure a row in a process of its own."""
    settings: dict[str, Any] = {
        "model": config.model,
        "size": str(Size(*row.size)),
        "batch_size": row.batch_size,
        "precision": config.precision,
        "num_classes": config.num_classes,
    }
    say("trial", f"{Size(*row.size)}, batch {row.batch_size}")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "carlaseg.training.trial", json.dumps(settings)],
            capture_output=True, text=True, timeout=config.trial_minutes * 60, env=os.environ,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        row.note = f"longer than {config.trial_minutes:g} min"
        return
    if done.returncode < 0:
        row.note, row.fits = "killed, as systems do when memory runs out", False
        return
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise ConfigError(
            f"--model {config.model}: expected a training step of {Size(*row.size)}, batch {row.batch_size}, "
            f"received {lines[-1] if lines else 'an error without words'}."
        )
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    if answer.get("out_of_memory"):
        row.note, row.fits = "memory ran out", False
        return
    row.measured_bytes = int(answer["peak_bytes"])
    row.image_s = float(answer["step_s"]) / row.batch_size


def _frames(config: FitConfig) -> int:
    from carlaseg.dataset import open_dataset

    return sum(len(open_dataset(folder).samples) for folder in config.dataset) or FRAMES_WHEN_UNKNOWN


def _text(row: Row) -> str:
    measured = "" if row.measured_bytes is None else memory.gib(row.measured_bytes)
    off = "" if row.off is None else f"{row.off:+.0%}"
    rate = "" if row.image_s is None else f"{1 / row.image_s:.2f}"
    epoch = "" if row.epoch_s is None else duration(row.epoch_s)
    fits = {True: "yes", False: "no", None: "?"}[row.fits]
    return (
        f"{Size(*row.size)!s:>9} {row.batch_size:>5} {memory.gib(row.expected_bytes):>10} {fits:>5} {measured:>10} "
        f"{off:>6} {rate:>8} {epoch:>9}  {row.note}"
    ).rstrip()
