"""Rigs from TOML: what a file may say, what comes with carlaseg, and a recording by more than one pair."""

from __future__ import annotations

import json
import math
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from recordings_made import UNTOUCHED

from carlaseg.config import RecordConfig
from carlaseg.dataset.reader import read_frames, read_metadata
from carlaseg.dataset.rig_records import intrinsics
from carlaseg.dataset.verify import verify
from carlaseg.errors import ConfigError
from carlaseg.recording import pictures, points
from carlaseg.recording.rig_file import load_rig, parse_rig, preset_names
from carlaseg.simulator.testing import Address

TWO_PLACES = """
title = "two places"
size = "48x64"

[[mount]]
name = "roof"
sensors = ["rgb", "gnss", "imu"]
location_m = [0.0, 0.0, 1.8]

[[mount]]
name = "front"
sensors = ["rgb", "semantic", "instance", "depth"]
location_m = [1.6, 0.0, 1.7]
rotation_deg = [-15.0, 0.0, 0.0]
camera_size = "96x128"
fov_deg = 80.0
attributes.rgb.gamma = 2.0
"""


def test_the_pair_of_a_rig_is_the_first_place_that_has_both_cameras() -> None:
    rig = parse_rig(TWO_PLACES, "two", "test")
    assert [sensor.name for sensor in rig.pair] == ["rgb_front", "semantic_front"]
    assert [(sensor.name, sensor.folder) for sensor in rig.others] == [
        ("rgb_roof", "rgb_roof"),
        ("gnss_roof", ""),
        ("imu_roof", ""),
        ("instance_front", "instance_front"),
        ("depth_front", "depth_front"),
    ]
    rgb = rig.pair[0]
    assert rgb.attributes == {"gamma": "2.0"}
    assert rgb.view is not None
    assert (rgb.view.size, rgb.view.camera_size, rgb.view.fov_deg) == ((48, 64), (96, 128), 80.0)


@pytest.mark.parametrize("name", preset_names())
def test_every_rig_that_comes_with_carlaseg_can_be_read(name: str) -> None:
    rig = load_rig(name)
    assert len({sensor.name for sensor in rig.sensors}) == len(rig.sensors)
    assert all(abs(metres) < 5.0 for sensor in rig.sensors for metres in sensor.pose_ego.location_m)


def test_the_surround_rig_sees_all_around_and_the_first_camera_is_the_users() -> None:
    looking = [s.pose_ego.rotation_deg[1] for s in load_rig("surround").sensors if s.kind == "rgb"]
    assert sorted(angle % 360 for angle in looking) == [0, 60, 120, 180, 240, 300]
    rgb, _ = load_rig("front_800x600").pair
    assert rgb.pose_ego.location_m == (1.6, 0.0, 1.7)
    assert rgb.pose_ego.rotation_deg[0] == -15.0
    assert rgb.view is not None
    assert rgb.view.size == (600, 800)


