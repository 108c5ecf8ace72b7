"""`carlaseg record` from beginning to end, on the embedded simulator and the real client."""

from __future__ import annotations

import itertools
import json
import math
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from recordings_made import UNTOUCHED

from carlaseg.dataset.reader import read_frames, read_metadata
from carlaseg.dataset.verify import verify
from carlaseg.simulator.testing import Address

Typed = Callable[..., subprocess.CompletedProcess[str]]


def at(server: Address) -> tuple[str, ...]:
    return ("--host", server.host, "--port", str(server.port))


def distance_m(one: Any, other: Any) -> float:
    return math.dist(one.location_m, other.location_m)


def test_a_recording_is_whole_says_what_it_is_and_leaves_the_server_as_found(
    server: Address, typed: Typed, tmp_path: Path, world_state: Callable[[Address], dict[str, Any]]
) -> None:
    done = typed(
        *at(server),
        *("--frames", "6", "--every", "2", "--camera-size", "96x128", "--weather", "WetSunset", "--name", "drive"),
    )
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "drive"
    assert done.stdout.strip() == str(folder), "the result is the folder, alone, on standard output"
    report = verify(folder, deep=True)
    assert report.ok, report.problems
    assert (report.frames, report.labelled, report.sizes) == (6, 6, {"48x64": 6})

    metadata = read_metadata(folder)
    assert (metadata.label_scheme.name, metadata.weather, metadata.simulator) == ("carla-0.9.14", "WetSunset", "carla")
    assert metadata.ended is not None
    assert (metadata.counts["frames"], metadata.counts["dropped"]) == (6, 0)
    rgb, semantic = metadata.rig
    assert (rgb.size, rgb.camera_size, semantic.camera_size) == ((48, 64), (96, 128), (96, 128))
    assert rgb.attributes["image_size_x"] == "128", "the attributes are those the server reports"
    assert rgb.attributes["motion_blur_intensity"] == "0.0", "blurred edges lie beside their labels"
    assert rgb.to_json()["intrinsics"][0][0] == pytest.approx(32.0), "90 degrees over 64 pixels"

    frames = read_frames(folder, metadata)
    assert [after.frame - before.frame for before, after in itertools.pairwise(frames)] == [2] * 5
    for frame in frames:
        assert frame.timestamp_s == pytest.approx(frame.frame * 0.05, abs=1e-4)
        assert frame.weather["sun_altitude_angle"] == pytest.approx(15.0, abs=15.0)
        camera = frame.sensors["rgb_front"]
        assert camera == frame.sensors["semantic_front"], "both cameras saw the tick from the same place"
        assert distance_m(camera, frame.ego) == pytest.approx(math.hypot(1.6, 1.7), abs=0.3)
        mask = cv2.imread(str(folder / frame.files["seg_raw"].path), cv2.IMREAD_UNCHANGED)
        assert mask.shape == (48, 64)
        assert {1, 11} <= set(np.unique(mask)), "a road below and a sky above"
        assert (mask[-12:] == 1).mean() + (mask[-12:] == 14).mean() > 0.3, "road and bonnet at the bottom"
    assert (folder / "contact_sheet.jpg").stat().st_size > 1000
    assert "carlaseg record --frames 6" in (folder / "README.md").read_text()
    for line in ("rig ", "cast ", "plan ", "out ", "done ", "look ", "next "):
        assert f"\n{line}" in done.stderr, f"the talk has no line {line!r}: {done.stderr}"
    assert "sees no road" not in done.stderr
    assert world_state(server) == UNTOUCHED


def test_poses_and_speed_of_a_frame_belong_to_its_tick(server: Address, typed: Typed, tmp_path: Path) -> None:
    done = typed(*at(server), "--frames", "25", "--every", "1", "--driver", "waypoints", "--name", "drive", "--json")
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert (outcome["frames"], outcome["dropped"]) == (25, 0)
    assert {"simulator", "wait", "held back", "convert", "encode", "disk"} <= set(outcome["stage_s"])
    frames = read_frames(tmp_path / "drive", read_metadata(tmp_path / "drive"))
    for before, after in itertools.pairwise(frames):
        # A pose of the tick before or after would be off by a whole step.
        assert distance_m(before.ego, after.ego) == pytest.approx(after.speed_kmh / 3.6 * 0.05, abs=0.02)
    assert frames[-1].speed_kmh > frames[0].speed_kmh > 0.0


