"""Which drives go to train, val and test: whole drives, or whole towns, never one on two sides."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

SPLITS = ("train", "val", "test")


def assign_splits(frames_of: Mapping[str, int], val_share: float, test_share: float, seed: int) -> dict[str, str]:
    """The split of each group, as near to the wished-for shares as whole groups allow.

    Train always keeps one group; with a single group everything is train.

    Args:
        frames_of: frames by group (a drive or a town).
        val_share: wished-for share of all frames in val, 0 for none.
        test_share: likewise for test.
        seed: decides which groups.
    """
    names = sorted(frames_of)
    order = [names[position] for position in np.random.default_rng(seed).permutation(len(names))]
    total = sum(frames_of.values())
    split_of = dict.fromkeys(names, "train")
    left = len(names)
    for split, share in (("test", test_share), ("val", val_share)):
        wished, frames, chosen = share * total, 0, 0
        for name in order:
            if share <= 0 or left <= 1 or split_of[name] != "train":
                continue
            # At least one group where there is a wish and a group to spare; then while it brings the count nearer.
            if chosen and abs(frames + frames_of[name] - wished) >= abs(frames - wished):
                continue
            split_of[name] = split
            frames += frames_of[name]
            left -= 1
            chosen += 1
    return split_of
