"""Settings of inference and of the report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from carlaseg.config.values import Size, check_range


@dataclass(frozen=True, kw_only=True)
class InferConfig:
    """Run a trained network over a folder of images and write ids, colours, panels and metrics."""

    run: Path = Path("latest")
    """Run folder, or `latest` for the newest one under --runs."""
    runs: Path = Path("runs")
    """Folder of run folders."""
    input: Path = Path("dataset_test")
    """Images to segment: recordings, a plain folder, a dataset in a known layout."""
    output: Path = Path("dataset_out")
    """Folder that gets the results; a run's results go to a folder of their own inside it."""
    name: str | None = None
    """Name of the results folder; the run's and the input's names when not given."""
    checkpoint: Literal["best", "last"] = "best"
    """Which weights of the run."""
    size: Size | None = None
    """Height x width the network sees; the size it was trained at when not given. Results have the input's size."""
    batch_size: int = 1
    """Images a step; one at a time is the quickest on a CPU."""
    scheme: str | None = None
    """Label scheme of the truth, where the input does not say."""
    split: str | None = None
    """Split of the input to use (train, val, test), where its layout has splits."""
    panels: bool = True
    """Write the panels (image, truth, prediction, median-filtered prediction, overlay)."""
    overwrite: bool = False
    """Replace an existing results folder."""
    json: bool = False
    """Print the result as one JSON object on standard output."""

    def __post_init__(self) -> None:
        """Refuse an impossible batch."""
        check_range("--batch-size", self.batch_size, 1)


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """Join a run's curves, scores and pictures in one self-contained HTML page."""

    run: Path = Path("latest")
    """Run folder, or `latest` for the newest one under --runs."""
    runs: Path = Path("runs")
    """Folder of run folders."""
    results: tuple[Path, ...] = ()
    """Inference results folders to show; those made from the run under dataset_out/ when not given."""
    output: Path | None = None
    """HTML file to write; report.html in the run folder when not given."""
