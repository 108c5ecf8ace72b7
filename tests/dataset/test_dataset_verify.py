"""What verify finds, each fault made by hand in a dataset that was good."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_datasets import SCHEME, in_red, road_image, road_scene, write_pairs, write_picture, write_recording

from carlaseg.config import VerifyConfig
from carlaseg.dataset import open_dataset
from carlaseg.dataset.commands import verify_command
from carlaseg.dataset.headers import picture_size
from carlaseg.dataset.verify import verify
from carlaseg.errors import DatasetError
from carlaseg.labels import scheme


@pytest.mark.parametrize("deep", [False, True])
def test_a_good_recording_is_ok(recording: Path, deep: bool) -> None:
    report = verify(recording, deep)
    assert report.ok
    assert (report.frames, report.labelled, report.scheme, report.sizes) == (5, 5, "carla-0.9.14", {"48x64": 5})
    assert report.notes == ()


def test_good_pairs_are_ok(tmp_path: Path) -> None:
    assert verify(write_pairs(tmp_path, encode=in_red)).ok


def test_missing_pairs_are_found_on_both_sides(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path)
    (folder / "seg_raw/000001.png").unlink()
    (folder / "rgb/000003.png").unlink()
    report = verify(folder)
    assert {(problem.kind, problem.path.name) for problem in report.problems} == {
        ("missing mask", "000001.png"),
        ("missing image", "000003.png"),
    }


@pytest.mark.parametrize("where", ["rgb", "seg_raw"])
def test_a_truncated_file_is_found_without_decoding_images(tmp_path: Path, where: str) -> None:
    folder = write_pairs(tmp_path)
    path = folder / where / "000002.png"
    path.write_bytes(path.read_bytes()[:-20])
    report = verify(folder)
    assert [problem.path for problem in report.problems] == [path]
    assert report.problems[0].kind == {"rgb": "damaged image", "seg_raw": "damaged mask"}[where]


def test_a_flipped_bit_is_found_by_a_deep_check(recording: Path) -> None:
    path = recording / "rgb/rgb_00000102.png"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert verify(recording).ok
    assert set(verify(recording, deep=True).counts) == {"checksum", "damaged image"}


def test_a_picture_replaced_by_another_is_found_by_its_checksum(recording: Path) -> None:
    first, second = recording / "seg_raw/seg_raw_00000100.png", recording / "seg_raw/seg_raw_00000101.png"
    content = second.read_bytes()
    first.write_bytes(content)
    report = verify(recording, deep=True)
    assert [problem.path for problem in report.problems] == [first]


def test_an_id_outside_the_scheme_is_found_with_its_pixel(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path, count=9)
    mask = road_scene(SCHEME)
    mask[17, 40] = 31
    write_picture(folder / "seg_raw/000004.png", mask)
    report = verify(folder)
    assert report.scheme == "carla-0.9.14"
    assert report.counts == {"outside the scheme": 1}
    assert "pixel (17, 40): expected an id of scheme carla-0.9.14 (0-28), received 31" in report.problems[0].detail


def test_masks_of_another_scheme_are_found_although_every_id_fits(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path, label_scheme="carla-0.9.10")
    report = verify(folder, scheme="carla-0.9.14")
    assert report.counts == {"another scheme": 1}
    assert "said to be carla-0.9.14, looks like carla-0.9.10" in report.problems[0].detail


def test_recordings_of_two_schemes_are_found(recording: Path) -> None:
    write_recording(recording.parent / "drive_b", label_scheme=scheme("carla-0.9.10"))
    assert "mixed schemes" in verify(recording.parent).counts


def test_swapped_sizes_are_found(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path)
    write_picture(folder / "seg_raw/000001.png", road_scene(SCHEME, size=(64, 48)))
    report = verify(folder)
    assert report.counts == {"size of a pair": 1}
    assert report.problems[0].detail == "mask 64x48, image 48x64"


def test_one_image_of_another_size_is_found(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path)
    write_picture(folder / "rgb/000001.png", road_image(size=(24, 32)))
    write_picture(folder / "seg_raw/000001.png", road_scene(SCHEME, size=(24, 32)))
    assert verify(folder).counts == {"sizes differ": 1}


def test_a_missing_file_and_a_duplicate_frame_are_found(recording: Path) -> None:
    (recording / "seg/seg_00000101.png").unlink()
    lines = (recording / "frames.jsonl").read_bytes()
    (recording / "frames.jsonl").write_bytes(lines + lines.splitlines(keepends=True)[0])
    assert set(verify(recording).counts) == {"missing file", "duplicate frame"}


def test_lines_out_of_order_in_an_ended_recording_are_found(recording: Path) -> None:
    lines = (recording / "frames.jsonl").read_bytes().splitlines(keepends=True)
    (recording / "frames.jsonl").write_bytes(b"".join([*lines[1:3], lines[0], *lines[3:]]))
    assert verify(recording).counts == {"line out of order": 1}
    with pytest.raises(
        DatasetError, match="expected rising frames in a recording that was ended, received 100 after 102"
    ):
        open_dataset(recording)


def test_a_shortened_list_of_frames_is_found(recording: Path) -> None:
    lines = (recording / "frames.jsonl").read_bytes().splitlines(keepends=True)
    (recording / "frames.jsonl").write_bytes(b"".join(lines[:-1]))
    assert verify(recording).counts == {"frame count": 1}


def test_damaged_metadata_is_found_and_the_other_recordings_checked(recording: Path) -> None:
    other = write_recording(recording.parent / "drive_b")
    (other / "recording.json").write_text("{")
    report = verify(recording.parent)
    assert report.counts == {"damaged metadata": 1}
    assert report.problems[0].path == other / "recording.json"
    assert report.problems[0].detail.startswith("expected JSON"), "the file is named once"
    assert report.frames == 5


def test_images_without_any_mask_are_no_problem(tmp_path: Path) -> None:
    write_picture(tmp_path / "rgb_1.png", road_image())
    report = verify(tmp_path)
    assert report.ok
    assert report.notes == ("no masks: images to run inference on",)


def test_the_command_exits_with_5_and_its_json_is_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_pairs(tmp_path)
    (folder / "seg_raw/000001.png").write_bytes(b"")
    config = VerifyConfig(folder=folder, json=True)
    assert verify_command(config) == 5
    printed = json.loads(capsys.readouterr().out)
    assert printed == verify(folder).to_json()
    assert printed["ok"] is False
    config = VerifyConfig(folder=folder)
    assert verify_command(config) == 5
    assert "000001.png: expected a picture, received an empty file" in capsys.readouterr().out


def test_what_repair_can_mend_is_followed_by_the_command_that_mends_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_recording(tmp_path / "my drive")
    with (folder / "frames.jsonl").open("ab") as lines:
        lines.write(b"junk\n")
    assert verify_command(VerifyConfig(folder=folder)) == 5
    said = capsys.readouterr()
    assert f"        {folder}/frames.jsonl: line 6: expected a frame as JSON" in said.out
    assert f"next    carlaseg verify '{folder}' --repair" in said.err, "it can be typed as it stands"
    assert verify_command(VerifyConfig(folder=folder, repair=True)) == 0
    assert "--repair" not in capsys.readouterr().err


def test_the_command_exits_with_0_when_all_is_well(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify_command(VerifyConfig(folder=recording, deep=True)) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("ok      0 problems")


def test_a_folder_that_is_no_dataset_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="expected a dataset, received none of"):
        verify(tmp_path)
    write_recording(tmp_path / "out" / "monday" / "drive")
    write_recording(tmp_path / "out" / "tuesday" / "drive")
    with pytest.raises(DatasetError, match=r"received a folder of several \(monday, tuesday\)"):
        verify(tmp_path / "out")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_size_and_wholeness_are_read_from_the_header(tmp_path: Path, suffix: str) -> None:
    path = write_picture(tmp_path / f"a{suffix}", road_image(size=(37, 51)))
    assert picture_size(path) == (37, 51)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DatasetError, match="truncated file"):
        picture_size(path)


def test_random_bytes_are_no_picture(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    heads = [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBPVP8L", b"RIFF\0\0\0\0WEBPVP8X"]
    for number in range(300):
        path = tmp_path / "x.png"
        path.write_bytes(heads[number % len(heads)] + rng.integers(0, 256, number, dtype=np.uint8).tobytes())
        with pytest.raises(DatasetError):
            picture_size(path)


def test_real_datasets_are_whole(shared_data: Path) -> None:
    for name in ("carla_tags23", "kitti_road_sample", "carla_legacy13_pairs/lyft"):
        report = verify(shared_data / name)
        assert report.ok, report.problems[:3]
