"""The optimisers on long vectors give what Keras's own give, variable by variable."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from carlaseg.config import TrainConfig
from carlaseg.training.optimizer import NOT_DECAYED, build_optimizer

SHAPES = {"kernel": (3, 3, 2, 4), "bias": (4,), "gamma": (5,)}


def weights() -> list[Any]:
    rng = np.random.default_rng(0)
    return [keras.Variable(rng.normal(size=shape).astype("float32"), name=name) for name, shape in SHAPES.items()]


def after_four_batches(optimizer: Any, variables: list[Any]) -> list[np.ndarray]:
    """The weights, then their averages where the optimiser keeps some."""
    rng = np.random.default_rng(1)
    for _ in range(4):
        optimizer.apply([keras.ops.convert_to_tensor(rng.normal(size=v.shape).astype("float32")) for v in variables])
    newest = [np.array(v) for v in variables]
    optimizer.finalize_variable_values(variables)
    return newest + [np.array(v) for v in variables]


@pytest.mark.parametrize(
    ("config", "theirs"),
    [
        (TrainConfig(weight_decay=0.1), keras.optimizers.AdamW(1e-3, weight_decay=0.1)),
        (
            TrainConfig(optimizer="sgd", clip_norm=0.5, ema=0.9),
            keras.optimizers.SGD(
                1e-3, 0.9, True, weight_decay=1e-4, global_clipnorm=0.5, use_ema=True, ema_momentum=0.9
            ),
        ),
        (
            TrainConfig(optimizer="rmsprop", accumulate=2, weight_decay=0.1),
            keras.optimizers.RMSprop(1e-3, gradient_accumulation_steps=2, weight_decay=0.1),
        ),
    ],
    ids=["adamw", "sgd_clipped_and_averaged", "rmsprop_accumulating"],
)
def test_updates_on_long_vectors_are_those_variable_by_variable(config: TrainConfig, theirs: Any) -> None:
    ours_on, theirs_on = weights(), weights()
    theirs.exclude_from_weight_decay(var_names=list(NOT_DECAYED))
    theirs.build(theirs_on)
    ours = build_optimizer(config, ours_on)

    for mine, other in zip(after_four_batches(ours, ours_on), after_four_batches(theirs, theirs_on), strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=1e-6)


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_averages_are_those_of_the_updates_however_many_batches_make_one(precision: Any) -> None:
    averages = []
    for accumulate in (1, 4):
        config = TrainConfig(optimizer="sgd", learning_rate=0.1, ema=0.9, accumulate=accumulate, precision=precision)
        variables = weights()
        optimizer = build_optimizer(config, variables)
        scale = 1.0 if precision == "float32" else float(optimizer.dynamic_scale)
        for _ in range(5 * accumulate):
            optimizer.apply([keras.ops.ones(v.shape) * scale for v in variables])
        optimizer.finalize_variable_values(variables)
        averages.append([np.array(v) for v in variables])
    for one, several in zip(*averages, strict=True):
        np.testing.assert_allclose(several, one, rtol=0, atol=1e-6)


def test_an_update_starts_from_the_weights_as_they_are_now() -> None:
    variables = weights()
    optimizer = build_optimizer(TrainConfig(optimizer="sgd", weight_decay=0.0), variables)
    gradients = [keras.ops.zeros(v.shape) for v in variables]
    optimizer.apply(gradients)

    variables[0].assign(np.full(SHAPES["kernel"], 7.0, "float32"))
    optimizer.apply(gradients)

    np.testing.assert_array_equal(np.array(variables[0]), 7.0)


def test_what_decay_would_only_harm_does_not_decay() -> None:
    model = keras.Sequential(
        [keras.Input((4, 4, 2)), keras.layers.Conv2D(3, 1), keras.layers.PReLU(shared_axes=(1, 2))]
    )
    for weight in model.weights:
        weight.assign(np.full(weight.shape, 0.25, "float32"))
    optimizer = build_optimizer(TrainConfig(weight_decay=0.5), model.trainable_variables)
    optimizer.apply([keras.ops.zeros(v.shape) for v in model.trainable_variables])

    assert {v.name for v in model.weights if (np.array(v) != 0.25).any()} == {"kernel"}


def test_weights_that_are_frozen_later_neither_move_nor_decay() -> None:
    variables = weights()
    optimizer = build_optimizer(TrainConfig(weight_decay=0.5), variables)
    kernel, rest = np.array(variables[0]), variables[1:]
    before = [np.array(v) for v in rest]
    # apply_gradients, as Keras's training step calls it: grads may come from an iterator.
    optimizer.apply_gradients((keras.ops.ones(v.shape), v) for v in rest)

    np.testing.assert_array_equal(np.array(variables[0]), kernel)
    assert all((np.array(v) != was).all() for v, was in zip(rest, before, strict=True))


def test_an_optimiser_has_few_variables_whatever_the_network() -> None:
    names = {variable.path for variable in build_optimizer(TrainConfig(), weights()).variables}

    assert names == {
        "optimizer/iteration",
        "optimizer/learning_rate",
        *(f"optimizer/{group}_{kept}" for group in ("decayed", "not_decayed") for kept in ("momentum", "velocity")),
    }
