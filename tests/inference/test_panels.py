"""Panels and the confusion picture, read back from their pixels."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from tiny_run import frame

from carlaseg.inference.cleaning import median_filtered
from carlaseg.inference.confusion import draw_confusion
from carlaseg.inference.panels import Legend, colours, overlay, panel
from carlaseg.inference.uncertainty import uncertainty_picture
from carlaseg.labels import scheme

SCHEME = scheme("carla-0.9.14")
LEGEND = Legend(SCHEME.names, SCHEME.palette)


def test_colours_are_those_of_the_palette() -> None:
    ids = np.random.default_rng(0).integers(0, 29, (13, 17)).astype(np.uint8)
    assert np.array_equal(colours(ids, SCHEME.palette), SCHEME.palette[ids])


def test_the_median_removes_specks_and_makes_up_no_id() -> None:
    ids = np.full((20, 20), 11, np.uint8)
    ids[:, 10:] = 1
    ids[5, 5] = 28
    filtered = median_filtered(ids)
    assert filtered[5, 5] == 11
    assert set(np.unique(filtered).tolist()) == {1, 11}


def test_the_overlay_is_half_image_half_colour() -> None:
    image, mask = frame(0)
    coloured = SCHEME.palette[mask]
    mean = (image.astype(int) + coloured) / 2
    assert np.abs(overlay(image, coloured) - mean).max() <= 1


def test_a_panel_shows_five_tiles_with_truth_and_four_without() -> None:
    image, mask = frame(0, (240, 320))
    with_truth = panel(image, mask, mask, LEGEND, "name")
    without = panel(image, None, mask, LEGEND)
    assert with_truth.shape[1] - without.shape[1] == 320 + 6
    # The first tile is the image itself, enlarged by 1; the second is the truth in colours.
    assert np.array_equal(with_truth[34 : 34 + 240, 10 : 10 + 320], image)
    assert np.array_equal(with_truth[34 : 34 + 240, 336 : 336 + 320], SCHEME.palette[mask])


def test_the_legend_has_the_colours_of_the_classes_in_the_picture_and_no_others() -> None:
    image, mask = frame(0, (240, 320))
    sheet = panel(image, None, mask, LEGEND)[34 + 240 + 6 :]
    drawn = {tuple(int(v) for v in colour) for colour in np.unique(sheet.reshape(-1, 3), axis=0)}
    for class_id, label in enumerate(SCHEME.classes):
        assert (tuple(label.color) in drawn) == (class_id in (1, 11, 14)), label.name


def test_a_tiny_and_a_huge_image_give_panels_one_can_look_at() -> None:
    for size in ((24, 32), (1080, 1920)):
        image, mask = frame(0, size)
        height = panel(image, mask, mask, LEGEND).shape[0]
        assert 240 <= height <= 700


def test_a_panel_of_many_classes_and_void_still_fits_its_width() -> None:
    ids = np.arange(240 * 320, dtype=np.uint32).reshape(240, 320) % 29
    truth = np.where(ids == 3, 255, ids).astype(np.uint8)
    sheet = panel(np.zeros((240, 320, 3), np.uint8), truth, ids.astype(np.uint8), LEGEND, "x" * 500)
    assert sheet.shape[1] == 2 * 10 + 5 * 320 + 4 * 6
    assert not sheet[-8:, :, 0].min() < 255


def test_the_picture_of_doubt_is_dark_where_the_network_is_sure_and_each_tile_has_its_title() -> None:
    image, _ = frame(0, (240, 320))
    doubt = np.zeros((240, 320), np.float32)
    doubt[:, 160:] = 0.8
    sheet = uncertainty_picture(image, doubt, doubt / 8)
    assert np.array_equal(sheet[34:274, 10:330], image)
    entropy, information = sheet[34:274, 336:656].astype(int), sheet[34:274, 662:982].astype(int)
    for tile in (entropy, information):
        assert tile[:, :160].max() < 10 < 100 < tile[:, 160:].max(axis=-1).min()
    assert entropy[:, 160:].sum() > information[:, 160:].sum()  # an eighth, four times as bright, is still darker
    assert all((sheet[10:34, left : left + 320] < 128).any() for left in (10, 336, 662))


def test_the_confusion_picture_is_written_and_shows_only_classes_that_occur(tmp_path: Path) -> None:
    matrix = np.zeros((29, 29), np.int64)
    matrix[1, 1], matrix[1, 14], matrix[11, 11] = 90, 10, 50
    draw_confusion(matrix, SCHEME.names, tmp_path / "small.png", "a run")
    matrix += 1
    draw_confusion(matrix, SCHEME.names, tmp_path / "large.png", "a run")
    small, large = (cv2.imread(str(tmp_path / name)) for name in ("small.png", "large.png"))
    assert small is not None
    assert large is not None
    assert small.shape[0] < large.shape[0]
