"""The files of scores: metrics.json, per_class.csv, confusion.csv and confusion.png, all of the same counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carlaseg.console import say
from carlaseg.inference.confusion import draw_confusion
from carlaseg.inference.results import write_json, write_text
from carlaseg.metrics import Scores, confusion_csv, most_confused

LISTED = 12
"""Best and worst images that metrics.json lists."""


def write_scores(
    folder: Path,
    confusion: NDArray[np.int64],
    lines: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    title: str,
    facts: Mapping[str, Any],
) -> Scores | None:
    """Write the files; nothing without truth.

    Args:
        folder: of the results.
        confusion: int64, (C, C), rows truth.
        lines: of predictions.jsonl.
        names: C class names.
        title: above the picture.
        facts: what else metrics.json says.
    """
    if not confusion.any():
        return None
    scores = Scores.from_confusion(confusion, names)
    ranked = sorted((line for line in lines if "mean_iou" in line), key=lambda line: float(line["mean_iou"]))
    keys = ("name", "mean_iou", "pixel_accuracy", "panel")
    short = [{key: line[key] for key in keys if key in line} for line in ranked]
    write_json(
        folder / "metrics.json",
        {
            "format": 1,
            **facts,
            "images_scored": len(ranked),
            **scores.to_json(),
            "most_confused": [vars(pair) for pair in most_confused(confusion, names)],
            "worst": short[:LISTED],
            "best": short[::-1][:LISTED],
            "confusion": confusion.tolist(),
        },
    )
    write_text(folder / "per_class.csv", scores.csv())
    write_text(folder / "confusion.csv", confusion_csv(confusion, names))
    try:
        draw_confusion(confusion, names, folder / "confusion.png", title)
    except Exception as error:  # a picture must never cost anybody the numbers
        say("note", f"confusion.png was not drawn: {error}; confusion.csv has the numbers")
    return scores
