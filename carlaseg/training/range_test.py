"""`carlaseg train --lr-range-test`: a learning rate from a minute of training in which it grows step by step.

Source: Smith 2017, Cyclical Learning Rates for Training Neural Networks, section 3.3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from carlaseg.console import Progress, StopRequest
from carlaseg.errors import TrainingDiverged
from carlaseg.pipeline import TrainingBatches

LOWEST, HIGHEST = 1e-6, 1.0
UPDATES = 80
SMOOTHING = 0.8
"""Share of the old value in the running mean of the loss; a batch's own loss jumps too much to have a slope."""
GIVEN_UP_AT = 3.0
"""The test ends when the loss is so many times its lowest value."""


@dataclass(frozen=True)
class RangeTest:
    """What the test gave.

    Attributes:
        rates: learning rate of each update.
        losses: running mean of the loss after each.
        steepest: rate at which the loss fell fastest; None when it never fell.
        lowest: rate at which the loss was lowest; from there on it is too large.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    steepest: float | None
    lowest: float


def range_test(model: Any, batches: TrainingBatches, stop: StopRequest) -> RangeTest:
    """Train while the learning rate grows from 1e-6 to 1; the network is spoilt afterwards.

    Args:
        model: a compiled network.
        batches: what to train on, as many epochs as it takes.
        stop: looked at between updates.

    Raises:
        TrainingDiverged: the loss was no number from the first updates on.
    """
    rates: list[float] = []
    losses: list[float] = []
    mean = 0.0
    with Progress("range", UPDATES, "updates") as progress:
        for images_and_masks in _updates(batches):
            if len(rates) == UPDATES or stop.requested:
                break
            rate = LOWEST * (HIGHEST / LOWEST) ** (len(rates) / (UPDATES - 1))
            model.optimizer.learning_rate = rate
            loss = 0.0
            for images, masks in images_and_masks:
                model.reset_metrics()
                loss += float(model.train_on_batch(images, masks)) / len(images_and_masks)
            mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
            smooth = mean / (1 - SMOOTHING ** (len(rates) + 1))
            if not math.isfinite(smooth) or (losses and smooth > GIVEN_UP_AT * min(losses)):
                break
            rates.append(rate)
            losses.append(smooth)
            progress.advance(loss=f"{smooth:.3f}", rate=f"{rate:.1e}")
    if len(rates) < 3:
        raise TrainingDiverged(
            f"--lr-range-test: expected a finite loss at a learning rate of {LOWEST:g}, received none after "
            f"{len(rates)} updates. Nothing was written."
        )
    return RangeTest(tuple(rates), tuple(losses), steepest(rates, losses), rates[int(np.argmin(losses))])


def steepest(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """The rate at which the loss falls fastest with the rate's logarithm, before its lowest value; None if never."""
    end = int(np.argmin(losses)) + 1
    if end < 3:
        return None
    slopes = np.gradient(np.asarray(losses[:end]), np.log(np.asarray(rates[:end])))
    return float(rates[int(np.argmin(slopes))])


def advice(test: RangeTest) -> str:
    """What the test says, in a sentence."""
    if test.steepest is None:
        return f"the loss never fell; look at the pictures and the labels (it was lowest at {test.lowest:.1e})"
    return (
        f"the loss falls fastest at {test.steepest:.1e} and is lowest at {test.lowest:.1e}: "
        f"try --learning-rate {test.steepest:.1e}"
    )


def _updates(batches: TrainingBatches) -> Any:
    """Lists of the batches of an update, without end."""
    for epoch in count():
        with closing(batches.epoch(epoch)) as stream:
            gathered = []
            for batch in stream:
                gathered.append(batch)
                if len(gathered) == batches.accumulate:
                    yield gathered
                    gathered = []
