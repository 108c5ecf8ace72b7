"""Counts of classes, splits that share no drive, and the contact sheet."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from tiny_datasets import SCHEME, road_image, road_scene, write_pairs, write_picture

from carlaseg.config import StatsConfig
from carlaseg.dataset import Sample, open_dataset, read_image, split_by_drive
from carlaseg.dataset.commands import stats_command
from carlaseg.dataset.contact_sheet import contact_sheet
from carlaseg.dataset.stats import count, stats
from carlaseg.errors import DatasetError


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
