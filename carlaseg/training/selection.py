"""What a run trains and validates on: folders opened, one label scheme, two parts that share no drive, every mask seen.

Rule 1: one training set has one label scheme. Another one is refused, or asked for as the target of a remap.
Rule 2: nothing is trained before every mask was read once: a damaged file or a strange id ends the run here, not in
epoch 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carlaseg import labels
from carlaseg.config import TrainConfig
from carlaseg.console import Progress
from carlaseg.dataset import Sample, open_dataset, read_mask, split_by_drive
from carlaseg.errors import DatasetError
from carlaseg.labels import LabelScheme
from carlaseg.pipeline.batches import WORKERS, ahead

MANY = 2000
"""Masks whose reading takes seconds; fewer need no progress line."""
RARE_SHARE = 0.001
"""A class with a smaller share of the pixels is named before the training: its IoU will be poor."""


@dataclass(frozen=True)
class Selection:
    """The frames of a run.

    Attributes:
        train: frames to train on.
        validation: frames to validate on, of other drives.
        note: how they were split, for people.
        source: label scheme of the masks on disk.
        target: label scheme of the network's classes.
        table: uint8, (256,): id on disk to class id, 255 for void.
        lossy: what the translation between the two loses, a sentence each.
        layouts: what the folders were found to be.
    """

    train: tuple[Sample, ...]
    validation: tuple[Sample, ...]
    note: str
    source: LabelScheme
    target: LabelScheme
    table: NDArray[np.uint8]
    lossy: tuple[str, ...]
    layouts: tuple[str, ...]


@dataclass(frozen=True)
class ClassCounts:
    """Pixels of the training masks, at the size they have on disk.

    Attributes:
        pixels: int64, (C,): pixels of each class.
        pixels_where_shown: int64, (C,): labelled pixels of the frames that show the class.
        void: pixels of no class.
    """

    pixels: NDArray[np.int64]
    pixels_where_shown: NDArray[np.int64]
    void: int

    @property
    def shares(self) -> NDArray[np.float64]:
        """Share of the labelled pixels a class, 0 to 1."""
        return self.pixels / max(1, int(self.pixels.sum()))


def select(config: TrainConfig) -> Selection:
    """Open the folders and decide what is trained and what is validated on.

    Raises:
        DatasetError: a folder that is no dataset, two schemes at once, a drive on both sides.
        ConfigError: an unknown scheme, or a remap that makes no sense.
    """
    train: list[Sample] = []
    validation: list[Sample] = []
    schemes: dict[str, LabelScheme] = {}
    layouts: list[str] = []

    def samples_of(folder: Path, split: str | None) -> list[Sample]:
        opened = open_dataset(folder, config.scheme, split, masks_required=True)
        assert opened.scheme is not None  # what masks_required asks for
        schemes[str(folder)] = opened.scheme
        layouts.append(opened.layout)
        return list(opened.samples)

    unsplit: list[Sample] = []
    for folder in config.dataset:
        splits = open_dataset(folder, config.scheme).splits
        if {"train", "val"} <= set(splits):
            train += samples_of(folder, "train")
            if not config.validation:
                validation += samples_of(folder, "val")
        else:
            unsplit += samples_of(folder, None)
    for folder in config.validation:
        splits = open_dataset(folder, config.scheme).splits
        validation += samples_of(folder, "val" if "val" in splits else None)
    labels.require_one_scheme(schemes)

    notes = ["the layout's own train and val"] if train and not config.validation else []
    if config.validation:
        train += unsplit
        notes.append(f"validation on {', '.join(map(str, config.validation))}")
    elif unsplit:
        parts = split_by_drive(unsplit, config.validation_share, config.seed)
        train += parts.train
        validation += parts.validation
        notes.append(parts.note)
    if not train or not validation:
        empty = "train" if not train else "validate"
        raise DatasetError(f"{', '.join(map(str, config.dataset))}: expected frames to {empty} on, received none.")
    _refuse_overlap(train, validation)

    source = next(iter(schemes.values()))
    target = source if config.classes is None else labels.scheme(config.classes)
    translation = labels.remap(source, target)
    table = target.void_table[translation.table]
    return Selection(
        tuple(train),
        tuple(validation),
        "; ".join(notes),
        source,
        target,
        table,
        translation.lossy,
        tuple(dict.fromkeys(layouts)),
    )


def count_classes(selection: Selection) -> ClassCounts:
    """Read every mask of both parts, and count the classes of the training part.

    Raises:
        DatasetError: a damaged file, an id outside the scheme (names file, pixel and id), or void alone.
    """
    num_classes = selection.target.num_classes
    pixels = np.zeros(num_classes, np.int64)
    shown = np.zeros(num_classes, np.int64)
    void = 0

    def histogram(sample: Sample) -> NDArray[np.int64]:
        return np.bincount(selection.table[read_mask(sample)].ravel(), minlength=256).astype(np.int64)

    samples = [*selection.train, *selection.validation]
    with Progress("checks", len(samples), "masks") if len(samples) > MANY else nullcontext() as progress:
        for index, counts in enumerate(ahead(histogram, samples, WORKERS)):
            if index < len(selection.train):
                own = counts[:num_classes]
                pixels += own
                shown[own > 0] += own.sum()
                void += int(counts[labels.IGNORE_ID])
            if progress is not None:
                progress.advance()
    if not pixels.any():
        raise DatasetError(
            f"{selection.train[0].mask_path}: expected pixels of {selection.target.name} in the {len(selection.train)} "
            "training masks, received void alone."
        )
    return ClassCounts(pixels, shown, void)


def _refuse_overlap(train: Sequence[Sample], validation: Sequence[Sample]) -> None:
    images = {sample.image_path.resolve() for sample in train}
    both = [sample for sample in validation if sample.image_path.resolve() in images]
    if both:
        raise DatasetError(
            f"{both[0].image_path}: expected a frame of one part alone, received it for training and for validation "
            f"({len(both)} such frames). Nothing was trained.",
        )
