"""The settings of a tiny run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from carlaseg.config import Size, TrainConfig


def settings(folder: Path, **more: Any) -> TrainConfig:
    """Three steps an epoch, with dropout, augmentation and a schedule: everything a resume has to restore."""
    values: dict[str, Any] = {
        "dataset": (folder / "dataset",),
        "runs": folder / "runs",
        "validation_share": 0.25,
        "size": Size(24, 32),
        "batch_size": 2,
        "epochs": 3,
        "groups": 1,
        "layers_per_block": 1,
        "growth_rate": 4,
        "first_filters": 8,
        "learning_rate": 0.01,
    }
    return TrainConfig(**{**values, **more})
