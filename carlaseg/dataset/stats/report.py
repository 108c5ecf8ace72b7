"""The count of a dataset for people and for programs: lines, JSON, CSV tables."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carlaseg.console import counted
from carlaseg.dataset.stats.classes import ClassStats, Counts, Tally
from carlaseg.dataset.stats.copies import NEAR_COPY_BITS, STILL_M, Run
from carlaseg.errors import DatasetError
from carlaseg.files import disk_fault, write_whole
from carlaseg.labels import LabelScheme

HEAT_SIZE = (36, 48)
"""(height, width) of the grid on which it is counted where classes lie."""

_CLASS_COLUMNS = ("id", "name", "pixels", "images", "share", "median_weight", "inverse_log_weight")
_DARK, _BRIGHT = 30, 225


@dataclass(frozen=True)
class Pictures:
    """What the pictures themselves told.

    Attributes:
        brightness: by weather ("all" where none is known): int64 (256,), images by mean grey value.
        near_copies: runs of frames much like the one before.
        same_files: files whose bytes are those of another.
    """

    brightness: Mapping[str, Counts]
    near_copies: tuple[Run, ...]
    same_files: int

    @property
    def levels(self) -> Counts:
        """Images by mean grey value, all weathers together: int64 (256,)."""
        total: Counts = np.zeros(256, np.int64)
        for levels in self.brightness.values():
            total += levels
        return total

    def quantile(self, share: float) -> int:
        """The grey value that so large a share of the images does not exceed."""
        return int(np.searchsorted(np.cumsum(self.levels), share * self.levels.sum()))

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "brightness": {
                "median": self.quantile(0.5),
                "dark_images": int(self.levels[:_DARK].sum()),
                "bright_images": int(self.levels[_BRIGHT:].sum()),
                "histograms": {weather: levels.tolist() for weather, levels in self.brightness.items()},
            },
            "near_copies": {
                "frames": sum(run.frames for run in self.near_copies),
                "differing_bits": NEAR_COPY_BITS,
                "runs": len(self.near_copies),
            },
            "same_files": self.same_files,
        }

    def lines(self, images: int) -> Iterator[str]:
        """For people, a line each."""
        dark, bright = int(self.levels[:_DARK].sum()), int(self.levels[_BRIGHT:].sum())
        yield (
            f"light   mean grey value {self.quantile(0.05)} to {self.quantile(0.95)}, median {self.quantile(0.5)}; "
            f"{dark} images darker than {_DARK}, {bright} brighter than {_BRIGHT}"
        )
        copies = sum(run.frames for run in self.near_copies)
        longest = max(self.near_copies, key=lambda run: run.frames, default=None)
        text = f"copies  {copies} images ({copies / max(images, 1):.1%}) hardly differ from the frame before"
        if longest is not None:
            text += f"; longest: {longest.frames} in {longest.drive}, {longest.first} to {longest.last}"
        yield text
        if self.same_files:
            yield f"copies  {self.same_files} files are the same bytes as another"


@dataclass(frozen=True)
class DatasetStats:
    """The count of a dataset.

    Attributes:
        folder: what was counted.
        layout: its layout.
        scheme: its label scheme.
        images: images, with or without mask.
        whole: counts of all masks.
        by_drive: counts by drive.
        by_town: counts by town, where it is known.
        by_weather: counts by weather, where it is known.
        sizes: masks by size, "HxW".
        drives: images by drive.
        heat: int64 (256, 36, 48), masks that have an id somewhere in a cell of a grid laid over the picture.
        still: frames recorded while the ego stood still, None where nobody knows.
        pictures: what the pictures told, None when they were not read.
    """

    folder: Path
    layout: str
    scheme: LabelScheme
    images: int
    whole: Tally
    by_drive: Mapping[str, Tally]
    by_town: Mapping[str, Tally]
    by_weather: Mapping[str, Tally]
    sizes: dict[str, int]
    drives: dict[str, int]
    heat: NDArray[np.int64]
    still: int | None
    pictures: Pictures | None

    @property
    def labelled(self) -> int:
        """Images with a mask."""
        return self.whole.masks

    @property
    def void_pixels(self) -> int:
        """Pixels nobody scores."""
        return self.whole.void_pixels

    @property
    def classes(self) -> tuple[ClassStats, ...]:
        """By class id, absent ones included."""
        return self.whole.classes(self.scheme)

    @property
    def groups(self) -> dict[str, Mapping[str, Tally]]:
        """Parts of the dataset, by what they have in common; kinds that nobody knows are left out."""
        kinds = {"drive": self.by_drive, "town": self.by_town, "weather": self.by_weather}
        return {kind: parts for kind, parts in kinds.items() if parts}

    def to_json(self) -> dict[str, Any]:
        """As JSON values; what is by drive, town and weather has its own CSV files, here are the shares."""
        return {
            "schema": "carlaseg.stats/2",
            "folder": str(self.folder),
            "layout": self.layout,
            "scheme": self.scheme.name,
            "images": self.images,
            "labelled": self.labelled,
            "void_pixels": self.void_pixels,
            "classes": [row.to_json() for row in self.classes],
            "sizes": self.sizes,
            "drives": self.drives,
            "shares": {
                kind: {name: self._shares(part) for name, part in parts.items()} for kind, parts in self.groups.items()
            },
            "standing_still": None if self.still is None else {"frames": self.still, "below_m": STILL_M},
            "pictures": None if self.pictures is None else self.pictures.to_json(),
        }

    def _shares(self, part: Tally) -> dict[str, float]:
        return {row.name: row.share for row in part.classes(self.scheme) if row.pixels}

    def lines(self) -> Iterator[str]:
        """The count for people, a line each; classes that never occur are named in one line."""
        images = counted(self.images, "image")
        yield f"{self.folder}: {self.layout}, {images}, {self.labelled} with masks, {self.scheme.title}"
        yield f"size    {', '.join(f'{size} ({count})' for size, count in self.sizes.items())}"
        for kind, parts in self.groups.items():
            names = ", ".join(f"{name} ({part.masks})" for name, part in list(parts.items())[:4])
            yield f"{kind:<8}{len(parts)}: {names}{', ...' if len(parts) > 4 else ''}"
        yield (
            f"{'id':>3} {'class':<20} {'pixels':>14} {'share':>9} {'images':>8} {'median weight':>14} "
            f"{'inverse log':>12}"
        )
        for row in sorted(self.classes, key=lambda row: -row.pixels):
            if row.pixels:
                yield (
                    f"{row.class_id:>3} {row.name:<20} {row.pixels:>14} {row.share:>8.3%} {row.images:>8} "
                    f"{row.median_weight:>14.4f} {row.inverse_log_weight:>12.4f}"
                )
        absent = [row.name for row in self.classes if not row.pixels]
        if absent:
            yield f"absent  {', '.join(absent)}"
        total = self.void_pixels + sum(row.pixels for row in self.classes)
        yield f"void    {self.void_pixels} pixels ({self.void_pixels / max(total, 1):.2%})"
        if self.still is not None:
            yield f"still   {self.still} frames moved less than {STILL_M:g} m since the frame before"
        if self.pictures is not None:
            yield from self.pictures.lines(self.labelled)

    def write(self, folder: Path) -> list[Path]:
        """Write stats.json, the CSV tables and the pictures into a folder; those there are replaced as a whole.

        Returns:
            The files written.

        Raises:
            DatasetError: it cannot be written there.
        """
        from carlaseg.dataset.stats.drawing import drawings

        files = {"stats.json": (json.dumps(self.to_json(), indent=2) + "\n").encode(), "classes.csv": self._csv()}
        for kind, parts in self.groups.items():
            files[f"by_{kind}.csv"] = self._csv_of_groups(kind, parts)
        if self.pictures is not None:
            files["near_copies.csv"] = _csv_text(
                ("drive", "first", "last", "frames"),
                ((run.drive, run.first, run.last, run.frames) for run in self.pictures.near_copies),
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in (*files.items(), *drawings(self)):
                files[name] = content
                write_whole(folder / name, content)
        except OSError as error:
            raise DatasetError(
                f"--output {folder}: expected a folder to write tables into, received {disk_fault(error)}."
            ) from error
        return [folder / name for name in files]

    def _csv(self) -> bytes:
        return _csv_text(_CLASS_COLUMNS, (_cells(row) for row in self.classes))

    def _csv_of_groups(self, kind: str, parts: Mapping[str, Tally]) -> bytes:
        rows = ((name, part.masks, *_cells(row)) for name, part in parts.items() for row in part.classes(self.scheme))
        return _csv_text((kind, "masks", *_CLASS_COLUMNS), rows)


def _cells(row: ClassStats) -> tuple[object, ...]:
    """An absent class has no median weight."""
    weight = "" if row.median_weight is None else f"{row.median_weight:.6g}"
    share, inverse_log = f"{row.share:.8f}", f"{row.inverse_log_weight:.6g}"
    return row.class_id, row.name, row.pixels, row.images, share, weight, inverse_log


def _csv_text(head: tuple[str, ...], rows: Iterator[tuple[object, ...]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue().encode()
