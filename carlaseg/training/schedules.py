"""Learning rate by step: plain functions of the step, so that a continued run needs no state for them."""

from __future__ import annotations

import math
from typing import Literal

Schedule = Literal["constant", "cosine", "one-cycle", "polynomial", "step"]

WARM_UP_SHARE = 0.03
"""Share of a cosine run that climbs to the peak when nothing is said; Adam's estimates are worthless before."""
ONE_CYCLE_START, ONE_CYCLE_END = 1 / 25, 1e-4
"""Where one-cycle begins and ends, of its peak. Source: Smith & Topin 2018, Super-Convergence; the usual ratios."""
ONE_CYCLE_CLIMB = 0.3
"""Share of the run in which one-cycle climbs, when no warm-up is given."""
POLYNOMIAL_POWER = 0.9
"""Source: Chen et al. 2017, DeepLab, section 4.1."""
STEPS_AT = (0.6, 0.85)
"""Shares of the run at which the step schedule falls to a tenth."""


def learning_rate(
    schedule: Schedule, step: int, total_steps: int, peak: float, warm_up_steps: int | None = None
) -> float:
    """The learning rate of a step.

    Args:
        schedule: `constant` is the peak throughout; `cosine` falls to zero along half a cosine; `polynomial` with power
            0.9 of what is left; `step` to a tenth after 60 % and to a hundredth after 85 % of the run; `one-cycle`
            climbs along half a cosine from a 25th of the peak and falls along another to a 10,000th.
        step: from 0, over the whole run.
        total_steps: steps of the whole run.
        peak: highest learning rate.
        warm_up_steps: steps of a straight climb before; of a one-cycle, steps of its climb. When not given, 3 % of the
            run with cosine, 30 % with one-cycle, none with the others.
    """
    if warm_up_steps is None:
        share = {"cosine": WARM_UP_SHARE, "one-cycle": ONE_CYCLE_CLIMB}.get(schedule, 0.0)
        warm_up = max(1, round(share * total_steps)) if share else 0
    else:
        warm_up = warm_up_steps
    if step < warm_up:
        climbed = (step + 1) / warm_up
        if schedule == "one-cycle":
            return peak * (ONE_CYCLE_START + (1 - ONE_CYCLE_START) * _half_cosine(1 - climbed))
        return peak * climbed
    gone = min(1.0, (step - warm_up) / max(1, total_steps - warm_up))
    if schedule == "cosine":
        return peak * _half_cosine(gone)
    if schedule == "one-cycle":
        return peak * (ONE_CYCLE_END + (1 - ONE_CYCLE_END) * _half_cosine(gone))
    if schedule == "polynomial":
        return peak * math.pow(1 - gone, POLYNOMIAL_POWER)
    if schedule == "step":
        return peak * math.pow(0.1, sum(step >= share * total_steps for share in STEPS_AT))
    return peak


def _half_cosine(gone: float) -> float:
    """From 1 at 0 to 0 at 1."""
    return 0.5 * (1 + math.cos(math.pi * gone))
