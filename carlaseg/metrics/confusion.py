"""A confusion matrix of pixels and what follows from it. The one implementation.

Rule 1: counts are int64 and add up. The matrix of a data set is the sum of the matrices of its parts.
Rule 2: void is decided by the truth alone; a void pixel is in no count.
Rule 3: a class that the truth never shows has no IoU (None, printed as -), and the mean says over how many classes it
is. Pixels wrongly given to such a class still lower the IoU of the classes they were taken from. So the classes behind
a mean depend on the data set alone, and means of two epochs or two networks on it can be compared.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carlaseg.errors import DatasetError
from carlaseg.labels import IGNORE_ID

CSV_HEADER = ("id", "class", "pixels", "share", "iou", "recall", "precision")


def confusion_matrix(
    truth: NDArray[Any], prediction: NDArray[Any], num_classes: int, ignore_id: int = IGNORE_ID
) -> NDArray[np.int64]:
    """Count how often each true class was predicted as each class.

    Rows are truth, columns are prediction, so row sums are pixel counts in the dataset and IoU follows from the
    diagonal. Counts add: sum the matrices of any split of the data to get the whole.

    Args:
        truth: integer, (H, W) or (B, H, W). Class ids; `ignore_id` marks pixels nobody should score.
        prediction: integer, same shape. Every id must be below num_classes, under void pixels too.
        num_classes: size of the class table, counting class 0; at most 255.
        ignore_id: pixels whose truth equals this are left out entirely.

    Returns:
        int64, (num_classes, num_classes).

    Raises:
        ValueError: shapes differ, the table is empty or too long for a byte.
        DatasetError: an id lies outside the table (the message names the id and its first pixel).

    Source:
        Definition of per-class IoU as in the PASCAL VOC segmentation task; void as in SimJeg/FC-DenseNet metrics.py.
    """
    if truth.shape != prediction.shape:
        raise ValueError(f"prediction: expected the shape of the truth, {truth.shape}, received {prediction.shape}.")
    if not 1 <= num_classes <= IGNORE_ID:
        raise ValueError(f"num_classes: expected 1 to {IGNORE_ID}, received {num_classes}.")
    rows, columns = _bytes("truth", truth, ignore_id), _bytes("prediction", prediction, ignore_id)
    # One histogram of (truth, prediction) byte pairs counts everything and shows ids outside the table for free.
    pairs = rows.astype(np.uint16)
    np.left_shift(pairs, 8, out=pairs)
    np.bitwise_or(pairs, columns, out=pairs)
    counts = np.bincount(pairs.ravel(), minlength=1 << 16).reshape(256, 256).astype(np.int64)
    wrong = counts.sum(axis=1)
    wrong[:num_classes] = 0
    if 0 <= ignore_id < 256:
        wrong[ignore_id] = 0
    if wrong.any():
        _refuse("truth", rows, int(np.flatnonzero(wrong)[0]), num_classes, ignore_id)
    wrong = counts[:, num_classes:].sum(axis=0)
    if wrong.any():
        _refuse("prediction", columns, num_classes + int(np.flatnonzero(wrong)[0]), num_classes, None)
    if 0 <= ignore_id < num_classes:
        counts[ignore_id] = 0
    return counts[:num_classes, :num_classes].copy()


def _bytes(where: str, ids: NDArray[Any], ignore_id: int) -> NDArray[np.uint8]:
    """The ids as bytes; an id that no byte holds is refused."""
    if ids.dtype == np.uint8:
        return ids
    if not np.issubdtype(ids.dtype, np.integer):
        raise ValueError(f"{where}: expected integer class ids, received {ids.dtype}.")
    if ids.size and (int(ids.min()) < 0 or int(ids.max()) > 255):
        outside = (ids < 0) | (ids > 255)
        _refuse(where, ids, int(ids[outside].flat[0]), 256, ignore_id)
    return ids.astype(np.uint8)


def _refuse(where: str, ids: NDArray[Any], wrong: int, num_classes: int, ignore_id: int | None) -> None:
    first = tuple(int(i) for i in np.argwhere(ids == wrong)[0])
    void = f" or {ignore_id} for void" if ignore_id is not None else ""
    raise DatasetError(f"{where}, pixel {first}: expected a class id below {num_classes}{void}, received {wrong}.")


@dataclass(frozen=True)
class ClassScore:
    """What the confusion matrix says of one class; None where a ratio has nothing below the line."""

    id: int
    name: str
    pixels: int
    """Pixels of this class in the truth."""
    share: float
    """`pixels` over all scored pixels, 0 to 1."""
    iou: float | None
    """Intersection over union; None when the truth never shows the class."""
    recall: float | None
    """Share of the class's pixels that were found; None when the truth never shows it."""
    precision: float | None
    """Share of the pixels given to the class that are of it; None when it was never predicted."""

    @property
    def present(self) -> bool:
        """Whether the truth shows this class at all."""
        return self.pixels > 0


