"""Loads Keras and its backend, with what must happen before; the first thing that training and inference do."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import platform
import sys
import tempfile
from collections.abc import Iterator

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
"""Parameters of glibc's mallopt. Source: malloc.h of glibc 2.36."""


def prepare_backend() -> None:
    """Load Keras: with memory that is kept, not given back at every operation, and without TensorFlow's greetings.

    Call it before anything that imports keras. On Linux with glibc an activation above 32 MiB is otherwise mapped and
    unmapped at each operation, and each page is cleared by the kernel again: 1.2 to 1.5 times a training step of
    FC-DenseNet on a CPU (benchmarks/training_step.py). Elsewhere nothing happens.

    PyTorch's threads are told to sleep while they wait for each other. By default they spin, and where another program
    holds a core each of a step's thousands of barriers lasts a time slice, so that a step takes ten times as long.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if platform.system() == "Linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(M_MMAP_MAX, 0)
            mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
            mallopt(M_TOP_PAD, 64 * 2**20)
    if "keras" not in sys.modules:
        with standard_error_aside():
            importlib.import_module("keras")


@contextlib.contextmanager
def standard_error_aside() -> Iterator[None]:
    """Keep what C++ code prints on standard error; let it out only when the block fails.

    TensorFlow 2.21 prints three lines at import before it reads any of its own settings for silence; its converter and
    LiteRT have none.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as aside:
        kept = os.dup(2)
        os.dup2(aside.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(kept, 2)
            aside.seek(0)
            os.write(2, aside.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
