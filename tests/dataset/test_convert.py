"""Datasets in the formats of others, read back."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conversions import CAMERA, files_in, run
from tiny_datasets import SCHEME, line, metadata, road_image, road_scene, write_pairs, write_picture

from carlaseg.dataset import Pose, RecordingWriter, open_dataset, read_image, read_mask
from carlaseg.dataset.exports.job import STATE_FILE
from carlaseg.dataset.exports.source import Source, SplitRule
from carlaseg.dataset.geometry import quaternion, rotation_matrix
from carlaseg.errors import DatasetError
from carlaseg.labels import remap, scheme


def by_split(source: Path) -> dict[str, list[Any]]:
    """The samples of each split, as `convert` splits them by default."""
    splits: dict[str, list[Any]] = {}
    for split, sample in Source(source, None, SplitRule()).samples:
        splits.setdefault(split, []).append(sample)
    return splits


def test_cityscapes_reads_back_with_the_same_ids(drives: Path, tmp_path: Path) -> None:
    output = run("cityscapes", drives, tmp_path / "out")
    to = remap(SCHEME, scheme("cityscapes-train"))
    seen = 0
    for split, originals in by_split(drives).items():
        copies = open_dataset(output, split=split)
        assert copies.scheme == scheme("cityscapes-train")
        assert len(copies.samples) == len(originals)
        for copy, original in zip(copies.samples, originals, strict=True):
            assert np.array_equal(read_mask(copy), to.apply(read_mask(original)))
            assert copy.image_path.read_bytes() == original.image_path.read_bytes()
            assert copy.frame == original.frame
            seen += 1
    assert seen == 12


def test_cityscapes_has_the_names_and_files_its_scripts_look_for(drives: Path, tmp_path: Path) -> None:
    output = run("cityscapes", drives, tmp_path / "out")
    for image in output.glob("leftImg8bit/*/*/*.png"):
        split, city, name = image.parts[-3:]
        parts = name.split("_")
        assert len(parts) == 4
        assert parts[0] == city
        assert (len(parts[1]), len(parts[2]), parts[3]) == (6, 6, "leftImg8bit.png")
        stem = name.removesuffix("leftImg8bit.png")
        truth = output / "gtFine" / split / city
        ids = cv2.imread(str(truth / f"{stem}gtFine_labelIds.png"), cv2.IMREAD_UNCHANGED)
        colour = cv2.imread(str(truth / f"{stem}gtFine_color.png"), cv2.IMREAD_UNCHANGED)
        assert (ids.ndim, colour.shape[2]) == (2, 4)
        assert np.array_equal(colour[..., 2::-1], scheme("cityscapes").palette[ids])
        camera = json.loads((output / "camera" / split / city / f"{stem}camera.json").read_text())
        assert camera["extrinsic"] == pytest.approx(
            {"baseline": 0, "x": 1.6, "y": -0.25, "z": 1.7, "yaw": 0, "pitch": np.radians(15), "roll": 0}
        )
        assert camera["intrinsic"] == pytest.approx({"fx": 32, "fy": 32, "u0": 32, "v0": 24})


def test_cityscapes_of_cityscapes_loses_nothing(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path / "pairs", label_scheme="cityscapes-train")
    output = run("cityscapes", folder, tmp_path / "out", scheme="cityscapes-train")
    for copy, original in zip(open_dataset(output).samples, open_dataset(folder).samples, strict=True):
        assert np.array_equal(read_mask(copy), cv2.imread(str(original.mask_path), cv2.IMREAD_UNCHANGED))


@pytest.mark.parametrize("to", ["huggingface", "webdataset"])
def test_masks_and_images_are_the_same_bytes_where_nothing_is_translated(drives: Path, tmp_path: Path, to: str) -> None:
    output = run(to, drives, tmp_path / "out")
    copies = set(_pictures(output))
    originals = {
        path.read_bytes()
        for sample in open_dataset(drives).samples
        for path in (sample.image_path, sample.mask_path)
        if path is not None
    }
    assert copies == originals


def _pictures(output: Path) -> Iterator[bytes]:
    yield from (path.read_bytes() for path in output.rglob("*.png"))
    for shard in output.glob("*.tar"):
        with tarfile.open(shard) as tar:
            for member in tar:
                if member.name.endswith(".png"):
                    file = tar.extractfile(member)
                    assert file is not None
                    yield file.read()


def test_void_is_255_whatever_it_was_on_disk(tmp_path: Path) -> None:
    mask = np.arange(12, dtype=np.uint8).repeat(12).reshape(12, 12)
    write_picture(tmp_path / "in/train/a_1.png", road_image(size=(12, 12)))
    write_picture(tmp_path / "in/trainannot/a_1.png", mask)
    output = run("huggingface", tmp_path / "in", tmp_path / "out")
    (written,) = output.glob("train/masks/*.png")
    expected = np.where(mask == 11, 255, mask)
    assert np.array_equal(cv2.imread(str(written), cv2.IMREAD_UNCHANGED), expected)


def test_hugging_face_rows_name_files_that_are_there(drives: Path, tmp_path: Path) -> None:
    output = run("huggingface", drives, tmp_path / "out")
    rows = 0
    for split in ("train", "validation"):
        for text in (output / split / "metadata.jsonl").read_text().splitlines():
            row = json.loads(text)
            assert (output / split / row["file_name"]).is_file()
            assert (output / split / row["mask_file_name"]).is_file()
            assert (row["town"], row["speed_kmh"], row["ego_location_m"][0]) == (
                row["drive"][:6],
                36.0,
                row["frame"] / 2,
            )
            rows += 1
    assert rows == 12
    card = (output / "README.md").read_text()
    assert card.startswith("---\nlicense: unknown")
    assert card.count("TODO") == 1
    assert json.loads((output / "id2label.json").read_text())["24"] == "RoadLines"


def test_shards_are_of_the_size_asked_for_and_the_index_is_true(drives: Path, tmp_path: Path) -> None:
    output = run("webdataset", drives, tmp_path / "out", shard_mb=0.03)
    for split in ("train", "val"):
        index = json.loads((output / f"{split}.json").read_text())
        assert index["__kind__"] == "wids-shard-index-v1"
        assert len(index["shardlist"]) > 1
        for entry in index["shardlist"]:
            with tarfile.open(output / entry["url"]) as tar:
                members = tar.getmembers()
            keys = [member.name.partition(".")[0] for member in members]
            # Files of a sample follow one another.
            assert keys == sorted(keys)
            assert len(set(keys)) == entry["nsamples"]
            assert [member.name.partition(".")[2] for member in members[:3]] == ["rgb.png", "seg.png", "json"]
            assert {member.mtime for member in members} == {0}
            assert entry["filesize"] == (output / entry["url"]).stat().st_size < 100_000
    again = run("webdataset", drives, tmp_path / "again", shard_mb=0.03)
    assert files_in(output) | {STATE_FILE: b""} == files_in(again) | {STATE_FILE: b""}


def test_coco_segments_say_what_is_in_their_png(drives: Path, tmp_path: Path) -> None:
    output = run("coco-panoptic", drives, tmp_path / "out")
    for split, originals in by_split(drives).items():
        table = json.loads((output / f"annotations/panoptic_{split}.json").read_text())
        things = {row["id"] for row in table["categories"] if row["isthing"]}
        assert things == {12, 13, 14, 15, 16, 17, 18, 19}
        assert 0 not in {row["id"] for row in table["categories"]}
        assert len(table["images"]) == len(table["annotations"]) == len(originals)
        for image, annotation, original in zip(table["images"], table["annotations"], originals, strict=True):
            assert image["id"] == annotation["image_id"]
            assert read_image(output / split / image["file_name"]).shape == (image["height"], image["width"], 3)
            rgb = read_image(output / f"annotations/panoptic_{split}" / annotation["file_name"]).astype(int)
            ids = rgb[..., 0] + 256 * rgb[..., 1] + 65536 * rgb[..., 2]
            mask = np.zeros(ids.shape, np.uint8)
            for segment in annotation["segments_info"]:
                here = ids == segment["id"]
                rows, columns = np.nonzero(here)
                assert segment["area"] == here.sum() > 0
                corner = [columns.min(), rows.min()]
                assert segment["bbox"] == [*corner, columns.max() - corner[0] + 1, rows.max() - corner[1] + 1]
                mask[here] = segment["category_id"]
            assert np.array_equal(mask, read_mask(original))


def test_coco_counts_pieces_of_things_and_not_of_the_rest(tmp_path: Path) -> None:
    mask = np.full((20, 40), 1, np.uint8)
    mask[2:6, 2:6], mask[2:6, 30:36] = 14, 14
    mask[10:12], mask[15:17] = 24, 24
    mask[19, 39] = 0
    write_picture(tmp_path / "in/rgb/1.png", road_image(size=(20, 40)))
    write_picture(tmp_path / "in/seg_raw/1.png", mask)
    output = run("coco-panoptic", tmp_path / "in", tmp_path / "out", scheme="carla-0.9.14")
    (annotation,) = json.loads((output / "annotations/panoptic_train.json").read_text())["annotations"]
    found = sorted((row["category_id"], row["area"]) for row in annotation["segments_info"])
    assert found == [(1, 20 * 40 - 16 - 24 - 160 - 1), (14, 16), (14, 24), (24, 160)]


def test_a_class_0_that_is_no_void_is_not_lost_in_coco(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path / "in", label_scheme="cityscapes-train", count=1)
    output = run("coco-panoptic", folder, tmp_path / "out", scheme="cityscapes-train")
    table = json.loads((output / "annotations/panoptic_train.json").read_text())
    assert table["categories"][0] == {
        "id": 1, "name": "road", "supercategory": "road", "isthing": 0, "color": [128, 64, 128]
    }  # fmt: skip
    assert 1 in {row["category_id"] for row in table["annotations"][0]["segments_info"]}


def test_kitti_reads_back_as_road_and_not_road(drives: Path, tmp_path: Path) -> None:
    output = run("kitti-road", drives, tmp_path / "out", test=0.3)
    copies = [*open_dataset(output, split="train").samples, *open_dataset(output, split="test").samples]
    originals = [sample for _, sample in Source(drives, None, SplitRule(test=0.3)).samples]
    to = remap(SCHEME, scheme("kitti-road"))
    assert [copy.name for copy in copies][:9] == [*(f"um_{number:06d}" for number in range(8)), "um_000000"]
    for copy, original in zip(copies, originals, strict=True):
        assert np.array_equal(read_mask(copy), to.apply(read_mask(original)))


def test_kittis_calibration_sends_a_point_of_the_road_to_its_pixel(drives: Path, tmp_path: Path) -> None:
    output = run("kitti-road", drives, tmp_path / "out")
    rows = dict(text.split(": ") for text in (output / "training/calib/um_000000.txt").read_text().splitlines())
    values = {name: np.array([float(word) for word in text.split()]) for name, text in rows.items()}
    to_road = np.vstack([values["Tr_cam_to_road"].reshape(3, 4), [0, 0, 0, 1]])
    # Ten metres ahead on the ground: by hand, with the camera 1.7 m up and 15 degrees down.
    pixel = values["P2"].reshape(3, 4) @ np.linalg.inv(to_road) @ [0, 0, 10, 1]
    down = np.arctan2(1.7, 10) - np.radians(15)
    assert pixel[:2] / pixel[2] == pytest.approx([32, 24 + 32 * np.tan(down)])


def test_nuscenes_tables_hang_together_and_see_what_the_camera_saw(drives: Path, tmp_path: Path) -> None:
    output = run("nuscenes-calibration", drives, tmp_path / "out")
    tables = {path.stem: json.loads(path.read_text()) for path in (output / "v1.0-carlaseg").glob("*.json")}
    assert len(tables) == 13
    rows = {row["token"]: row for table in tables.values() for row in table}
    assert len(rows) == sum(len(table) for table in tables.values())
    for row in (row for table in tables.values() for row in table):
        links = [value for key, value in row.items() if key.endswith("_token") or key in ("next", "prev")]
        assert all(link == "" or link in rows for link in links)
    assert len(tables["sample_data"]) == 12
    first = next(row for row in tables["sample_data"] if row["prev"] == "")
    assert rows[first["next"]]["timestamp"] - first["timestamp"] == 50_000
    assert (output / first["filename"]).is_file()
    # A point 10 m east of the ego, which looks along CARLA's +y (yaw 90): to its left, so left of the camera.
    ego, camera = rows[first["ego_pose_token"]], rows[first["calibrated_sensor_token"]]
    assert ego["translation"] == [5.0, -1.0, 0.25]
    ahead = np.array(ego["translation"]) + [0.0, -10.0, 1.7]
    seen = _inverse(camera, _inverse(ego, ahead))
    assert np.linalg.norm(seen) == pytest.approx(np.linalg.norm([8.4, 0.25, 0]))
    pixel = np.array(camera["camera_intrinsic"]) @ seen
    assert pixel[1] / pixel[2] == pytest.approx(24 - 32 * np.tan(np.radians(15)))
    assert pixel[0] / pixel[2] < 32


def _inverse(pose: dict[str, Any], point: np.ndarray) -> np.ndarray:
    w, x, y, z = pose["rotation"]
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    return rotation.T @ (point - pose["translation"])


@pytest.fixture(scope="module")
def rich_drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drive with a second camera looking left, and an instance camera that sees what the mask does."""
    folder = tmp_path_factory.mktemp("rich") / "drive"
    left = replace(CAMERA, name="rgb_left", folder="rgb_left", pose_ego=Pose((0.5, -0.5, 1.7), (0.0, -90.0, 0.0)))
    instance = replace(CAMERA, name="who", folder="who", blueprint="sensor.camera.instance_segmentation")
    facts = replace(metadata(), rig=(replace(CAMERA, folder="rgb"), left, instance))
    scene = road_scene(SCHEME)
    scene[24:30, 10:30] = 14
    who = np.zeros((48, 64, 3), np.uint8)
    who[..., 0], who[:, 20:, 1], who[:, 20:, 2] = scene, 7, 1
    with RecordingWriter(folder, facts, SCHEME, others=("rgb_left", "who")) as writer:
        for frame in range(3):
            writer.write_frame(frame, road_image(frame), scene, line(frame), {"rgb_left": road_image(9), "who": who})
    return folder


