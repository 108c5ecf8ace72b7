"""Every layout, from tiny files: the samples, the scheme, the drives, and what is said when something is missing."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_datasets import in_red, road_image, road_scene, write_pairs, write_picture, write_recording

from carlaseg.dataset import SampleTable, open_dataset, read_image, read_mask
from carlaseg.errors import ConfigError, DatasetError
from carlaseg.labels import IGNORE_ID, scheme

S2 = scheme("carla-0.9.14")


def test_a_recording_gives_its_frames_with_town_and_weather(recording: Path) -> None:
    dataset = open_dataset(recording, masks_required=True)
    assert dataset.scheme is S2
    assert [sample.frame for sample in dataset.samples] == [100, 101, 102, 103, 104]
    first = dataset.samples[0]
    assert (first.drive, first.town, first.weather, first.name) == ("drive_a", "carlaseg_grid", "ClearNoon", "00000100")
    assert np.array_equal(read_image(first.image_path), road_image(100))
    assert np.array_equal(read_mask(first), road_scene(S2, 100))


def test_a_folder_of_recordings_gives_each_drive_its_name(recording: Path) -> None:
    write_recording(recording.parent / "drive_b", frames=2)
    dataset = open_dataset(recording.parent)
    assert dataset.layout == "recordings"
    assert [sample.name for sample in dataset.samples][4:6] == ["drive_a_00000104", "drive_b_00000100"]
    assert {sample.drive for sample in dataset.samples} == {"drive_a", "drive_b"}


def test_a_plans_folder_of_train_val_and_test_is_one_dataset_with_these_splits(tmp_path: Path) -> None:
    for place in ("train/Town01", "train/Town03", "val/Town02", "test/Town05"):
        write_recording(tmp_path / place, frames=2)
    (tmp_path / "plan.jsonl").write_text("")
    whole = open_dataset(tmp_path)
    assert (whole.layout, whole.splits) == ("recordings", ("train", "val", "test"))
    assert list(dict.fromkeys(sample.drive for sample in whole.samples)) == ["Town01", "Town03", "Town02", "Town05"]
    part = open_dataset(tmp_path, split="val")
    # A picture has the same name whichever way it is read.
    assert [sample.name for sample in part.samples] == ["Town02_00000100", "Town02_00000101"]
    assert {sample.name for sample in part.samples} < {sample.name for sample in whole.samples}
    with pytest.raises(DatasetError, match="expected a split 'dev', received a dataset with train, val, test"):
        open_dataset(tmp_path, split="dev")


def test_drives_of_one_name_in_two_splits_are_told_apart(tmp_path: Path) -> None:
    for place in ("train/drive", "val/drive"):
        write_recording(tmp_path / place, frames=1)
    samples = open_dataset(tmp_path).samples
    assert [sample.drive for sample in samples] == ["train_drive", "val_drive"]
    assert len({sample.name for sample in samples}) == 2


def test_recordings_of_two_schemes_are_refused(recording: Path) -> None:
    write_recording(recording.parent / "drive_b", label_scheme=scheme("carla-0.9.10"))
    with pytest.raises(DatasetError, match=r"drive_b: expected label scheme carla-0\.9\.14"):
        open_dataset(recording.parent)


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("rgb/{:06d}.png", "seg_raw/{:06d}.png"),
        ("rgb/rgb_{:06d}.png", "seg_raw/seg_raw_{:06d}.png"),
        ("rgb/{:06d}.webp", "seg_raw/{:06d}.png"),
        ("CameraRGB/{}.png", "CameraSeg/{}.png"),
        ("CameraRGB/F{}.jpg", "CameraMask/F{}.png"),
        ("rgb_{}.png", "seg_raw_{}.png"),
        ("rgb_{}.png", "seg_{}.png"),
    ],
)
def test_plain_pairs_are_found_by_name(tmp_path: Path, images: str, masks: str) -> None:
    dataset = open_dataset(write_pairs(tmp_path / "d", images, masks, count=12), masks_required=True)
    assert dataset.scheme is S2
    assert [sample.frame for sample in dataset.samples] == list(range(12))
    assert len({sample.name for sample in dataset.samples}) == 12
    for number, sample in enumerate(dataset.samples):
        assert np.array_equal(read_mask(sample), road_scene(S2, number))


def test_ids_in_the_red_channel_are_read(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path, encode=in_red, label_scheme="carla-0.9.10")
    sample = open_dataset(folder).samples[0]
    assert (sample.mask_encoding, sample.scheme) == ("red", "carla-0.9.10")
    assert np.array_equal(read_mask(sample), road_scene(scheme("carla-0.9.10"), 0))


def test_ids_repeated_in_every_channel_are_read(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path, encode=lambda mask: np.repeat(mask[..., None], 3, axis=2))
    assert np.array_equal(read_mask(open_dataset(folder).samples[0]), road_scene(S2, 0))


def test_colours_become_ids(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path, masks="seg/{:06d}.png", encode=S2.colorize)
    sample = open_dataset(folder).samples[0]
    assert sample.mask_encoding == "colors"
    assert np.array_equal(read_mask(sample), road_scene(S2, 0))


def test_splits_come_from_text_files_and_are_never_one_drive(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path, count=5)
    (folder / "train.txt").write_text("000000\n000001\n000002\n")
    (folder / "val.txt").write_text("000003\n000004\n")
    assert open_dataset(folder).splits == ("train", "val")
    train, val = open_dataset(folder, split="train").samples, open_dataset(folder, split="val").samples
    assert [sample.frame for sample in val] == [3, 4]
    assert not {sample.drive for sample in train} & {sample.drive for sample in val}


def test_a_split_that_names_an_image_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path, count=2)
    (folder / "train.txt").write_text("000000\n000077\n")
    with pytest.raises(DatasetError, match=r"train\.txt, line 2: .*'000077'"):
        open_dataset(folder, split="train")


def test_splits_come_from_folders_of_pairs(tmp_path: Path) -> None:
    for split, count in (("train", 3), ("val", 2)):
        write_pairs(tmp_path / split, "CameraRGB/{}.png", "CameraSeg/{}.png", count)
    assert len(open_dataset(tmp_path).samples) == 5
    assert len({sample.name for sample in open_dataset(tmp_path).samples}) == 5
    assert [sample.drive for sample in open_dataset(tmp_path, split="val").samples] == ["val", "val"]


def test_an_unknown_split_names_those_there_are(tmp_path: Path) -> None:
    write_pairs(tmp_path / "train", "CameraRGB/{}.png", "CameraSeg/{}.png")
    with pytest.raises(DatasetError, match="expected a split 'test', received a dataset with train"):
        open_dataset(tmp_path, split="test")


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_camvid_has_splits_void_and_sequences(tmp_path: Path, suffix: str) -> None:
    camvid = scheme("camvid")
    for split, stem in (("train", "0006R0_f00930"), ("val", "0016E5_07959")):
        write_picture(tmp_path / split / f"{stem}.{suffix}", road_image())
        mask = road_scene(camvid)
        mask[0] = 11
        write_picture(tmp_path / f"{split}annot" / f"{stem}.png", mask)
    dataset = open_dataset(tmp_path)
    assert (dataset.layout, dataset.scheme, dataset.splits) == ("camvid", camvid, ("train", "val"))
    assert [sample.drive for sample in dataset.samples] == ["0006R0", "0016E5"]
    mask = read_mask(open_dataset(tmp_path, split="val").samples[0])
    assert (mask[0] == IGNORE_ID).all()
    assert mask[1:].max() < 11


def test_kitti_road_takes_whole_roads_and_no_lanes(tmp_path: Path) -> None:
    training = tmp_path / "data_road" / "training"
    picture = np.zeros((12, 20, 3), np.uint8)
    picture[:6] = (255, 0, 0)
    picture[6:, :10] = (255, 0, 255)
    for number in range(3):
        write_picture(training / "image_2" / f"um_{number:06d}.png", road_image(size=(12, 20)))
        write_picture(training / "gt_image_2" / f"um_lane_{number:06d}.png", picture)
    write_picture(training / "gt_image_2" / "um_road_000001.png", picture)
    dataset = open_dataset(tmp_path)
    assert len(dataset.samples) == 3
    assert dataset.labelled == 1
    labelled = open_dataset(tmp_path, masks_required=True)
    assert "2 images without a mask are left out" in labelled.evidence
    mask = read_mask(labelled.samples[0])
    assert (mask[0, 0], mask[8, 0], mask[8, 15]) == (0, 1, IGNORE_ID)


@pytest.mark.parametrize(("suffix", "name"), [("labelTrainIds", "cityscapes-train"), ("labelIds", "cityscapes")])
def test_cityscapes_is_paired_over_its_two_trees(tmp_path: Path, suffix: str, name: str) -> None:
    stem = "aachen_000003_000019"
    write_picture(tmp_path / "leftImg8bit/val/aachen" / f"{stem}_leftImg8bit.png", road_image())
    write_picture(tmp_path / "gtFine/val/aachen" / f"{stem}_gtFine_{suffix}.png", road_scene(scheme(name)))
    write_picture(tmp_path / "gtFine/val/aachen" / f"{stem}_gtFine_color.png", road_image())
    dataset = open_dataset(tmp_path, split="val", masks_required=True)
    sample = dataset.samples[0]
    assert (sample.scheme, sample.drive, sample.town, sample.frame) == (name, "aachen_000003", "aachen", 19)
    assert dataset.orphans == ()
    assert np.array_equal(read_mask(sample), road_scene(scheme(name)))


def test_a_folder_of_pictures_has_no_masks_and_unique_names(tmp_path: Path) -> None:
    for name in ("b.png", "a.png", "a.jpg", "10.png", "9.png"):
        write_picture(tmp_path / name, road_image())
    (tmp_path / "notes.txt").write_text("not a picture")
    dataset = open_dataset(tmp_path)
    assert [sample.image_path.name for sample in dataset.samples] == ["9.png", "10.png", "a.jpg", "a.png", "b.png"]
    assert len({sample.name for sample in dataset.samples}) == 5
    assert dataset.labelled == 0
    with pytest.raises(DatasetError, match=r"expected a mask for every image .pictures., received none for 5 of 5"):
        open_dataset(tmp_path, masks_required=True)


def test_pictures_that_a_prefix_leaves_out_are_counted_in_the_name_of_the_layout(tmp_path: Path) -> None:
    for name in ("rgb_0.png", "holiday.png", "beach.jpg"):
        write_picture(tmp_path / name, road_image())
    write_picture(tmp_path / "seg_0.png", road_scene(S2))
    dataset = open_dataset(tmp_path)
    assert [sample.name for sample in dataset.samples] == ["0"]
    assert dataset.layout == "rgb_* beside seg_*, 2 named otherwise than rgb_* left out"


def test_test_images_without_masks_are_a_dataset(tmp_path: Path) -> None:
    for number in range(3):
        write_picture(tmp_path / f"rgb_{number}.png", road_image(number))
    assert open_dataset(tmp_path).labelled == 0


def test_an_image_without_its_mask_is_named_when_masks_are_needed(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path)
    (folder / "seg_raw/000002.png").unlink()
    assert open_dataset(folder).labelled == 3
    with pytest.raises(DatasetError, match=r"000002\.png: expected a mask .* received none for 1 of 4") as caught:
        open_dataset(folder, masks_required=True)
    assert caught.value.next_steps == (("all of them", f"carlaseg verify {folder}"),)


def test_what_is_no_dataset_is_told_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("nothing here")
    with pytest.raises(DatasetError, match=r"none of: a recording .*CameraRGB/.*CamVid .*KITTI Road .*Cityscapes"):
        open_dataset(tmp_path)
    with pytest.raises(DatasetError, match="expected a folder with a dataset, received a file there"):
        open_dataset(tmp_path / "README.md")
    with pytest.raises(DatasetError, match="received nothing there"):
        open_dataset(tmp_path / "missing")


def test_an_empty_split_is_an_error(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path)
    (folder / "val.txt").write_text("\n")
    with pytest.raises(DatasetError, match="the split 'val' of"):
        open_dataset(folder, split="val")


def test_an_unknown_scheme_name_is_a_mistake_of_the_command(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Nearest: camvid"):
        open_dataset(write_pairs(tmp_path), scheme="camvit")


def test_a_named_scheme_that_the_masks_contradict_is_doubted_in_the_evidence(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path, label_scheme="carla-0.9.10")
    dataset = open_dataset(folder, scheme="carla-0.9.14")
    assert dataset.scheme is S2
    assert dataset.evidence[1].startswith("although its masks look like carla-0.9.10")
    assert open_dataset(folder, scheme="carla-0.9.10").evidence == ("named by the user",)


def test_samples_in_columns_are_the_samples_that_went_in(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path, count=6)
    (folder / "seg_raw/000002.png").unlink()
    table = open_dataset(folder).samples
    listed = list(table)
    assert isinstance(table, SampleTable)
    assert list(SampleTable(listed)) == listed
    assert [sample.frame for sample in table[4:1:-1]] == [4, 3, 2]
    assert table[-1] == listed[5]
    assert list(table.masked) == [sample for sample in listed if sample.mask_path]
    assert table[1:3].drives == tuple(sample.drive for sample in listed[1:3])
    with pytest.raises(IndexError):
        table[6]


def test_a_name_in_another_script_is_a_name_like_any_other(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path / "Straße", "rgb/道路_{}.png", "seg_raw/道路_{}.png")
    sample = open_dataset(folder).samples[2]
    assert (sample.name, sample.drive, sample.frame) == ("道路_2", "Straße", 2)
    assert np.array_equal(read_mask(sample), road_scene(S2, 2))


def test_a_scheme_nobody_can_tell_is_asked_for(tmp_path: Path) -> None:
    folder = tmp_path
    for number in range(2):
        write_picture(folder / f"rgb/{number}.png", road_image(number))
        write_picture(folder / f"seg_raw/{number}.png", np.full((48, 64), 5, np.uint8))
    assert open_dataset(folder).scheme is None
    with pytest.raises(DatasetError, match="expected to find out the label scheme") as caught:
        open_dataset(folder, masks_required=True)
    assert "--scheme" in caught.value.next_steps[0][1]
    assert open_dataset(folder, scheme="carla-0.9.14", masks_required=True).samples[0].scheme == "carla-0.9.14"


@pytest.mark.parametrize(
    "pixels",
    [
        np.full((5, 7), 128, np.uint8),
        np.full((5, 7), 128 * 257, np.uint16),
        np.full((5, 7, 4), 128, np.uint8),
    ],
    ids=["grey", "16 bit", "alpha"],
)
def test_any_png_reads_as_rgb_bytes(tmp_path: Path, pixels: np.ndarray) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    image = read_image(path)
    assert (image.shape, image.dtype) == ((5, 7, 3), np.uint8)
    assert (image == 128).all()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
@pytest.mark.parametrize("keep", [0, 3, 40, 0.5, 0.95])
def test_a_truncated_picture_is_an_error_that_names_it(tmp_path: Path, suffix: str, keep: float) -> None:
    path = write_picture(tmp_path / f"a{suffix}", road_image())
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(len(content) * keep)])
    with pytest.raises(DatasetError, match=rf"a\{suffix}: expected a (whole )?picture"):
        read_image(path)


def test_a_damaged_mask_is_never_read_as_something_else(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path)
    sample = open_dataset(folder).samples[1]
    assert sample.mask_path is not None
    mask = road_scene(S2)
    mask[17, 4] = 31
    write_picture(sample.mask_path, mask)
    with pytest.raises(DatasetError, match=r"000001\.png, pixel \(17, 4\): .*received 31"):
        read_mask(sample)


def test_real_layouts_are_recognised(shared_data: Path) -> None:
    found = {
        name: (dataset.layout, dataset.scheme.name if dataset.scheme else None, len(dataset.samples), dataset.labelled)
        for name in (
            "camvid",
            "carla_tags23",
            "carla_tags23/originals",
            "carla_legacy13_pairs/lyft",
            "kitti_road_sample",
        )
        for dataset in [open_dataset(shared_data / name)]
    }
    assert found == {
        "camvid": ("camvid", "camvid", 468, 468),
        "carla_tags23": ("rgb/seg_raw", "carla-0.9.10", 730, 730),
        "carla_tags23/originals": ("CameraRGB/CameraMask", "carla-0.9.10", 30, 30),
        "carla_legacy13_pairs/lyft": ("folders of CameraRGB/CameraSeg", "carla-0.9.0", 4, 4),
        "kitti_road_sample": ("kitti-road", "kitti-road", 11, 2),
    }


def test_real_ids_are_the_same_in_either_encoding(shared_data: Path) -> None:
    """The originals were halved by nearest pixels: every second row and column, from one of four starts."""
    small = {sample.name: sample for sample in open_dataset(shared_data / "carla_tags23").samples}
    for sample in open_dataset(shared_data / "carla_tags23" / "originals").samples[:5]:
        large, reduced = read_mask(sample), read_mask(small[sample.name])
        starts = [(row, column) for row in (0, 1) for column in (0, 1)]
        assert any(np.array_equal(large[row::2, column::2], reduced) for row, column in starts)
