"""A trained network as a function from bytes to bytes.

The argmax is inside the graph, so one byte a pixel leaves it instead of C floats. Where the answer is wanted at another
size than the network's, its logits are interpolated before the argmax: class borders then follow the picture rather
than the network's grid.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Runtime(Protocol):
    """What inference asks of anything that can predict: a Keras model now, exported artefacts as well."""

    name: str

    def __call__(self, images: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
        """Class ids, uint8 (B, *size), of images, uint8 (B, H, W, 3) RGB."""


class KerasPredictor:
    """A Keras model, compiled for prediction on whichever backend is loaded.

    Args:
        model: takes RGB bytes (B, H, W, 3), gives logits (B, H, W, C).
    """

    def __init__(self, model: Any) -> None:
        import keras

        self._model = model
        self.name = f"keras {keras.__version__} on {keras.backend.backend()}"
        compiled = _tensorflow if keras.backend.backend() == "tensorflow" else _any_backend
        # Batch size by the shape of an image: a smaller last batch is filled up rather than compiled anew.
        self._compiled_for: dict[tuple[int, ...], int] = {}
        self._ids: Callable[[NDArray[np.uint8], tuple[int, int]], NDArray[np.uint8]] = compiled(model)

    def __call__(self, images: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
        """Class ids of images.

        Args:
            images: uint8, (B, H, W, 3), RGB.
            size: (height, width) of the answer.

        Returns:
            uint8, (B, *size).
        """
        count = len(images)
        compiled_for = self._compiled_for.setdefault(images.shape[1:], count)
        if count < compiled_for:
            images = np.concatenate([images, np.repeat(images[-1:], compiled_for - count, axis=0)])
        return self._ids(images, size)[:count]

    def warm(self, shape: tuple[int, int, int, int], size: tuple[int, int]) -> float:
        """Compile for a shape before the clock runs, and return the seconds it took."""
        began_s = time.perf_counter()
        self(np.zeros(shape, np.uint8), size)
        return time.perf_counter() - began_s


def _tensorflow(model: Any) -> Callable[[NDArray[np.uint8], tuple[int, int]], NDArray[np.uint8]]:
    import tensorflow as tf

    # reduce_retracing: many sizes are traced twice, not once a size. No XLA: it compiles for minutes on CPUs.
    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def same_size(images: Any) -> Any:
        return tf.cast(tf.argmax(model(images, training=False), axis=-1), tf.uint8)

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def resized(images: Any, size: Any) -> Any:
        logits = tf.image.resize(tf.cast(model(images, training=False), tf.float32), size)
        return tf.cast(tf.argmax(logits, axis=-1), tf.uint8)

    def ids(images: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
        tensor = tf.convert_to_tensor(images)
        if images.shape[1:3] == tuple(size):
            return np.asarray(same_size(tensor).numpy(), np.uint8)
        return np.asarray(resized(tensor, tf.constant(size, tf.int32)).numpy(), np.uint8)

    return ids


def _any_backend(model: Any) -> Callable[[NDArray[np.uint8], tuple[int, int]], NDArray[np.uint8]]:
    """JAX and PyTorch: `predict_on_batch` of a model that ends in the argmax; one model a size of the answer."""
    import keras

    of_size: dict[tuple[int, int] | None, Any] = {}

    def ending_in_ids(size: tuple[int, int] | None) -> Any:
        if size not in of_size:
            logits = model.output
            if size is not None:
                logits = keras.ops.image.resize(logits, size, interpolation="bilinear", data_format="channels_last")
            of_size[size] = keras.Model(model.inputs, keras.ops.cast(keras.ops.argmax(logits, axis=-1), "uint8"))
        return of_size[size]

    def ids(images: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
        same = images.shape[1:3] == tuple(size)
        return np.asarray(ending_in_ids(None if same else (size[0], size[1])).predict_on_batch(images), np.uint8)

    return ids
