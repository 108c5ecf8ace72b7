"""Augmentation: seeds decide everything, ids are moved and never made up."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_run import frame, write_dataset

from carlaseg.cli import main
from carlaseg.errors import ConfigError
from carlaseg.pipeline import PRESETS, Augmenter, augmentation_sheet

IDS = {1, 11, 14}


@pytest.mark.parametrize("preset", PRESETS)
def test_the_same_seed_epoch_and_index_give_the_same_frame_in_any_order_and_thread(preset: str) -> None:
    image, mask = frame(0, (48, 64))
    jobs = [(epoch, index) for epoch in range(2) for index in range(10)]
    first, second = Augmenter(preset, 5), Augmenter(preset, 5)
    in_order = [first(image, mask, *job) for job in jobs]
    with ThreadPoolExecutor(3) as pool:
        threaded = list(pool.map(lambda job: second(image, mask, *job), reversed(jobs)))[::-1]
    for (image_a, mask_a), (image_b, mask_b) in zip(in_order, threaded, strict=True):
        assert np.array_equal(image_a, image_b)
        assert np.array_equal(mask_a, mask_b)


@pytest.mark.parametrize("preset", ["flip", "scale", "road", "strong"])
def test_another_seed_epoch_or_index_gives_another_frame(preset: str) -> None:
    image, mask = frame(0, (48, 64))

    def drawn(seed: int, epoch: int) -> list[bytes]:
        augmenter = Augmenter(preset, seed)
        return [augmenter(image, mask, epoch, index)[0].tobytes() for index in range(16)]

    assert len(set(drawn(0, 0))) > 1
    assert drawn(0, 0) != drawn(0, 1) != drawn(1, 1)


@pytest.mark.parametrize("preset", PRESETS)
def test_masks_keep_their_ids_and_gain_void_alone(preset: str) -> None:
    image, mask = frame(1, (48, 64))
    augmenter = Augmenter(preset, 3)
    seen: set[int] = set()
    for index in range(40):
        new_image, new_mask = augmenter(image, mask, 0, index)
        assert (new_image.shape, new_image.dtype) == (image.shape, np.uint8)
        assert (new_mask.shape, new_mask.dtype) == (mask.shape, np.uint8)
        seen |= set(np.unique(new_mask).tolist())
    # Zero is a class of its own here (Unlabeled): imgaug would pad with it.
    assert seen == IDS | ({255} if preset in ("scale", "road", "strong") else set())


@pytest.mark.parametrize("preset", ["flip", "scale", "road"])
def test_image_and_mask_move_together(preset: str) -> None:
    _, mask = frame(2, (96, 128))
    image = np.repeat(np.where(mask == 14, 250, 5).astype(np.uint8)[..., None], 3, axis=2)
    augmenter = Augmenter(preset, 0)
    for index in range(20):
        new_image, new_mask = augmenter(image, mask, 0, index)
        inside = new_mask != 255
        # Bilinear borders are half bright; away from them the bright pixels are the car's.
        agree = (new_image.max(axis=2) > 100) == (new_mask == 14)
        assert agree[inside].mean() > 0.98


def test_frames_given_are_left_alone() -> None:
    image, mask = frame(0)
    before = image.copy(), mask.copy()
    for preset in PRESETS:
        for index in range(5):
            Augmenter(preset, 0)(image, mask, 0, index)
    assert np.array_equal(image, before[0])
    assert np.array_equal(mask, before[1])


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"received 'rood'. Nearest: road"):
        Augmenter("rood", 0)


def test_numpy_does_not_look_old_after_imgaug_was_loaded() -> None:
    image, mask = frame(0)
    Augmenter("road", 0)(image, mask, 0, 0)
    assert not hasattr(np, "sctypes")


def test_the_sheet_shows_the_frame_and_its_draws() -> None:
    palette = np.zeros((256, 3), np.uint8)
    sheet = augmentation_sheet([frame(0), frame(1)], palette, "road", draws=3)
    assert sheet.shape == (2 * 24, 4 * 32, 3)
    assert np.array_equal(sheet[:24, :32], frame(0)[0] // 2)
    assert not np.array_equal(sheet[:24, 32:64], sheet[:24, 64:96])


def test_the_command_draws_a_preset_or_times_them_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_dataset(tmp_path / "drive", frames=5)
    sheet = tmp_path / "made" / "sheet.png"
    words = ["augment", str(folder), "--size", "24x32", "--augment", "flip", "--frames", "3", "--draws", "2"]
    assert main([*words, "--show", "--output", str(sheet)]) == 0
    assert cv2.imread(str(sheet)).shape == (3 * 24, 3 * 32, 3)
    assert "as 2 epochs of flip see it" in capsys.readouterr().err


@pytest.mark.slow
def test_every_preset_is_timed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_dataset(tmp_path / "drive", frames=2)
    assert main(["augment", str(folder), "--size", "24x32", "--json"]) == 0
    costs = {cost["preset"]: cost for cost in json.loads(capsys.readouterr().out)["presets"]}
    assert set(costs) == {"none", "flip", "scale", "road", "strong"}
    assert costs["none"]["frame_s"] < costs["strong"]["frame_s"]
    assert costs["flip"]["void"] == 0 < costs["scale"]["void"]
