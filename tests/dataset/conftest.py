"""What every test of datasets may ask for."""

from __future__ import annotations

from pathlib import Path

import pytest
from conversions import write_drives
from tiny_datasets import write_recording


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A closed recording of five frames, 100 to 104."""
    return write_recording(tmp_path / "drive_a")


@pytest.fixture(scope="session")
def drives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three recordings of four frames in two towns; nobody may change them."""
    return write_drives(tmp_path_factory.mktemp("drives"))
