"""What every export reads: samples, the split of each, and what a recording knows of them."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from carlaseg import labels
from carlaseg.dataset.exports.splits import assign_splits
from carlaseg.dataset.layouts.listing import SPLITS
from carlaseg.dataset.opening import open_dataset
from carlaseg.dataset.reader import is_recording, read_metadata
from carlaseg.dataset.recorded import Books, Known
from carlaseg.dataset.samples import Dataset, Sample, SampleTable
from carlaseg.errors import DatasetError
from carlaseg.labels import LabelScheme


@dataclass(frozen=True)
class SplitRule:
    """How a dataset without splits of its own is split.

    Attributes:
        by: what stays together, a drive or a town.
        val: wished-for share of frames.
        test: likewise.
        seed: decides which drives or towns.
    """

    by: Literal["drive", "town"] = "drive"
    val: float = 0.2
    test: float = 0.0
    seed: int = 0


class Source:
    """An opened dataset on its way into another format.

    Attributes:
        folder: where it lies.
        layout: what layout it has.
        scheme: label scheme of its masks.
        samples: pairs of a split's name and a sample that has a mask, in order of split, drive and frame.
        counts: samples by split.
        towns: samples by town, where one is known.
        weathers: samples by weather, where one is known.
        simulators: what drew the pictures, where recordings say.
        evidence: how the scheme was found.
        notes: what people should know about the splits.

    Raises:
        ConfigError: no such label scheme.
        DatasetError: no dataset, no masks, a scheme that nobody can tell.
    """

    def __init__(self, folder: Path, scheme: str | None, rule: SplitRule) -> None:
        whole = open_dataset(folder, scheme)
        self.folder, self.layout, self.evidence = whole.folder, whole.layout, whole.evidence
        if whole.labelled == 0:
            raise DatasetError(f"{folder}: expected masks to convert, received {len(whole.samples)} images without.")
        if whole.scheme is None:
            raise DatasetError(
                f"{folder}: expected a known label scheme, received {'; '.join(whole.evidence)}.",
                (("name it", f"--scheme {' | '.join(labels.SCHEMES)}"),),
            )
        self.scheme: LabelScheme = whole.scheme
        parts = self._own_splits(whole, scheme) if whole.splits else self._assigned(whole, rule)
        self.samples = _Joined(parts)
        self._books = Books()
        self.towns, self.weathers = Counter[str](), Counter[str]()
        folders: set[Path] = set()
        for _, sample in self.samples:
            self.towns.update([sample.town] if sample.town else [])
            self.weathers.update([sample.weather] if sample.weather else [])
            folders.add(sample.image_path.parents[1])
        self.simulators = {read_metadata(folder).simulator for folder in folders if is_recording(folder)}
        self.counts = {split: len(table) for split, table in parts}
        bare = len(whole.samples) - whole.labelled
        self.notes = tuple(
            note
            for note in (
                "splits are the dataset's own" if whole.splits else self._note(rule),
                f"{bare} images without a mask are left out" if bare else "",
            )
            if note
        )

    def known(self, sample: Sample) -> Known | None:
        """Pose, speed, weather and camera of a sample that is from a recording, else None.

        Raises:
            DatasetError: the recording is damaged.
        """
        return self._books.known(sample)

    def fingerprint(self) -> str:
        """A number that changes when a sample comes, goes, or changes its split."""
        crc = 0
        for split, sample in self.samples:
            crc = zlib.crc32(f"{split}/{sample.drive}/{sample.name}\n".encode("utf-8", "surrogateescape"), crc)
        return f"{crc:08x}"

    def _own_splits(self, whole: Dataset, scheme: str | None) -> list[tuple[str, SampleTable]]:
        parts = [(name, open_dataset(whole.folder, scheme, name).samples.masked) for name in whole.splits]
        return [(name, table.with_labels(None, self.scheme.name)) for name, table in parts if len(table)]

    def _assigned(self, whole: Dataset, rule: SplitRule) -> list[tuple[str, SampleTable]]:
        samples = whole.samples.masked
        drives = samples.drives
        town_of = {drive: samples[drives.index(drive)].town for drive in dict.fromkeys(drives)}
        if rule.by == "town" and None in town_of.values():
            raise DatasetError(
                f"{whole.folder}: expected towns to split by, received {whole.layout}, which names none.",
                (("instead", "--split-by drive"),),
            )
        group_of = {drive: (town or drive) if rule.by == "town" else drive for drive, town in town_of.items()}
        split_of = assign_splits(Counter(group_of[drive] for drive in drives), rule.val, rule.test, rule.seed)
        self.groups = len(split_of)
        by_sample = np.array([split_of[group_of[drive]] for drive in drives])
        parts = [(name, samples.take(np.flatnonzero(by_sample == name))) for name in SPLITS]
        return [(name, table) for name, table in parts if len(table)]

    def _note(self, rule: SplitRule) -> str:
        if self.groups == 1:
            return f"one {rule.by} only: all of it is train, for no {rule.by} may be on two sides"
        return f"split by {rule.by}: no {rule.by} is on two sides"


class _Joined:
    """The samples of all splits one after the other, each with the name of its split."""

    def __init__(self, parts: Sequence[tuple[str, SampleTable]]) -> None:
        self._parts = tuple(parts)
        self._ends = np.cumsum([len(table) for _, table in parts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, position: int) -> tuple[str, Sample]:
        if not 0 <= position < len(self):
            raise IndexError(position)
        part = int(np.searchsorted(self._ends, position, "right"))
        split, table = self._parts[part]
        return split, table[position - (int(self._ends[part - 1]) if part else 0)]

    def __iter__(self) -> Iterator[tuple[str, Sample]]:
        for split, table in self._parts:
            for sample in table:
                yield split, sample
