"""Training and validation samples that never share a drive.

Neighbouring frames are near copies of one another: with one on either side the score would flatter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from carlaseg.dataset.samples import Sample
from carlaseg.errors import DatasetError

_GAP_SHARE = 0.02
_LARGEST_GAP = 25


class Split(NamedTuple):
    """Two parts of a dataset, and what people should know about how they were made."""

    train: list[Sample]
    validation: list[Sample]
    note: str


def split_by_drive(samples: Sequence[Sample], validation_share: float, seed: int) -> Split:
    """Hold out whole drives for validation, as near to the share as they allow; the same seed holds out the same ones.

    A dataset that is one single drive is cut in two contiguous pieces with a gap of left-out frames between them, and
    the note says so.

    Args:
        samples: all of them; those of one drive in their order.
        validation_share: wished-for share of frames in the validation part, above 0 and below 1.
        seed: decides which drives.

    Raises:
        DatasetError: too few samples for two parts.
    """
    drives: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        drives[sample.drive].append(sample)
    if len(samples) < 2:
        raise DatasetError(f"split: expected at least 2 frames to train and validate on, received {len(samples)}.")
    if len(drives) == 1:
        return _cut_one_drive(list(samples), validation_share)
    names = sorted(drives)
    order = [names[position] for position in np.random.default_rng(seed).permutation(len(names))]
    wished = validation_share * len(samples)
    held_out: list[str] = []
    frames = 0
    for name in order:
        # Take a drive when that brings the count nearer to the wish; never the last one that training would have.
        if len(held_out) < len(names) - 1 and abs(frames + len(drives[name]) - wished) < abs(frames - wished):
            held_out.append(name)
            frames += len(drives[name])
    if not held_out:
        held_out = [min(order, key=lambda name: len(drives[name]))]
    train = [sample for sample in samples if sample.drive not in held_out]
    validation = [sample for sample in samples if sample.drive in held_out]
    named = ", ".join(sorted(held_out)[:3]) + (", ..." if len(held_out) > 3 else "")
    note = (
        f"split by drive: {len(held_out)} of {len(names)} drives held out ({named}), "
        f"{len(validation) / len(samples):.0%} of frames"
    )
    return Split(train, validation, note)


def _cut_one_drive(samples: list[Sample], validation_share: float) -> Split:
    count = len(samples)
    validation_count = min(max(1, round(count * validation_share)), count - 1)
    gap = min(_LARGEST_GAP, round(count * _GAP_SHARE), count - validation_count - 1)
    train = samples[: count - validation_count - gap]
    note = (
        f"one drive only ({samples[0].drive}): its last {validation_count} frames are held out, {gap} between are left "
        "out; a drive of its own for validation would be a better test"
    )
    return Split(train, samples[count - validation_count :], note)
