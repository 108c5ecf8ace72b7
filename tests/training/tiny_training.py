"""The settings of a tiny run, its interruption, and what its files hold."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from carlaseg.config import Size, TrainConfig
from carlaseg.console import Progress
from carlaseg.training import train as story


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


def stored(path: Path) -> dict[str, np.ndarray]:
    """Every array and the state of a weights file."""
    values: dict[str, Any] = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: values.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
        state = json.loads(str(file.attrs["state"]))
        state.pop("train_s")
        values["state"] = np.array(json.dumps(state))
    return values


def interrupt_after(images: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Press Ctrl-C (a real signal) when so many images are done."""

    class Pressing(Progress):
        def advance(self, count: int = 1, **details: str) -> None:
            super().advance(count, **details)
            if self._done == images:
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(story, "Progress", Pressing)
