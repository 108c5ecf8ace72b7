"""Which drives go to train, val and test: whole drives, or whole towns, never one on two sides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

MOST_SUMS = 2**18
"""Totals told from one another; those of more frames are compared in steps of several."""


def assign_splits(frames_of: Mapping[str, int], val_share: float, test_share: float, seed: int) -> dict[str, str]:
    """The split of each group, as near to the wished-for shares as whole groups allow.

    Test is chosen first, then val of what is left. Where there is a wish and a group to spare, a split gets one at
    least; train always keeps one, and with a single group everything is train.

    Args:
        frames_of: frames by group (a drive or a town).
        val_share: wished-for share of all frames in val, 0 for none.
        test_share: likewise for test.
        seed: decides which groups, among choices that come equally near.
    """
    names = sorted(frames_of)
    order = [names[position] for position in np.random.default_rng(seed).permutation(len(names))]
    total = sum(frames_of.values())
    split_of = dict.fromkeys(names, "train")
    for split, share in (("test", test_share), ("val", val_share)):
        left = [name for name in order if split_of[name] == "train"]
        if share > 0 and len(left) > 1:
            for position in _nearest([frames_of[name] for name in left], share * total):
                split_of[left[position]] = split
    return split_of


def _nearest(counts: Sequence[int], wished: float) -> list[int]:
    """Positions of some of the counts, one at least and never all, whose total comes nearest to what is wished.

    Among equals the total below the wish, and of its ways to come about one of the first counts: their order decides.
    """
    step = math.ceil(sum(counts) / MOST_SUMS)
    sizes = [max(1, round(count / step)) for count in counts]
    # What is further above the wish than nothing is below it cannot be the nearest, unless it is the smallest.
    limit = min(sum(sizes) - 1, max(math.floor(2 * wished / step), min(sizes)))
    is_reached = np.zeros(limit + 1, bool)
    is_reached[0] = True
    last_of = np.zeros(limit + 1, np.int32)
    for position, size in enumerate(sizes):
        if size > limit:
            continue
        new = size + np.flatnonzero(is_reached[: limit + 1 - size] & ~is_reached[size:])
        is_reached[new] = True
        last_of[new] = position
    sums = np.flatnonzero(is_reached)[1:]
    rest = int(sums[np.argmin(np.abs(sums * step - wished))])
    chosen: list[int] = []
    while rest:
        # Each total was first reached by adding this one to a total of those before it.
        chosen.append(int(last_of[rest]))
        rest -= sizes[chosen[-1]]
    return chosen
