"""How well the borders of a prediction lie where the truth has them.

A class has a border pixel wherever a pixel of it touches (up, down, left, right) one of another class. Precision is the
share of the predicted border pixels that lie within a tolerance of a true one, recall the other way round, F1 their
harmonic mean. Counts add up: sum those of any split of the data to get the whole.

Source: Csurka, Larlus, Perronnin, "What is a good evaluation measure for semantic segmentation?", BMVC 2013; the
tolerance is theirs, 0.75 % of the image's diagonal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carlaseg.labels import IGNORE_ID

TOLERANCE = 0.0075
"""Of the image's diagonal. Source: Csurka et al. 2013, section 3."""


@dataclass(frozen=True)
class BoundaryCounts:
    """Border pixels by class, int64, (C,) each.

    Attributes:
        truth: border pixels of the truth.
        truth_met: of these, how many have a predicted border of the class within the tolerance.
        predicted: border pixels of the prediction.
        predicted_met: of these, how many have a true border of the class within the tolerance.
    """

    truth: NDArray[np.int64]
    truth_met: NDArray[np.int64]
    predicted: NDArray[np.int64]
    predicted_met: NDArray[np.int64]

    @classmethod
    def none(cls, num_classes: int) -> BoundaryCounts:
        """No pixel counted yet."""
        zeros = np.zeros(num_classes, np.int64)
        return cls(zeros, zeros, zeros, zeros)

    def __add__(self, other: BoundaryCounts) -> BoundaryCounts:
        return BoundaryCounts(
            self.truth + other.truth,
            self.truth_met + other.truth_met,
            self.predicted + other.predicted,
            self.predicted_met + other.predicted_met,
        )

    @property
    def f1(self) -> tuple[float | None, ...]:
        """F1 a class; None where the truth has no border of it."""
        scores: list[float | None] = []
        for truth, truth_met, predicted, predicted_met in zip(
            self.truth.tolist(),
            self.truth_met.tolist(),
            self.predicted.tolist(),
            self.predicted_met.tolist(),
            strict=True,
        ):
            if truth == 0:
                scores.append(None)
                continue
            recall, precision = truth_met / truth, predicted_met / predicted if predicted else 0.0
            scores.append(2 * precision * recall / (precision + recall) if precision + recall else 0.0)
        return tuple(scores)

    @property
    def mean_f1(self) -> float | None:
        """Mean over the classes that have a border in the truth; None without any."""
        shown = [score for score in self.f1 if score is not None]
        return sum(shown) / len(shown) if shown else None


def boundary_counts(
    truth: NDArray[np.uint8],
    prediction: NDArray[np.uint8],
    num_classes: int,
    tolerance_px: float | None = None,
    ignore_id: int = IGNORE_ID,
) -> BoundaryCounts:
    """Count the border pixels of one image. Borders next to void are nobody's: the truth does not say what is there.

    Args:
        truth: uint8, (H, W), class ids, `ignore_id` for void.
        prediction: uint8, (H, W), class ids.
        num_classes: size of the class table.
        tolerance_px: distance within which borders meet; TOLERANCE of the diagonal, one pixel at least, when None.
        ignore_id: void in the truth.

    Raises:
        ValueError: the shapes differ.
    """
    if truth.shape != prediction.shape:
        raise ValueError(f"prediction: expected the shape of the truth, {truth.shape}, received {prediction.shape}.")
    radius = max(1.0, TOLERANCE * float(np.hypot(*truth.shape))) if tolerance_px is None else tolerance_px
    disc = _disc(radius)
    void = truth == ignore_id
    scored = ~(void | _beside(void))
    counts = np.zeros((4, num_classes), np.int64)
    true_borders = _borders(truth) & scored
    # The prediction under void is nobody's mistake, so it must not make borders either.
    predicted_borders = _borders(np.where(void, truth, prediction)) & scored
    classes = np.unique(np.concatenate([truth[true_borders], prediction[predicted_borders]]))
    for class_id in classes[classes < num_classes].tolist():
        true_at = np.argwhere(true_borders & (truth == class_id))
        predicted_at = np.argwhere(predicted_borders & (prediction == class_id))
        counts[:, class_id] = (
            len(true_at),
            _met(true_at, predicted_at, disc, truth.shape),
            len(predicted_at),
            _met(predicted_at, true_at, disc, truth.shape),
        )
    return BoundaryCounts(*counts)


def _borders(ids: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels with a neighbour (up, down, left, right) of another id."""
    borders = np.zeros(ids.shape, bool)
    across, down = ids[:, 1:] != ids[:, :-1], ids[1:] != ids[:-1]
    borders[:, 1:] |= across
    borders[:, :-1] |= across
    borders[1:] |= down
    borders[:-1] |= down
    return borders


def _beside(pixels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels that touch one of these."""
    beside = np.zeros(pixels.shape, bool)
    beside[:, 1:] |= pixels[:, :-1]
    beside[:, :-1] |= pixels[:, 1:]
    beside[1:] |= pixels[:-1]
    beside[:-1] |= pixels[1:]
    return beside


def _disc(radius: float) -> NDArray[np.int64]:
    """Offsets (dy, dx) of all pixels within a radius, int64, (N, 2)."""
    reach = int(radius)
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    inside = dy**2 + dx**2 <= radius**2
    return np.stack([dy[inside], dx[inside]], axis=1).astype(np.int64)


def _met(points: NDArray[Any], others: NDArray[Any], disc: NDArray[np.int64], shape: tuple[int, ...]) -> int:
    """How many points have one of the others within the disc."""
    if len(points) == 0 or len(others) == 0:
        return 0
    reach = int(disc.max())
    near = np.zeros((shape[0] + 2 * reach, shape[1] + 2 * reach), bool)
    for dy, dx in disc.tolist():
        near[others[:, 0] + (dy + reach), others[:, 1] + (dx + reach)] = True
    return int(near[points[:, 0] + reach, points[:, 1] + reach].sum())