def test_objects_are_those_of_the_instance_camera_where_there_is_one(rich_drive: Path, tmp_path: Path) -> None:
    output = run("coco-panoptic", rich_drive, tmp_path / "out")
    annotation = json.loads((output / "annotations/panoptic_train.json").read_text())["annotations"][0]
    cars = sorted(row["area"] for row in annotation["segments_info"] if row["category_id"] == 14)
    # Two that touch at column 20, the right one with the car of the scene, which has the same number.
    assert cars == [60, 60 + 96]
    output = run("cityscapes", rich_drive, tmp_path / "cityscapes")
    (first, *_) = sorted(output.glob("gtFine/train/*/*_instanceIds.png"))
    ids = cv2.imread(str(first), cv2.IMREAD_UNCHANGED)
    assert ids.dtype == np.uint16
    assert {26000, 26001} < set(np.unique(ids).tolist()) < {*range(34), 26000, 26001}


def test_every_camera_is_a_channel_of_nuscenes(rich_drive: Path, tmp_path: Path) -> None:
    output = run("nuscenes-calibration", rich_drive, tmp_path / "out")
    tables = {path.stem: json.loads(path.read_text()) for path in (output / "v1.0-carlaseg").glob("*.json")}
    assert [row["channel"] for row in tables["sensor"]] == ["CAM_FRONT", "CAM_LEFT"]
    left = tables["calibrated_sensor"][1]
    assert left["translation"] == [0.5, 0.5, 1.7]
    # Forward of a camera that looks left is the vehicle's +y.
    assert _inverse(left, np.array([0.5, 10.5, 1.7])) == pytest.approx([0, 0, 10])
    assert len(tables["sample_data"]) == 6
    assert len(list((output / "samples/CAM_LEFT").iterdir())) == 3


