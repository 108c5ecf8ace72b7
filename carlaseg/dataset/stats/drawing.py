"""The count of a dataset in pictures: shares of classes, of drives, brightness, and where each class lies."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from carlaseg.dataset.stats.classes import ClassStats, Tally

if TYPE_CHECKING:
    from carlaseg.dataset.stats.report import DatasetStats

_MOST_DRIVES = 40
_RARE_IN_A_BAR = 0.002
_HEAT_COLUMNS = 5


def drawings(counted: DatasetStats) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of the pictures."""
    rows = sorted((row for row in counted.classes if row.pixels), key=lambda row: row.pixels)
    yield "classes.png", _classes(counted, rows)
    yield "by_drive.png", _by_drive(counted, rows)
    yield "heatmap.png", _heatmap(counted, rows)
    if counted.pictures is not None:
        yield "brightness.png", _brightness(counted)


def _figure(width_in: float, height_in: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _png(figure: Any) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=100)
    return content.getvalue()


def _colour(counted: DatasetStats, class_id: int) -> tuple[float, ...]:
    return tuple(int(value) / 255 for value in counted.scheme.palette[class_id])


def _classes(counted: DatasetStats, rows: list[ClassStats]) -> bytes:
    figure = _figure(8, 1.2 + 0.28 * len(rows))
    axes = figure.add_subplot()
    colors = [_colour(counted, row.class_id) for row in rows]
    bars = axes.barh([row.name for row in rows], [row.share for row in rows], color=colors, edgecolor="black", lw=0.4)
    axes.bar_label(bars, [f" {row.share:.2%} in {row.images} images" for row in rows], fontsize=8)
    # Shares span four orders of magnitude: a linear axis would show the road and nothing else.
    axes.set_xscale("log")
    axes.set_xlim(left=min(row.share for row in rows) / 3, right=10)
    axes.set_xlabel("share of labelled pixels (logarithmic)")
    axes.set_title(f"{counted.folder.resolve().name}: {counted.labelled} masks, {counted.scheme.name}")
    return _png(figure)


def _by_drive(counted: DatasetStats, rows: list[ClassStats]) -> bytes:
    """A bar a drive, town by town and weather by weather, the classes stacked in it."""
    parts: list[tuple[str, Tally]] = []
    for kind, group in counted.groups.items():
        shown = list(group.items())[:_MOST_DRIVES]
        parts += [(f"{name} ({part.masks})", part) for name, part in shown]
        if len(group) > len(shown):
            parts.append((f"... {len(group) - len(shown)} more {kind}s in by_{kind}.csv", Tally()))
        parts.append(("", Tally()))
    parts.pop()
    figure = _figure(10, 1.8 + 0.26 * len(parts))
    axes = figure.add_subplot()
    left = np.zeros(len(parts))
    shares = np.array([[row.share for row in part.classes(counted.scheme)] for _, part in parts])
    places = np.arange(len(parts))
    for row in reversed(rows):
        label = row.name if row.share >= _RARE_IN_A_BAR else None
        share = shares[:, row.class_id]
        axes.barh(
            places, share, left=left, color=_colour(counted, row.class_id), label=label, edgecolor="black", lw=0.2
        )
        left += share
    axes.set_yticks(places, [name for name, _ in parts], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of labelled pixels")
    axes.set_title(f"{counted.folder.resolve().name}: classes by {', '.join(counted.groups)}")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
    return _png(figure)


def _heatmap(counted: DatasetStats, rows: list[ClassStats]) -> bytes:
    """A map a class: the brighter, the more masks have it there; each by its own maximum."""
    lines = -(-len(rows) // _HEAT_COLUMNS)
    figure = _figure(2.3 * _HEAT_COLUMNS, 0.5 + 1.9 * lines)
    for number, row in enumerate(reversed(rows)):
        axes = figure.add_subplot(lines, _HEAT_COLUMNS, number + 1)
        share = counted.heat[row.class_id] / counted.labelled
        axes.imshow(share, cmap="inferno", vmin=0, vmax=max(float(share.max()), 1e-9))
        axes.set_title(f"{row.name}\nup to {share.max():.1%} of masks", fontsize=8)
        axes.set_axis_off()
    return _png(figure)


def _brightness(counted: DatasetStats) -> bytes:
    assert counted.pictures is not None
    figure = _figure(8, 4)
    axes = figure.add_subplot()
    bottom = np.zeros(64)
    for weather, levels in sorted(counted.pictures.brightness.items()):
        height = levels.reshape(64, 4).sum(axis=1)
        axes.bar(np.arange(64) * 4 + 2, height, width=4, bottom=bottom, label=f"{weather} ({int(levels.sum())})")
        bottom += height
    axes.set_xlim(0, 256)
    axes.set_xlabel("mean grey value of an image, 0 black to 255 white")
    axes.set_ylabel("images")
    axes.set_title(f"{counted.folder.resolve().name}: brightness")
    axes.legend(fontsize=8)
    return _png(figure)
