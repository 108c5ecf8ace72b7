"""Recordings: what is written comes back, whatever happens to the writer in between."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tiny_datasets import ORIGIN, SCHEME, line, metadata, road_image, road_scene, write_recording

from carlaseg.dataset import (
    FrameRecord,
    Pose,
    RecordingMetadata,
    RecordingWriter,
    intrinsics,
    open_dataset,
    read_frames,
    read_image,
    read_mask,
    read_metadata,
    reader,
)
from carlaseg.dataset.encoding import RgbFormat
from carlaseg.dataset.reader import read_lines
from carlaseg.dataset.verify import verify
from carlaseg.errors import DatasetError


def frames_in(folder: Path) -> list[int]:
    return [record.frame for record in read_frames(folder, read_metadata(folder))]


def test_records_come_back_as_they_were() -> None:
    record = dataclasses.replace(line(7), events=({"kind": "collision", "with": "vehicle.audi.tt"},))
    assert FrameRecord.from_line(record.to_line(), "here") == record
    said = dataclasses.replace(metadata(), ended="2026-11-20T12:01:00+00:00", counts={"frames": 5, "dropped": 1})
    assert RecordingMetadata.from_json(json.loads(json.dumps(said.to_json())), "here") == said


def test_a_line_begins_with_its_frame() -> None:
    assert line(42).to_line().startswith(b'{"frame":42,')
    assert line(42).to_line().count(b"\n") == 1


def test_intrinsics_follow_from_the_horizontal_field_of_view() -> None:
    assert np.allclose(intrinsics(90.0, (600, 800)), [[400, 0, 400], [0, 400, 300], [0, 0, 1]])
    # 800x600 saved as 160x160: no longer square pixels.
    assert intrinsics(90.0, (160, 160), (600, 800))[0][0] == pytest.approx(80)
    assert intrinsics(90.0, (160, 160), (600, 800))[1][1] == pytest.approx(400 * 160 / 600)


def test_a_recording_has_the_files_of_the_format(recording: Path) -> None:
    assert sorted(path.name for path in recording.iterdir()) == [
        "frames.jsonl",
        "recording.json",
        "rgb",
        "seg",
        "seg_raw",
    ]
    assert (recording / "rgb/rgb_00000100.png").is_file()
    assert (recording / "seg_raw/seg_raw_00000100.png").is_file()
    assert np.array_equal(read_image(recording / "seg/seg_00000100.png"), SCHEME.colorize(road_scene(SCHEME, 100)))
    said = json.loads((recording / "recording.json").read_text())
    assert said["format_version"] == 1
    assert said["counts"] == {"frames": 5}
    assert said["ended"] is not None
    assert said["label_scheme"]["classes"][12] == {"id": 12, "name": "Pedestrians", "color": [220, 20, 60]}


def test_checksums_in_the_line_are_those_of_the_files(recording: Path) -> None:
    for record in read_frames(recording, read_metadata(recording)):
        assert set(record.files) == {"rgb", "seg_raw", "seg"}
        for file in record.files.values():
            content = (recording / file.path).read_bytes()
            assert (file.length, file.crc32) == (len(content), f"{zlib.crc32(content):08x}")


def test_bgra_of_a_camera_and_rgb_give_the_same_file(tmp_path: Path) -> None:
    rgb = road_image(3)
    bgra = np.dstack([rgb[..., ::-1], np.full(rgb.shape[:2], 255, np.uint8)])
    with RecordingWriter(tmp_path / "a", metadata(), SCHEME, colour=False) as writer:
        writer.write_frame(1, rgb, road_scene(SCHEME), line(1))
        writer.write_frame(2, bgra, road_scene(SCHEME), line(2))
    assert not (tmp_path / "a/seg").exists()
    assert (tmp_path / "a/rgb/rgb_00000001.png").read_bytes() == (tmp_path / "a/rgb/rgb_00000002.png").read_bytes()


def test_several_threads_write_one_recording_in_frame_order(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).permutation(40).tolist()
    with RecordingWriter(tmp_path / "a", metadata(), SCHEME) as writer, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: writer.write_frame(n, road_image(n), road_scene(SCHEME, n), line(n)), numbers))
        assert writer.frames_written == 40
        pool.shutdown()
    lines = (tmp_path / "a/frames.jsonl").read_text().splitlines()
    assert [json.loads(text)["frame"] for text in lines] == list(range(40))
    assert writer.bytes_written == sum(path.stat().st_size for path in (tmp_path / "a").glob("*/*.png"))
    assert verify(tmp_path / "a", deep=True).ok


def test_a_folder_with_something_in_it_is_refused_untouched(recording: Path) -> None:
    before = sorted(path.stat().st_mtime_ns for path in recording.rglob("*"))
    with pytest.raises(DatasetError, match=r"expected a new or empty folder .* Nothing was changed"):
        RecordingWriter(recording, metadata(), SCHEME)
    assert sorted(path.stat().st_mtime_ns for path in recording.rglob("*")) == before


def test_a_file_where_the_folder_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("in the way")
    with pytest.raises(DatasetError, match="expected a folder to record into"):
        RecordingWriter(tmp_path / "a", metadata(), SCHEME)


def test_sizes_that_differ_and_frames_written_twice_are_refused(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "a", metadata(), SCHEME) as writer:
        with pytest.raises(ValueError, match=r"expected tags of the image's size \(48, 64\), received \(64, 48\)"):
            writer.write_frame(1, road_image(), road_scene(SCHEME).T.copy(), line(1))
        writer.write_frame(1, road_image(), road_scene(SCHEME), line(1))
        with pytest.raises(ValueError, match="frame 1: expected a new frame"):
            writer.write_frame(1, road_image(), road_scene(SCHEME), line(1))
        with pytest.raises(ValueError, match="frame 2: expected a new frame with its own line, received line 3"):
            writer.write_frame(2, road_image(), road_scene(SCHEME), line(3))
    assert frames_in(tmp_path / "a") == [1]


def test_a_line_whose_file_is_gone_is_set_aside_when_the_recording_is_gone_on_with(recording: Path) -> None:
    lines = (recording / "frames.jsonl").read_bytes().splitlines(keepends=True)
    (recording / "seg_raw/seg_raw_00000102.png").unlink()
    with RecordingWriter(recording, metadata(), SCHEME, resume=True) as writer:
        assert writer.frames_written == 4
        writer.write_frame(102, road_image(), road_scene(SCHEME), line(102))
    assert (recording / ".removed/frames.jsonl").read_bytes() == lines[2], "what it said is not lost"
    assert frames_in(recording) == [100, 101, 102, 103, 104]
    assert verify(recording, deep=True).ok


def test_a_half_written_last_line_is_no_frame(recording: Path) -> None:
    lines = (recording / "frames.jsonl").read_bytes()
    for cut in (1, 2, 50):
        (recording / "frames.jsonl").write_bytes(lines[:-cut])
        assert frames_in(recording) == [100, 101, 102, 103]


def test_lines_of_a_recording_that_was_killed_may_stand_in_any_order(recording: Path) -> None:
    said = json.loads((recording / "recording.json").read_text())
    (recording / "recording.json").write_text(json.dumps({**said, "ended": None, "counts": {}}))
    lines = (recording / "frames.jsonl").read_bytes().splitlines(keepends=True)
    (recording / "frames.jsonl").write_bytes(b"".join(reversed(lines)))
    assert [sample.frame for sample in open_dataset(recording).samples] == [100, 101, 102, 103, 104]
    assert verify(recording).ok


def test_a_damaged_line_in_the_middle_is_an_error_with_its_number(recording: Path) -> None:
    lines = (recording / "frames.jsonl").read_bytes().splitlines(keepends=True)
    lines[2] = lines[2][:40] + b"\n"
    (recording / "frames.jsonl").write_bytes(b"".join(lines))
    with pytest.raises(DatasetError, match=r"frames\.jsonl, line 3: expected a frame as JSON"):
        open_dataset(recording)
    assert verify(recording).counts["damaged line"] == 1


def test_a_line_that_lacks_a_field_names_it(recording: Path) -> None:
    value = json.loads((recording / "frames.jsonl").read_text().splitlines()[0])
    del value["speed_kmh"]
    (recording / "frames.jsonl").write_text(json.dumps(value) + "\n")
    with pytest.raises(DatasetError, match="line 1: expected speed_kmh as a number, received nothing"):
        frames_in(recording)


@pytest.mark.parametrize("path", ["/etc/passwd", "../../secret.png", "rgb/../../x.png", "C:/x.png", "rgb\\x.png"])
def test_a_path_that_leaves_the_recording_is_refused(recording: Path, path: str) -> None:
    value = json.loads((recording / "frames.jsonl").read_text().splitlines()[0])
    value["files"]["rgb"]["path"] = path
    (recording / "frames.jsonl").write_text(json.dumps(value) + "\n")
    with pytest.raises(DatasetError, match="expected a path inside the recording"):
        open_dataset(recording)


def test_a_frame_whose_file_is_gone_does_not_exist(recording: Path) -> None:
    (recording / "seg_raw/seg_raw_00000102.png").unlink()
    assert frames_in(recording) == [100, 101, 103, 104]


def test_temporary_and_foreign_files_are_not_frames(recording: Path) -> None:
    (recording / "rgb/.rgb_00000105.png.part").write_bytes(b"half")
    (recording / "rgb/rgb_00000106.png").write_bytes(b"no line names me")
    assert len(open_dataset(recording).samples) == 5
    report = verify(recording)
    assert report.ok
    assert "2 files belong to no frame" in report.notes[0]


def test_after_a_power_cut_an_empty_file_is_no_frame(recording: Path) -> None:
    said = json.loads((recording / "recording.json").read_text())
    said["ended"] = None
    (recording / "recording.json").write_text(json.dumps(said))
    (recording / "rgb/rgb_00000103.png").write_bytes(b"")
    assert frames_in(recording) == [100, 101, 102, 104]


def test_a_newer_format_is_refused_by_name(recording: Path) -> None:
    said = json.loads((recording / "recording.json").read_text())
    said["format_version"] = 2
    (recording / "recording.json").write_text(json.dumps(said))
    with pytest.raises(DatasetError, match="expected format_version up to 1, received 2"):
        open_dataset(recording)


WRITE_FOR_EVER = """
import sys
from pathlib import Path
from tiny_datasets import *
from carlaseg.dataset import RecordingWriter
writer = RecordingWriter(Path(sys.argv[1]), metadata(), SCHEME)
frame = 0
while True:
    writer.write_frame(frame, road_image(frame), road_scene(SCHEME, frame), line(frame))
    frame += 1
    print(frame, flush=True)
