"""What stands ready before the first step, and the lines that say what will be trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from carlaseg import __version__
from carlaseg.backend import prepare_backend
from carlaseg.checkpoint import ModelCard, RunFolder, load_weights
from carlaseg.config import TrainConfig
from carlaseg.console import counted, say
from carlaseg.errors import ConfigError
from carlaseg.pipeline import Crop, EvaluationBatches, Selection, TrainingBatches, for_evaluation, for_training, select
from carlaseg.pipeline.cache import room_in_memory
from carlaseg.training import memory
from carlaseg.training.class_weights import class_weights
from carlaseg.training.device import (
    Device,
    available_memory_bytes,
    find_device,
    free_memory,
    make_deterministic,
)
from carlaseg.training.fit import chosen
from carlaseg.training.fitting import shared_memory_politely
from carlaseg.training.selection import RARE_SHARE, ClassCounts, count_classes
from carlaseg.training.tensorboard import require_tensorboard

if TYPE_CHECKING:  # it imports keras, which must not load before prepare_backend
    from carlaseg.training.averaging import Averaged

DEFAULT_EPOCHS = 30
SOUGHT_SHARE = 0.02
"""Classes with a smaller share of the pixels are what crops look for."""
Tell = Callable[[str, str], None]


@dataclass
class Built:
    """What changes with the batch size: the network with its optimiser, and where its batches come from."""

    model: Any
    options: dict[str, Any]
    scoring: Any
    averaged: Averaged | None
    train: TrainingBatches
    validation: EvaluationBatches


@dataclass
class Prepared:
    """Everything that stands ready before the first step."""

    config: TrainConfig
    epochs: int
    device: Device
    selection: Selection
    counts: ClassCounts
    weights: Sequence[float] | None
    card: ModelCard
    header: list[tuple[str, str]]
    built: Built | None

    @property
    def settings(self) -> TrainConfig:
        """The settings that make this run again, without those that only found its processes."""
        return replace(self.config, resume=None, epochs=self.epochs, coordinator=None, process=None)

    @property
    def model(self) -> Any:
        """The network."""
        return self._there.model

    @property
    def scoring(self) -> Any:
        """The network that scores."""
        return self._there.scoring

    @property
    def train(self) -> TrainingBatches:
        """Batches to train on."""
        return self._there.train

    @property
    def validation(self) -> EvaluationBatches:
        """Batches to validate on."""
        return self._there.validation

    @property
    def averaged(self) -> Averaged | None:
        """The mean of the weights, where one is kept."""
        return self._there.averaged

    @property
    def _there(self) -> Built:
        assert self.built is not None, "the network was let go and not built again"
        return self.built


def prepare(config: TrainConfig) -> Prepared:
    """Open, check and build all that a training needs, and say what will be trained. Nothing is written.

    Raises:
        ConfigError: settings that do not fit together, too little memory, no GPU where one is required.
        DatasetError: a folder, a file or a label scheme that cannot be trained on.
        CheckpointError: --init-from weights that do not fit.
    """
    header: list[tuple[str, str]] = []

    def tell(label: str, text: str) -> None:
        say(label, text)
        header.append((label, text))

    tell("train", f"carlaseg {__version__}   {config.model}   seed {config.seed}")
    selection = select(config)
    if config.is_auto:
        shared_memory_politely()
    prepare_backend()
    _refuse_early(config)
    device = find_device()
    tell("device", f"{device.name}   {device.backend}")
    if device.warning:
        tell("warning", device.warning)
    if config.require_gpu and not device.is_gpu:
        raise ConfigError(
            f"--require-gpu: expected a GPU, received {device.name}.",
            (("install", device.warning.rpartition(": ")[2]),) if device.warning else (),
        )
    # First of all: choosing a size may compute, and then it is too late for how TensorFlow uses the cores.
    make_deterministic(config.seed, device)
    if config.is_auto:
        config, why = chosen(config, selection, device)
        tell("auto", why)

    counts = count_classes(selection)
    _tell_data(tell, config, selection, counts)
    weights = class_weights(config.class_weights, counts.pixels, counts.pixels_where_shown)

    built = _build(config, selection, counts, weights)
    if config.init_from is not None and config.resume is None:
        tell("start", f"from the best weights of {RunFolder.find(config.init_from, config.runs)}")
    target = selection.target
    card = ModelCard(
        network=config.model,
        num_classes=target.num_classes,
        options={name: value for name, value in built.options.items() if name != "seed"},
        scheme=target.name,
        class_names=target.names,
        palette=tuple((int(r), int(g), int(b)) for r, g, b in target.palette[: target.num_classes]),
        size=(config.size.height, config.size.width),
        parameters=built.model.count_params(),
    )
    _tell_memory(tell, built, config, device, card)
    return Prepared(config, config.epochs or DEFAULT_EPOCHS, device, selection, counts, weights, card, header, built)


def _refuse_early(config: TrainConfig) -> None:
    """Refuse what needs no data to be refused, before every mask is read."""
    from carlaseg.training.network import network_options

    network_options(config)
    if config.tensorboard:
        require_tensorboard()
    if config.init_from is not None and config.resume is None:
        RunFolder.find(config.init_from, config.runs)


def rebuilt(ready: Prepared, config: TrainConfig) -> Prepared:
    """The same run with its network and batches made anew, for another batch size; what was there is let go first."""
    ready.built = None
    free_memory()
    built = _build(config, ready.selection, ready.counts, ready.weights)
    _make_room(say, built, config, ready.device)
    return replace(ready, config=config, built=built)


def _build(config: TrainConfig, selection: Selection, counts: ClassCounts, weights: Sequence[float] | None) -> Built:
    from carlaseg.training.averaging import Averaged
    from carlaseg.training.network import build_network, compile_for_training, scorer

    model, options = build_network(config, selection.target.num_classes)
    compile_for_training(model, config, weights)
    if config.init_from is not None and config.resume is None:
        load_weights(RunFolder.find(config.init_from, config.runs).weights("best"), model)
    crop = None
    if config.crop is not None:
        rare = np.zeros(256, bool)
        rare[: len(counts.shares)] = (counts.shares > 0) & (counts.shares < SOUGHT_SHARE)
        whole_from = (config.epochs or DEFAULT_EPOCHS) - config.full_size_epochs
        crop = Crop(config.crop, rare, whole_from)
    tables, size = selection.tables, config.size
    # Asked once: a store takes its memory frame by frame, so that the second would be promised the first one's.
    room = room_in_memory(_processes_here(config))
    train = for_training(
        selection.train, tables, size, config.batch_size, config.augment, config.seed, config.cache,
        config.accumulate, crop, selection.mix, (config.process or 0, config.processes), room,
    )  # fmt: skip
    left = room - train.frames.planned_bytes
    return Built(
        model,
        options,
        scorer(model),
        None if config.ema is None else Averaged(model),
        train,
        for_evaluation(selection.validation, tables, size, config.batch_size, config.cache, left),
    )


def _processes_here(config: TrainConfig) -> int:
    """Processes of this run on this machine: all of those that were started together, else this one."""
    together = config.coordinator is not None and config.coordinator.startswith(("127.", "localhost:"))
    return config.processes if together else 1


def _make_room(tell: Tell, built: Built, config: TrainConfig, device: Device) -> int:
    """Leave the frames out of memory where a step does not fit beside them; returns the bytes they will take there."""
    free = available_memory_bytes(device)
    stores = (built.train.frames, built.validation.frames)
    planned = sum(frames.planned_bytes for frames in stores) * _processes_here(config)
    if device.is_gpu or free is None or not planned:
        return 0  # frames lie in the memory of the machine, not in that of its GPU
    needed = memory.step_bytes(built.model, memory.largest_pictures(config)[1], config.batch_size // config.processes)
    if needed <= free - planned:
        return planned
    for frames in stores:
        frames.leave_memory()
    tell(
        "cache",
        f"none: a step needs about {memory.gib(needed)} and all frames {memory.gib(planned)} of the "
        f"{memory.gib(free)} free; every epoch decodes again, unless with --cache disk",
    )
    return 0


def _tell_data(tell: Tell, config: TrainConfig, selection: Selection, counts: ClassCounts) -> None:
    total = len(selection.train) + len(selection.validation)
    drives = len({sample.drive for sample in chain(selection.train, selection.validation)})
    tell(
        "data",
        f"{counted(total, 'frame')} of {counted(drives, 'drive')} ({', '.join(selection.layouts)}): "
        f"train {len(selection.train)}, validation {len(selection.validation)}, at {config.size} (height x width)",
    )
    for sentence in selection.evidence:
        tell("labels", sentence)
    tell("split", selection.note)
    if selection.mix is not None:
        of_folders = zip(config.dataset, selection.mix.counts(len(selection.train)), strict=True)
        tell("mix", "an epoch is " + ", ".join(f"{count} frames of {folder}" for folder, count in of_folders))
    tell("checks", f"{total} masks read: every file whole, every id known, no frame in both parts")
    names, shares = selection.target.names, counts.shares
    order = np.argsort(-shares, kind="stable")
    shown = [index for index in order if shares[index] > 0]
    tell(
        "classes",
        f"{len(shown)} of the {len(names)} of {selection.target.name} occur: "
        + ", ".join(f"{names[i]} {100 * shares[i]:.1f} %" for i in shown[:6])
        + (", ..." if len(shown) > 6 else ""),
    )
    rare = [f"{names[i]} {100 * shares[i]:.3f} %" for i in shown if shares[i] < RARE_SHARE]
    if rare:
        tell("note", f"rare classes will score low: {', '.join(rare[:4])}{', ...' if len(rare) > 4 else ''}")
    for loss in selection.lossy[:3]:
        tell("remap", loss)


def _tell_memory(tell: Tell, built: Built, config: TrainConfig, device: Device, card: ModelCard) -> None:
    model = built.model
    images = config.batch_size // config.processes
    flag, size = memory.largest_pictures(config)
    needed = memory.step_bytes(model, size, images)
    planned = _make_room(tell, built, config, device)
    free = available_memory_bytes(device)
    tell(
        "network",
        f"{card.parameters:,} parameters, {card.num_classes} classes; batch {images} needs about "
        f"{memory.gib(needed)}"
        + (f" of {memory.gib(free)} free" if free is not None else "")
        + (f", the frames in memory {memory.gib(planned)}" if planned else ""),
    )
    if free is not None and needed > free:
        raise ConfigError(
            f"{flag} {size} --batch-size {config.batch_size}: expected to need less than the {memory.gib(free)} "
            f"of memory that are free, received {config.model} needing about {memory.gib(needed)}. "
            "Nothing was trained.",
            (
                ("would fit", memory.what_would_fit(model, size, images, free, flag, config.processes)),
                *memory.by_recomputing(config),
            ),
        )
