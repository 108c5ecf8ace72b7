"""Which frames a run trains and validates on: folders opened, one label scheme, two parts that share no drive.

Training asks for them to learn from; export asks again, from the run's settings, for pictures to calibrate with and
for the frames that no weight has seen. The same settings give the same two parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from carlaseg import labels
from carlaseg.dataset import Sample, open_dataset, split_by_drive
from carlaseg.errors import DatasetError
from carlaseg.labels import LabelScheme


class DataSettings(Protocol):
    """The settings of a training that decide its frames; `TrainConfig` has them all."""

    @property
    def dataset(self) -> tuple[Path, ...]:
        """Folders to train on."""

    @property
    def validation(self) -> tuple[Path, ...]:
        """Folders to validate on."""

    @property
    def validation_share(self) -> float:
        """Share to hold out where there are none."""

    @property
    def scheme(self) -> str | None:
        """Label scheme of the masks."""

    @property
    def classes(self) -> str | None:
        """Label scheme of the network."""

    @property
    def seed(self) -> int:
        """Decides which drives are held out."""


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


def select(settings: DataSettings) -> Selection:
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
        opened = open_dataset(folder, settings.scheme, split, masks_required=True)
        assert opened.scheme is not None  # what masks_required asks for
        schemes[str(folder)] = opened.scheme
        layouts.append(opened.layout)
        return list(opened.samples)

    unsplit: list[Sample] = []
    for folder in settings.dataset:
        splits = open_dataset(folder, settings.scheme).splits
        if {"train", "val"} <= set(splits):
            train += samples_of(folder, "train")
            if not settings.validation:
                validation += samples_of(folder, "val")
        else:
            unsplit += samples_of(folder, None)
    for folder in settings.validation:
        splits = open_dataset(folder, settings.scheme).splits
        validation += samples_of(folder, "val" if "val" in splits else None)
    labels.require_one_scheme(schemes)

    notes = ["the layout's own train and val"] if train and not settings.validation else []
    if settings.validation:
        train += unsplit
        notes.append(f"validation on {', '.join(map(str, settings.validation))}")
    elif unsplit:
        parts = split_by_drive(unsplit, settings.validation_share, settings.seed)
        train += parts.train
        validation += parts.validation
        notes.append(parts.note)
    if not train or not validation:
        empty = "train" if not train else "validate"
        raise DatasetError(f"{', '.join(map(str, settings.dataset))}: expected frames to {empty} on, received none.")
    _refuse_overlap(train, validation)

    source = next(iter(schemes.values()))
    target = source if settings.classes is None else labels.scheme(settings.classes)
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


def _refuse_overlap(train: Sequence[Sample], validation: Sequence[Sample]) -> None:
    images = {sample.image_path.resolve() for sample in train}
    both = [sample for sample in validation if sample.image_path.resolve() in images]
    if both:
        raise DatasetError(
            f"{both[0].image_path}: expected a frame of one part alone, received it for training and for validation "
            f"({len(both)} such frames). Nothing was trained.",
        )
