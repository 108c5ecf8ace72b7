"""Recordings broken by hand, repaired, and clean at the second look; nothing is ever deleted."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_datasets import SCHEME, line, metadata, road_image, road_scene, write_pairs, write_picture, write_recording

from carlaseg.config import VerifyConfig
from carlaseg.dataset import RecordingWriter, open_dataset, read_frames, read_metadata
from carlaseg.dataset.commands import verify_command
from carlaseg.dataset.repair import repair
from carlaseg.dataset.verify import verify
from carlaseg.errors import ConfigError, DatasetError


def everything_in(folder: Path) -> dict[str, bytes]:
    """All files by path; those set aside count as where they came from."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)).removeprefix(".removed/"): path.read_bytes() for path in files}


def truncate(recording: Path) -> None:
    path = recording / "seg_raw/seg_raw_00000101.png"
    path.write_bytes(path.read_bytes()[:-20])


def delete_image(recording: Path) -> None:
    (recording / "rgb/rgb_00000101.png").unlink()


def unknown_id(recording: Path) -> None:
    write_picture(recording / "seg_raw/seg_raw_00000101.png", np.full((48, 64), 31, np.uint8))


def another_size(recording: Path) -> None:
    write_picture(recording / "rgb/rgb_00000101.png", road_image(size=(24, 32)))
    write_picture(recording / "seg_raw/seg_raw_00000101.png", road_scene(SCHEME, size=(24, 32)))


def damage_line(recording: Path) -> None:
    lines = (recording / "frames.jsonl").read_bytes().splitlines(keepends=True)
    lines[1] = b"\xff\x00 not a line\n"
    (recording / "frames.jsonl").write_bytes(b"".join(lines))


BREAKS = [truncate, delete_image, unknown_id, another_size, damage_line]


@pytest.mark.parametrize("break_it", BREAKS)
def test_a_broken_frame_goes_and_the_second_check_is_clean(recording: Path, break_it: Callable[[Path], None]) -> None:
    break_it(recording)
    assert not verify(recording).ok
    before = everything_in(recording)
    (done,) = repair(recording)
    report = verify(recording, deep=True)
    assert report.ok, report.problems
    assert report.notes == ()
    assert [sample.frame for sample in open_dataset(recording).samples] == [100, 102, 103, 104]
    assert (done.kept, read_metadata(recording).counts["frames"]) == (4, 4)
    after = everything_in(recording)
    assert {name: after.get(name) for name in before if name.endswith(".png")} == {
        name: content for name, content in before.items() if name.endswith(".png")
    }
    # The line is kept too, as it was.
    taken_out = [row for row in before["frames.jsonl"].splitlines() if row not in _lines(recording)]
    assert (recording / ".removed/frames.jsonl").read_bytes().splitlines() == taken_out


def _lines(recording: Path) -> list[bytes]:
    return (recording / "frames.jsonl").read_bytes().splitlines()


def test_a_flipped_bit_goes_with_a_deep_repair_alone(recording: Path) -> None:
    path = recording / "rgb/rgb_00000102.png"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert not repair(recording)[0].changed
    assert repair(recording, deep=True)[0].frames == {102: "checksum"}
    assert verify(recording, deep=True).ok


def test_lines_out_of_order_and_doubled_are_put_right_and_no_frame_is_lost(recording: Path) -> None:
    lines = (recording / "frames.jsonl").read_bytes().splitlines(keepends=True)
    (recording / "frames.jsonl").write_bytes(b"".join([*lines[2:], lines[0], lines[1], lines[4], b'{"frame":7,']))
    (done,) = repair(recording)
    assert done.lines == {"a second line of a frame": 1, "cut short": 1}
    assert verify(recording, deep=True).ok
    assert (recording / "frames.jsonl").read_bytes() == b"".join(lines)