"""


@pytest.mark.parametrize("after_s", [0.02, 0.11, 0.23])
def test_kill_9_loses_only_the_frame_in_flight(tmp_path: Path, after_s: float) -> None:
    folder = tmp_path / "a"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE_FOR_EVER, str(folder)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "1\n"
    time.sleep(after_s)
    process.send_signal(signal.SIGKILL)
    told = process.stdout.read().splitlines()
    process.wait()
    process.stdout.close()
    finished = int(told[-1]) if told else 1
    kept = frames_in(folder)
    assert kept == list(range(len(kept)))
    assert finished <= len(kept) <= finished + 1
    assert read_metadata(folder).ended is None
    assert verify(folder, deep=True).ok
    for sample in open_dataset(folder).samples[-2:]:
        assert np.array_equal(read_mask(sample), road_scene(SCHEME, sample.frame or 0))


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB, where this user may mount one."""
    place = tmp_path / "tiny"
    place.mkdir()
    mount = shutil.which("mount")
    options = ["-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    if mount is None or subprocess.run([mount, *options], capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs rights that this user has not")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_keeps_every_finished_frame(tiny_disk: Path) -> None:
    folder = tiny_disk / "a"
    writer = RecordingWriter(folder, metadata(), SCHEME)
    with pytest.raises(DatasetError, match=r"received a full disk\. \d+ frames are safe in") as caught:
        for frame in range(1000):
            writer.write_frame(frame, road_image(frame), road_scene(SCHEME, frame), line(frame))
    assert f"{writer.frames_written} frames are safe" in caught.value.message
    with pytest.raises(DatasetError, match="a full disk"):
        writer.write_frame(2000, road_image(), road_scene(SCHEME), line(2000))
    writer.close()
    assert frames_in(folder) == list(range(writer.frames_written))
    assert writer.frames_written > 3
    assert not list(folder.rglob(".*"))
    report = verify(folder, deep=True)
    assert report.ok, report.problems
    assert not any("belong to no frame" in note for note in report.notes)


