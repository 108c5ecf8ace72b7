"""How sure a figure is, and whether two runs differ: bootstrap and permutation over images, seeded.

The unit that is drawn is an image, or a whole drive. Frames of one drive resemble each other, so intervals over images
are too narrow where drives are few and long; intervals over drives say how the figure would move with other drives.

Source: Efron, Tibshirani, "An Introduction to the Bootstrap", 1993: percentile intervals (ch. 13), permutation tests
(ch. 15), and the +1 of a Monte-Carlo p-value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FIGURES = ("mean_iou", "pixel_accuracy", "class_accuracy", "frequency_weighted_iou")
LEVEL = 0.95
_CHUNK = 256
"""Resamples made at a time: memory stays at a few MB however many are asked for."""


@dataclass(frozen=True)
class Interval:
    """A figure and the range that LEVEL of its resamples lie in; None where the figure has nothing below its line."""

    value: float | None
    low: float | None
    high: float | None

    def to_json(self) -> dict[str, float | None]:
        """As plain JSON values."""
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Comparison:
    """One figure of two runs on the same images.

    Attributes:
        difference: the second run's figure less the first's, with its paired bootstrap interval.
        p_value: how often chance alone (the two runs' answers swapped unit by unit) gives a difference as large.
    """

    difference: Interval
    p_value: float


def sums_of(confusions: NDArray[np.int64]) -> NDArray[np.float64]:
    """What every figure follows from: hits, truth and predicted pixels a class.

    Args:
        confusions: int64, (N, C, C), a matrix an image, rows truth.

    Returns:
        float64, (N, 3, C). Sums of integers below 2**53 are exact.
    """
    hits = np.diagonal(confusions, axis1=1, axis2=2)
    return np.stack([hits, confusions.sum(axis=2), confusions.sum(axis=1)], axis=1).astype(np.float64)


def bootstrap(
    sums: NDArray[np.float64], units: NDArray[np.int64] | None = None, resamples: int = 1000, seed: int = 0
) -> tuple[dict[str, Interval], tuple[Interval, ...]]:
    """Figures with their intervals, and the IoU of each class with its own.

    Args:
        sums: float64, (N, 3, C), of `sums_of`.
        units: int64, (N,): which unit (drive) an image belongs to; each image is its own when None.
        resamples: how many.
        seed: of the draws.

    Returns:
        An Interval a figure of FIGURES, and one a class for its IoU.
    """
    grouped = _grouped(sums, units)
    value, of_class = _figures(grouped.sum(axis=0, keepdims=True))
    drawn = [_figures(total) for total in _resampled(grouped, resamples, seed)]
    figures = np.concatenate([figures for figures, _ in drawn])
    classes = np.concatenate([classes for _, classes in drawn])
    return (
        {name: _interval(value[0, i], figures[:, i]) for i, name in enumerate(FIGURES)},
        tuple(_interval(of_class[0, i], classes[:, i]) for i in range(of_class.shape[1])),
    )


def compare(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    units: NDArray[np.int64] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[dict[str, Comparison], tuple[Interval, ...]]:
    """Whether the second run is better than the first, on the same images in the same order.

    Args:
        first: float64, (N, 3, C), of `sums_of`.
        second: the same of the other run.
        units: see `bootstrap`.
        resamples: how many, of the bootstrap and of the permutation test each.
        seed: of the draws.

    Raises:
        ValueError: the shapes differ.
    """
    if first.shape != second.shape:
        raise ValueError(f"second: expected the shape of the first, {first.shape}, received {second.shape}.")
    a, b = _grouped(first, units), _grouped(second, units)
    (value_a, class_a), (value_b, class_b) = (_figures(x.sum(axis=0, keepdims=True)) for x in (a, b))
    # The same seed draws the same units of both: that is what makes the interval a paired one.
    drawn_a = [_figures(total) for total in _resampled(a, resamples, seed)]
    drawn_b = [_figures(total) for total in _resampled(b, resamples, seed)]
    figures = np.concatenate([y[0] - x[0] for x, y in zip(drawn_a, drawn_b, strict=True)])
    classes = np.concatenate([y[1] - x[1] for x, y in zip(drawn_a, drawn_b, strict=True)])
    observed = (value_b - value_a)[0]
    p_values = _permutation(a, b, observed, resamples, seed)
    return (
        {name: Comparison(_interval(observed[i], figures[:, i]), float(p_values[i])) for i, name in enumerate(FIGURES)},
        tuple(_interval((class_b - class_a)[0, i], classes[:, i]) for i in range(classes.shape[1])),
    )


def _grouped(sums: NDArray[np.float64], units: NDArray[np.int64] | None) -> NDArray[np.float64]:
    if units is None:
        return sums
    grouped = np.zeros((int(units.max(initial=-1)) + 1, *sums.shape[1:]))
    np.add.at(grouped, units, sums)
    return grouped


def _resampled(grouped: NDArray[np.float64], resamples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Sums of resamples, float64 (chunk, 3, C): units drawn with replacement, as many as there are."""
    rng = np.random.default_rng((seed, 1))
    count = len(grouped)
    flat = grouped.reshape(count, -1)
    for first in range(0, resamples, _CHUNK):
        # How often each unit is drawn decides the sums; the order of the draws does not.
        times = rng.multinomial(count, np.full(count, 1 / count), size=min(_CHUNK, resamples - first))
        yield (times.astype(np.float64) @ flat).reshape(-1, *grouped.shape[1:])


def _permutation(
    a: NDArray[np.float64], b: NDArray[np.float64], observed: NDArray[np.float64], resamples: int, seed: int
) -> NDArray[np.float64]:
    rng = np.random.default_rng((seed, 2))
    both, difference = (a + b).reshape(len(a), -1).sum(axis=0), (b - a).reshape(len(a), -1)
    as_large = np.zeros(len(FIGURES), np.int64)
    for first in range(0, resamples, _CHUNK):
        signs = 1.0 - 2.0 * rng.integers(0, 2, (min(_CHUNK, resamples - first), len(a)))
        swapped = signs @ difference
        shape = (-1, *a.shape[1:])
        high, _ = _figures(((both + swapped) / 2).reshape(shape))
        low, _ = _figures(((both - swapped) / 2).reshape(shape))
        # A hair of room: the same sums taken in another order must count as equal.
        as_large += (np.abs(high - low) >= np.abs(observed) - 1e-12).sum(axis=0)
    p_values: NDArray[np.float64] = (as_large + 1) / (resamples + 1)
    return p_values


def _figures(totals: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Figures, float64 (R, 4), and IoU a class, float64 (R, C), of sums (R, 3, C); NaN where there is none.

    The same definitions as `Scores`: means are over the classes that the truth of the resample shows.
    """
    hits, truth, predicted = totals[:, 0], totals[:, 1], totals[:, 2]
    with np.errstate(invalid="ignore", divide="ignore"):
        shown = truth > 0
        iou = np.where(shown, hits / (truth + predicted - hits), np.nan)
        recall = np.where(shown, hits / truth, np.nan)
        pixels = truth.sum(axis=1)
        classes = shown.sum(axis=1)
        figures = np.stack(
            [
                np.nansum(iou, axis=1) / classes,
                hits.sum(axis=1) / pixels,
                np.nansum(recall, axis=1) / classes,
                np.nansum(iou * truth, axis=1) / pixels,
            ],
            axis=1,
        )
    return figures, iou


def _interval(value: Any, drawn: NDArray[np.float64]) -> Interval:
    drawn = drawn[~np.isnan(drawn)]
    if np.isnan(value) or not drawn.size:
        return Interval(None if np.isnan(value) else float(value), None, None)
    low, high = np.quantile(drawn, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Interval(float(value), float(low), float(high))
