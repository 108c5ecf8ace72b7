"""Counts of classes, splits that share no drive, and the contact sheet."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_datasets import SCHEME, line, metadata, road_image, road_scene, write_pairs, write_picture

from carlaseg.config import StatsConfig
from carlaseg.console import StopRequest
from carlaseg.dataset import RecordingWriter, Sample, open_dataset, read_image, split_by_drive
from carlaseg.dataset.commands import stats_command
from carlaseg.dataset.contact_sheet import contact_sheet
from carlaseg.dataset.stats import count, stats
from carlaseg.dataset.stats.copies import NEAR_COPY_BITS
from carlaseg.dataset.stats.looks import differing_bits, look_at
from carlaseg.errors import DatasetError, Interrupted


def test_pixels_images_and_weights_are_those_of_the_masks(tmp_path: Path) -> None:
    first, second = np.full((10, 10), 1, np.uint8), np.full((10, 10), 1, np.uint8)
    first[:5], second[:1], second[9] = 11, 14, 255
    for number, mask in enumerate((first, second)):
        write_picture(tmp_path / f"rgb/{number}.png", road_image(size=(10, 10)))
        write_picture(tmp_path / f"seg_raw/{number}.png", mask)
    counted = stats(tmp_path, scheme="carla-0.9.14")
    rows = {row.name: row for row in counted.classes}
    assert (rows["Roads"].pixels, rows["Sky"].pixels, rows["Car"].pixels) == (130, 50, 10)
    assert (rows["Roads"].images, rows["Sky"].images, rows["Car"].images) == (2, 1, 1)
    assert rows["Roads"].share == pytest.approx(130 / 190)
    assert counted.void_pixels == 10
    # Frequencies 130/190, 50/100, 10/90: the median is the sky's.
    assert rows["Sky"].median_weight == 1.0
    assert rows["Car"].median_weight == pytest.approx(0.5 / (10 / 90))
    assert rows["Bus"].median_weight is None
    assert counted.sizes == {"10x10": 2}


def test_the_command_writes_what_it_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_pairs(tmp_path / "d")
    config = StatsConfig(folder=folder, output=tmp_path / "out", json=True)
    assert stats_command(config) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "out/stats.json").read_text())
    rows = list(csv.DictReader((tmp_path / "out/classes.csv").read_text().splitlines()))
    assert [int(row["pixels"]) for row in rows] == [row["pixels"] for row in printed["classes"]]
    assert len(rows) == 29
    assert rows[16]["median_weight"] == ""
    height, width, _ = read_image(tmp_path / "out/classes.png").shape
    assert min(height, width) > 150
    assert stats_command(StatsConfig(folder=folder)) == 0
    assert "Roads" in capsys.readouterr().out


def test_images_without_masks_cannot_be_counted(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", road_image())
    with pytest.raises(DatasetError, match="expected masks to count, received 1 images without"):
        stats(tmp_path)


def test_real_shares_are_those_counted_by_others(shared_data: Path) -> None:
    """Pixel shares of CamVid's training images in percent, void included, as its README gives them."""
    counted = count(open_dataset(shared_data / "camvid", split="train"))
    total = counted.void_pixels + sum(row.pixels for row in counted.classes)
    shares = [100 * row.pixels / total for row in counted.classes]
    assert shares == pytest.approx([16.8, 23.3, 1.0, 31.7, 4.5, 9.7, 1.2, 1.1, 5.9, 0.6, 0.3], abs=0.06)
    assert 100 * counted.void_pixels / total == pytest.approx(3.9, abs=0.06)


def samples(**drives: int) -> list[Sample]:
    return [
        Sample(Path(f"{drive}/{frame}.png"), None, None, None, drive, frame, None, None, f"{drive}_{frame}")
        for drive, count in drives.items()
        for frame in range(count)
    ]


@pytest.mark.parametrize("seed", range(8))
def test_no_drive_is_on_both_sides(seed: int) -> None:
    everything = samples(a=30, b=50, c=10, d=40, e=20)
    split = split_by_drive(everything, 0.2, seed)
    assert not {sample.drive for sample in split.train} & {sample.drive for sample in split.validation}
    assert len(split.train) + len(split.validation) == len(everything)
    assert 0 < len(split.validation) <= 75
    assert split == split_by_drive(everything, 0.2, seed)


