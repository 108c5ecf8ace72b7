"""Masks that belong to another image are found: pairs swapped on purpose, our own simulator's and real ones."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_datasets import SCHEME, road_image, road_scene, write_picture

from carlaseg.config import VerifyConfig
from carlaseg.dataset import Sample, open_dataset, read_image, read_mask
from carlaseg.dataset.alignment import NEVER_DOUBTFUL, alignment_score, doubtful_below
from carlaseg.dataset.commands import verify_command
from carlaseg.dataset.opening import spread
from carlaseg.dataset.verify import verify

ROOT = Path(__file__).resolve().parents[2]


def scores(samples: Sequence[Sample], away: int = 0) -> list[float]:
    """The score of each image with the mask `away` places further on."""
    masks = [read_mask(sample) for sample in samples]
    found = (
        alignment_score(read_image(sample.image_path), masks[(number + away) % len(masks)])
        for number, sample in enumerate(samples)
    )
    return [score for score in found if score is not None]


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve frames of the embedded simulator, some seven metres apart."""
    pytest.importorskip("carla", reason="no carla client for this Python or platform")
    folder = tmp_path_factory.mktemp("drive")
    words = "--simulator embedded --frames 12 --every 16 --size 120x160 --traffic 10 --walkers 0 --warmup 5 --seed 3"
    command = [sys.executable, "-m", "carlaseg", "record", *words.split(), "--output", str(folder), "--name", "a"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    return folder / "a"


def test_swapped_masks_of_our_own_simulator_are_named_and_no_others(drive: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pairs"
    samples = open_dataset(drive).samples
    for sample in samples:
        for name, path in (("rgb", sample.image_path), ("seg_raw", sample.mask_path)):
            assert path is not None
            (folder / name).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / name / f"{sample.frame:04d}.png")
    report = verify(folder, deep=True, scheme="carla-0.9.14", alignment=True)
    assert (report.ok, report.doubts) == (True, ())
    first, other = (folder / f"seg_raw/{samples[place].frame:04d}.png" for place in (2, 8))
    first.rename(tmp_path / "x")
    other.rename(first)
    (tmp_path / "x").rename(other)
    report = verify(folder, deep=True, scheme="carla-0.9.14", alignment=True)
    assert report.doubts is not None
    assert {doubt.mask for doubt in report.doubts} == {first, other}
    # Somebody has to look at them: they are not called wrong.
    assert report.ok


def test_swapped_masks_of_real_pairs_are_found(shared_data: Path) -> None:
    for name in ("carla_tags23", "camvid"):
        samples = spread(open_dataset(shared_data / name, masks_required=True).samples, 40)
        good, swapped = scores(samples), scores(samples, away=20)
        limit = doubtful_below(good)
        assert np.mean(np.array(good) < limit) < 0.1
        assert np.mean(np.array(swapped) < limit) > 0.85


def test_a_mask_moved_aside_scores_less(drive: Path) -> None:
    for sample in list(open_dataset(drive).samples)[::4]:
        image, mask = read_image(sample.image_path), read_mask(sample)
        right, wrong = alignment_score(image, mask), alignment_score(image, np.roll(mask, 24, axis=1))
        assert right is not None
        assert wrong is not None
        assert right > wrong + 0.02


def test_light_and_size_do_not_matter_much(drive: Path) -> None:
    sample = open_dataset(drive).samples[3]
    image, mask = read_image(sample.image_path), read_mask(sample)
    plain = alignment_score(image, mask)
    assert alignment_score((image // 4).astype(np.uint8), mask) == pytest.approx(plain, abs=0.03)
    large = cv2.resize(image, (640, 480)).astype(np.uint8)
    large_mask = cv2.resize(mask, (640, 480), interpolation=cv2.INTER_NEAREST).astype(np.uint8)
    assert alignment_score(large, large_mask) == pytest.approx(plain, abs=0.03)


def test_a_mask_without_borders_is_not_judged(tmp_path: Path) -> None:
    assert alignment_score(road_image(), np.zeros((48, 64), np.uint8)) is None
    write_picture(tmp_path / "rgb/0.png", road_image())
    write_picture(tmp_path / "seg_raw/0.png", np.ones((48, 64), np.uint8))
    assert verify(tmp_path, deep=True, scheme="carla-0.9.14", alignment=True).doubts == ()


def test_noise_fits_no_mask_and_the_command_shows_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        write_picture(tmp_path / f"rgb/{number}.png", road_image(number))
        write_picture(tmp_path / f"seg_raw/{number}.png", road_scene(SCHEME, number))
    verify_command(VerifyConfig(folder=tmp_path, deep=True, alignment=True, scheme="carla-0.9.14"))
    assert "3 of 3 masks may belong to another image" in capsys.readouterr().out
    verify_command(VerifyConfig(folder=tmp_path, deep=True, scheme="carla-0.9.14"))
    assert "may belong" not in capsys.readouterr().out


def test_the_limit_follows_the_data_within_bounds() -> None:
    assert doubtful_below([]) == doubtful_below([0.0, 0.01]) == 0.01
    assert doubtful_below([0.06] * 9 + [-0.1]) == pytest.approx(0.018)
    assert doubtful_below([0.5] * 3) == NEVER_DOUBTFUL
