"""Learning rate by step: plain functions of the step, so that a continued run needs no state for them."""

from __future__ import annotations

import math
from typing import Literal

WARM_UP_SHARE = 0.03
"""Share of the run in which the cosine schedule climbs to its peak; Adam's estimates are worthless before."""


def learning_rate(schedule: Literal["constant", "cosine"], step: int, total_steps: int, peak: float) -> float:
    """The learning rate of a step.

    Args:
        schedule: `constant` is the peak throughout; `cosine` climbs in a straight line, then falls to zero along half
            a cosine.
        step: from 0, over the whole run.
        total_steps: steps of the whole run.
        peak: highest learning rate.
    """
    if schedule == "constant":
        return peak
    warm_up = max(1, round(WARM_UP_SHARE * total_steps))
    if step < warm_up:
        return peak * (step + 1) / warm_up
    gone = (step - warm_up) / max(1, total_steps - warm_up)
    return peak * 0.5 * (1 + math.cos(math.pi * min(1.0, gone)))
