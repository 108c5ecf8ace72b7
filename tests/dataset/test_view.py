"""Contact sheets, videos and Rerun files of tiny datasets."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_datasets import SCHEME, road_image, road_scene, write_pairs, write_picture

from carlaseg.config import ViewConfig
from carlaseg.console import Progress, StopRequest
from carlaseg.dataset import open_dataset, read_image
from carlaseg.dataset.view import view_command
from carlaseg.dataset.view.frames import picture_of
from carlaseg.dataset.view.video import write_video
from carlaseg.errors import ConfigError, DatasetError, Interrupted


def frames_of(video: Path) -> list[np.ndarray]:
    reader = cv2.VideoCapture(str(video))
    frames = []
    while (answer := reader.read())[0]:
        frames.append(cv2.cvtColor(answer[1], cv2.COLOR_BGR2RGB))
    reader.release()
    return frames


def test_a_sheet_has_the_columns_and_frames_asked_for(recording: Path, tmp_path: Path) -> None:
    path = tmp_path / "sheets/a.png"
    assert view_command(ViewConfig(input=recording, output=path, columns=2, frames=3, height=48)) == 0
    assert read_image(path).shape == (2 * 52 + 4, 2 * 132 + 4, 3)


def test_a_sheet_larger_than_its_format_allows_is_refused(recording: Path, tmp_path: Path) -> None:
    # Five pairs of pictures of 2880x2160: OpenCV would write nothing and say so on its own.
    config = ViewConfig(input=recording, output=tmp_path / "a.webp", columns=5, height=2160)
    with pytest.raises(DatasetError, match=r"at most 16383 pixels a side \(.webp\), received one of 2168x28824"):
        view_command(config)
    assert not (tmp_path / "a.webp").exists()


def test_a_sheet_is_spread_over_the_dataset(recording: Path, tmp_path: Path) -> None:
    view_command(ViewConfig(input=recording, output=tmp_path / "a.png", columns=2, frames=2, height=48))
    sheet = read_image(tmp_path / "a.png")
    assert np.array_equal(sheet[4:52, 4:68], road_image(100))
    assert np.array_equal(sheet[4:52, 136:200], road_image(104))


@pytest.mark.parametrize("show", ["rgb", "colours", "overlay"])
def test_a_video_has_every_frame_in_order(tmp_path: Path, show: str) -> None:
    folder = tmp_path / "in"
    for number in range(6):
        write_picture(folder / f"rgb/{number}.png", np.full((48, 64, 3), 40 * number, np.uint8))
        write_picture(folder / f"seg_raw/{number}.png", np.roll(road_scene(SCHEME), 8 * number, axis=1))
    config = ViewConfig(input=folder, video=tmp_path / "v.mp4", show=show, scheme="carla-0.9.14")
    assert view_command(config) == 0
    frames = frames_of(tmp_path / "v.mp4")
    assert len(frames) == 6
    for frame, sample in zip(frames, open_dataset(folder, "carla-0.9.14").samples, strict=True):
        difference = np.abs(frame.astype(int) - picture_of(sample, show))
        # The codec loses detail, not the picture.
        assert difference.mean() < 12


def test_odd_and_differing_sizes_fit_in_a_video(tmp_path: Path) -> None:
    for number, size in enumerate(((47, 63), (47, 63), (94, 126), (20, 63))):
        write_picture(tmp_path / f"in/{number}.png", np.full((*size, 3), 200, np.uint8))
    view_command(ViewConfig(input=tmp_path / "in", video=tmp_path / "v.mp4"))
    frames = frames_of(tmp_path / "v.mp4")
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 4
    assert [frame[10, 10, 0] > 150 for frame in frames] == [True] * 4
    assert frames[3][40, 40, 0] < 50


def test_a_video_that_is_stopped_leaves_nothing(recording: Path, tmp_path: Path) -> None:
    stop = StopRequest()
    stop.request()
    with Progress("view", 5, "pictures") as progress, pytest.raises(Interrupted, match="no video was left"):
        write_video(open_dataset(recording).samples, tmp_path / "v.mp4", "rgb", 10, progress, stop)
    assert list(tmp_path.glob("*.mp4")) == list(tmp_path.glob(".*")) == []


def test_a_damaged_sample_leaves_no_half_video(recording: Path, tmp_path: Path) -> None:
    (recording / "rgb/rgb_00000103.png").write_bytes(b"")
    with pytest.raises(DatasetError, match="received an empty file"):
        view_command(ViewConfig(input=recording, video=tmp_path / "v.mp4"))
    assert list(tmp_path.glob("*.mp4")) == list(tmp_path.glob(".*")) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_video_on_a_full_disk_is_noticed(recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "full.mp4").symlink_to("/dev/full")
    monkeypatch.setattr("carlaseg.dataset.view.video.temporary", lambda path: tmp_path / "full.mp4")
    with pytest.raises(DatasetError, match=r"Is the disk full\?|refusal"):
        view_command(ViewConfig(input=recording, video=tmp_path / "v.mp4"))
    assert not (tmp_path / "v.mp4").exists()


def test_a_file_that_is_there_is_replaced_only_when_asked(recording: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_text("mine")
    with pytest.raises(DatasetError, match=r"received one that is there\. Nothing was changed"):
        view_command(ViewConfig(input=recording, output=path))
    assert path.read_text() == "mine"
    view_command(ViewConfig(input=recording, output=path, overwrite=True))
    assert read_image(path).size


def test_bad_input_is_answered(recording: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="received nothing there"):
        view_command(ViewConfig(input=tmp_path / "nowhere", output=tmp_path / "a.png"))
    with pytest.raises(ConfigError, match=r"--video .*expected a name ending in \.mp4"):
        view_command(ViewConfig(input=recording, video=tmp_path / "v.avi"))
    with pytest.raises(ConfigError, match="expected one of them, received both"):
        view_command(ViewConfig(input=recording, video=tmp_path / "v.mp4", rerun=tmp_path / "v.rrd"))
    with pytest.raises(ConfigError, match="--columns: expected 1 to 50"):
        ViewConfig(columns=0)


def test_without_rerun_the_answer_is_the_command_that_installs_it(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(ConfigError, match="--rerun: expected the optional package rerun-sdk") as caught:
        view_command(ViewConfig(input=recording, rerun=tmp_path / "a.rrd"))
    assert caught.value.next_steps == (("install it", 'pip install "carlaseg[rerun]"'),)


@pytest.mark.parametrize("recorded", [True, False])
def test_rerun_gets_a_file(recording: Path, tmp_path: Path, recorded: bool) -> None:
    rerun = pytest.importorskip("rerun")
    if not hasattr(rerun, "RecordingStream"):
        pytest.skip("rerun-sdk is not installed")
    folder = recording if recorded else write_pairs(tmp_path / "pairs")
    assert view_command(ViewConfig(input=folder, rerun=tmp_path / "a.rrd")) == 0
    assert (tmp_path / "a.rrd").read_bytes()[:3] == b"RRF"
    assert list(tmp_path.glob(".*")) == []
