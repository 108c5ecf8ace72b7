"""Numbers as inline SVG: light, sharp at any size, in the page's own colours for light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 520, 270
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 14, 34
CELL = 26


@dataclass(frozen=True)
class Line:
    """One curve.

    Attributes:
        label: its name in the legend.
        colour: number of its colour, from 1; style.py has the colours.
        points: (x, y) in rising order of x.
    """

    label: str
    colour: int
    points: Sequence[tuple[float, float]]


def line_chart(
    title: str,
    lines: Sequence[Line],
    y_range: tuple[float, float] | None = None,
    mark: tuple[float, str] | None = None,
    x_label: str = "epoch",
) -> str:
    """Curves over epochs, or over whatever `x_label` says.

    Args:
        title: heading of the chart.
        lines: the curves; points that are no finite number are left out.
        y_range: lowest and highest value; from the points when not given.
        mark: x and a word for a vertical line.
        x_label: what goes to the right. Epochs are whole numbers; of anything else the ends and quarters are named.
    """
    lines = [Line(a.label, a.colour, [p for p in a.points if math.isfinite(p[1])]) for a in lines]
    lines = [line for line in lines if line.points]
    if not lines:
        return ""
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    x_low, x_high = min(xs), max(xs)
    ticks = _ticks(*(y_range or (min(0.0, *ys), max(ys) or 1.0)))
    y_low, y_high = ticks[0], ticks[-1]

    def place(x: float, y: float) -> tuple[float, float]:
        share_x = (x - x_low) / (x_high - x_low) if x_high > x_low else 0.5
        share_y = (min(max(y, y_low), y_high) - y_low) / ((y_high - y_low) or 1.0)
        return LEFT + share_x * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - share_y * (HEIGHT - TOP - BOTTOM)

    parts = []
    for tick in ticks:
        y = place(x_low, tick)[1]
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    whole = x_label == "epoch"
    x_ticks = np.linspace(x_low, x_high, min(7, round(x_high - x_low) + 1) if whole else 5).tolist()
    for tick in sorted({round(v) if whole else round(v, 2) for v in x_ticks}):
        x = place(tick, y_low)[0]
        parts.append(f'<text class="tick" x="{x:.1f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle">{tick:g}</text>')
    parts.append(f'<text class="tick" x="{WIDTH - RIGHT}" y="{HEIGHT - 3}" text-anchor="end">{escape(x_label)}</text>')
    if mark is not None:
        x = place(mark[0], y_low)[0]
        side, anchor = (-5, "end") if x > WIDTH / 2 else (5, "start")
        parts.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(
            f'<text class="tick" x="{x + side:.1f}" y="{HEIGHT - BOTTOM - 6}" text-anchor="{anchor}">'
            f"{escape(mark[1])}</text>"
        )
    for line in lines:
        placed = [place(x, y) for x, y in line.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        parts.append(f'<polyline class="curve c{line.colour}" points="{path}"/>')
        for (x, y), (x_value, value) in zip(placed, line.points, strict=True):
            radius = 3 if len(placed) <= 60 else 1
            parts.append(
                f'<circle class="dot c{line.colour}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}">'
                f"<title>{escape(line.label)}, {escape(x_label)} {x_value:.4g}: {value:.4g}</title></circle>"
            )
    legend = "".join(f'<span class="key"><i class="c{a.colour}"></i>{escape(a.label)}</span>' for a in lines)
    return (
        f'<figure class="chart"><figcaption><b>{escape(title)}</b>{legend}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg></figure>'
    )


def confusion_chart(confusion: NDArray[np.int64], names: Sequence[str]) -> str:
    """The confusion matrix: a row a true class, a column a predicted one, the shade is the share of the row.

    Args:
        confusion: int64, (C, C), rows truth.
        names: C class names.
    """
    shown = [int(i) for i in np.flatnonzero(confusion.sum(axis=0) + confusion.sum(axis=1))]
    if not shown:
        return ""
    counts = confusion[np.ix_(shown, shown)]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    longest = max(len(names[i]) for i in shown)
    left, top = 14 + 7 * longest, 26 + round(5.4 * longest)
    side = CELL * len(shown)
    parts = [f'<text class="tick" x="{left + side / 2:.0f}" y="12" text-anchor="middle">predicted</text>']
    for place, index in enumerate(shown):
        middle = place * CELL + CELL / 2
        name = escape(names[index])
        parts.append(f'<text class="name" x="{left - 8}" y="{top + middle + 4:.0f}" text-anchor="end">{name}</text>')
        parts.append(
            f'<text class="name" transform="translate({left + middle + 4:.0f},{top - 8}) rotate(-50)">{name}</text>'
        )
    for row, column in np.ndindex(counts.shape):
        share = float(shares[row, column])
        x, y = left + column * CELL, top + row * CELL
        kind = "hit" if row == column else "miss"
        title = (
            f"{names[shown[row]]} taken for {names[shown[column]]}: {100 * share:.2f} % of {counts[row].sum():,} pixels"
        )
        square = f'x="{x}" y="{y}" width="{CELL - 2}" height="{CELL - 2}"'
        parts.append(f'<g><title>{escape(title)}</title><rect class="cell" {square}/>')
        if share >= 0.002:
            parts.append(f'<rect class="{kind}" {square} fill-opacity="{0.08 + 0.92 * share**0.7:.2f}"/>')
        if share >= 0.01:
            tone = "light" if share > 0.45 else "dark"
            parts.append(
                f'<text class="count {tone}" x="{x + CELL / 2 - 1:.0f}" y="{y + CELL / 2 + 3:.0f}">'
                f"{100 * share:.0f}</text>"
            )
        parts.append("</g>")
    width, height = left + side + round(4.5 * longest), top + side + 6
    return (
        f'<div class="wide"><svg class="confusion" style="width:{width}px" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="confusion matrix">{"".join(parts)}</svg></div>'
    )


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers that enclose [low, high], four to seven of them."""
    span = (high - low) or 1.0
    step = 10.0 ** math.floor(math.log10(span / 4))
    step *= next(factor for factor in (1, 2, 2.5, 5, 10) if span / (step * factor) <= 5.01)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]