def test_different_seeds_hold_out_different_drives() -> None:
    everything = samples(**{f"d{number}": 10 for number in range(10)})
    held_out = {tuple(sorted({s.drive for s in split_by_drive(everything, 0.2, seed).validation})) for seed in range(9)}
    assert len(held_out) > 3
    assert all(len(names) == 2 for names in held_out)


def test_two_drives_of_any_size_give_two_parts() -> None:
    split = split_by_drive(samples(a=100, b=2), 0.2, 0)
    assert {len(split.train), len(split.validation)} == {100, 2}
    assert len(split.train) == 100


def test_one_drive_is_cut_in_two_pieces_with_a_gap_and_the_note_says_so() -> None:
    everything = samples(only=200)
    split = split_by_drive(everything, 0.25, 0)
    assert split.validation == everything[150:]
    assert split.train == everything[:146]
    assert "one drive only (only): its last 50 frames are held out, 4 between are left out" in split.note


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_tiny_drive_still_has_two_parts(count: int) -> None:
    split = split_by_drive(samples(only=count), 0.2, 0)
    assert split.train
    assert split.validation


def test_one_frame_cannot_be_split() -> None:
    with pytest.raises(DatasetError, match="at least 2 frames"):
        split_by_drive(samples(a=1), 0.2, 0)


def test_a_contact_sheet_shows_image_and_overlay_side_by_side(tmp_path: Path) -> None:
    dataset = open_dataset(write_pairs(tmp_path / "d", count=5))
    contact_sheet(dataset.samples, tmp_path / "out" / "sheet.png", columns=2, height=48)
    sheet = read_image(tmp_path / "out" / "sheet.png")
    assert sheet.shape == (3 * 52 + 4, 2 * 132 + 4, 3)
    assert np.array_equal(sheet[4:52, 4:68], road_image(0))
    blended = (road_image(0).astype(int) + SCHEME.colorize(road_scene(SCHEME, 0))) // 2
    assert np.array_equal(sheet[4:52, 68:132], blended)


def test_a_contact_sheet_of_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="expected samples"):
        contact_sheet([], tmp_path / "sheet.png")


@pytest.fixture
def two_drives(tmp_path: Path) -> Path:
    """Two recordings: one moves and brightens, the other stands still; different towns and weathers."""
    for name, town, weather, moving in (("a", "Town01", "ClearNoon", True), ("b", "Town02", "HardRainNoon", False)):
        facts = replace(metadata(town=town), weather=weather)
        with RecordingWriter(tmp_path / "in" / name, facts, SCHEME) as writer:
            for frame in range(6):
                seed = frame if moving else 100
                image = road_image(seed) // (1 if moving else 4)
                place = line(frame if moving else 0)
                writer.write_frame(frame, image, road_scene(SCHEME, seed), replace(place, frame=frame))
    return tmp_path / "in"


def test_classes_are_counted_by_drive_town_and_weather(two_drives: Path, tmp_path: Path) -> None:
    counted = stats(two_drives)
    assert {kind: list(parts) for kind, parts in counted.groups.items()} == {
        "drive": ["a", "b"],
        "town": ["Town01", "Town02"],
        "weather": ["ClearNoon", "HardRainNoon"],
    }
    for parts in counted.groups.values():
        rows = [part.classes(SCHEME) for part in parts.values()]
        for whole, *pieces in zip(counted.classes, *rows, strict=True):
            assert whole.pixels == sum(piece.pixels for piece in pieces)
            assert whole.images == sum(piece.images for piece in pieces)
    alone = stats(two_drives / "b")
    assert counted.by_drive["b"].classes(SCHEME) == alone.classes
    counted.write(tmp_path / "out")
    table = list(csv.DictReader((tmp_path / "out/by_weather.csv").read_text().splitlines()))
    assert len(table) == 2 * 29
    assert sum(int(row["pixels"]) for row in table if row["weather"] == "HardRainNoon") == 6 * 48 * 64


