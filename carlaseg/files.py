"""Files that are seen whole or not at all, and what a failing disk is called.

Whatever is left behind may be written through here: nobody, not even after a power cut, meets half a file.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FILE_FOR_A_FOLDER = (errno.EEXIST, errno.ENOTDIR)
"""What making a folder on or below a file is answered with."""


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
    if error.errno in _FULL:
        return "a full disk"
    if error.errno in _FILE_FOR_A_FOLDER:
        return "a file where a folder has to be"
    return str(error.strerror or error)


def unreadable(error: OSError | UnicodeDecodeError) -> str:
    """Why a text file could not be read, in words for an error message."""
    return disk_fault(error) if isinstance(error, OSError) else "bytes that are no UTF-8 text"
