"""A trained network as a function from bytes to bytes.

The argmax is inside the graph, so one byte a pixel leaves it instead of C floats. Where the answer is wanted at another
size than the network's, its logits are interpolated before the argmax: class borders then follow the picture rather
than the network's grid.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

MOST_CONSTANT_BYTES = 256 * 2**20
"""Larger networks keep their weights in variables: a graph holds its constants more than once while it is optimised,
and ends at 2 GiB."""


class Runtime(Protocol):
    """What inference asks of anything that can predict: a Keras model, or an exported artefact."""

    name: str

    @property
    def at_once(self) -> int:
        """How many pictures it works on at a time: what to put into a batch."""

    def __call__(self, images: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
        """Class ids, uint8 (B, *size), of images, uint8 (B, H, W, 3) RGB."""

    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits, float32 (B, H, W, C), of images, uint8 (B, H, W, 3) RGB, at the images' own size."""

    def warm(self, shape: tuple[int, ...], size: tuple[int, int]) -> float:
        """Compile for images of a shape before the clock runs, and return the seconds it took."""


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
        self._logits: Callable[[NDArray[np.uint8]], NDArray[np.float32]] = _logits_of(model)

    @property
    def at_once(self) -> int:
        """One: on a CPU a larger batch takes longer than its pictures one by one."""
        return 1

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

    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits of images, at their own size.

        Args:
            images: uint8, (B, H, W, 3), RGB.

        Returns:
            float32, (B, H, W, C).
        """
        return self._logits(images)

    def with_dropout(self) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]] | None:
        """The logits of a network whose dropout stays on, a different sample of it at each call; None without dropout.

        Batch norm keeps its trained statistics: only what was dropped in training is dropped here.
        """
        import keras

        kinds = (keras.layers.Dropout, keras.layers.SpatialDropout2D)
        if not any(isinstance(layer, kinds) and layer.rate > 0 for layer in _all_layers(self._model)):
            return None

        def call(layer: Any, *given: Any, **named: Any) -> Any:
            # Said to every layer: one that is told nothing takes over what the layer before it was told.
            if "training" in inspect.signature(layer.call).parameters:
                named["training"] = isinstance(layer, kinds)
            return layer(*given, **named)

        # The layers are shared, not copied: the same weights, another graph.
        dropping = keras.models.clone_model(
            self._model, clone_function=lambda layer: layer, call_function=call, recursive=False
        )
        return _logits_of(dropping, training=None)

    def warm(self, shape: tuple[int, ...], size: tuple[int, int]) -> float:
        """Compile for a shape before the clock runs, and return the seconds it took."""
        began_s = time.perf_counter()
        self(np.zeros(shape, np.uint8), size)
        return time.perf_counter() - began_s


def _tensorflow(model: Any) -> Callable[[NDArray[np.uint8], tuple[int, int]], NDArray[np.uint8]]:
    import tensorflow as tf

    network = _with_constant_weights(model)
    # One graph for every batch and size. No XLA: it compiles for minutes on CPUs.
    pictures = tf.TensorSpec((None, None, None, 3), tf.uint8)

    @tf.function(input_signature=[pictures])  # type: ignore[untyped-decorator]
    def same_size(images: Any) -> Any:
        return tf.cast(tf.argmax(network(images), axis=-1), tf.uint8)

    @tf.function(input_signature=[pictures, tf.TensorSpec((2,), tf.int32)])  # type: ignore[untyped-decorator]
    def resized(images: Any, size: Any) -> Any:
        logits = tf.image.resize(tf.cast(network(images), tf.float32), size)
        return tf.cast(tf.argmax(logits, axis=-1), tf.uint8)

    def ids(images: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
        tensor = tf.convert_to_tensor(images)
        if images.shape[1:3] == tuple(size):
            return np.asarray(same_size(tensor).numpy(), np.uint8)
        return np.asarray(resized(tensor, tf.constant(size, tf.int32)).numpy(), np.uint8)

    return ids


def _with_constant_weights(model: Any) -> Callable[[Any], Any]:
    """A model that predicts, as a function of images to trace; its weights of now are constants of the graph.

    What depends on weights alone, as the scale and shift of every batch norm, is then computed once, and oneDNN lays
    kernels out once: a ninth of FC-DenseNet's time an image on a CPU.
    """
    import keras
    import tensorflow as tf

    weights = [(v, np.array(v)) for v in getattr(model, "weights", ())]
    if sum(value.nbytes for _, value in weights) > MOST_CONSTANT_BYTES:
        weights = []

    def call(images: Any) -> Any:
        with keras.StatelessScope(state_mapping=[(v, tf.constant(value)) for v, value in weights]):
            return model(images, training=False)

    return call


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


def _all_layers(model: Any) -> list[Any]:
    return list(model._flatten_layers(include_self=False)) if hasattr(model, "_flatten_layers") else []


def _logits_of(model: Any, training: bool | None = False) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """The model as a function to logits.

    Args:
        model: takes RGB bytes, gives logits.
        training: passed to every layer; None leaves each layer what its own graph says.
    """
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # Dropout that stays on has a random state, which no constant can be.
        network = _with_constant_weights(model) if training is False else model

        @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8)])  # type: ignore[untyped-decorator]
        def graph(images: Any) -> Any:
            return tf.cast(network(images), tf.float32)

        return lambda images: np.asarray(graph(tf.convert_to_tensor(images)).numpy(), np.float32)
    if training is False:
        return lambda images: np.asarray(model.predict_on_batch(images), np.float32)
    # predict_on_batch would tell every layer that nothing is trained, dropout too.
    return lambda images: np.asarray(keras.ops.convert_to_numpy(model(images, training=training)), np.float32)
