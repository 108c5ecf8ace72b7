"""Memory that is kept for what comes next, instead of being handed to the kernel and asked for again."""

from __future__ import annotations

import contextlib
import ctypes
import platform

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
"""Parameters of glibc's mallopt. Source: malloc.h of glibc 2.36."""


def keep_freed_memory() -> None:
    """Have this process keep large blocks that it frees. On Linux with glibc; elsewhere nothing happens.

    A picture or an activation is otherwise mapped and unmapped each time, and the kernel clears each of its pages
    again: 1.2 to 1.5 times a training step of FC-DenseNet on a CPU (benchmarks/training_step.py), and a sixth of the
    frames a second of a recording at 800x600.
    """
    if platform.system() != "Linux":
        return
    with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_TOP_PAD, 64 * 2**20)
