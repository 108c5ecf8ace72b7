"""Processes of carlaseg that carlaseg starts: they find this package wherever it lies, and they end."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

PACKAGE_PARENT = str(Path(__file__).resolve().parents[1])


def environment(**more: str) -> dict[str, str]:
    """What a child's environment is to be: ours, the package's own place first among the places of packages.

    From a clone that is not installed the package is then found whatever the current folder is.

    Args:
        more: further variables.
    """
    inherited = os.environ.get("PYTHONPATH")
    places = [PACKAGE_PARENT, inherited] if inherited else [PACKAGE_PARENT]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(places), **more}


def await_end(process: subprocess.Popen[bytes] | subprocess.Popen[str], patience_s: float) -> None:
    """Wait for a process that knows it is to end, then ask it to, then kill it.

    Args:
        process: a child; its input is closed, or whatever else tells it.
        patience_s: how long it has for each of the three.
    """
    for end in (None, process.terminate, process.kill):
        if end is not None:
            end()
        try:
            process.wait(patience_s)
            break
        except subprocess.TimeoutExpired:
            continue
