"""Settings of what looks at datasets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class VerifyConfig:
    """Check a dataset: pairs, files, sizes, ids. Exit code 5 when something is wrong."""

    folder: Path = Path("dataset")
    """Folder to check."""
    deep: bool = False
    """Decode every file and compare its checksum, rather than look at its header."""
    alignment: bool = False
    """With --deep: also name the pairs whose mask seems to belong to another image, each with a score."""
    repair: bool = False
    """Move what is broken in recordings aside into .removed/ (nothing is deleted), then check."""
    scheme: str | None = None
    """Label scheme of the masks, where the dataset does not say."""
    json: bool = False
    """Print the report as one JSON object on standard output."""


@dataclass(frozen=True, kw_only=True)
class StatsConfig:
    """Count pixels and images a class; print the table, loss weights, and draw a picture."""

    folder: Path = Path("dataset")
    """Folder to count."""
    scheme: str | None = None
    """Label scheme of the masks, where the dataset does not say."""
    output: Path | None = None
    """Folder for stats.json, classes.csv, classes.png; printed only when not given."""
    json: bool = False
    """Print the result as one JSON object on standard output."""
