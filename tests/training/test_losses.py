"""Losses against loops written from the papers, under three backends; schedules at the steps where they turn."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import keras
import losses_by_hand
import numpy as np
import pytest

from carlaseg.config import TrainConfig
from carlaseg.errors import ConfigError
from carlaseg.training.losses import TERMS, segmentation_loss
from carlaseg.training.schedules import learning_rate


def test_every_loss_is_what_its_paper_says() -> None:
    assert losses_by_hand.by_keras() == pytest.approx(losses_by_hand.by_hand(), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_every_loss_is_the_same_under_another_backend(backend: str) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("losses_by_hand.py"))],
        env={**os.environ, "KERAS_BACKEND": backend, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    values = json.loads(done.stdout)
    assert values.pop("backend") == backend
    assert values == pytest.approx(losses_by_hand.by_hand(), rel=1e-5)


@pytest.mark.parametrize("term", TERMS)
def test_a_void_pixel_has_no_gradient_and_every_labelled_class_has_one(term: str) -> None:
    import tensorflow as tf

    masks, logits = losses_by_hand.case()
    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        loss = segmentation_loss((term,))(masks, variable)
    gradient = np.asarray(tape.gradient(loss, variable))
    assert np.isfinite(gradient).all()
    assert not gradient[masks == 255].any()
    assert np.abs(gradient[masks != 255]).max() > 1e-4


def test_half_precision_logits_are_summed_in_float32() -> None:
    masks = np.zeros((1, 200, 200), np.uint8)
    logits = keras.ops.cast(np.zeros((1, 200, 200, 4), np.float32), "float16")
    # 40,000 pixels x log 4 is nothing that float16 could hold.
    assert float(segmentation_loss(("ce",))(masks, logits)) == pytest.approx(math.log(4), rel=1e-4)


def test_losses_and_their_weights_must_be_as_many() -> None:
    with pytest.raises(ConfigError, match=r"--loss-weights: expected 2, one a loss, received 1\."):
        TrainConfig(loss=("ce", "dice"), loss_weights=(1.0,))


def test_schedules_climb_and_fall_where_they_say() -> None:
    def rates(schedule: str, warm_up: int | None = None) -> list[float]:
        return [learning_rate(schedule, step, 100, 2.0, warm_up) for step in range(100)]

    assert rates("constant") == [2.0] * 100
    assert rates("constant", 4)[:5] == [0.5, 1.0, 1.5, 2.0, 2.0]
    cosine = rates("cosine", 0)
    assert cosine[0] == 2.0
    assert cosine[50] == pytest.approx(1.0)
    assert cosine == sorted(cosine, reverse=True)
    assert rates("cosine")[:3] == pytest.approx([2 / 3, 4 / 3, 2.0])
    cycle = rates("one-cycle")
    assert np.argmax(cycle) == 29
    assert cycle[0] < 0.1
    assert 0 < cycle[-1] < 0.01
    assert rates("polynomial")[50] == pytest.approx(2.0 * 0.5**0.9)
    assert [rates("step")[i] for i in (59, 60, 84, 85)] == pytest.approx([2.0, 0.2, 0.2, 0.02])
