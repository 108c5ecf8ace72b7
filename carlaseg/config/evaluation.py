"""Settings of evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from carlaseg.config.values import check_range, check_seed
from carlaseg.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Score predictions on disk by class, drive, town, weather and distance, with intervals; compare two runs."""

    results: Path = Path("dataset_out")
    """Results folder of carlaseg infer."""
    against: Path | None = None
    """Another results folder on the same images: is RESULTS better than it, or is that chance?"""
    truth: Path | None = None
    """Dataset with the truth, where it is no longer where inference found it."""
    resamples: int = 1000
    """Resamples behind each interval and each test."""
    resample: Literal["images", "drives"] = "images"
    """What is drawn: images, or whole drives. Frames of one drive are alike, so drives give the honest interval where
    there are enough of them."""
    seed: int = 0
    """Seed of the resamples."""
    bands: tuple[float, ...] = (15.0, 30.0, 60.0)
    """Limits of the distance bands in metres, where the recording has depth; quarters of the picture's rows if not."""
    worst: int = 12
    """How many of the worst images are listed."""
    json: bool = False
    """Print the evaluation as one JSON object on standard output."""

    def __post_init__(self) -> None:
        """Refuse what cannot be computed."""
        check_range("--resamples", self.resamples, 100, 1_000_000)
        check_range("--worst", self.worst, 0)
        check_seed(self.seed)
        if list(self.bands) != sorted(set(self.bands)) or any(limit <= 0 for limit in self.bands):
            raise ConfigError(f"--bands: expected rising distances in metres, received {self.bands}.")
