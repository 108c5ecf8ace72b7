"""What every test of datasets may ask for."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_datasets import write_recording


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A closed recording of five frames, 100 to 104."""
    return write_recording(tmp_path / "drive_a")
