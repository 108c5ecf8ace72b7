"""When memory that was freed goes back to the kernel: not after each picture, but after a bulky step that comes once.

Both do what they say on Linux with glibc, and nothing elsewhere.
"""

from __future__ import annotations

import ctypes
import platform
from typing import Any

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
"""Parameters of mallopt. Source: malloc.h of glibc 2.36."""


def keep_freed_memory() -> None:
    """Have this process keep large blocks that it frees.

    A picture or an activation is otherwise mapped and unmapped each time, and the kernel clears each of its pages
    again: 1.2 to 1.5 times a training step of FC-DenseNet on a CPU (benchmarks/training_step.py), and some frames a
    second of a recording of large pictures.
    """
    if (glibc := _glibc()) is not None:
        glibc.mallopt(_MMAP_MAX, 0)
        glibc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        glibc.mallopt(_TOP_PAD, 64 * 2**20)


def give_freed_memory_back() -> None:
    """Hand to the kernel what is free by now."""
    if (glibc := _glibc()) is not None:
        glibc.malloc_trim(0)


def _glibc() -> Any:
    if platform.system() != "Linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
