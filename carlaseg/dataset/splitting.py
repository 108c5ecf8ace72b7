"""Training and validation samples that never share a drive.

Neighbouring frames are near copies of one another: with one on either side the score would flatter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from carlaseg.dataset.samples import Sample, SampleTable
from carlaseg.errors import DatasetError

_GAP_SHARE = 0.02
_LARGEST_GAP = 25


class Split(NamedTuple):
    """Two parts of a dataset, and what people should know about how they were made."""

    train: Sequence[Sample]
    validation: Sequence[Sample]
    note: str


def split_by_drive(samples: Sequence[Sample], validation_share: float, seed: int) -> Split:
    """Hold out whole drives for validation, as near to the share as they allow; the same seed holds out the same ones.

    A dataset that is one single drive is cut in two contiguous pieces with a gap of left-out frames between them, and
    the note says so.

    Args:
        samples: all of them; those of one drive in their order.
        validation_share: wished-for share of frames in the validation part, above 0 and below 1.
        seed: decides which drives.

    Returns:
        Both parts, views when `samples` is a `SampleTable`, and the note.

    Raises:
        DatasetError: too few samples for two parts.
    """
    if len(samples) < 2:
        raise DatasetError(f"split: expected at least 2 frames to train and validate on, received {len(samples)}.")
    drive_of = samples.drives if isinstance(samples, SampleTable) else [sample.drive for sample in samples]
    frames_of = Counter(drive_of)
    if len(frames_of) == 1:
        return _cut_one_drive(samples, validation_share)
    names = sorted(frames_of)
    order = [names[position] for position in np.random.default_rng(seed).permutation(len(names))]
    wished = validation_share * len(samples)
    held_out: list[str] = []
    frames = 0
    for name in order:
        # Take a drive when that brings the count nearer to the wish; never the last one that training would have.
        if len(held_out) < len(names) - 1 and abs(frames + frames_of[name] - wished) < abs(frames - wished):
            held_out.append(name)
            frames += frames_of[name]
    if not held_out:
        held_out = [min(order, key=lambda name: frames_of[name])]
    chosen = set(held_out)
    is_held_out = np.fromiter((drive in chosen for drive in drive_of), bool, len(samples))
    validation = _at(samples, np.flatnonzero(is_held_out))
    named = ", ".join(sorted(held_out)[:3]) + (", ..." if len(held_out) > 3 else "")
    note = (
        f"split by drive: {len(held_out)} of {len(names)} drives held out ({named}), "
        f"{len(validation) / len(samples):.0%} of frames"
    )
    return Split(_at(samples, np.flatnonzero(~is_held_out)), validation, note)


def _at(samples: Sequence[Sample], positions: NDArray[np.intp]) -> Sequence[Sample]:
    if isinstance(samples, SampleTable):
        return samples.take(positions)
    return [samples[position] for position in positions]


def _cut_one_drive(samples: Sequence[Sample], validation_share: float) -> Split:
    count = len(samples)
    validation_count = min(max(1, round(count * validation_share)), count - 1)
    gap = min(_LARGEST_GAP, round(count * _GAP_SHARE), count - validation_count - 1)
    note = (
        f"one drive only ({samples[0].drive}): its last {validation_count} frames are held out, {gap} between are left "
        "out; a drive of its own for validation would be a better test"
    )
    return Split(samples[: count - validation_count - gap], samples[count - validation_count :], note)
