"""Accumulation, averaged weights, half precision, crops: exact on resume; memory that runs out; stops by the clock."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from tiny_run import write_dataset
from tiny_training import interrupt_after, settings, stored

from carlaseg import config as configs
from carlaseg.checkpoint import RunFolder, load_model
from carlaseg.config import Size, TrainConfig
from carlaseg.errors import ConfigError, Interrupted
from carlaseg.training import train as story
from carlaseg.training.averaging import Averaged
from carlaseg.training.loop import State
from carlaseg.training.prepare import prepare
from carlaseg.training.range_test import steepest
from carlaseg.training.train import train, train_command

EVERYTHING: dict[str, Any] = {
    "accumulate": 2, "ema": 0.9, "crop": Size(16, 16), "full_size_epochs": 1, "augment": "scale", "clip_norm": 1.0,
    "loss": ("ce", "dice"), "loss_weights": (1.0, 0.5), "label_smoothing": 0.05, "schedule": "one-cycle",
    "precision": "mixed_float16", "recompute": True,
}  # fmt: skip
OVERFLOWS_THREE_TIMES = 2.0**20
"""A loss scale that is halved three times before the gradients of the tiny run are finite in float16."""


def test_a_run_with_every_part_of_the_recipe_continues_with_the_same_bytes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(settings(folder, run="whole", **EVERYTHING))
    assert whole is not None
    with monkeypatch.context() as patch:
        # In the middle of the second epoch's first update, which is finished before the run stops.
        interrupt_after(10, patch)
        with pytest.raises(Interrupted, match="stopped in epoch 2 of 3 after step 2 of 4"):
            train(settings(folder, run="stopped", **EVERYTHING))
    run = folder / "runs" / "stopped"
    result = train(TrainConfig(resume=run))
    assert result is not None
    left, right = stored(whole.run / "last.weights.h5"), stored(run / "last.weights.h5")
    assert left.keys() == right.keys()
    assert [name for name in left if not np.array_equal(left[name], right[name])] == []
    assert result.scores == whole.scores
    # What was scored and kept are the averaged weights, not the newest ones.
    best = load_model(RunFolder(run)).get_layer("first_conv").kernel
    newest = right["weights/first_conv/kernel"]
    assert np.abs(np.asarray(best) - newest).max() > 0
    assert keras.config.dtype_policy().name == "float32"


def test_a_run_continues_with_the_same_bytes_where_an_overflow_has_moved_the_updates(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Three batches overflow, so that from then on every save is in the middle of an update of two.
    scaling = functools.partial(keras.optimizers.LossScaleOptimizer, initial_scale=OVERFLOWS_THREE_TIMES)
    monkeypatch.setattr(keras.optimizers, "LossScaleOptimizer", scaling)
    moved: dict[str, Any] = {
        "accumulate": 2, "precision": "mixed_float16", "epochs": 2, "augment": "none", "dropout_rate": 0.0,
    }  # fmt: skip
    whole = train(settings(folder, run="whole", **moved))
    assert whole is not None
    with monkeypatch.context() as patch:
        interrupt_after(12, patch)
        with pytest.raises(Interrupted, match="stopped in epoch 2 of 2 after step 2 of 4"):
            train(settings(folder, run="stopped", **moved))
    run = folder / "runs" / "stopped"
    held = stored(run / "last.weights.h5")
    assert held["optimizer/optimizer/iteration"] == 6 - 3
    assert any(np.any(value) for name, value in held.items() if name.startswith("waiting/"))
    assert train(TrainConfig(resume=run)) is not None
    left, right = stored(whole.run / "last.weights.h5"), stored(run / "last.weights.h5")
    assert left.keys() == right.keys()
    assert [name for name in left if not np.array_equal(left[name], right[name])] == []


def test_gradients_that_wait_are_carried_into_smaller_batches(folder: Path) -> None:
    ready = prepare(settings(folder, batch_size=2, accumulate=4))
    ready.model.train_on_batch(*ready.train.batch(0, 0))
    held = {v.path: v for v in ready.model.optimizer.variables}
    waiting = held["optimizer/decayed_gradient_accumulator"]
    before = np.array(waiting)
    assert before.any()
    state = State(step=4, accumulate=2).counted_in(4, ready.model)
    assert state.step == 8
    # One batch that is now two: their two means have this sum.
    assert np.array(held["optimizer/iteration"]) == 2
    np.testing.assert_array_equal(np.array(waiting), 2 * before)


@pytest.mark.slow
@pytest.mark.parametrize("more", [[], ["--recompute"]], ids=["kept", "recomputed"])
def test_two_runs_at_a_size_that_takes_all_cores_end_with_the_same_bytes(more: list[str], tmp_path: Path) -> None:
    """In processes of their own: how TensorFlow uses the cores is settled before it computes anything."""
    write_dataset(tmp_path / "drive", frames=12, size=(128, 128))
    network = ["--groups", "3", "--layers-per-block", "3", "--first-filters", "24", "--growth-rate", "12"]
    last = []
    for name in ("one", "other"):
        words = ["train", "--dataset", str(tmp_path / "drive"), "--size", "128x128", "--batch-size", "4", *network]
        words += ["--epochs", "1", "--runs", str(tmp_path), "--run", name, *more]
        done = subprocess.run([sys.executable, "-m", "carlaseg", *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        last.append(stored(tmp_path / name / "last.weights.h5"))
    assert [name for name in last[0] if not np.array_equal(last[0][name], last[1][name])] == []


def test_averaged_weights_have_the_statistics_of_the_training_batches(folder: Path) -> None:
    ready = prepare(settings(folder, ema=0.9, augment="none", dropout_rate=0.2, batch_size=6, epochs=1))
    images, masks = ready.train.batch(0, 0)
    first = [v.numpy().copy() for v in ready.model.trainable_variables]
    for _ in range(3):
        ready.model.train_on_batch(images, masks)
    newest = {v.path: v.numpy().copy() for v in ready.model.weights}
    assert isinstance(ready.averaged, Averaged)
    norm = ready.model.get_layer("down1_dense1_norm")
    with ready.averaged.in_place(ready.train, 0):
        kernel = ready.model.get_layer("first_conv").kernel.numpy()
        # After one update the mean is the weights themselves; two more have moved it a little from there.
        assert np.abs(kernel - newest["first_conv/kernel"]).max() > 0
        assert np.abs(kernel - first[0]).max() > 0
        maps = keras.Model(ready.model.inputs[0], ready.model.get_layer("first_conv").output)(images)
        expected = np.asarray(maps).reshape(-1, maps.shape[-1])
        assert norm.moving_mean.numpy() == pytest.approx(expected.mean(0), abs=1e-4)
        assert norm.moving_variance.numpy() == pytest.approx(expected.var(0), rel=1e-3)
    assert all(np.array_equal(v.numpy(), newest[v.path]) for v in ready.model.weights)
    assert norm.momentum == 0.9


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_averaged_weights_come_and_go_under_another_backend(backend: str, folder: Path) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, str(here / "averaging_on_a_backend.py"), str(folder)],
        env={**os.environ, "KERAS_BACKEND": backend, "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": f"{here}:{here.parent}"},
        capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.stdout == "same\n", done.stderr[-2000:]


def test_accumulated_batches_make_the_update_of_one_large_batch(folder: Path) -> None:
    plain: dict[str, Any] = {
        "dropout_rate": 0.0, "augment": "none", "optimizer": "sgd", "schedule": "constant", "epochs": 1,
    }  # fmt: skip
    kernels = []
    for batch_size, accumulate in ((6, 1), (2, 3)):
        ready = prepare(settings(folder, batch_size=batch_size, accumulate=accumulate, **plain))
        # Batch norm takes its moments from each batch: held still, so that the two ways can be compared.
        for layer in ready.model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
        before = ready.model.get_layer("logits").kernel.numpy().copy()
        assert len(ready.train) == accumulate
        for step in range(accumulate):
            ready.model.train_on_batch(*ready.train.batch(0, step))
        kernels.append(ready.model.get_layer("logits").kernel.numpy() - before)
    assert np.abs(kernels[0]).max() > 1e-4
    # The mean of three means over pixels is the mean over all, void being rare and even here.
    assert kernels[1] == pytest.approx(kernels[0], abs=2e-5)


def test_memory_that_runs_out_halves_the_batch_and_goes_on_from_the_last_save(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = story.train_steps

    def tight(model: Any, batches: Any, config: TrainConfig, epochs: int, state: State, *rest: Any) -> None:
        if state.epoch == 1 and config.batch_size == 2:
            raise MemoryError
        real(model, batches, config, epochs, state, *rest)

    monkeypatch.setattr(story, "train_steps", tight)
    result = train(settings(folder))
    assert result is not None
    assert result.epochs == 3
    assert (
        "a batch of 2 did not fit; going on from the last save with 1, 2 batches"
        in (result.run / "log.txt").read_text()
    )
    written = configs.load(TrainConfig, result.run / "config.json")
    assert (written.batch_size, written.accumulate) == (1, 2)
    assert [record["epoch"] for record in RunFolder(result.run).metrics()] == [1, 2, 3]
    held = stored(result.run / "last.weights.h5")
    # Three updates an epoch before, three of two batches each after: the optimiser has counted all nine as batches.
    assert held["optimizer/optimizer/iteration"] == 18


def test_a_run_stops_by_the_clock_and_goes_on(folder: Path) -> None:
    with pytest.raises(Interrupted, match="stopped in epoch 1 of 3 after step"):
        train(settings(folder, run="clock", minutes=0.0))
    run = folder / "runs" / "clock"
    result = train(TrainConfig(resume=run))
    assert result is not None
    assert result.epochs == 3


def test_a_crop_larger_than_the_frames_is_refused() -> None:
    with pytest.raises(ConfigError, match="--crop: expected at most --size, which is 24x32, received 32x32"):
        TrainConfig(size=Size(24, 32), crop=Size(32, 32))
    with pytest.raises(ConfigError, match="--full-size-epochs: expected together with --crop"):
        TrainConfig(full_size_epochs=3)


def test_a_range_test_finds_where_the_loss_falls_and_writes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = settings(folder, lr_range_test=True, json=True, augment="none", dropout_rate=0.0)
    assert train_command(config) == 0
    printed = json.loads(capsys.readouterr().out)
    assert 20 < len(printed["rates"]) == len(printed["losses"]) <= 80
    # A rate of a millionth moves nothing, one of 1 ends learning: what is best lies well inside.
    assert 1e-5 < printed["steepest"] < printed["lowest"] <= 1.0
    assert not (folder / "runs").exists()


def test_the_steepest_fall_is_found_before_the_lowest_loss() -> None:
    rates = [1e-4, 1e-3, 1e-2, 1e-1, 1.0]
    assert steepest(rates, [5.0, 4.8, 2.0, 1.9, 9.0]) in (1e-3, 1e-2)
    assert steepest(rates, [1.0, 2.0, 3.0, 4.0, 5.0]) is None
