"""One run folder for every test of inference: building the network takes longer than most tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from exported_run import write_trained_run
from tiny_run import write_run


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def learned_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learned a little; its dataset stands where its settings say."""
    return write_trained_run(tmp_path_factory.mktemp("learned"))
