"""Which frames a run trains and validates on: folders opened, their ids translated, two parts that share no drive.

Folders of different label schemes meet in the classes of `--classes`, by meaning: CARLA to learn from, CamVid to check.

Training asks for them to learn from; export asks again, from the run's settings, for pictures to calibrate with and
for the frames that no weight has seen. The same settings give the same two parts.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from carlaseg import labels
from carlaseg.dataset import Dataset, Sample, SampleTable, open_dataset, split_by_drive
from carlaseg.errors import ConfigError, DatasetError
from carlaseg.labels import LabelScheme
from carlaseg.pipeline.mix import Mix


class DataSettings(Protocol):
    """The settings of a training that decide its frames; `TrainConfig` has them all."""

    @property
    def dataset(self) -> tuple[Path, ...]:
        """Folders to train on."""

    @property
    def dataset_weights(self) -> tuple[float, ...]:
        """How much of an epoch each of them is."""

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
        target: label scheme of the network's classes.
        tables: uint8, (256,), by label scheme of the masks on disk: id there to class id, 255 for void.
        lossy: what the translations lose, a sentence each.
        layouts: what the folders were found to be.
        evidence: why each folder's label scheme was taken for what it is, a sentence a folder.
        mix: the share of each folder in an epoch; None where every frame comes once.
    """

    train: Sequence[Sample]
    validation: Sequence[Sample]
    note: str
    target: LabelScheme
    tables: Mapping[str, NDArray[np.uint8]]
    lossy: tuple[str, ...]
    layouts: tuple[str, ...]
    evidence: tuple[str, ...]
    mix: Mix | None = None


def select(settings: DataSettings) -> Selection:
    """Open the folders and decide what is trained and what is validated on.

    Raises:
        DatasetError: a folder that is no dataset, two schemes without common classes, a drive on both sides.
        ConfigError: an unknown scheme, a remap that makes no sense, weights that are not one a folder.
    """
    train: list[Sequence[Sample]] = []
    validation: list[Sequence[Sample]] = []
    unsplit: list[Sequence[Sample]] = []
    opened: list[Dataset] = []
    left_alone: set[Path] = set()

    def samples_of(folder: Path, split: str | None) -> Sequence[Sample]:
        opened.append(open_dataset(folder, settings.scheme, split, masks_required=True))
        return opened[-1].samples

    for folder in settings.dataset:
        splits = open_dataset(folder, settings.scheme).splits
        if "test" in splits:
            left_alone.add(folder.resolve())
        if {"train", "val"} <= set(splits):
            train.append(samples_of(folder, "train"))
            if not settings.validation:
                validation.append(samples_of(folder, "val"))
        else:
            unsplit.append(samples_of(folder, _learned_split(folder, splits)))
    checked_on = []
    for folder in settings.validation:
        split = _checked_split(folder, settings.scheme)
        validation.append(samples_of(folder, split))
        if split == "test":
            left_alone.discard(folder.resolve())
        checked_on.append(str(folder) if split is None else f"{folder} (its {split})")

    notes = ["the layout's own train and val"] if train and not settings.validation else []
    if settings.validation:
        train += unsplit
        notes.append(f"validation on {', '.join(checked_on)}")
    elif unsplit:
        parts = split_by_drive(_joined(unsplit), settings.validation_share, settings.seed)
        train.append(parts.train)
        validation.append(parts.validation)
        notes.append(parts.note)
    if left_alone:
        # Whoever keeps a test split wants a score of it later that no weight and no choice has seen.
        notes.append("test frames are left alone")
    learned, checked = _joined(train), _joined(validation)
    if not learned or not checked:
        empty = "train" if not learned else "validate"
        raise DatasetError(f"{', '.join(map(str, settings.dataset))}: expected frames to {empty} on, received none.")
    _refuse_overlap(learned, checked)

    target, tables, lossy = translations(opened, settings.classes)
    return Selection(
        learned,
        checked,
        "; ".join(notes),
        target,
        tables,
        lossy,
        tuple(dict.fromkeys(data.layout for data in opened)),
        tuple(dict.fromkeys(_evidence(data) for data in opened)),
        _mix(learned, settings.dataset, settings.dataset_weights),
    )


