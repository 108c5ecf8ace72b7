"""One pass over a dataset: each mask and, where wanted, each picture is read once."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from carlaseg.console import StopRequest
from carlaseg.dataset.opening import open_dataset
from carlaseg.dataset.pictures import read_mask
from carlaseg.dataset.reader import is_recording
from carlaseg.dataset.samples import Dataset, Sample
from carlaseg.dataset.stats.classes import Counts, Tally
from carlaseg.dataset.stats.copies import NearCopies, SameFiles, standing_still
from carlaseg.dataset.stats.looks import Look, look_at
from carlaseg.dataset.stats.report import HEAT_SIZE, DatasetStats, Pictures
from carlaseg.errors import DatasetError

_AT_ONCE = 128
_CELLS = HEAT_SIZE[0] * HEAT_SIZE[1]

Watch = Callable[[int, int], object]


def stats(folder: Path, scheme: str | None = None, watch: Watch | None = None, images: bool = True) -> DatasetStats:
    """Count a dataset of any layout.

    Args:
        folder: the dataset.
        scheme: label scheme of the masks, where the dataset does not say.
        watch: called now and then with the images done and the images in all, for progress.
        images: also read the pictures, not the masks alone.

    Raises:
        ConfigError: there is no such label scheme.
        DatasetError: no dataset, no masks, a scheme that nobody can tell, a damaged file.
    """
    return count(open_dataset(folder, scheme), watch, images)


def count(
    dataset: Dataset, watch: Watch | None = None, images: bool = True, stop: StopRequest | None = None
) -> DatasetStats:
    """Count an opened dataset.

    Args:
        dataset: any, with masks of a known scheme.
        watch: called now and then with the images done and the images in all, for progress.
        images: also read the pictures, not the masks alone.
        stop: looked at now and then.

    Raises:
        DatasetError: no masks, a scheme that nobody can tell, a damaged file.
        Interrupted: the user asked to stop.
    """
    masked = dataset.samples.masked
    if len(masked) == 0:
        raise DatasetError(
            f"{dataset.folder}: expected masks to count, received {len(dataset.samples)} images without."
        )
    if dataset.scheme is None:
        raise DatasetError(
            f"{dataset.folder}: expected a known label scheme, received {'; '.join(dataset.evidence)}.",
            (("name it", "--scheme " + " | ".join(("carla-0.9.10", "carla-0.9.14", "cityscapes-train", "camvid"))),),
        )
    seen = _Seen()
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for start in range(0, len(masked), _AT_ONCE):
            if stop is not None and stop.requested:
                raise stop.interrupted(
                    f"stopped after {start} of {len(masked)} images; nothing was written, the dataset is as it was."
                )
            chunk = list(masked[start : start + _AT_ONCE])
            for sample, facts in zip(chunk, pool.map(_facts_of, chunk, repeat(images)), strict=True):
                seen.add(sample, facts)
            if watch is not None:
                watch(seen.whole.masks, len(masked))
    return DatasetStats(
        folder=dataset.folder,
        layout=dataset.layout,
        scheme=dataset.scheme,
        images=len(dataset.samples),
        whole=seen.whole,
        by_drive=seen.by_drive,
        by_town=seen.by_town,
        by_weather=seen.by_weather,
        sizes=dict(seen.sizes.most_common()),
        drives=dict(Counter(dataset.samples.drives)),
        heat=seen.heat,
        still=_still(seen.folders),
        pictures=seen.pictures() if images else None,
    )


class _Facts(NamedTuple):
    """One sample: pixels by id, "HxW", its ids and in which cells of the grid each is, and its picture."""

    counts: Counts
    size: str
    ids: NDArray[np.intp]
    cells: NDArray[np.bool_]
    look: Look | None


def _facts_of(sample: Sample, images: bool) -> _Facts:
    mask = read_mask(sample)
    counts = np.bincount(mask.ravel(), minlength=256)
    ids = np.flatnonzero(counts)
    place_of_id = np.zeros(256, np.int32)
    place_of_id[ids] = np.arange(len(ids)) * _CELLS
    # Every pixel counts, not a sample of them: a pedestrian far away is three pixels.
    hits = np.bincount((place_of_id[mask] + _cell_of_pixel(*mask.shape)).ravel(), minlength=len(ids) * _CELLS)
    return _Facts(
        counts=counts,
        size=f"{mask.shape[0]}x{mask.shape[1]}",
        ids=ids,
        cells=hits.reshape(len(ids), *HEAT_SIZE) > 0,
        look=look_at(sample.image_path) if images else None,
    )


@lru_cache(maxsize=16)
def _cell_of_pixel(height: int, width: int) -> NDArray[np.int32]:
    """Number of the grid's cell that each pixel lies in: int32 (H, W)."""
    rows = np.arange(height, dtype=np.int32) * HEAT_SIZE[0] // height
    columns = np.arange(width, dtype=np.int32) * HEAT_SIZE[1] // width
    return (rows[:, None] * HEAT_SIZE[1] + columns[None, :]).astype(np.int32)


class _Seen:
    """All that was seen so far."""

    def __init__(self) -> None:
        self.whole = Tally()
        self.by_drive: dict[str, Tally] = {}
        self.by_town: dict[str, Tally] = {}
        self.by_weather: dict[str, Tally] = {}
        self.sizes: Counter[str] = Counter()
        self.folders: set[Path] = set()
        self.heat = np.zeros((256, *HEAT_SIZE), np.int64)
        self._near = NearCopies()
        self._same = SameFiles()
        self._brightness: dict[str, Counts] = {}

    def add(self, sample: Sample, facts: _Facts) -> None:
        """Add one sample."""
        self.whole.add(facts.counts)
        self.folders.add(sample.image_path.parents[1])
        self.by_drive.setdefault(sample.drive, Tally()).add(facts.counts)
        if sample.town is not None:
            self.by_town.setdefault(sample.town, Tally()).add(facts.counts)
        if sample.weather is not None:
            self.by_weather.setdefault(sample.weather, Tally()).add(facts.counts)
        self.sizes[facts.size] += 1
        self.heat[facts.ids] += facts.cells
        if facts.look is not None:
            self._near.add(sample.drive, sample.name, facts.look)
            self._same.add(facts.look)
            levels = self._brightness.setdefault(sample.weather or "all", np.zeros(256, np.int64))
            levels[min(255, round(facts.look.brightness))] += 1

    def pictures(self) -> Pictures:
        """What the pictures themselves told."""
        self._near.end()
        return Pictures(self._brightness, tuple(self._near.runs), self._same.copies)


def _still(recordings: set[Path]) -> int | None:
    """Frames recorded while standing still; None where nobody knows positions."""
    if not all(is_recording(recording) for recording in recordings):
        return None
    return sum(sum(1 for _ in standing_still(recording)) for recording in sorted(recordings))
