"""Where a recording goes, and what may be gone on with: asked of a recording of the repository, without a server."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from carlaseg.config import RecordConfig, from_mapping
from carlaseg.dataset.reader import read_metadata
from carlaseg.dataset.shards import write_shards
from carlaseg.errors import DatasetError
from carlaseg.recording.place import Place, find_place

DRIVE = Path(__file__).parents[2] / "dataset" / "carlaseg_grid_ClearNoon_seed0001"


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DRIVE, tmp_path / "drive one"))


def place_of(recording: Path) -> Place:
    """The place of the command that made the recording."""
    metadata = read_metadata(recording)
    settings = {**metadata.configuration, "output": str(recording.parent), "name": recording.name}
    config = from_mapping(RecordConfig, settings, "the test")
    return find_place(config, metadata.town, metadata.server_version)


def test_frames_that_are_in_shards_alone_are_not_recorded_again(recording: Path) -> None:
    assert place_of(recording).exists
    write_shards(recording, 50)
    shutil.rmtree(recording / "rgb")
    lines = (recording / "frames.jsonl").read_bytes()
    with pytest.raises(DatasetError, match=r"in its shards alone\. Nothing was changed") as caught:
        place_of(recording)
    (step,) = caught.value.next_steps
    assert step[1] == f"carlaseg verify '{recording}' --repair", "it can be typed as it stands"
    assert (recording / "frames.jsonl").read_bytes() == lines