def test_a_file_that_may_not_grow_is_answered_like_a_full_disk(tmp_path: Path) -> None:
    """A limit on a file's size is a full disk that needs no rights; frames.jsonl hits it in the middle of a line."""
    writer = RecordingWriter(tmp_path / "a", metadata(), SCHEME)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, hard))
        with pytest.raises(DatasetError, match="frames are safe"):
            for frame in range(1000):
                writer.write_frame(frame, road_image(size=(16, 16)), road_scene(SCHEME, 0, (16, 16)), line(frame))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    writer.close()
    assert writer.frames_written > 3
    assert (tmp_path / "a/frames.jsonl").read_bytes().endswith(b"\n")
    assert frames_in(tmp_path / "a") == list(range(writer.frames_written))
    assert verify(tmp_path / "a", deep=True).ok


def test_a_folder_that_vanishes_is_an_error_and_not_a_crash(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path / "a", metadata(), SCHEME)
    writer.write_frame(1, road_image(), road_scene(SCHEME), line(1))
    shutil.rmtree(tmp_path / "a/seg_raw")
    with pytest.raises(DatasetError, match=os.strerror(errno.ENOENT)):
        writer.write_frame(2, road_image(), road_scene(SCHEME), line(2))
    assert not list((tmp_path / "a/rgb").glob("*2.png"))
    writer.close()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks for open files in /proc")
