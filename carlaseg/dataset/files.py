"""Files that are seen whole or not at all, and what a failing disk is called."""

from __future__ import annotations

import errno
import os
from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def temporary(path: Path) -> Path:
    """Where a file is written before it has its name: hidden, in the same folder, with the same ending."""
    return path.with_name(f".part_{path.name}")


def write_whole(path: Path, content: bytes, sync: bool = False) -> None:
    """Write a file so that it is seen whole or not at all.

    Raises:
        OSError: it could not be written; nothing is left of it.
    """
    part = temporary(path)
    try:
        with part.open("wb", buffering=0) as file:
            view = memoryview(content)
            while view:
                view = view[file.write(view) :]
            if sync:
                os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def disk_fault(error: OSError) -> str:
    """What went wrong, in words for an error message."""
    return "a full disk" if error.errno in _FULL else str(error.strerror or error)