def test_the_same_command_gives_the_same_bytes_and_goes_on_where_it_ended(typed: Typed, tmp_path: Path) -> None:
    pytest.importorskip("carla", reason="no carla client for this Python or platform")
    words = ("--simulator", "embedded", "--seed", "5", "--frames", "6", "--every", "2", "--name", "drive")
    assert typed(*words).returncode == 0
    folder, whole = tmp_path / "drive", tmp_path / "whole"
    shutil.copytree(folder, whole)

    # As after `kill -9` in the middle: a frame in between is missing, the last line is half, nothing was closed.
    lines = (folder / "frames.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "frames.jsonl").write_bytes(b"".join(lines[:1] + lines[2:4]) + lines[4][:70])
    for line in (lines[1], lines[5]):
        for file in json.loads(line)["files"].values():
            (folder / file["path"]).unlink()
    metadata = json.loads((folder / "recording.json").read_bytes())
    (folder / "recording.json").write_text(json.dumps(metadata | {"ended": None, "counts": {}}))

    again = typed(*words)
    assert again.returncode == 0, again.stderr
    assert "3 frames are there" in again.stderr
    assert (folder / "frames.jsonl").read_bytes() == (whole / "frames.jsonl").read_bytes()
    pictures = sorted(path.relative_to(whole) for path in whole.glob("*/*.png"))
    assert len(pictures) == 18
    for picture in pictures:
        assert (folder / picture).read_bytes() == (whole / picture).read_bytes(), picture
    assert verify(folder, deep=True).ok

    # Complete: the same command once more records nothing, and says so; tars of what is there are made all the same.
    before = (folder / "recording.json").read_bytes()
    third = typed(*words, "--shards", "4")
    assert third.returncode == 0, third.stderr
    assert "every frame is there already" in third.stderr
    assert (folder / "recording.json").read_bytes() == before
    assert [path.name for path in sorted((folder / "shards").iterdir())] == ["drive-000000.tar", "drive-000001.tar"]
    assert verify(folder, deep=True).ok


def test_what_happened_before_frames_that_are_there_is_not_told_again(typed: Typed, tmp_path: Path) -> None:
    words = ("--simulator", "embedded", "--driver", "waypoints", "--seed", "3", "--every", "3", "--size", "48x64")
    words += ("--warmup", "2", "--settle", "0", "--traffic", "0", "--walkers", "0", "--output", str(tmp_path))
    for name, frames in (("at_once", 13), ("in_two", 10), ("in_two", 13)):
        done = typed(*words, "--name", name, "--frames", str(frames), small=False)
        assert done.returncode == 0, done.stderr
    at_once = tmp_path / "at_once"
    events = [event["frame"] for frame in read_frames(at_once, read_metadata(at_once)) for event in frame.events]
    assert len(events) == 2, "one before the tenth frame, in a tick that is not saved, and one after it"
    assert (tmp_path / "in_two" / "frames.jsonl").read_bytes() == (at_once / "frames.jsonl").read_bytes()


def test_a_town_the_embedded_simulator_has_not_is_a_mistake_of_the_command(typed: Typed, tmp_path: Path) -> None:
    pytest.importorskip("carla", reason="no carla client for this Python or platform")
    done = typed("--simulator", "embedded", "--town", "carlaseg_gird")
    assert done.returncode == 2
    assert "--town: expected one of carlaseg_grid" in done.stderr
    assert "Nearest: carlaseg_grid. Nothing was written." in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not any(tmp_path.iterdir())


def test_a_folder_with_other_settings_or_other_things_is_never_touched(
    server: Address, typed: Typed, tmp_path: Path
) -> None:
    words = (*at(server), "--frames", "2", "--every", "1", "--name", "drive", "--camera-pitch", "80")
    upwards = typed(*words)
    assert upwards.returncode == 0, upwards.stderr
    assert "the semantic camera sees no road" in upwards.stderr
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "drive").rglob("*")}
    other = typed(*words, "--fov", "70")
    assert other.returncode == 5
    assert "received one with fov 90.0 instead of 70.0. Nothing was changed." in other.stderr
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "drive").rglob("*")} == before

    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "beach.txt").write_text("sand")
    strange = typed(*at(server), "--frames", "2", "--name", "holiday")
    assert strange.returncode == 5
    assert [path.name for path in (tmp_path / "holiday").iterdir()] == ["beach.txt"]


@pytest.mark.parametrize(
    ("words", "exit_code", "said"),
    [
        (("--weather", "ClaerNoon"), 2, "Nearest: ClearNoon"),
        (("--town", "carlaseg_gird"), 2, "Nearest: carlaseg_grid"),
        (
            ("--camera-size", "6000x6000"),
            2,
            "sensor rgb_front: expected a camera the server can draw, received 6000x6000",
        ),
        (("--frames", "0"), 2, "--frames: expected at least 1, received 0"),
        (("--frames", "900000000"), 5, "Nothing was written"),
    ],
    ids=["weather", "town", "camera size", "no frames", "more than the disk holds"],
)
def test_a_wish_the_server_cannot_meet_is_answered_in_one_line(
    server: Address,
    typed: Typed,
    tmp_path: Path,
    world_state: Callable[[Address], dict[str, Any]],
    words: tuple[str, ...],
    exit_code: int,
    said: str,
) -> None:
    done = typed(*at(server), *words)
    assert done.returncode == exit_code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not any(tmp_path.glob("*/frames.jsonl"))
    assert world_state(server) == UNTOUCHED
