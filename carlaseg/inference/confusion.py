"""The confusion matrix as a picture: rows are what is true, columns what was predicted, shades are shares of a row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def draw_confusion(confusion: NDArray[np.int64], names: Sequence[str], path: Path, title: str) -> None:
    """Write the picture. Classes that neither the truth nor the prediction shows are left out.

    Args:
        confusion: int64, (C, C), rows truth.
        names: C class names.
        path: PNG to write.
        title: line above the picture.
    """
    # The object interface: no window system is asked for, no global state is left behind, any thread may draw.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = np.flatnonzero(confusion.sum(axis=0) + confusion.sum(axis=1))
    counts = confusion[np.ix_(shown, shown)]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    labels = [names[int(i)] for i in shown]
    side = 2.6 + 0.42 * len(shown)
    figure = Figure(figsize=(side + 0.6, side), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    picture = axes.imshow(shares, vmin=0.0, vmax=1.0, cmap="Blues")
    axes.set_xticks(range(len(shown)), labels, rotation=60, ha="right", fontsize=8)
    axes.set_yticks(range(len(shown)), labels, fontsize=8)
    axes.set_xlabel("predicted")
    axes.set_ylabel("truth")
    axes.set_title(title, fontsize=10, loc="left")
    for row, column in np.argwhere(shares >= 0.005):
        share = shares[row, column]
        axes.text(
            column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=7, color="w" if share > 0.55 else "k"
        )
    figure.colorbar(picture, ax=axes, shrink=0.7, label="share of the true class's pixels")
    figure.savefig(path, format="png")
