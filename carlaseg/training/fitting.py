"""What of sizes and batches fits this machine: a model of memory, set and checked by short trials.

Peak memory is taken to be a + b x (sum of all layers' outputs). Without a trial a and b are those of `memory`; two
trials, at the two ends of what is asked for and fits, set them for this machine, backend, network and precision. Every
further trial says how far the model is off, and one that is off by more than `TOLERANCE` moves it.
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

import numpy as np

from carlaseg.children import environment
from carlaseg.config import Size, TrainConfig, to_json
from carlaseg.console import say
from carlaseg.errors import ConfigError
from carlaseg.training import memory

SAFE_SHARE = 0.9
"""Share of the free memory that may be planned for; the rest is for batches made ahead and other programs."""
TOLERANCE = 0.15
"""How far the model may be from a trial before that trial is taken into it."""


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
        off: how far the model was from the trial before it knew of it, as a share of the trial; None without one, and
            for the two trials that set the model.
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
    off: float | None = None
    image_s: float | None = None
    epoch_s: float | None = None
    note: str = ""

    @property
    def pixels(self) -> int:
        """Pixels of a picture."""
        return self.size[0] * self.size[1]


@dataclass(frozen=True)
class Trials:
    """How much may be tried.

    Attributes:
        count: trials a network; 0 asks the model alone.
        minutes: longest time of one.
    """

    count: int
    minutes: float


def shared_memory_politely() -> None:
    """Let the trials have the GPU's memory, which this process would otherwise take whole as soon as it looks at it.

    Call it before the backend is loaded.
    """
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


def fitting_rows(
    config: TrainConfig,
    num_classes: int,
    sizes: Sequence[Size],
    batch_sizes: Sequence[int],
    frames: int,
    trials: Trials,
    free: int | None,
) -> list[Row]:
    """Every size with every batch, for one network.

    Args:
        config: the network, its precision, its optimiser; size and batch size are not looked at.
        num_classes: classes of the network.
        sizes: pictures to look at.
        batch_sizes: images a step to look at.
        frames: frames of an epoch.
        trials: how much may be tried.
        free: bytes of memory there are; None where nobody knows.

    Raises:
        ConfigError: a network that cannot be built or trained.
    """
    import keras

    from carlaseg.training.network import build_network

    with keras.device("cpu"):
        model, _ = build_network(config, num_classes)
    # A larger picture or batch of the same network: outputs grow with both, exactly.
    rows = [
        Row((size.height, size.width), batch, memory.activation_bytes(model, size, batch))
        for size in sizes
        for batch in sorted(batch_sizes)
    ]
    known = (float(memory.fixed_bytes(model)), memory.KEPT_SHARE)
    _expect(rows, *known, free)
    measured: list[Row] = []
    for row in _to_try(rows, trials.count):
        _try(row, config, num_classes, trials)
        if row.measured_bytes is None:
            continue
        off = row.expected_bytes / row.measured_bytes - 1
        if len(measured) >= 2:
            row.off = off
        measured.append(row)
        if len(measured) <= 2 or abs(off) > TOLERANCE:
            known = _calibrated(measured, known)
            _expect(rows, *known, free)
    _expect_times(rows, measured, frames)
    return rows


def best_that_fits(rows: Sequence[Row], least_batch: int = 1, longest_epoch_s: float | None = None) -> Row | None:
    """The largest picture that fits, with its largest batch; None when nothing does.

    Args:
        rows: what there is.
        least_batch: a smaller picture is taken before a smaller batch than this.
        longest_epoch_s: slower rows are taken only where none is fast enough, the fastest then.
    """
    fitting = [row for row in rows if row.fits is not False and not row.note]
    if longest_epoch_s is not None and fitting:
        quick = [row for row in fitting if row.epoch_s is None or row.epoch_s <= longest_epoch_s]
        fitting = quick or [row for row in fitting if row.pixels == min(other.pixels for other in fitting)]
    return max(fitting, key=lambda row: (min(row.batch_size, least_batch), row.pixels, row.batch_size), default=None)


def _expect(rows: Sequence[Row], fixed: float, share: float, free: int | None) -> None:
    for row in rows:
        row.expected_bytes = int(fixed + share * row.activation_bytes)
        if not row.note:
            row.fits = None if free is None else row.expected_bytes <= SAFE_SHARE * free


def _expect_times(rows: Sequence[Row], timed: Sequence[Row], frames: int) -> None:
    """Fill in times: of rows without a trial scaled by pixels from the trial of the nearest size."""
    known = [(row.pixels, row.image_s) for row in timed if row.image_s is not None]
    for row in rows:
        if row.image_s is None and known:
            pixels, image_s = min(known, key=lambda entry: abs(entry[0] - row.pixels))
            row.image_s = image_s * row.pixels / pixels
        row.epoch_s = None if row.image_s is None else row.image_s * frames


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
    """The two numbers of the model: from one trial the fixed part alone, from more the line with the least error.

    The error of a trial is its share, so that a large trial does not push a small one off its place.
    """
    outputs = np.array([row.activation_bytes for row in measured], np.float64)
    taken = np.array([row.measured_bytes for row in measured], np.float64)
    if len(set(outputs.tolist())) == 1:
        return float(taken[0] - known[1] * outputs[0]), known[1]
    line = np.stack([np.ones_like(outputs), outputs], axis=1) / taken[:, None]
    fixed, share = np.linalg.lstsq(line, np.ones_like(taken), rcond=None)[0]
    return float(fixed), float(share)


def _try(row: Row, config: TrainConfig, num_classes: int, trials: Trials) -> None:
    """Measure a row in a process of its own."""
    settings: dict[str, Any] = to_json(
        dataclasses.replace(config, size=Size(*row.size), batch_size=row.batch_size, crop=None, full_size_epochs=0)
    )
    say("trial", f"{config.model} {Size(*row.size)}, batch {row.batch_size}")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "carlaseg.training.trial", json.dumps({**settings, "num_classes": num_classes})],
            capture_output=True, text=True, timeout=trials.minutes * 60, env=environment(),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        row.note = f"longer than {trials.minutes:g} min"
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