def test_standing_still_and_near_copies_are_found(two_drives: Path, tmp_path: Path) -> None:
    counted = stats(two_drives)
    assert counted.still == 5
    assert counted.pictures is not None
    (run,) = counted.pictures.near_copies
    assert (run.drive, run.frames, run.first, run.last) == ("b", 5, "b_00000000", "b_00000005")
    assert counted.pictures.same_files == 5
    counted.write(tmp_path / "out")
    assert (tmp_path / "out/near_copies.csv").read_text().splitlines()[1] == "b,b_00000000,b_00000005,5"


def test_a_little_noise_is_still_a_near_copy_and_another_scene_is_not(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    smooth = cv2.resize(road_image(0, (6, 8)), (320, 240), interpolation=cv2.INTER_CUBIC)
    noisy = np.clip(smooth.astype(int) + rng.integers(-3, 4, smooth.shape), 0, 255).astype(np.uint8)
    other = cv2.resize(road_image(1, (6, 8)), (320, 240), interpolation=cv2.INTER_CUBIC)
    looks = [look_at(write_picture(tmp_path / f"{n}.png", p)) for n, p in enumerate((smooth, noisy, other))]
    assert differing_bits(looks[0], looks[1]) <= NEAR_COPY_BITS
    assert differing_bits(looks[0], looks[2]) > 10 * NEAR_COPY_BITS


def test_brightness_is_that_of_the_pictures(tmp_path: Path) -> None:
    for number, level in enumerate((0, 100, 100, 250)):
        write_picture(tmp_path / f"rgb/{number}.png", np.full((8, 8, 3), level, np.uint8))
        write_picture(tmp_path / f"seg_raw/{number}.png", np.full((8, 8), 1, np.uint8))
    counted = stats(tmp_path, scheme="carla-0.9.14")
    assert counted.pictures is not None
    assert {level: int(n) for level, n in enumerate(counted.pictures.levels) if n} == {0: 1, 100: 2, 250: 1}
    brightness = counted.to_json()["pictures"]["brightness"]
    assert (brightness["median"], brightness["dark_images"], brightness["bright_images"]) == (100, 1, 1)


def test_the_heatmap_has_even_a_single_pixel_in_its_place(tmp_path: Path) -> None:
    mask = np.full((360, 480), 1, np.uint8)
    mask[5, 475] = 12
    write_picture(tmp_path / "rgb/0.png", road_image(size=mask.shape))
    write_picture(tmp_path / "seg_raw/0.png", mask)
    heat = stats(tmp_path, scheme="carla-0.9.14").heat
    assert np.argwhere(heat[12]).tolist() == [[0, 47]]
    assert heat[1].min() == 1


def test_masks_alone_can_be_counted(two_drives: Path, tmp_path: Path) -> None:
    (two_drives / "a/rgb/rgb_00000003.png").write_bytes(b"")
    with pytest.raises(DatasetError, match="received an empty file"):
        stats(two_drives)
    counted = stats(two_drives, images=False)
    assert counted.pictures is None
    assert {path.name for path in counted.write(tmp_path / "out")} == {
        "stats.json", "classes.csv", "by_drive.csv", "by_town.csv", "by_weather.csv", "classes.png", "by_drive.png",
        "heatmap.png",
    }  # fmt: skip


def test_the_pictures_are_pictures(two_drives: Path, tmp_path: Path) -> None:
    for path in stats(two_drives).write(tmp_path / "out"):
        if path.suffix == ".png":
            height, width, _ = read_image(path).shape
            assert 150 < min(height, width) < 3000


def test_counting_can_be_stopped(two_drives: Path) -> None:
    stop = StopRequest()
    stop.request()
    with pytest.raises(Interrupted, match="stopped after 0 of 12 images; nothing was written"):
        count(open_dataset(two_drives), stop=stop)


def test_a_file_where_the_tables_should_go_is_an_error(two_drives: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(DatasetError, match=r"--output .*taken: expected a folder to write tables into"):
        stats(two_drives).write(tmp_path / "taken")
