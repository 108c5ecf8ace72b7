"""The averaged weights of a run put in the place of its newest ones, with batch-norm statistics that belong to them.

Batch norm's running statistics are those of the newest weights. Averaged weights give other feature maps, so the
statistics are taken again from training batches: the mean over the batches, in float64, of each batch's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from carlaseg.models.recomputation import all_layers
from carlaseg.pipeline import TrainingBatches
from carlaseg.training.network import jit_compile

BATCHES = 16
"""Training batches that the statistics are taken from; a sixteenth of a batch's own noise is left in them."""


class Averaged:
    """Swaps a network's weights for their mean and back.

    Args:
        model: a network compiled with an optimiser that averages (`--ema`).
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._norms = [layer for layer in all_layers(model) if isinstance(layer, keras.layers.BatchNormalization)]
        self._dropouts = [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
        whole = keras.Model(model.inputs[0], _AsInTraining(model, name="as_in_training")(model.inputs[0]))
        whole.compile(jit_compile=jit_compile())
        self._pass = whole

    @contextmanager
    def in_place(self, batches: TrainingBatches, epoch: int) -> Iterator[None]:
        """Inside the block the network holds the averaged weights; afterwards its own again, to the last bit.

        Args:
            batches: where the statistics are taken from.
            epoch: whose batches.
        """
        # Copies, always: a PyTorch or TensorFlow array may be a view of the variable that is about to change.
        kept = [(variable, _copy(variable)) for variable in self._model.weights]
        try:
            self._model.optimizer.finalize_variable_values(self._model.trainable_variables)
            # On JAX the weights now are the averages' own buffers, and a pass gives the buffers of its weights away.
            for variable in self._model.trainable_variables:
                variable.assign(_copy(variable))
            self._take_statistics(batches, epoch)
            yield
        finally:
            for variable, value in kept:
                variable.assign(value)

    def _take_statistics(self, batches: TrainingBatches, epoch: int) -> None:
        if not self._norms:
            return
        variables = [v for layer in self._norms for v in (layer.moving_mean, layer.moving_variance)]
        sums: list[NDArray[np.float64]] = [np.zeros(v.shape) for v in variables]
        count = 0
        # Whole ones in every process: the pass is not shared, and all have to come to the same statistics.
        stream = batches.whole().epoch(epoch)
        try:
            with self._batch_statistics_alone():
                for images, _ in islice(stream, BATCHES):
                    self._pass.predict_on_batch(images)
                    count += 1
                    for total, variable in zip(sums, variables, strict=True):
                        total += ops.convert_to_numpy(variable)
        finally:
            stream.close()
        for total, variable in zip(sums, variables, strict=True):
            variable.assign((total / count).astype(np.float32))

    @contextmanager
    def _batch_statistics_alone(self) -> Iterator[None]:
        """Momentum 0, so that a moving statistic is the last batch's own; no dropout.

        Both are plain attributes that a backend reads while it traces; the pass is traced inside this block, the
        training step outside of it.
        """
        momenta = [layer.momentum for layer in self._norms]
        rates = [layer.rate for layer in self._dropouts]
        for layer in self._norms:
            layer.momentum = 0.0
        for layer in self._dropouts:
            layer.rate = 0.0
        try:
            yield
        finally:
            for layer, momentum in zip(self._norms, momenta, strict=True):
                layer.momentum = momentum
            for layer, rate in zip(self._dropouts, rates, strict=True):
                layer.rate = rate


def _copy(variable: Any) -> NDArray[Any]:
    return np.array(ops.convert_to_numpy(variable), copy=True)


class _AsInTraining(keras.layers.Layer):  # type: ignore[misc]
    """A network as it runs in training, inside a pass that is none; one number an image, so that nothing is copied."""

    def __init__(self, network: Any, **options: Any) -> None:
        super().__init__(dtype="float32", **options)
        self.network = network

    def call(self, images: Any) -> Any:
        """Mean logit of each image, (B,)."""
        return ops.mean(self.network(images, training=True), axis=(1, 2, 3))

    def compute_output_spec(self, images: Any) -> Any:
        """One float an image; said here, so that the network is not run to find out."""
        return keras.KerasTensor(images.shape[:1], "float32")
