"""Settings of the table of runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class RunsConfig:
    """List the runs, with their best scores, and compare each with the one before on the same data."""

    runs: Path = Path("runs")
    """Folder of run folders."""
    json: bool = False
    """Print the table as one JSON object on standard output."""