def test_a_disk_that_fails_at_the_end_is_one_sentence_and_no_file_stays_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    writer = RecordingWriter(tmp_path / "a", metadata(), SCHEME)
    writer.write_frame(1, road_image(), road_scene(SCHEME), line(1))
    monkeypatch.setattr("carlaseg.dataset.writer.os.fsync", fails)
    with pytest.raises(DatasetError, match=r"received Input/output error\. 1 frames are safe"):
        writer.close()
    opened = [os.readlink(place) for place in Path("/proc/self/fd").iterdir() if place.is_symlink()]
    assert not [path for path in opened if path.startswith(str(tmp_path))]


def test_two_writers_of_the_same_frames_write_the_same_bytes(tmp_path: Path) -> None:
    one, two = write_recording(tmp_path / "one"), write_recording(tmp_path / "two")
    for path in sorted(one.rglob("*.png")) + [one / "frames.jsonl"]:
        assert path.read_bytes() == (two / path.relative_to(one)).read_bytes()


def test_a_pose_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(DatasetError, match="ego: expected location_m as 3 numbers"):
        Pose.from_json({"location_m": [1, 2], "rotation_deg": [0, 0, 0]}, "line 1, ego")
    assert Pose.from_json(ORIGIN.to_json(), "x") == ORIGIN


@pytest.mark.parametrize("strange", [7, "text", [7], {"a": "text"}, True])
def test_a_field_of_another_kind_is_a_damaged_dataset_and_never_a_fault_of_ours(strange: object) -> None:
    refused = []
    for record, whole in ((FrameRecord, line(7).to_json()), (RecordingMetadata, metadata().to_json())):
        for key in whole:
            try:
                record.from_json({**whole, key: strange}, "recording.json")
            except DatasetError as error:
                refused.append(error.message)
    assert len(refused) > 10
    assert all(message.startswith("recording.json") for message in refused)