@dataclass(frozen=True)
class Scores:
    """The usual figures of semantic segmentation, all from one confusion matrix."""

    classes: tuple[ClassScore, ...]
    """One entry a class, in the order of the class table."""
    pixels: int
    """Scored pixels: all but void."""
    mean_iou: float
    """Mean of the IoU of the classes the truth shows."""
    pixel_accuracy: float
    """Share of the scored pixels that are right."""
    class_accuracy: float
    """Mean recall of the classes the truth shows."""
    frequency_weighted_iou: float
    """Mean IoU, each class weighted by its share of the pixels."""

    @classmethod
    def from_confusion(cls, confusion: NDArray[np.int64], names: Sequence[str]) -> Scores:
        """Compute the figures.

        Args:
            confusion: int64, (C, C), rows truth.
            names: C class names.

        Raises:
            ValueError: the matrix and the names do not fit.
            DatasetError: the matrix counts no pixel, so that there is nothing to score.
        """
        if confusion.shape != (len(names), len(names)):
            raise ValueError(f"confusion: expected shape {(len(names), len(names))}, received {confusion.shape}.")
        truth, predicted, hits = confusion.sum(axis=1), confusion.sum(axis=0), np.diagonal(confusion)
        pixels = int(truth.sum())
        if pixels == 0:
            raise DatasetError("scores: expected at least one labelled pixel, received void alone.")
        classes = tuple(
            ClassScore(
                id=index,
                name=name,
                pixels=int(truth[index]),
                share=int(truth[index]) / pixels,
                iou=_ratio(hits[index], truth[index] + predicted[index] - hits[index]) if truth[index] else None,
                recall=_ratio(hits[index], truth[index]),
                precision=_ratio(hits[index], predicted[index]),
            )
            for index, name in enumerate(names)
        )
        shown = [c for c in classes if c.present]
        return cls(
            classes=classes,
            pixels=pixels,
            mean_iou=sum(c.iou or 0.0 for c in shown) / len(shown),
            pixel_accuracy=int(hits.sum()) / pixels,
            class_accuracy=sum(c.recall or 0.0 for c in shown) / len(shown),
            frequency_weighted_iou=sum(c.share * (c.iou or 0.0) for c in shown),
        )

    @property
    def present(self) -> int:
        """How many classes the truth shows: those behind every mean."""
        return sum(c.present for c in self.classes)

    @property
    def weakest(self) -> tuple[ClassScore, ...]:
        """The classes that the truth shows, lowest IoU first."""
        return tuple(sorted((c for c in self.classes if c.present), key=lambda c: c.iou or 0.0))

    def to_json(self) -> dict[str, Any]:
        """The figures as plain JSON values; `from_json` reads them back. Absent ratios are null."""
        return {
            "mean_iou": self.mean_iou,
            "pixel_accuracy": self.pixel_accuracy,
            "class_accuracy": self.class_accuracy,
            "frequency_weighted_iou": self.frequency_weighted_iou,
            "classes_present": self.present,
            "num_classes": len(self.classes),
            "pixels": self.pixels,
            "classes": [
                {
                    "id": c.id,
                    "name": c.name,
                    "pixels": c.pixels,
                    "share": c.share,
                    "iou": c.iou,
                    "recall": c.recall,
                    "precision": c.precision,
                }
                for c in self.classes
            ],
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Scores:
        """Read back what `to_json` gave.

        Raises:
            DatasetError: a figure is missing.
        """
        try:
            return cls(
                classes=tuple(ClassScore(**entry) for entry in values["classes"]),
                pixels=values["pixels"],
                mean_iou=values["mean_iou"],
                pixel_accuracy=values["pixel_accuracy"],
                class_accuracy=values["class_accuracy"],
                frequency_weighted_iou=values["frequency_weighted_iou"],
            )
        except (KeyError, TypeError) as error:
            raise DatasetError(f"scores: expected the figures that carlaseg writes, received {error}.") from error

    def csv(self) -> str:
        """One line a class with full precision, for a spreadsheet; an empty cell where there is no ratio."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(CSV_HEADER)
        for c in self.classes:
            ratios = ("" if value is None else repr(value) for value in (c.iou, c.recall, c.precision))
            writer.writerow((c.id, c.name, c.pixels, repr(c.share), *ratios))
        return text.getvalue()

    def table(self, limit: int | None = None) -> list[str]:
        """Lines to print: a header, the classes the truth shows by share, the absent ones by name, and the means.

        Args:
            limit: print so many classes and say how many more there are; all when not given.
        """
        shown = sorted((c for c in self.classes if c.present), key=lambda c: -c.share)
        width = max(14, *(len(c.name) for c in shown))
        lines = [f"{'class':<{width}}  {'share':>7}  {'IoU':>6}  {'recall':>6}  {'precision':>9}"]
        for c in shown[:limit]:
            lines.append(
                f"{c.name:<{width}}  {100 * c.share:5.1f} %  {figure(c.iou):>6}  {figure(c.recall):>6}"
                f"  {figure(c.precision):>9}"
            )
        if limit is not None and len(shown) > limit:
            lines.append(f"... {len(shown) - limit} more in per_class.csv")
        absent = [c.name for c in self.classes if not c.present]
        if absent:
            lines.append(f"absent here: {', '.join(absent)}")
        lines.append(f"mean IoU {self.mean_iou:.3f} over {self.present} of {len(self.classes)} classes")
        lines.append(
            f"pixel accuracy {self.pixel_accuracy:.3f}   class accuracy {self.class_accuracy:.3f}"
            f"   frequency-weighted IoU {self.frequency_weighted_iou:.3f}"
        )
        return lines


@dataclass(frozen=True)
class Confusion:
    """A pair of classes that the network mixes up."""

    truth: str
    prediction: str
    pixels: int
    share: float
    """Of the true class's pixels, how many went to the other class: 0 to 1."""


def most_confused(confusion: NDArray[np.int64], names: Sequence[str], limit: int = 10) -> tuple[Confusion, ...]:
    """The pairs of different classes with the most wrong pixels, largest first.

    Args:
        confusion: int64, (C, C), rows truth.
        names: C class names.
        limit: pairs at most.
    """
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    totals = confusion.sum(axis=1)
    order = np.argsort(-wrong, axis=None, kind="stable")[:limit]
    pairs = (divmod(int(flat), len(names)) for flat in order)
    return tuple(
        Confusion(names[t], names[p], int(wrong[t, p]), int(wrong[t, p]) / int(totals[t]))
        for t, p in pairs
        if wrong[t, p] > 0
    )


def confusion_csv(confusion: NDArray[np.int64], names: Sequence[str]) -> str:
    """The matrix as CSV: a header of predicted classes, then a line a true class."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("truth \\ prediction", *names))
    for name, row in zip(names, confusion, strict=True):
        writer.writerow((name, *(int(count) for count in row)))
    return text.getvalue()


def figure(value: float | None) -> str:
    """A ratio with three digits, or - where there is none."""
    return "-" if value is None else f"{value:.3f}"


def _ratio(part: np.int64, whole: np.int64) -> float | None:
    return int(part) / int(whole) if whole else None
