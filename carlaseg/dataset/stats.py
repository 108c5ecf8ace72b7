"""What a dataset holds: pixels and images a class, loss weights from them, sizes, drives."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carlaseg.dataset.opening import open_dataset
from carlaseg.dataset.pictures import read_mask
from carlaseg.dataset.samples import Dataset, Sample
from carlaseg.errors import DatasetError
from carlaseg.labels import IGNORE_ID, LabelScheme
from carlaseg.labels import scheme as scheme_named

_AT_ONCE = 256


@dataclass(frozen=True)
class ClassStats:
    """One class of a dataset.

    Attributes:
        class_id: its id.
        name: its name.
        pixels: pixels of the class.
        images: images that have at least one.
        share: its share of all pixels that are not void, 0 to 1.
        median_weight: median-frequency loss weight, None when the class never occurs.
        inverse_log_weight: 1 / ln(1.02 + share).
    """

    class_id: int
    name: str
    pixels: int
    images: int
    share: float
    median_weight: float | None
    inverse_log_weight: float


@dataclass(frozen=True)
class DatasetStats:
    """The count of a dataset.

    Attributes:
        folder: what was counted.
        layout: its layout.
        scheme: its label scheme.
        images: images, with or without mask.
        labelled: images with a mask.
        void_pixels: pixels nobody scores.
        classes: by class id, absent ones included.
        sizes: masks by size, "HxW".
        drives: images by drive.
    """

    folder: Path
    layout: str
    scheme: LabelScheme
    images: int
    labelled: int
    void_pixels: int
    classes: tuple[ClassStats, ...]
    sizes: dict[str, int]
    drives: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "schema": "carlaseg.stats/1",
            "folder": str(self.folder),
            "layout": self.layout,
            "scheme": self.scheme.name,
            "images": self.images,
            "labelled": self.labelled,
            "void_pixels": self.void_pixels,
            "classes": [
                {
                    "id": row.class_id,
                    "name": row.name,
                    "pixels": row.pixels,
                    "images": row.images,
                    "share": row.share,
                    "median_weight": row.median_weight,
                    "inverse_log_weight": row.inverse_log_weight,
                }
                for row in self.classes
            ],
            "sizes": self.sizes,
            "drives": self.drives,
        }

    def to_csv(self) -> str:
        """The classes as CSV with a header; an absent class has no median weight."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["id", "name", "pixels", "images", "share", "median_weight", "inverse_log_weight"])
        for row in self.classes:
            weight = "" if row.median_weight is None else f"{row.median_weight:.6g}"
            writer.writerow(
                [
                    row.class_id,
                    row.name,
                    row.pixels,
                    row.images,
                    f"{row.share:.8f}",
                    weight,
                    f"{row.inverse_log_weight:.6g}",
                ]
            )
        return text.getvalue()

    def lines(self) -> Iterator[str]:
        """The count for people, a line each; classes that never occur are named in one line."""
        yield f"{self.folder}: {self.layout}, {self.images} images, {self.labelled} with masks, {self.scheme.title}"
        yield f"size    {', '.join(f'{size} ({count})' for size, count in self.sizes.items())}"
        yield f"drives  {len(self.drives)}"
        yield f"{'id':>3} {'class':<20} {'pixels':>14} {'share':>9} {'images':>8} {'median weight':>14}"
        for row in sorted(self.classes, key=lambda row: -row.pixels):
            if row.pixels:
                yield (
                    f"{row.class_id:>3} {row.name:<20} {row.pixels:>14} {row.share:>8.3%} {row.images:>8} "
                    f"{row.median_weight:>14.4f}"
                )
        absent = [row.name for row in self.classes if not row.pixels]
        if absent:
            yield f"absent  {', '.join(absent)}"
        total = self.void_pixels + sum(row.pixels for row in self.classes)
        yield f"void    {self.void_pixels} pixels ({self.void_pixels / max(total, 1):.2%})"

    def write(self, folder: Path) -> list[Path]:
        """Write stats.json, classes.csv and classes.png into a folder.

        Returns:
            The files written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        files = [folder / "stats.json", folder / "classes.csv", folder / "classes.png"]
        files[0].write_text(json.dumps(self.to_json(), indent=2) + "\n", encoding="utf-8")
        files[1].write_text(self.to_csv(), encoding="utf-8")
        self._draw(files[2])
        return files

    def _draw(self, path: Path) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        rows = sorted((row for row in self.classes if row.pixels), key=lambda row: row.pixels)
        figure = Figure(figsize=(8, 1.2 + 0.28 * len(rows)), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        colors = [tuple(int(value) / 255 for value in self.scheme.palette[row.class_id]) for row in rows]
        bars = axes.barh(
            [row.name for row in rows], [row.share for row in rows], color=colors, edgecolor="black", lw=0.4
        )
        axes.bar_label(bars, [f" {row.share:.2%} in {row.images} images" for row in rows], fontsize=8)
        # Shares span four orders of magnitude: a linear axis would show the road and nothing else.
        axes.set_xscale("log")
        axes.set_xlim(left=min(row.share for row in rows) / 3, right=10)
        axes.set_xlabel("share of labelled pixels (logarithmic)")
        axes.set_title(f"{self.folder.name}: {self.labelled} masks, {self.scheme.name}")
        figure.savefig(path, dpi=100)


def stats(folder: Path, scheme: str | None = None, watch: Callable[[int, int], object] | None = None) -> DatasetStats:
    """Count a dataset of any layout.

    Args:
        folder: the dataset.
        scheme: label scheme of the masks, where the dataset does not say.
        watch: called now and then with the masks done and the masks in all, for progress.

    Raises:
        ConfigError: there is no such label scheme.
        DatasetError: no dataset, no masks, a scheme that nobody can tell, a damaged mask.
    """
    return count_classes(open_dataset(folder, scheme), watch)


def count_classes(dataset: Dataset, watch: Callable[[int, int], object] | None = None) -> DatasetStats:
    """Count the masks of an opened dataset.

    Args:
        dataset: any, with masks of a known scheme.
        watch: called now and then with the masks done and the masks in all, for progress.

    Raises:
        DatasetError: no masks, a scheme that nobody can tell, a damaged mask.

    Source:
        Median-frequency weights: Eigen and Fergus 2015 as used by SegNet; the frequency of a class is its pixels over
        the pixels of the images it occurs in. Inverse log: ENet, c = 1.02.
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
    pixels = np.zeros(256, np.int64)
    images = np.zeros(256, np.int64)
    pixels_where_present = np.zeros(256, np.int64)
    sizes: Counter[str] = Counter()
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for start in range(0, len(masked), _AT_ONCE):
            for counts, size in pool.map(_count, masked[start : start + _AT_ONCE]):
                present = counts > 0
                pixels += counts
                images += present
                pixels_where_present += present * (counts.sum() - counts[IGNORE_ID])
                sizes[size] += 1
            if watch is not None:
                watch(sum(sizes.values()), len(masked))
    total = int(pixels.sum() - pixels[IGNORE_ID])
    return DatasetStats(
        folder=dataset.folder,
        layout=dataset.layout,
        scheme=dataset.scheme,
        images=len(dataset.samples),
        labelled=len(masked),
        void_pixels=int(pixels[IGNORE_ID]),
        classes=_classes(scheme_named(dataset.scheme.name), pixels, images, pixels_where_present, total),
        sizes=dict(sizes.most_common()),
        drives=dict(Counter(dataset.samples.drives)),
    )


def _count(sample: Sample) -> tuple[NDArray[np.int64], str]:
    mask = read_mask(sample)
    return np.bincount(mask.ravel(), minlength=256), f"{mask.shape[0]}x{mask.shape[1]}"


def _classes(
    scheme: LabelScheme,
    pixels: NDArray[np.int64],
    images: NDArray[np.int64],
    pixels_where_present: NDArray[np.int64],
    total: int,
) -> tuple[ClassStats, ...]:
    present = [label.class_id for label in scheme.classes if pixels[label.class_id]]
    frequency = {class_id: pixels[class_id] / pixels_where_present[class_id] for class_id in present}
    median = float(np.median(list(frequency.values()))) if frequency else 0.0
    rows = []
    for label in scheme.classes:
        share = float(pixels[label.class_id]) / max(total, 1)
        rows.append(
            ClassStats(
                class_id=label.class_id,
                name=label.name,
                pixels=int(pixels[label.class_id]),
                images=int(images[label.class_id]),
                share=share,
                median_weight=median / float(frequency[label.class_id]) if label.class_id in frequency else None,
                inverse_log_weight=float(1 / np.log(1.02 + share)),
            )
        )
    return tuple(rows)
