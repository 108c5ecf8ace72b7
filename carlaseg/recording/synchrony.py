"""Settings that make a server wait for our ticks, with a mark in them that says that it waits for ours.

A recorder can be killed at any moment, before its first actor stands as well. The next one must then know that nobody
wants the server frozen. So the mark goes with the freeze itself, in one and the same call: it is the last bits of the
time step, far below what any clock of the simulation shows.
"""

from __future__ import annotations

import math
import struct
from typing import Any

MAX_SUBSTEPS = 16
"""The server's limit of physics substeps a step. Source: CARLA documentation, "Physics substepping"."""

_MARK = 0xCA5E
_MARK_BITS = 0xFFFF
"""Of a double's mantissa: less than 2e-11 of the step. A server that kept the step in single precision would lose them;
what was left there would be told by its actors alone (`orphans`)."""


def make_synchronous(settings: Any, time_step_s: float) -> None:
    """Change a `carla.WorldSettings` so that the server waits for ticks of this length, and draws.

    Args:
        settings: those in force; what does not matter here stays.
        time_step_s: seconds of simulated time.
    """
    settings.synchronous_mode = True
    settings.fixed_delta_seconds = marked(time_step_s)
    # Without rendering the cameras deliver empty pictures.
    settings.no_rendering_mode = False
    if settings.substepping:
        # Physics steps must cover the time step; finer ones are kept where the server's limit allows.
        needed = math.ceil(time_step_s / settings.max_substep_delta_time - 1e-9)
        settings.max_substeps = min(MAX_SUBSTEPS, max(settings.max_substeps, needed))
        settings.max_substep_delta_time = max(settings.max_substep_delta_time, time_step_s / settings.max_substeps)


def marked(time_step_s: float) -> float:
    """The same time step with our mark; never a longer one, because physics substeps must cover it."""
    bits = _bits(time_step_s)
    with_mark = (bits & ~_MARK_BITS) | _MARK
    if with_mark > bits:
        with_mark -= _MARK_BITS + 1
    return float(struct.unpack("<d", struct.pack("<q", with_mark))[0])


def is_marked(time_step_s: float | None) -> bool:
    """Whether a recording of ours has set this time step."""
    return time_step_s is not None and (_bits(time_step_s) & _MARK_BITS) == _MARK


def _bits(number: float) -> int:
    return int(struct.unpack("<q", struct.pack("<d", number))[0])