def test_the_rigs_of_published_datasets_see_what_their_calibration_says() -> None:
    kitti = {sensor.name: sensor for sensor in load_rig("kitti").sensors}
    left, right = kitti["rgb_left"], kitti["rgb_right"]
    assert right.pose_ego.location_m[1] - left.pose_ego.location_m[1] == pytest.approx(0.53, abs=0.01)
    assert left.view is not None
    assert intrinsics(left.view.fov_deg, left.view.size)[0][0] == pytest.approx(721.5377, abs=0.1)
    nuscenes = {sensor.name: sensor for sensor in load_rig("nuscenes").sensors}
    back = nuscenes["rgb_back"].view
    assert back is not None
    assert intrinsics(back.fov_deg, back.size)[0][0] == pytest.approx(809.221, abs=0.2)
    # Their quaternion (w, x, y, z) of that camera turns its axis z into where it looks, y to the left.
    w, x, y, z = 0.5037872666382278, -0.49740249788611096, -0.4941850223835201, 0.5045496097725578
    forward = (2 * (x * z + w * y), -2 * (y * z - w * x), 1 - 2 * (x * x + y * y))
    pitch_deg, yaw_deg, _ = nuscenes["rgb_back"].pose_ego.rotation_deg
    assert math.degrees(math.asin(forward[2])) == pytest.approx(pitch_deg, abs=0.01)
    assert math.degrees(math.atan2(forward[1], forward[0])) == pytest.approx(yaw_deg, abs=0.01)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mount = 3", "at least one [[mount]]"),
        ("sise = '4x4'\n[[mount]]\nname='a'\nsensors=['rgb']", "Nearest: size"),
        ("[[mount]]\nname='a'\nsensors=['rgbd']\nsize='4x4'", "Nearest: rgb"),
        ("[[mount]]\nname='a'\nsensors=['rgb']", "the cameras' size"),
        ("fov_deg=0\n[[mount]]\nname='a'\nsensors=['rgb']\nsize='4x4'", "mount a, fov_deg: expected 1 to 170"),
        ("[[mount]]\nname='../a'\nsensors=['gnss']", "small letters, digits and _"),
        ("[[mount]]\nname='a'\nsensors=['gnss']\nlocation_m=[1, 2]", "location_m as 3 numbers, received 2"),
        (
            "[[mount]]\nname='a'\nsensors=['gnss']\nlocation_m=[1, nan, 2]",
            "mount a, location_m: expected -1000 to 1000",
        ),
        ("[[mount]]\nname='a'\nsensors=['gnss', 'gnss']", "gnss_a again"),
        ("[[mount]]\nname='a'\nsensors=['rgb']\nsize='4x4'", 'expected a mount with sensors = ["rgb", "semantic"]'),
        ("[[mount]]\nname='a'\nsensors=['rgb']\nsize='4x4'\nattributes.depth.fov=3", "received those of depth"),
        ("[[mount]]\nname='a'\nsensors=['rgb']\nsize='4x4'\nattributes.rgb.fov=3", "expected fov_deg beside"),
        (
            "[[mount]]\nname='a'\nsensors=['rgb']\nsize='4x4'\nattributes.rgb.image_size_x=3",
            "expected size or camera_size",
        ),
        (
            "[[mount]]\nname='a'\nsensors=['gnss']\nattributes.gnss.sensor_tick=1",
            "expected --every on the command line",
        ),
        ("[[mount]]\nname='a'\nsensors=['gnss']\nattributes.gnss.role_name='hero'", "expected the mount's name"),
        ("[[mount]", "expected TOML"),
    ],
)
def test_a_file_that_describes_no_rig_is_refused_in_one_sentence(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_rig(text, "mine", "mine.toml")
    assert said in caught.value.message


def test_an_unknown_preset_names_the_nearest_and_flags_of_the_pair_do_not_mix_with_a_rig() -> None:
    with pytest.raises(ConfigError, match="Nearest: surround"):
        load_rig("suround")
    with pytest.raises(ConfigError, match="received --fov as well"):
        RecordConfig(rig="kitti", fov=70.0)


@dataclass
class Delivered:
    """What the client hands over, as far as arrays are made from it."""

    raw_data: bytes
    height: int = 0
    width: int = 0


def test_points_and_flow_keep_every_bit_that_was_delivered() -> None:
    floats = np.random.default_rng(1).normal(size=(5, 4)).astype("<f4")
    cloud = points.lidar(Delivered(floats.tobytes()))
    assert cloud.shape == (5,)
    np.testing.assert_array_equal(cloud["intensity"], floats[:, 3])
    body = struct.pack("<4f2I", 1.0, 2.0, 3.0, 0.5, 77, 14)
    (hit,) = points.semantic_lidar(Delivered(body))
    assert hit.tolist() == (1.0, 2.0, 3.0, 0.5, 77, 14)
    vectors = np.random.default_rng(2).normal(size=(6, 8, 2)).astype("<f4")
    np.testing.assert_array_equal(pictures.flow(Delivered(vectors.tobytes(), 6, 8), (6, 8)), vectors)
    np.testing.assert_array_equal(pictures.flow(Delivered(vectors.tobytes(), 6, 8), (3, 4)), vectors[::2, ::2])
    assert points.number(math.nan, 3) is None


def test_a_rig_records_each_sensor_without_loss_and_says_where_it_sits(
    server: Address,
    typed: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
    world_state: Callable[[Address], dict[str, Any]],
) -> None:
    (tmp_path / "two.toml").write_text(TWO_PLACES)
    words = ("--host", server.host, "--port", str(server.port), "--rig", str(tmp_path / "two.toml"))
    words += ("--traffic", "2", "--walkers", "0", "--warmup", "2", "--output", str(tmp_path), "--name", "drive")
    done = typed(*words, "--frames", "3", "--every", "2", small=False)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "drive"
    report = verify(folder, deep=True)
    assert report.ok, report.problems
    assert (report.frames, report.sizes, report.notes) == (3, {"48x64": 3}, ())

    metadata = read_metadata(folder)
    assert [(record.name, record.folder) for record in metadata.rig] == [
        ("rgb_front", "rgb"),
        ("semantic_front", "seg_raw"),
        ("rgb_roof", "rgb_roof"),
        ("instance_front", "instance_front"),
        ("depth_front", "depth_front"),
    ]
    assert [record.name for record in metadata.instruments] == ["gnss_roof", "imu_roof"]
    assert metadata.rig[0].attributes["gamma"] == "2.0"
    for frame in read_frames(folder, metadata):
        assert set(frame.sensors) == {record.name for record in (*metadata.rig, *metadata.instruments)}
        tags = cv2.imread(str(folder / frame.files["seg_raw"].path), cv2.IMREAD_UNCHANGED)
        instance = cv2.imread(str(folder / frame.files["instance_front"].path), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(instance[:, :, 2], tags)
        depth = cv2.imread(str(folder / frame.files["depth_front"].path), cv2.IMREAD_UNCHANGED).astype(np.int64)
        metres = 1000.0 * (depth[:, :, 2] + 256 * depth[:, :, 1] + 65536 * depth[:, :, 0]) / (2**24 - 1)
        assert metres[tags == 11].min() > 500.0, "the sky is far away"
        assert 1.0 < np.median(metres[-4:]) < 10.0, "the road before the car is near"
        gnss = frame.measurements["gnss_roof"]
        assert abs(gnss["altitude_m"] - frame.sensors["gnss_roof"].location_m[2]) < 1.0
        assert len(frame.measurements["imu_roof"]["acceleration_mps2"]) == 3
    assert "| imu_roof | sensor.other.imu | | | | frames.jsonl |" in (folder / "README.md").read_text()
    assert world_state(server) == UNTOUCHED

    moved = TWO_PLACES.replace("1.8]", "1.9]")
    (tmp_path / "two.toml").write_text(moved)
    before = (folder / "recording.json").read_bytes()
    refused = typed(*words, "--frames", "4", "--every", "2", small=False)
    assert refused.returncode == 5
    assert "whose rgb_roof has other settings. Nothing was changed." in refused.stderr
    assert (folder / "recording.json").read_bytes() == before
    assert json.loads(before)["counts"]["frames"] == 3


WITH_MEMORY = """
size = "48x64"

[[mount]]
name = "front"
sensors = ["rgb", "semantic", "optical_flow", "lidar", "radar", "imu"]
location_m = [1.6, 0.0, 1.7]
attributes.lidar.rotation_frequency = 7
attributes.lidar.points_per_second = 20000
"""

RESTED = """
import sys
from carlaseg.recording.rig import Rig
from carlaseg.recording.rig_file import parse_rig
from carlaseg.recording.session import Session
from carlaseg.recording.traffic import Traffic
with Session("127.0.0.1", int(sys.argv[1]), fps=20.0, timeout_s=20.0) as session:
    rig = Rig(session, Traffic(session, 0, None).spawn_ego(), parse_rig(sys.argv[2], "rig", "test"))
    for turn in (rig.rest, rig.listen, rig.rest):
        turn()
        session.tick()
        print(*(sensor.spec.kind for sensor in rig.sensors if sensor.actor.is_listening()))
"""


def test_sensors_that_remember_what_they_measured_last_are_never_put_to_rest(server: Address) -> None:
    words = [sys.executable, "-c", RESTED, str(server.port), WITH_MEMORY]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    resting, awake, resting_again = done.stdout.splitlines()
    assert awake == "rgb semantic optical_flow lidar radar imu"
    assert resting == resting_again == "optical_flow lidar radar imu"


@pytest.mark.slow
def test_a_recording_by_sensors_with_a_memory_goes_on_to_the_same_bytes(
    typed: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "rig.toml").write_text(WITH_MEMORY)
    words = ("--simulator", "embedded", "--rig", str(tmp_path / "rig.toml"), "--every", "3", "--warmup", "12")
    words += ("--traffic", "2", "--walkers", "0", "--driver", "waypoints", "--output", str(tmp_path))
    for name, frames in (("at_once", 5), ("in_two", 2), ("in_two", 5)):
        done = typed(*words, "--name", name, "--frames", str(frames), small=False)
        assert done.returncode == 0, done.stderr
    at_once, in_two = tmp_path / "at_once", tmp_path / "in_two"
    files = [file.relative_to(at_once) for file in at_once.rglob("*") if file.suffix in (".png", ".npy", ".jsonl")]
    files = [file for file in files if file.name != "contact_sheet.png"]
    assert len(files) > 5 * 5
    assert [file for file in files if (at_once / file).read_bytes() != (in_two / file).read_bytes()] == []


def test_sensors_and_attributes_the_server_lacks_are_named_in_one_sentence(
    server: Address, typed: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    base = "[[mount]]\nname='a'\nsize='48x64'\n"
    for text, code, said in (
        (base + "sensors=['rgb','semantic']\nattributes.rgb.gama=2.0\n", 2, "Nearest: gamma"),
        (base + "sensors=['rgb','semantic']\nattributes.rgb.gamma='bright'\n", 2, "received 'bright'"),
    ):
        (tmp_path / "rig.toml").write_text(text)
        words = ("--host", server.host, "--port", str(server.port), "--output", str(tmp_path), "--name", "never")
        done = typed(*words, "--rig", str(tmp_path / "rig.toml"), "--frames", "1", small=False)
        assert done.returncode == code, done.stderr
        assert said in done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "never").exists()
