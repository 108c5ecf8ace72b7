"""What must happen before Keras loads its backend. No keras here, so that it can happen before."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
"""Parameters of glibc's mallopt. Source: malloc.h of glibc 2.36."""


def prepare_backend() -> None:
    """Make ready for Keras: memory that is kept rather than given back at every operation, and a quiet TensorFlow.

    Call it before the first import of keras. On Linux with glibc an activation above 32 MiB is otherwise mapped and
    unmapped at each operation, and each page is cleared by the kernel again: 1.2 to 1.5 times a training step of
    FC-DenseNet on a CPU (benchmarks/training_step.py). Elsewhere nothing happens.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if platform.system() == "Linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(M_MMAP_MAX, 0)
            mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
            mallopt(M_TOP_PAD, 64 * 2**20)