def test_files_of_no_frame_are_moved_and_pages_for_people_stay(recording: Path) -> None:
    write_picture(recording / "rgb/rgb_00000999.png", road_image())
    (recording / "rgb/.rgb_00001000.png.part").write_bytes(b"half")
    (recording / "README.md").write_text("for people")
    (done,) = repair(recording)
    assert done.leftovers == 2
    assert verify(recording).notes == ()
    assert (recording / ".removed/rgb/rgb_00000999.png").is_file()
    assert (recording / "README.md").read_text() == "for people"


def test_a_whole_recording_is_left_as_it_is(recording: Path) -> None:
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in recording.rglob("*") if path.is_file()}
    (done,) = repair(recording)
    assert not done.changed
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in recording.rglob("*") if path.is_file()} == (
        before
    )


def test_the_same_name_set_aside_twice_keeps_both(recording: Path) -> None:
    for content in (b"first", b"second"):
        (recording / "rgb/rgb_00000999.png").write_bytes(content)
        repair(recording)
    kept = sorted(path.read_bytes() for path in (recording / ".removed/rgb").iterdir())
    assert kept == [b"first", b"second"]


def test_the_reasons_are_written_down(recording: Path) -> None:
    truncate(recording)
    repair(recording)
    reasons = [json.loads(row) for row in (recording / ".removed/reasons.jsonl").read_text().splitlines()]
    assert reasons == [{"frame": 101, "reason": "length"}]


def test_a_recorder_that_was_killed_leaves_a_recording_that_can_be_repaired(tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    writer = RecordingWriter(folder, metadata(), SCHEME)
    for frame in range(3):
        writer.write_frame(frame, road_image(frame), road_scene(SCHEME, frame), line(frame))
    writer._lines.close()
    write_picture(folder / "rgb/rgb_00000003.png", road_image())
    (done,) = repair(folder)
    assert "expected a recording that nobody writes" in done.sentence()
    assert (folder / "rgb/rgb_00000003.png").is_file()
    for path in (folder, *folder.iterdir()):
        os.utime(path, (time.time() - 60, time.time() - 60))
    (done,) = repair(folder)
    assert (done.kept, done.leftovers) == (3, 1)
    assert read_metadata(folder).ended is None
    assert len(read_frames(folder, read_metadata(folder))) == 3


def test_every_recording_of_a_folder_is_repaired(recording: Path) -> None:
    other = write_recording(recording.parent / "drive_b")
    truncate(recording)
    delete_image(other)
    assert [done.kept for done in repair(recording.parent)] == [4, 4]
    assert verify(recording.parent).ok


def test_a_recording_that_nobody_can_read_is_left_alone_and_the_others_repaired(recording: Path) -> None:
    other = write_recording(recording.parent / "a_first")
    (other / "recording.json").write_text("{")
    truncate(recording)
    first, second = repair(recording.parent)
    assert "Nothing was changed: without it nobody knows" in first.sentence()
    assert (first.changed, second.kept) == (False, 4)
    assert verify(recording.parent).counts == {"damaged metadata": 1}


def test_what_a_newer_release_wrote_into_recording_json_stays(recording: Path) -> None:
    values = json.loads((recording / "recording.json").read_text())
    (recording / "recording.json").write_text(json.dumps({**values, "mood": "sunny"}))
    truncate(recording)
    repair(recording)
    assert json.loads((recording / "recording.json").read_text())["mood"] == "sunny"


def test_other_datasets_are_never_changed(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path / "pairs")
    (folder / "seg_raw/000001.png").write_bytes(b"")
    with pytest.raises(DatasetError, match="expected recordings to repair"):
        repair(folder)
    with pytest.raises(DatasetError, match="received nothing"):
        repair(tmp_path / "nowhere")


def test_the_command_repairs_and_then_checks(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truncate(recording)
    assert verify_command(VerifyConfig(folder=recording)) == 5
    assert verify_command(VerifyConfig(folder=recording, repair=True)) == 0
    assert "4 frames kept; moved to .removed/: 1 frames (length)" in capsys.readouterr().err


def test_alignment_without_deep_is_refused(recording: Path) -> None:
    with pytest.raises(ConfigError, match="--alignment: expected --deep"):
        verify_command(VerifyConfig(folder=recording, alignment=True))
