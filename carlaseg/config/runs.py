"""Settings of the table of runs, and of keeping a run's weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from carlaseg.config.values import check_plain_name


@dataclass(frozen=True, kw_only=True)
class RunsConfig:
    """List the runs, with their best scores, and compare each with the one before on the same data."""

    runs: Path = Path("runs")
    """Folder of run folders."""
    json: bool = False
    """Print the table as one JSON object on standard output."""


@dataclass(frozen=True, kw_only=True)
class KeepConfig:
    """Keep a run's best weights as float16 with a card, small to share: `carlaseg infer --weights NAME` uses them."""

    run: Path = Path("latest")
    """Run folder, or `latest` for the newest one under --runs."""
    runs: Path = Path("runs")
    """Folder of run folders."""
    name: str | None = None
    """Name of the weights; the run's when not given."""
    weights: Path = Path("weights")
    """Folder of kept weights."""
    data_licence: str = "unknown"
    """Licence of the training data in a word or a sentence, which is that of the weights too."""
    overwrite: bool = False
    """Replace kept weights even by worse ones; without it, only by ones of a better validation mIoU."""
    json: bool = False
    """Print what was kept as one JSON object on standard output."""

    def __post_init__(self) -> None:
        """Refuse a name that would lie elsewhere."""
        check_plain_name("--name", self.name, "--weights")