@pytest.mark.parametrize("strange", [10**400, float("nan"), float("-inf"), -1, 2**63, 0, "yesterday"])
def test_numbers_and_times_that_cannot_be_are_no_fault_of_ours_either(recording: Path, strange: object) -> None:
    said = metadata().to_json()
    camera = said["rig"][0]
    with pytest.raises(DatasetError, match=r"recording.json, rig: expected size"):
        RecordingMetadata.from_json({**said, "rig": [{**camera, "size": [strange, 64]}]}, "recording.json")
    with pytest.raises(DatasetError, match=r"recording.json, rig: expected fov_deg"):
        RecordingMetadata.from_json({**said, "rig": [{**camera, "fov_deg": strange}]}, "recording.json")
    with pytest.raises(DatasetError, match=r"recording.json: expected started as"):
        RecordingMetadata.from_json({**said, "started": strange}, "recording.json")


@pytest.mark.parametrize("strange", [10**400, float("nan"), -1, 2**63, "seven"])
def test_a_frame_number_that_cannot_be_is_refused_by_every_reader(recording: Path, strange: object) -> None:
    (recording / "frames.jsonl").write_text(json.dumps({**line(7).to_json(), "frame": strange}) + "\n")
    for read in (open_dataset, lambda folder: list(read_lines(folder))):
        with pytest.raises(DatasetError, match="line 1: expected a frame number"):
            read(recording)


def test_what_is_larger_than_any_recording_is_refused_unread(recording: Path) -> None:
    with (recording / "frames.jsonl").open("r+b") as file:
        file.truncate(reader.LARGEST_LINE_BYTES * 2)
    with pytest.raises(DatasetError, match=r"frames.jsonl, line \d+: expected less than 1,048,576 bytes"):
        list(read_lines(recording))
    with (recording / "recording.json").open("r+b") as file:
        file.truncate(reader.LARGEST_METADATA_BYTES + 1)
    with pytest.raises(DatasetError, match=r"recording.json: expected at most 16,777,216 bytes"):
        read_metadata(recording)


@pytest.mark.parametrize(("rgb_format", "suffix"), [("webp", ".webp"), ("jpeg", ".jpg")])
def test_photographs_have_the_format_asked_for_and_numbers_are_never_lossy(
    tmp_path: Path, rgb_format: RgbFormat, suffix: str
) -> None:
    front = metadata().rig[0]
    cameras = [
        dataclasses.replace(front, name=name, blueprint=f"sensor.camera.{kind}", folder=name)
        for name, kind in (("rgb_left", "rgb"), ("depth_left", "depth"))
    ]
    said = dataclasses.replace(metadata(), rig=(front, *cameras))
    folders = ("rgb_left", "depth_left")
    with RecordingWriter(tmp_path / "drive", said, SCHEME, others=folders, rgb_format=rgb_format) as writer:
        for frame in range(3):
            smooth = np.full((48, 64, 3), 40 * frame, np.uint8)
            others = {"rgb_left": smooth, "depth_left": road_image(frame)}
            record = writer.write_frame(frame, smooth, road_scene(SCHEME, frame), line(frame), others)
    suffixes = {folder: Path(file.path).suffix for folder, file in record.files.items()}
    lossless = {"seg_raw": ".png", "seg": ".png", "depth_left": ".png"}
    assert suffixes == {"rgb": suffix, "rgb_left": suffix, **lossless}
    assert np.array_equal(read_image(tmp_path / "drive" / record.files["depth_left"].path), road_image(2))
    sample = open_dataset(tmp_path / "drive").samples[2]
    assert np.abs(read_image(sample.image_path).astype(int) - 80).max() <= 1
    report = verify(tmp_path / "drive", deep=True)
    assert report.ok, report.problems
    # Cut short: found at once by its end, whatever the format.
    sample.image_path.write_bytes(sample.image_path.read_bytes()[:-20])
    assert {problem.kind for problem in verify(tmp_path / "drive").problems} == {"damaged image", "length"}
