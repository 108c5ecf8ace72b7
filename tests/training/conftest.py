"""A tiny dataset, the settings of a tiny run, and one finished run that several tests look at."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_run import write_dataset
from tiny_training import settings

from carlaseg.training.train import TrainResult, train


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a dataset of eight frames in it."""
    write_dataset(tmp_path / "dataset", frames=8)
    return tmp_path


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainResult]:
    """A folder with a dataset and a run of three epochs; look, do not touch."""
    folder = tmp_path_factory.mktemp("finished")
    write_dataset(folder / "dataset", frames=8)
    result = train(settings(folder, run="whole"))
    assert result is not None
    return folder, result