def _learned_split(folder: Path, splits: Sequence[str]) -> str | None:
    """The split to train on of a folder that has not both train and val, never test; None where it has no splits.

    Raises:
        DatasetError: it has test frames alone.
    """
    if not splits:
        return None
    split = next((name for name in ("train", "val") if name in splits), None)
    if split is None:
        raise DatasetError(
            f"{folder}: expected frames to train on, received a dataset of test frames alone. Nothing was trained.",
            (("score on them", f"carlaseg train --dataset OTHER --validation {shlex.quote(str(folder))}"),),
        )
    return split


def _checked_split(folder: Path, scheme: str | None) -> str | None:
    """The split to validate on of a folder that was named for it: val, else test, else train; None without splits.

    Test frames of published sets mostly come without masks, and cannot be validated on.
    """
    splits = open_dataset(folder, scheme).splits
    if "val" in splits or not splits:
        return "val" if splits else None
    if "test" in splits and len(open_dataset(folder, scheme, "test").samples.masked):
        return "test"
    return "train" if "train" in splits else "test"


def _joined(parts: Sequence[Sequence[Sample]]) -> Sequence[Sample]:
    """Samples one after the other, still in columns: a million of them must not become a million objects."""
    return parts[0] if len(parts) == 1 else SampleTable(chain.from_iterable(parts))


def translations(
    opened: Sequence[Dataset], classes: str | None
) -> tuple[LabelScheme, dict[str, NDArray[np.uint8]], tuple[str, ...]]:
    """The network's classes, the table of each scheme to them, and what the tables lose.

    Raises:
        DatasetError: several schemes, and no word on the classes in which they meet.
    """
    sources: dict[str, LabelScheme] = {}
    for data in opened:
        assert data.scheme is not None  # what masks_required asks for
        sources[str(data.folder)] = data.scheme
    if classes is None:
        try:
            labels.require_one_scheme(sources)
        except DatasetError as error:
            steps = (*error.next_steps, ("by meaning", f"--classes {' | '.join(labels.SCHEMES)}"))
            raise DatasetError(error.message, steps) from error
    target = next(iter(sources.values())) if classes is None else labels.scheme(classes)
    tables, lossy = {}, []
    for source in dict.fromkeys(sources.values()):
        translation = labels.remap(source, target)
        tables[source.name] = target.void_table[translation.table]
        lossy += [f"{source.name}: {loss}" for loss in translation.lossy]
    return target, tables, tuple(lossy)


def _evidence(data: Dataset) -> str:
    assert data.scheme is not None
    return f"{data.folder}: {data.scheme.name}, for {'; '.join(data.evidence)}"


def _mix(train: Sequence[Sample], folders: Sequence[Path], weights: Sequence[float]) -> Mix | None:
    """The shares of the folders in an epoch.

    Raises:
        ConfigError: not one weight a folder, or a folder of some weight without frames to train on.
    """
    if not weights:
        return None
    if len(weights) != len(folders):
        raise ConfigError(f"--dataset-weights: expected {len(folders)}, one a folder, received {len(weights)}.")
    # A folder in a folder: the frame belongs to the inner one.
    inner_first = sorted(range(len(folders)), key=lambda index: -len(folders[index].parts))
    part_of = np.fromiter(
        (next(index for index in inner_first if sample.image_path.is_relative_to(folders[index])) for sample in train),
        np.int64,
        len(train),
    )
    for index, (folder, weight) in enumerate(zip(folders, weights, strict=True)):
        if weight and not (part_of == index).any():
            raise ConfigError(f"--dataset-weights: expected frames to train on in {folder}, received none.")
    return Mix(part_of, tuple(weights))


def _refuse_overlap(train: Sequence[Sample], validation: Sequence[Sample]) -> None:
    images = {sample.image_path.resolve() for sample in train}
    both = [sample for sample in validation if sample.image_path.resolve() in images]
    if both:
        raise DatasetError(
            f"{both[0].image_path}: expected a frame of one part alone, received it for training and for validation "
            f"({len(both)} such frames). Nothing was trained.",
        )
