"""Layers that change height and width, against NumPy that spells their definitions out."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest

from carlaseg.models.resampling import AverageBins, MaxPoolWithIndices, MaxUnpool, ResizeTo

SIZES = [(6, 8), (7, 8), (6, 5), (1, 1), (9, 3)]


def picture(height: int, width: int, maps: int = 3, *, seed: int = 0) -> np.ndarray:
    # Small integers, so that windows hold equal values too.
    return np.random.default_rng(seed).integers(-2, 3, (2, height, width, maps)).astype("float32")


def pool_spelled_out(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    batch, height, width, maps = x.shape
    pooled = np.zeros((batch, math.ceil(height / 2), math.ceil(width / 2), maps), "float32")
    index = np.zeros(pooled.shape, "int32")
    for b, i, j, c in np.ndindex(*pooled.shape):
        values = [
            (x[b, row, column, c], -place)
            for place, (row, column) in enumerate((2 * i + di, 2 * j + dj) for di in (0, 1) for dj in (0, 1))
            if row < height and column < width
        ]
        value, place = max(values)
        pooled[b, i, j, c], index[b, i, j, c] = value, -place
    return pooled, index


@pytest.mark.parametrize("size", SIZES)
def test_pooling_gives_the_maximum_and_its_first_place_at_odd_sizes_too(size: tuple[int, int]) -> None:
    x = picture(*size)
    pooled, index = MaxPoolWithIndices()(x)
    expected, places = pool_spelled_out(x)
    np.testing.assert_array_equal(np.asarray(pooled), expected)
    np.testing.assert_array_equal(np.asarray(index), places)


@pytest.mark.parametrize("size", SIZES)
def test_unpooling_puts_every_maximum_back_and_nothing_beside_it(size: tuple[int, int]) -> None:
    x = picture(*size) + 10.0
    pooled, index = MaxPoolWithIndices()(x)
    back = np.asarray(MaxUnpool()([pooled, index]))
    assert back.shape == (2, 2 * math.ceil(size[0] / 2), 2 * math.ceil(size[1] / 2), 3)
    inside = back[:, : size[0], : size[1]]
    assert np.count_nonzero(back) == np.count_nonzero(inside) == np.asarray(pooled).size
    np.testing.assert_array_equal(inside[inside != 0], x[inside != 0])


def test_the_gradient_of_pooling_goes_to_one_pixel_even_between_equal_ones() -> None:
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("taken with TensorFlow's tape")
    x = tf.zeros((1, 4, 4, 1))
    with tf.GradientTape() as tape:
        tape.watch(x)
        pooled, _ = MaxPoolWithIndices()(x)
        total = tf.reduce_sum(pooled)
    expected = np.zeros((4, 4))
    expected[::2, ::2] = 1
    np.testing.assert_array_equal(tape.gradient(total, x).numpy()[0, ..., 0], expected)


@pytest.mark.parametrize("bins", [1, 2, 3, 6])
@pytest.mark.parametrize("size", [(12, 6), (7, 11), (4, 5), (1, 2)])
def test_bins_are_the_means_of_windows_that_cover_the_picture(bins: int, size: tuple[int, int]) -> None:
    x = np.random.default_rng(1).normal(size=(2, *size, 3)).astype("float32")
    expected = np.zeros((2, bins, bins, 3))
    edges = [[(i * n // bins, math.ceil((i + 1) * n / bins)) for i in range(bins)] for n in size]
    for i, (top, bottom) in enumerate(edges[0]):
        for j, (left, right) in enumerate(edges[1]):
            expected[:, i, j] = x[:, top:bottom, left:right].mean(axis=(1, 2))
    np.testing.assert_allclose(np.asarray(AverageBins(bins)(x)), expected, atol=1e-6)


def test_resizing_takes_the_size_of_the_other_picture_and_leaves_constants_alone() -> None:
    x = np.full((1, 3, 4, 2), 7.0, "float32")
    resized = np.asarray(ResizeTo()([x, np.zeros((1, 10, 13, 5), "float32")]))
    assert resized.shape == (1, 10, 13, 2)
    np.testing.assert_allclose(resized, 7.0, rtol=1e-6)


def test_resizing_doubles_with_half_pixel_centres() -> None:
    x = np.array([0.0, 4.0], "float32").reshape(1, 1, 2, 1)
    resized = np.asarray(ResizeTo()([x, np.zeros((1, 1, 4, 1), "float32")]))
    np.testing.assert_allclose(resized.ravel(), [0.0, 1.0, 3.0, 4.0], atol=1e-6)


@pytest.mark.parametrize("sizes", [((5, 7), (20, 28)), ((6, 6), (45, 61)), ((1, 1), (9, 4)), ((12, 9), (5, 9))])
def test_resizing_to_an_unknown_size_is_that_to_a_known_one(sizes: tuple[tuple[int, int], tuple[int, int]]) -> None:
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("only TensorFlow traces without sizes")
    old, new = sizes
    x = np.random.default_rng(0).normal(size=(2, *old, 3)).astype("float32")
    target = np.zeros((2, *new, 1), "float32")
    layer, free = ResizeTo(), tf.TensorSpec((None, None, None, None))
    traced = tf.function(lambda x, target: layer([x, target]), input_signature=[free, free])
    np.testing.assert_allclose(traced(x, target).numpy(), layer([x, target]).numpy(), atol=1e-5)


def test_sizes_may_be_unknown_while_tensorflow_traces() -> None:
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("TensorFlow's own doing")
    picture = keras.Input((None, None, 3))
    pooled, index = MaxPoolWithIndices()(picture)
    unpooled = MaxUnpool()([pooled, index])
    means = ResizeTo()([AverageBins(3)(picture), unpooled])
    model = keras.Model(picture, [unpooled, means])
    traced = tf.function(model, input_signature=[tf.TensorSpec((None, None, None, 3))])
    for size in ((7, 9), (4, 6)):
        x = np.random.default_rng(0).normal(size=(1, *size, 3)).astype("float32")
        for dynamic, eager in zip(traced(x), model(x), strict=True):
            np.testing.assert_allclose(dynamic.numpy(), eager.numpy(), atol=1e-6)
    assert traced.experimental_get_tracing_count() == 1
