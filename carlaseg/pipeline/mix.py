"""Datasets mixed by weights: how much of an epoch each of them is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Mix:
    """Shares of an epoch.

    Attributes:
        part_of: int64, (frames,): the dataset each frame is of.
        weights: of each dataset, not all 0; only their ratios count.
    """

    part_of: NDArray[np.int64]
    weights: tuple[float, ...]

    def order(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        """Which frame comes when in an epoch of `count`: int64, (count,).

        Of a dataset with more frames than its share some are drawn, others in another epoch; of one with fewer each
        comes about equally often.
        """
        drawn = []
        for part, wanted in enumerate(self.counts(count)):
            frames = np.flatnonzero(self.part_of == part)
            if wanted:
                rounds = -(-wanted // len(frames))
                drawn.append(np.concatenate([rng.permutation(frames) for _ in range(rounds)])[:wanted])
        return rng.permutation(np.concatenate(drawn))

    def counts(self, count: int) -> list[int]:
        """Frames of each dataset among `count`; what rounding leaves over goes to the largest remainders."""
        exact = np.asarray(self.weights) / sum(self.weights) * count
        whole = np.floor(exact).astype(np.int64)
        whole[np.argsort(whole - exact, kind="stable")[: count - int(whole.sum())]] += 1
        return [int(number) for number in whole]
