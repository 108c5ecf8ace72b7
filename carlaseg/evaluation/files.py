"""What an evaluation leaves beside the results: evaluation.json and two tables, all of the same object."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carlaseg.console import counted
from carlaseg.evaluation.answers import Answers
from carlaseg.evaluation.compare import Against
from carlaseg.evaluation.groups import Group, Resampling
from carlaseg.metrics import BoundaryCounts, Interval, Reliability, Scores, figure, most_confused
from carlaseg.metrics.resampling import LEVEL

GROUPS_PRINTED = 8


@dataclass(frozen=True)
class Evaluation:
    """Everything that was found out.

    Attributes:
        answers: the results.
        whole: figures of all images.
        scores: the same figures without intervals, and recall and precision.
        groups: by drive, town, weather, and distance or rows.
        basis: what the bands are.
        boundary: border pixels of all images.
        reliability: confidences of all images; None without them.
        confusion: int64, (C, C), rows truth.
        worst: lines of the worst images with their mean IoU, worst first.
        damaged: file and reason of what could not be scored.
        how: intervals were made.
        against: the comparison; None when none was asked for.
    """

    answers: Answers
    whole: Group
    scores: Scores
    groups: dict[str, list[Group]]
    basis: str
    boundary: BoundaryCounts
    reliability: Reliability | None
    confusion: NDArray[np.int64]
    worst: Sequence[dict[str, Any]]
    damaged: Sequence[tuple[str, str]]
    how: Resampling
    against: Against | None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; evaluation.json."""
        names = self.answers.names
        border = dict(zip(names, self.boundary.f1, strict=True))
        return {
            "format": 1,
            "results": str(self.answers.folder),
            "run": self.answers.run,
            "scheme": self.answers.scheme,
            "images": self.whole.images,
            "without_truth": self.answers.without_truth,
            "damaged": [{"file": file, "reason": reason} for file, reason in self.damaged],
            "intervals": {
                "level": LEVEL,
                "of": self.how.unit,
                "resamples": self.how.resamples,
                "seed": self.how.seed,
            },
            "figures": {name: interval.to_json() for name, interval in self.whole.figures.items()},
            "boundary_f1": self.boundary.mean_f1,
            "calibration": None if self.reliability is None else self.reliability.to_json(),
            "scores": self.scores.to_json(),
            "classes": [
                {
                    "name": c.name,
                    "share": c.share,
                    "iou": interval.to_json(),
                    "recall": c.recall,
                    "precision": c.precision,
                    "boundary_f1": border[c.name],
                }
                for c, interval in zip(self.scores.classes, self.whole.classes, strict=True)
                if c.present
            ],
            "groups": {by: [group.to_json(names) for group in groups] for by, groups in self.groups.items()},
            "bands_are": self.basis,
            "most_confused": [vars(pair) for pair in most_confused(self.confusion, names)],
            "worst": list(self.worst),
            "confusion": self.confusion.tolist(),
            "against": None if self.against is None else self.against.to_json(names),
        }

    def by_class_csv(self) -> str:
        """A line a class that the truth shows."""
        rows = [
            (c["name"], c["share"], *c["iou"].values(), c["recall"], c["precision"], c["boundary_f1"])
            for c in self.to_json()["classes"]
        ]
        return _csv(("class", "share", "iou", "iou_low", "iou_high", "recall", "precision", "boundary_f1"), rows)

    def by_group_csv(self) -> str:
        """A line a drive, town, weather and band."""
        head = ["by", "group", "images", "pixels", "classes_present"]
        for name in self.whole.figures:
            head += [name, f"{name}_low", f"{name}_high"]
        rows = [
            (g.by, g.name, g.images, g.pixels, g.classes_present)
            + tuple(value for interval in g.figures.values() for value in interval.to_json().values())
            for groups in self.groups.values()
            for g in groups
        ]
        return _csv(head, rows)

    def table(self) -> list[str]:
        """Lines to print."""
        drawn = "drives" if self.how.unit == "drives" else "images"
        width = max(14, *(len(c.name) for c in self.scores.classes if c.present))
        lines = [f"{'class':<{width}}  {'share':>7}  {'IoU':>5}  {'95 % of resamples':>17}  {'border F1':>9}"]
        found = zip(self.scores.classes, self.whole.classes, self.boundary.f1, strict=True)
        for c, interval, border in sorted(found, key=lambda row: -row[0].share):
            if c.present:
                lines.append(
                    f"{c.name:<{width}}  {100 * c.share:5.1f} %  {figure(interval.value):>5}  {_range(interval):>17}"
                    f"  {figure(border):>9}"
                )
        for by, groups in self.groups.items():
            lines += ["", f"by {by}" + (f" ({self.basis})" if by in ("distance", "rows") else "")]
            for g in groups[:GROUPS_PRINTED]:
                iou = g.figures["mean_iou"]
                lines.append(
                    f"  {g.name:<{max(width, 24)}}  {g.images:>5} images   mean IoU {figure(iou.value)}  "
                    f"{_range(iou):>15}   over {g.classes_present} classes"
                )
            if len(groups) > GROUPS_PRINTED:
                lines.append(f"  ... {len(groups) - GROUPS_PRINTED} more in by_group.csv")
        lines.append("")
        for name, interval in self.whole.figures.items():
            lines.append(f"{LABELS[name]:<24} {figure(interval.value)}  {_range(interval)}")
        lines.append(f"{'border F1':<24} {figure(self.boundary.mean_f1)}")
        if self.reliability is not None:
            lines.append(f"{'calibration error':<24} {figure(self.reliability.error)}")
        lines.append(
            f"over {self.scores.present} of {len(self.scores.classes)} classes; intervals from {self.how.resamples} "
            f"resamples of {counted(self.whole.images, 'image')}" + (", drawn by drive" if drawn == "drives" else "")
        )
        if self.against is not None:
            lines += ["", f"against {self.against.folder} ({counted(self.against.images, 'image')} in common)"]
            for name, compared in self.against.figures.items():
                difference = compared.difference
                lines.append(
                    f"{LABELS[name]:<24} {difference.value or 0.0:+.4f}  {_range(difference, '+.4f')}"
                    f"   p = {compared.p_value:.3f}"
                )
            lines.append(self.against.verdict)
        return lines


LABELS = {
    "mean_iou": "mean IoU",
    "pixel_accuracy": "pixel accuracy",
    "class_accuracy": "class accuracy",
    "frequency_weighted_iou": "frequency-weighted IoU",
}


def _range(interval: Interval, how: str = ".3f") -> str:
    if interval.low is None or interval.high is None:
        return "-"
    return f"{interval.low:{how}} to {interval.high:{how}}"


def _csv(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([["" if value is None else value for value in row] for row in rows])
    return text.getvalue()


def name_of(against: Path | None) -> str:
    """Name of the JSON file: one of its own for each comparison, so that none replaces another."""
    return "evaluation.json" if against is None else f"evaluation_against_{against.resolve().name}.json"
