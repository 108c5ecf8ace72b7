"""Tiles, test-time augmentation, dropout maps and cleaning: against what they must equal."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_run import SCHEME, SIZE, frame, write_dataset

from carlaseg.checkpoint import RunFolder, load_model
from carlaseg.config import InferConfig, Size
from carlaseg.errors import ConfigError
from carlaseg.inference import KerasPredictor, infer
from carlaseg.inference.cleaning import guided_filtered
from carlaseg.inference.quality import averaged, entropy, softmax
from carlaseg.inference.tiles import blended, windows

RADIUS = 2
"""Of the receptive field of the small network below."""


def small_network(images: np.ndarray) -> np.ndarray:
    """Three classes from two 3x3 means one after the other, zeros beyond the border: as a convolution would."""
    shares = images.astype(np.float32) / 255
    kernel = np.ones((3, 3), np.float32) / 9
    for _ in range(2):
        shares = np.stack([cv2.filter2D(x, -1, kernel, borderType=cv2.BORDER_CONSTANT) for x in shares])
    return np.sin(7 * shares)


def whole(image: np.ndarray, tile: tuple[int, int], overlap: float, batch_size: int = 1) -> np.ndarray:
    logits = np.full((*image.shape[:2], 3), np.nan, np.float32)
    for rows, columns, cell in blended(image, small_network, tile, overlap, batch_size):
        assert np.isnan(logits[rows, columns]).all(), "a pixel in two cells"
        logits[rows, columns] = cell
    assert not np.isnan(logits).any(), "a pixel in no cell"
    return logits


@pytest.mark.parametrize("tile", [(16, 16), (16, 24), (40, 17), (50, 70), (200, 200), (1, 5)])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5])
def test_tiles_equal_the_whole_away_from_the_seams(tile: tuple[int, int], overlap: float) -> None:
    image = np.random.default_rng(0).integers(0, 255, (61, 83, 3)).astype(np.uint8)
    seen_at_once = small_network(image[None])[0]
    logits = whole(image, tile, overlap)
    away = np.ones(image.shape[:2], bool)
    for axis, (length, side) in enumerate(zip(image.shape[:2], tile, strict=True)):
        side = min(side, length)
        for beginning in windows(length, side, overlap)[0]:
            for border in (beginning, beginning + side):
                if 0 < border < length:
                    near = slice(max(0, border - RADIUS), border + RADIUS)
                    away[near if axis == 0 else slice(None), near if axis == 1 else slice(None)] = False
    if min(tile) > 2 * RADIUS + 1:
        assert away.any()
    assert np.abs(logits - seen_at_once)[away].max(initial=0) < 1e-5
    assert np.array_equal(logits, whole(image, tile, overlap, batch_size=3))


def test_blended_seams_are_smoother_than_tiles_put_side_by_side() -> None:
    image = np.random.default_rng(1).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    seen_at_once = small_network(image[None])[0]
    wrong = {overlap: np.abs(whole(image, (20, 20), overlap) - seen_at_once).max() for overlap in (0.0, 0.5)}
    assert wrong[0.5] < 0.6 * wrong[0.0]


@pytest.mark.parametrize(("length", "window"), [(10, 10), (11, 10), (100, 7), (7, 7), (25, 3)])
def test_windows_cover_a_side_and_their_weights_add_up_to_one(length: int, window: int) -> None:
    beginnings, weights = windows(length, window, 0.3)
    total = np.zeros(length)
    for beginning, weight in zip(beginnings, weights, strict=True):
        total[beginning : beginning + window] += weight
    assert (beginnings[0], beginnings[-1]) == (0, length - window)
    assert total == pytest.approx(np.ones(length))


def test_an_image_larger_than_its_tiles_is_seen_at_its_own_size(tiny_run: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path / "drive", frames=1, size=(70, 90))
    config = InferConfig(
        run=tiny_run,
        input=(str(tmp_path / "drive"),),
        output=tmp_path,
        name="r",
        scheme=SCHEME,
        tiles=Size(32, 32),
        write=("ids", "confidence", "probabilities"),
    )
    folder = infer(config).folder
    ids = cv2.imread(str(folder / "ids" / "00000000.png"), cv2.IMREAD_UNCHANGED)
    confidence = cv2.imread(str(folder / "confidence" / "00000000.png"), cv2.IMREAD_UNCHANGED)
    with np.load(folder / "probabilities" / "00000000.npz") as file:
        probabilities = file["probabilities"]
    assert (ids.shape, confidence.dtype, probabilities.shape) == ((70, 90), np.uint16, (70, 90, 29))
    assert probabilities.astype(np.float32).sum(axis=-1) == pytest.approx(np.ones((70, 90)), abs=0.02)
    assert confidence / 65535 == pytest.approx(probabilities.max(axis=-1), abs=2e-3)
    of_ids = np.take_along_axis(probabilities, ids[..., None], axis=-1)[..., 0]
    assert (of_ids >= probabilities.max(axis=-1) - 1e-3).all()


def test_the_mean_over_mirror_images_does_not_change_when_the_image_is_mirrored(tiny_run: Path) -> None:
    logits_of = KerasPredictor(load_model(RunFolder(tiny_run), "best")).logits
    images = frame(3)[0][None]
    mirrored = np.ascontiguousarray(images[:, :, ::-1])
    assert np.abs(logits_of(mirrored)[:, :, ::-1] - logits_of(images)).max() > 1e-3
    for tta in ("flip", "flip-scales"):
        mean = averaged(logits_of, tta)
        assert mean(mirrored)[:, :, ::-1] == pytest.approx(mean(images), abs=1e-3)
        assert mean(images).shape == (1, *SIZE, 29)
    assert np.array_equal(averaged(logits_of, "none")(images), logits_of(images))


def test_dropout_that_drops_nothing_gives_the_very_logits_of_the_network(tiny_run: Path) -> None:
    import keras

    images = frame(0)[0][None]
    model = load_model(RunFolder(tiny_run), "best")
    plain = KerasPredictor(model).logits(images)
    sampled = KerasPredictor(model).with_dropout()
    assert sampled is not None
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    # So batch norm keeps its trained statistics: what differs between passes is what dropout dropped.
    assert np.array_equal(sampled(images), plain)


def test_uncertainty_maps_lie_between_sure_and_a_blind_guess(tiny_run: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path / "drive", frames=2, size=(48, 64))
    config = InferConfig(
        run=tiny_run, input=(str(tmp_path / "drive"),), output=tmp_path, name="r", scheme=SCHEME, uncertainty=6
    )
    folder = infer(config).folder
    lines = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    for line in lines:
        entropy_map, information = (
            cv2.imread(str(folder / line[key]), cv2.IMREAD_UNCHANGED) / 65535
            for key in ("entropy", "mutual_information")
        )
        assert entropy_map.shape == (48, 64)
        # What the weights disagree about is a part of all there is to be unsure of.
        assert (information <= entropy_map + 1e-4).all()
        assert 0 < information.max() < 1
        assert line["mean_entropy"] == pytest.approx(entropy_map.mean(), abs=1e-3)
        # Three tiles, five times as large so that their titles can be read.
        assert cv2.imread(str(folder / line["uncertainty"])).shape == (284, 2 * 10 + 3 * 320 + 2 * 6, 3)


def test_a_network_without_dropout_and_what_cannot_be_combined_are_said(tmp_path: Path, tiny_run: Path) -> None:
    import shutil

    bare = Path(shutil.copytree(tiny_run, tmp_path / "bare"))
    card = json.loads((bare / "model.json").read_text())
    card["options"]["dropout_rate"] = 0.0
    (bare / "model.json").write_text(json.dumps(card))
    data = str(write_dataset(tmp_path / "drive", frames=1, masks=False))
    with pytest.raises(ConfigError, match="expected a network with dropout"):
        infer(InferConfig(run=bare, input=(data,), output=tmp_path / "out", uncertainty=4))
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match="neither --tta nor --tiles"):
        InferConfig(uncertainty=4, tiles=Size(32, 32))
    with pytest.raises(ConfigError, match="one pass varies from nothing"):
        InferConfig(uncertainty=1)
    with pytest.raises(ConfigError, match="Nearest: confidence"):
        InferConfig(write=("ids,confidense",))


def test_the_guided_filter_draws_a_border_to_the_edge_of_the_image_and_makes_up_no_id() -> None:
    image = np.full((60, 80, 3), 60, np.uint8)
    image[:, 40:] = 200
    ids = np.full((60, 80), 1, np.uint8)
    ids[:, 43:] = 14  # three pixels beside the edge
    ids[10, 10] = 28  # a speck
    cleaned = guided_filtered(ids, image)
    truth = np.where(np.arange(80) >= 40, 14, 1)
    assert (cleaned == truth).mean() > 0.99 > (ids == truth).mean()
    assert set(np.unique(cleaned).tolist()) <= {1, 14, 28}


@pytest.mark.parametrize("clean", ["median", "guided"])
def test_a_cleaned_prediction_is_the_one_that_is_written_and_scored(tiny_run: Path, tmp_path: Path, clean: str) -> None:
    write_dataset(tmp_path / "drive", frames=1)
    folders = [
        infer(
            InferConfig(
                run=tiny_run, input=(str(tmp_path / "drive"),), output=tmp_path, name=name, scheme=SCHEME, clean=how
            )
        ).folder
        for name, how in (("plain", "none"), ("clean", clean))
    ]
    plain, cleaned = (cv2.imread(str(f / "ids" / "00000000.png"), cv2.IMREAD_UNCHANGED) for f in folders)
    assert not np.array_equal(plain, cleaned)
    assert set(np.unique(cleaned)) <= set(np.unique(plain))
    accuracy = json.loads((folders[1] / "metrics.json").read_text())["pixel_accuracy"]
    assert accuracy == pytest.approx((cleaned == frame(0)[1]).mean())


def test_softmax_and_entropy_stay_finite_at_the_ends() -> None:
    extreme = softmax(np.array([[1000.0, -1000.0], [0.0, 0.0]], np.float32))
    assert extreme.tolist() == [[1.0, 0.0], [0.5, 0.5]]
    assert entropy(extreme) == pytest.approx([0.0, np.log(2)], abs=1e-6)
