"""`carlaseg fit` prints what fits this machine; `carlaseg train --batch-size auto --size auto` takes the best of it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from carlaseg.backend import prepare_backend
from carlaseg.config import AUTO_BATCH, AUTO_SIZE, FitConfig, Size, TrainConfig
from carlaseg.console import duration, result, say
from carlaseg.dataset import open_dataset, read_image
from carlaseg.errors import ConfigError
from carlaseg.pipeline import Selection
from carlaseg.training import memory
from carlaseg.training.device import Device, available_memory_bytes, find_device
from carlaseg.training.fitting import Row, Trials, best_that_fits, fitting_rows, shared_memory_politely

FRAMES_WHEN_UNKNOWN = 1000
BATCHES = (1, 2, 4, 8, 16)
"""What `auto` chooses from; beyond 16 a batch trains no better for its memory."""
LEAST_BATCH = 4
"""`auto` takes a smaller picture before a smaller batch: batch norm learns little from fewer pictures."""
LEAST_UPDATES = 16
"""Updates of an epoch that `auto` leaves at least; one huge batch an epoch would not learn."""
SHARES = (1.0, 0.75, 0.5, 0.375, 0.25)
"""Shares of the pictures' own sides that `auto` chooses from."""
MULTIPLE = 32
"""Sides are multiples of it: no network of ours halves more than five times."""
STEPS_OF_AN_EPOCH = 0.8
"""Share of an epoch's time that its steps take; the rest is validation and files."""
AUTO_TRIALS = Trials(count=2, minutes=4.0)


def fit_command(config: FitConfig) -> int:
    """`carlaseg fit`."""
    shared_memory_politely()
    prepare_backend()
    device = find_device()
    free = available_memory_bytes(device)
    say("device", f"{device.name}   {device.backend}" + ("" if free is None else f"   {memory.gib(free)} free"))
    frames = sum(len(open_dataset(folder).samples) for folder in config.dataset) or FRAMES_WHEN_UNKNOWN
    trials = Trials(config.trials, config.trial_minutes)
    tables = [
        (network, fitting_rows(network, config.num_classes, config.sizes, config.batch_sizes, frames, trials, free))
        for network in _networks(config)
    ]
    if config.json:
        entries = [
            {"precision": network.precision, "groups": network.groups, **dataclasses.asdict(row)}
            for network, rows in tables
            for row in rows
        ]
        result(json.dumps({"format": 1, "model": config.model, "rows": entries}))
        return 0
    for network, rows in tables:
        _print(network, rows, len(tables) > 1)
    return 0


def chosen(config: TrainConfig, selection: Selection, device: Device) -> tuple[TrainConfig, str]:
    """The settings with the size and the batch in the place of `auto`, and a sentence on why.

    The largest picture that fits with a batch of four, then the largest batch. With --minutes it also has to do its
    epochs in that time.

    Raises:
        ConfigError: nothing fits.
    """
    sizes = _sizes(config, selection) if config.size == AUTO_SIZE else [config.size]
    frames = len(selection.train)
    batches = [count for count in BATCHES if count == 1 or count * LEAST_UPDATES <= frames]
    if config.batch_size != AUTO_BATCH:
        batches = [config.batch_size]
    # What a step sees; --size auto is taken with whole frames, which the last epochs or the validation need anyway.
    flag, crop = memory.largest_pictures(config)
    stepped = [crop] if flag == "--crop" else sizes
    free = available_memory_bytes(device)
    rows = fitting_rows(config, selection.target.num_classes, stepped, batches, frames, AUTO_TRIALS, free)
    longest_s = None
    if config.minutes is not None and config.epochs is not None:
        longest_s = STEPS_OF_AN_EPOCH * config.minutes * 60 / config.epochs
    best = best_that_fits(rows, min(LEAST_BATCH, batches[-1]), longest_s)
    if best is None:
        raise ConfigError(
            f"--size auto --batch-size auto: expected something of {sizes[-1]} to {sizes[0]} to fit, received "
            f"{config.model} needing at least {memory.gib(min(row.expected_bytes for row in rows))}. "
            "Nothing was trained.",
            (("a smaller network", "carlaseg models"),),
        )
    size = Size(*best.size) if stepped is sizes else sizes[0]
    why = f"--size {size} --batch-size {best.batch_size}, about {memory.gib(best.expected_bytes)}"
    if free is not None:
        why += f" of {memory.gib(free)} free"
    if best.epoch_s is not None:
        why += f"; the steps of an epoch take about {duration(best.epoch_s)}"
    return dataclasses.replace(config, size=size, batch_size=best.batch_size), why


def _sizes(config: TrainConfig, selection: Selection) -> list[Size]:
    """Shares of the size of the first training picture, the largest first, none smaller than a crop."""
    height, width = read_image(selection.train[0].image_path).shape[:2]
    sizes = [
        Size(*(max(MULTIPLE, round(side * share / MULTIPLE) * MULTIPLE) for side in (height, width)))
        for share in SHARES
    ]
    least = config.crop or Size(1, 1)
    large = [size for size in dict.fromkeys(sizes) if size.height >= least.height and size.width >= least.width]
    if not large:
        raise ConfigError(f"--size auto: expected pictures of at least --crop {least}, received {height}x{width}.")
    return large


def _networks(config: FitConfig) -> list[TrainConfig]:
    """The networks to look at: every number of groups in every precision."""
    own = TrainConfig(model=config.model, recompute=config.recompute)
    return [
        dataclasses.replace(own, precision=precision, groups=groups)
        for groups in (config.groups or (own.groups,))
        for precision in config.precision
    ]


def _print(network: TrainConfig, rows: Sequence[Row], several: bool) -> None:
    named = f"--model {network.model}" + (f" --groups {network.groups}" if network.model == "fc_densenet" else "")
    named += f" --precision {network.precision}" if network.precision != "float32" else ""
    named += " --recompute" if network.recompute else ""
    if several:
        result(f"\n{named}")
    result(
        f"{'size':>9} {'batch':>5} {'memory':>10} {'fits':>5} {'measured':>10} {'off':>6} {'images/s':>8} {'epoch':>9}"
    )
    for row in rows:
        result(_text(row))
    best = best_that_fits(rows)
    if best is not None:
        say("use", f"{named} --size {Size(*best.size)} --batch-size {best.batch_size}")
    else:
        say("use", f"nothing of this fits; {memory.gib(min(row.expected_bytes for row in rows))} are the least")


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