def test_other_sensors_travel_in_the_shards(rich_drive: Path, tmp_path: Path) -> None:
    output = run("webdataset", rich_drive, tmp_path / "out")
    with tarfile.open(output / "train-000000.tar") as tar:
        names = [name.partition(".")[2] for name in tar.getnames()[:5]]
        file = tar.extractfile(tar.getmembers()[2])
        assert file is not None
        assert file.read() == (rich_drive / "rgb_left/rgb_left_00000000.png").read_bytes()
    assert names == ["rgb.png", "seg.png", "rgb_left.png", "who.png", "json"]


def test_poses_are_turned_as_the_carla_client_turns_them() -> None:
    carla = pytest.importorskip("carla")
    rng = np.random.default_rng(0)
    for _ in range(20):
        pitch, yaw, roll = (float(angle) for angle in rng.uniform(-180, 180, 3))
        turned = carla.Transform(carla.Location(), carla.Rotation(pitch, yaw, roll)).get_matrix()
        ours = rotation_matrix(Pose((0, 0, 0), (pitch, yaw, roll)))
        assert ours == pytest.approx(np.array(turned)[:3, :3], abs=1e-5)
        w, x, y, z = quaternion(ours)
        assert w * w + x * x + y * y + z * z == pytest.approx(1)
        again = _inverse({"rotation": (w, x, y, z), "translation": np.zeros(3)}, ours @ np.array([1.0, 2.0, 3.0]))
        assert again == pytest.approx([1, 2, 3])


def test_nuscenes_wants_recordings(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="expected a frame of a recording, with its pose and camera"):
        run("nuscenes-calibration", write_pairs(tmp_path / "in"), tmp_path / "out")


def test_a_translation_says_what_it_loses(drives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = run("webdataset", drives, tmp_path / "out", classes="camvid")
    assert "lost: Roads, RoadLines -> Road" in capsys.readouterr().err
    assert "lost: Roads, RoadLines -> Road" in (output / "README.md").read_text()
    assert max(int(mask.max()) for mask in _masks(output)) <= 10


def _masks(output: Path) -> Iterator[np.ndarray]:
    for shard in output.glob("*.tar"):
        with tarfile.open(shard) as tar:
            for member in tar:
                if member.name.endswith(".seg.png"):
                    file = tar.extractfile(member)
                    assert file is not None
                    yield cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_UNCHANGED)
