"""Borders, calibration, intervals and paired tests, against figures worked out by hand or known in advance."""

from __future__ import annotations

import numpy as np
import pytest

from carlaseg.metrics import (
    BoundaryCounts,
    Reliability,
    RoadCounts,
    Scores,
    bootstrap,
    boundary_counts,
    compare,
    confusion_matrix,
    reliability,
    road_counts,
    sums_of,
)


def halves(column: int, shape: tuple[int, int] = (20, 40)) -> np.ndarray:
    """Class 0 on the left of a column, class 1 on its right."""
    ids = np.zeros(shape, np.uint8)
    ids[:, column:] = 1
    return ids


def test_a_border_moved_within_the_tolerance_is_met_and_beyond_it_is_not() -> None:
    truth = halves(20)
    assert boundary_counts(truth, truth, 2).f1 == (1.0, 1.0)
    assert boundary_counts(truth, halves(22), 2, tolerance_px=2).mean_f1 == 1.0
    assert boundary_counts(truth, halves(23), 2, tolerance_px=2).mean_f1 == 0.0


def test_border_counts_are_those_of_the_pixels_and_add_up_over_images() -> None:
    counts = boundary_counts(halves(20), halves(20), 3)
    # Both columns beside the border belong to it, one a class; the third class has none and no score.
    assert counts.truth.tolist() == [20, 20, 0]
    assert counts.f1[2] is None
    both = counts + boundary_counts(halves(20), halves(30), 3, tolerance_px=1)
    assert both.truth.tolist() == [40, 40, 0]
    assert both.f1[0] == pytest.approx(0.5)
    assert BoundaryCounts.none(3).mean_f1 is None


def test_borders_beside_void_are_in_no_count() -> None:
    truth = halves(20)
    truth[:, 18:22] = 255
    assert boundary_counts(truth, halves(20), 2).truth.sum() == 0
    assert boundary_counts(truth, halves(20), 2).predicted.sum() == 0


def test_a_diagonal_distance_is_measured_as_the_crow_flies() -> None:
    truth, prediction = np.zeros((30, 30), np.uint8), np.zeros((30, 30), np.uint8)
    truth[10, 10], prediction[12, 12] = 1, 1
    assert boundary_counts(truth, prediction, 2, tolerance_px=2.5).f1[1] == 0.0
    assert boundary_counts(truth, prediction, 2, tolerance_px=3.0).f1[1] == 1.0


def test_calibration_error_is_the_distance_between_promise_and_truth() -> None:
    truth = np.zeros((10, 10), np.uint8)
    prediction = truth.copy()
    prediction[:4] = 1  # 60 % are right
    counts = reliability(truth, prediction, np.full((10, 10), 0.9))
    assert counts.error == pytest.approx(0.3)
    assert counts.overconfidence == pytest.approx(0.3)
    assert reliability(truth, prediction, np.full((10, 10), 0.6)).error == pytest.approx(0.0)
    truth[:4] = 255  # what was wrong is void now: all the rest is right
    assert reliability(truth, prediction, np.full((10, 10), 1.0)).error == 0.0
    assert (counts + counts).error == counts.error
    assert Reliability.none().error is None
    assert sum(b["pixels"] for b in counts.to_json()["bins"]) == 100


def images(count: int, wrong: float, seed: int) -> np.ndarray:
    """Confusion matrices of images of which a share of the pixels is wrong, more in some than in others."""
    rng = np.random.default_rng(seed)
    truth = np.random.default_rng(7).integers(0, 4, (count, 24, 24)).astype(np.uint8)
    shares = np.clip(rng.normal(wrong, 0.05, (count, 1, 1)), 0, 1)
    mistaken = (truth + 1) % 4
    prediction = np.where(rng.random(truth.shape) < shares, mistaken, truth).astype(np.uint8)
    return np.stack([confusion_matrix(t, p, 4) for t, p in zip(truth, prediction, strict=True)])


def test_the_figure_in_the_middle_of_an_interval_is_the_one_of_scores() -> None:
    confusions = images(30, 0.2, 0)
    figures, classes = bootstrap(sums_of(confusions))
    scores = Scores.from_confusion(confusions.sum(axis=0), list("abcd"))
    for name, interval in figures.items():
        assert interval.value == pytest.approx(getattr(scores, name), abs=1e-12)
        assert interval.low < interval.value < interval.high
    assert [c.value for c in classes] == pytest.approx([c.iou for c in scores.classes])
    assert bootstrap(sums_of(confusions)) == (figures, classes)
    assert bootstrap(sums_of(confusions), seed=1) != (figures, classes)


