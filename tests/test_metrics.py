"""Figures checked against cases worked out by hand, and against the laws that counts obey."""

from __future__ import annotations

import csv
import io
import json
import time

import numpy as np
import pytest

from carlaseg.errors import DatasetError
from carlaseg.metrics import Scores, confusion_csv, confusion_matrix, most_confused

NAMES = ("road", "car", "sky")


def hand_case() -> np.ndarray:
    # Truth: 4 road (3 found, 1 called car), 2 car (1 found, 1 called sky), 2 void; sky never appears in the truth.
    truth = np.array([[0, 0, 0, 0], [1, 1, 255, 255]], np.uint8)
    prediction = np.array([[0, 0, 0, 1], [1, 2, 0, 2]], np.uint8)
    return confusion_matrix(truth, prediction, 3)


def test_rows_are_truth_and_columns_are_prediction() -> None:
    matrix = hand_case()
    assert matrix.dtype == np.int64
    assert matrix.tolist() == [[3, 1, 0], [0, 1, 1], [0, 0, 0]]


def test_scores_equal_the_figures_worked_out_by_hand() -> None:
    scores = Scores.from_confusion(hand_case(), NAMES)
    road, car, sky = scores.classes
    assert (road.iou, road.recall, road.precision) == (3 / 4, 3 / 4, 1.0)
    assert (car.iou, car.recall, car.precision) == (1 / 3, 1 / 2, 1 / 2)
    assert (sky.iou, sky.recall, sky.precision) == (None, None, 0.0)
    assert scores.mean_iou == pytest.approx((3 / 4 + 1 / 3) / 2)
    assert scores.pixel_accuracy == pytest.approx(4 / 6)
    assert scores.class_accuracy == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert scores.frequency_weighted_iou == pytest.approx(4 / 6 * 3 / 4 + 2 / 6 * 1 / 3)
    assert (scores.present, scores.pixels) == (2, 6)
    assert [c.name for c in scores.weakest] == ["car", "road"]


def test_counts_of_parts_add_up_to_the_counts_of_the_whole() -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 7, (5, 11, 13)).astype(np.uint8)
    truth[rng.random(truth.shape) < 0.1] = 255
    prediction = rng.integers(0, 7, truth.shape).astype(np.uint8)
    whole = confusion_matrix(truth, prediction, 7)
    assert (sum(confusion_matrix(t, p, 7) for t, p in zip(truth, prediction, strict=True)) == whole).all()
    assert whole.sum() == (truth != 255).sum()
    slow = np.zeros((7, 7), np.int64)
    for t, p in zip(truth.ravel().tolist(), prediction.ravel().tolist(), strict=True):
        if t != 255:
            slow[t, p] += 1
    assert (slow == whole).all()


def test_a_perfect_prediction_scores_one_everywhere() -> None:
    truth = np.array([[0, 1], [2, 255]], np.uint8)
    scores = Scores.from_confusion(confusion_matrix(truth, np.where(truth == 255, 0, truth), 3), NAMES)
    assert scores.mean_iou == scores.pixel_accuracy == scores.class_accuracy == scores.frequency_weighted_iou == 1.0


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_every_integer_type_gives_the_same_counts(dtype: type) -> None:
    truth, prediction = np.array([[0, 2, 255]], dtype), np.array([[0, 1, 1]], dtype)
    assert confusion_matrix(truth, prediction, 3).tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_a_truth_id_outside_the_table_is_named_with_its_first_pixel() -> None:
    truth = np.zeros((4, 5), np.uint8)
    truth[2, 3] = 31
    with pytest.raises(DatasetError, match=r"truth, pixel \(2, 3\): expected a class id below 29.*received 31"):
        confusion_matrix(truth, np.zeros_like(truth), 29)


@pytest.mark.parametrize("wrong", [3, 200, 300, -1])
def test_a_prediction_outside_the_table_is_refused_even_under_void(wrong: int) -> None:
    truth = np.full((2, 2), 255, np.int32)
    prediction = np.array([[0, 0], [wrong, 0]], np.int32)
    with pytest.raises(DatasetError, match=rf"prediction, pixel \(1, 0\).*received {wrong}"):
        confusion_matrix(truth, prediction, 3)


def test_an_ignored_id_inside_the_table_is_left_out() -> None:
    truth, prediction = np.array([[0, 2, 1]], np.uint8), np.array([[2, 2, 1]], np.uint8)
    assert confusion_matrix(truth, prediction, 3, ignore_id=2).tolist() == [[0, 0, 1], [0, 1, 0], [0, 0, 0]]


def test_other_shapes_floats_and_empty_tables_are_refused() -> None:
    mask = np.zeros((2, 2), np.uint8)
    with pytest.raises(ValueError, match="shape of the truth"):
        confusion_matrix(mask, mask[:1], 3)
    with pytest.raises(ValueError, match="integer class ids"):
        confusion_matrix(mask, mask.astype(np.float32), 3)
    with pytest.raises(ValueError, match="1 to 255"):
        confusion_matrix(mask, mask, 0)
    with pytest.raises(ValueError, match="expected shape"):
        Scores.from_confusion(np.zeros((2, 2), np.int64), NAMES)


def test_void_alone_cannot_be_scored() -> None:
    with pytest.raises(DatasetError, match="at least one labelled pixel"):
        Scores.from_confusion(np.zeros((3, 3), np.int64), NAMES)


def test_table_csv_and_json_tell_the_same_story() -> None:
    scores = Scores.from_confusion(hand_case(), NAMES)
    assert Scores.from_json(json.loads(json.dumps(scores.to_json()))) == scores
    rows = list(csv.DictReader(io.StringIO(scores.csv())))
    assert [row["class"] for row in rows] == list(NAMES)
    assert float(rows[1]["iou"]) == scores.classes[1].iou
    assert rows[2]["iou"] == ""
    table = "\n".join(scores.table())
    assert "0.333" in table
    assert "absent here: sky" in table
    assert "0.542 over 2 of 3 classes" in table
    assert "nan" not in table
    assert "... 1 more in per_class.csv" in scores.table(limit=1)


def test_scores_of_another_program_are_refused() -> None:
    with pytest.raises(DatasetError, match="the figures that carlaseg writes"):
        Scores.from_json({"mean_iou": 0.5})


def test_most_confused_names_the_largest_mistakes_first() -> None:
    matrix = np.array([[90, 9, 1], [0, 5, 5], [0, 0, 0]], np.int64)
    pairs = most_confused(matrix, NAMES)
    assert [(p.truth, p.prediction, p.pixels) for p in pairs] == [
        ("road", "car", 9),
        ("car", "sky", 5),
        ("road", "sky", 1),
    ]
    assert pairs[1].share == 0.5


def test_confusion_csv_has_a_line_a_true_class() -> None:
    lines = confusion_csv(hand_case(), NAMES).splitlines()
    assert lines[1:] == ["road,3,1,0", "car,0,1,1", "sky,0,0,0"]


def test_a_large_mask_is_counted_in_well_under_the_time_of_a_network() -> None:
    mask = np.random.default_rng(0).integers(0, 29, (1080, 1920)).astype(np.uint8)
    best_s = 1e9
    for _ in range(3):
        began_s = time.thread_time()
        confusion_matrix(mask, mask, 29)
        best_s = min(best_s, time.thread_time() - began_s)
    assert best_s < 0.5
