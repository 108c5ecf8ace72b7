"""What every network of the table owes its users; a new row is tested by being there.

Light promises (`built`) are asked of every row. Those that need training are asked of the rows that name their smallest
member, one a family, because a train step of a published network takes a minute to trace.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import keras
import numpy as np

from carlaseg import models
from carlaseg.checkpoint import load_weights, save_weights
from carlaseg.training.losses import segmentation_loss

NUM_CLASSES = 5
ODD_SIZE = (37, 50)


def families() -> list[str]:
    """Rows that name their smallest member."""
    return [name for name in models.names() if models.network(name).smallest is not None]


def smallest(name: str, **more: Any) -> Any:
    """A fresh network, the smallest of its family."""
    return models.build(name, NUM_CLASSES, **{**(models.network(name).smallest or {}), **more})


@lru_cache
def shared(name: str) -> Any:
    """The same for tests that do not change it."""
    return smallest(name)


def images(height: int, width: int, count: int = 2) -> np.ndarray:
    """Noise with a bright left half: uint8 (B, H, W, 3)."""
    pictures = np.random.default_rng(height * width).integers(0, 128, (count, height, width, 3), np.uint8)
    pictures[:, :, : width // 2] += 100
    return pictures


def check_takes_bytes_of_any_size_and_gives_float32_logits(model: Any) -> None:
    assert model.input.dtype == "uint8"
    assert tuple(model.input.shape) == (None, None, None, 3)
    assert model.output.dtype == "float32"
    assert tuple(model.output.shape)[-1] == model.get_layer(index=-1).output.shape[-1]


def check_logits_have_the_size_of_the_image(model: Any, size: tuple[int, int]) -> None:
    logits = keras.ops.convert_to_numpy(model(images(*size), training=False))
    assert logits.shape == (2, *size, NUM_CLASSES)
    assert logits.dtype == np.float32
    assert np.isfinite(logits).all()


def check_layers_are_named_by_hand(model: Any) -> None:
    """No name that Keras numbered (conv2d_17): those depend on what was built before."""
    names = [layer.name for layer in model.layers]
    numbered = [n for n in names if n.startswith(("conv2d", "batch_normalization", "concatenate", "dropout_", "re_lu"))]
    assert not numbered


def check_two_builds_have_equal_weights_and_a_seed_changes_them(name: str) -> None:
    first, second, other = smallest(name), smallest(name), smallest(name, seed=1)
    kernels = [v.path for v in first.trainable_variables if len(v.shape) == 4]
    for path in kernels:
        assert np.array_equal(_value(first, path), _value(second, path)), path
    assert any(not np.array_equal(_value(first, path), _value(other, path)) for path in kernels)


def check_saved_and_loaded_it_gives_equal_logits(name: str, folder: Path) -> None:
    model, loaded = smallest(name, seed=1), smallest(name)
    save_weights(folder / "best.weights.h5", model)
    load_weights(folder / "best.weights.h5", loaded)
    picture = images(32, 48)
    assert np.array_equal(np.asarray(model(picture)), np.asarray(loaded(picture)))


def check_a_few_steps_lower_the_loss(name: str) -> None:
    # Plain cross-entropy without dropout, so that the steps differ by the weights alone.
    options = {"dropout_rate": 0.0} if "dropout_rate" in models.network(name).options else {}
    model = smallest(name, **options)
    # Eagerly: tracing a step takes longer than eight of them, and the steps are the same.
    model.compile(optimizer=keras.optimizers.Adam(1e-2), loss=segmentation_loss(), run_eagerly=True, jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    pictures = images(32, 32)
    masks = np.zeros((2, 32, 32), np.uint8)
    masks[:, :, :16] = 1
    masks[:, 0] = 255
    losses = []
    for _ in range(8):
        model.reset_metrics()
        losses.append(float(model.train_on_batch(pictures, masks)))
    assert min(losses[-2:]) < 0.9 * losses[0], losses


def check_logits_stay_float32_under_bfloat16(name: str) -> None:
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        model = smallest(name)
    finally:
        keras.mixed_precision.set_dtype_policy(before)
    logits = model(images(32, 32), training=False)
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    exact = np.asarray(shared(name)(images(32, 32), training=False))
    assert np.abs(np.asarray(logits) - exact).max() < 0.15 * max(1.0, np.abs(exact).max())


def _value(model: Any, path: str) -> np.ndarray:
    return np.asarray(next(v for v in model.variables if v.path == path))