def test_the_interval_holds_the_true_figure_about_as_often_as_it_says() -> None:
    held = 0
    for trial in range(100):
        rng = np.random.default_rng(trial)
        # Accuracy of each image drawn around 0.7: the interval of the mean must hold 0.7 about 95 times.
        right = np.clip(rng.normal(0.7, 0.1, 60), 0, 1) * 10000
        sums = np.zeros((60, 3, 2))
        sums[:, 0, 0], sums[:, 1, 0], sums[:, 2, 0] = right, 10000, right
        interval = bootstrap(sums, resamples=400, seed=trial)[0]["pixel_accuracy"]
        held += interval.low <= 0.7 <= interval.high
    assert 85 <= held <= 100


def test_drives_as_units_give_a_wider_interval_than_their_alike_frames() -> None:
    one_drive = [images(1, wrong, 3) for wrong in (0.1, 0.2, 0.3, 0.4)]
    confusions = np.concatenate([np.repeat(drive, 25, axis=0) for drive in one_drive])
    units = np.repeat(np.arange(4), 25)
    over_images = bootstrap(sums_of(confusions))[0]["mean_iou"]
    over_drives = bootstrap(sums_of(confusions), units)[0]["mean_iou"]
    assert over_images.value == pytest.approx(over_drives.value)
    assert over_drives.high - over_drives.low > 2 * (over_images.high - over_images.low)


def test_a_class_that_no_image_shows_has_no_interval() -> None:
    confusions = np.zeros((5, 3, 3), np.int64)
    confusions[:, 0, 0] = 10
    figures, classes = bootstrap(sums_of(confusions))
    assert (classes[1].value, classes[1].low) == (None, None)
    assert figures["mean_iou"].value == 1.0


def test_a_clearly_better_run_is_told_from_one_that_is_the_same() -> None:
    first, better, alike = images(40, 0.3, 0), images(40, 0.2, 1), images(40, 0.3, 2)
    figures, classes = compare(sums_of(first), sums_of(better))
    assert figures["mean_iou"].p_value < 0.01
    assert figures["mean_iou"].difference.low > 0
    assert all(c.value > 0 for c in classes)
    assert compare(sums_of(first), sums_of(alike))[0]["mean_iou"].p_value > 0.05
    same = compare(sums_of(first), sums_of(first))[0]["mean_iou"]
    assert (same.p_value, same.difference.value) == (1.0, 0.0)


def test_the_pairing_finds_a_small_difference_that_two_separate_intervals_hide() -> None:
    rng = np.random.default_rng(5)
    hard = rng.uniform(2000, 9000, 50)  # some images are much harder than others

    def of(right: np.ndarray) -> np.ndarray:
        sums = np.zeros((50, 3, 2))
        sums[:, 0, 0], sums[:, 1, 0], sums[:, 2, 0] = right, 10000, right
        return sums

    first, second = of(hard), of(hard + rng.normal(60, 20, 50))
    a, b = (bootstrap(x)[0]["pixel_accuracy"] for x in (first, second))
    assert a.high > b.low
    compared = compare(first, second)[0]["pixel_accuracy"]
    assert compared.difference.low > 0
    assert compared.p_value < 0.01


def test_the_maximum_f1_is_that_of_the_best_threshold_and_void_is_in_no_count() -> None:
    probability = np.array([0.9, 0.8, 0.7, 0.3, 0.95, 0.6])
    truth = np.array([1, 1, 0, 1, 255, 0], np.uint8)
    counts = road_counts(probability[:3], truth[:3]) + road_counts(probability[3:], truth[3:])
    assert (int(counts.road.sum()), int(counts.other.sum())) == (3, 2)
    # At 0.3: all three found, two wrong, F1 3/4. Between 0.7 and 0.8: two found, none wrong, F1 4/5.
    best, threshold = counts.max_f1
    assert best == pytest.approx(0.8)
    assert 0.7 < threshold <= 0.8
    # Precision 1 up to a recall of 2/3 (seven of the eleven), 3/5 beyond.
    assert counts.average_precision == pytest.approx((7 * 1 + 4 * 0.6) / 11)
    perfect = road_counts(np.array([1.0, 0.0]), np.array([1, 0], np.uint8))
    assert perfect.max_f1[0] == 1.0
    assert RoadCounts(np.zeros(256, np.int64), np.zeros(256, np.int64)).max_f1[0] == 0.0
