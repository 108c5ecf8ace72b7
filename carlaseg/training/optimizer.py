"""Optimisers that see all weights of a network as two long vectors: those that decay, and those that do not.

Keras updates a network variable by variable. For FC-DenseNet these are hundreds of small ones, each with some twenty
operations: 40 % of what TensorFlow traces before the first step, and as many kernels to start on a GPU. Elementwise
arithmetic gives the same numbers on the weights laid end to end (docs/decisions/0014).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from carlaseg.config import TrainConfig

NOT_DECAYED = ("gamma", "beta", "bias", "alpha")
"""Weight decay pulls these towards nothing useful: a batch norm's scale, its shift, a bias, a PReLU's slope.

Source: of the slope He et al. 2015, Delving Deep into Rectifiers, section 2.1: decay would bias it towards ReLU.
"""


def build_optimizer(config: TrainConfig, weights: Sequence[Any]) -> Any:
    """The optimiser that a configuration asks for, with its variables.

    Args:
        config: settings of the training.
        weights: the network's trainable variables.
    """
    # The name is part of the variables' names in a checkpoint, and Keras would number it.
    common: dict[str, Any] = {
        "learning_rate": config.learning_rate,
        "weight_decay": config.weight_decay,
        "global_clipnorm": config.clip_norm,
        "name": "optimizer",
    }
    if config.accumulate > 1:
        common["gradient_accumulation_steps"] = config.accumulate
    if config.ema is not None:
        common |= {"use_ema": True, "ema_momentum": config.ema}
    optimizer: Any
    if config.optimizer == "sgd":
        optimizer = FlatSGD(momentum=0.9, nesterov=True, **common)
    elif config.optimizer == "rmsprop":
        optimizer = FlatRMSprop(**common)
    else:
        optimizer = FlatAdamW(**common)
    if config.precision == "mixed_float16":
        # Gradients below 6e-8 are 0 in float16; the scale lifts them over it and follows what does not overflow.
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, name="loss_scale")
    optimizer.build(list(weights))
    return optimizer


@dataclass(frozen=True)
class _Group:
    """Weights that lie end to end in a vector.

    A plain object, because Keras takes variables in an optimiser's own lists for variables of the optimiser.

    Attributes:
        weights: the network's variables.
        places: where each stands in the network's own order.
        vector: float32 variable, one number a weight; it is what the optimiser updates. Its value holds during an
            update alone: before it the weights are copied in, after it they are copied out, so that weights can be
            loaded or swapped in between.
    """

    weights: tuple[Any, ...]
    places: tuple[int, ...]
    vector: Any

    def joined(self, tensors: Sequence[Any]) -> Any:
        """This group's tensors end to end, out of one a weight of the network; zeros where there is none."""
        return ops.concatenate(
            [
                ops.zeros(math.prod(weight.shape)) if tensors[place] is None else _flat(tensors[place])
                for place, weight in zip(self.places, self.weights, strict=True)
            ]
        )

    def put_back(self, vector: Any, moved: Sequence[bool]) -> None:
        """Give every weight its part of a vector; those of the network that did not move stay what they are."""
        ends = list(itertools.accumulate(math.prod(weight.shape) for weight in self.weights))
        # TensorFlow does not split into one part.
        parts = ops.split(vector, ends[:-1]) if len(ends) > 1 else [vector]
        for place, weight, part in zip(self.places, self.weights, parts, strict=True):
            if moved[place]:
                weight.assign(part if len(weight.shape) == 1 else ops.reshape(part, weight.shape))


def _flat(tensor: Any) -> Any:
    # Most weights are vectors already (biases, batch norms), and every operation left out is one less to trace.
    return tensor if len(tensor.shape) == 1 else ops.reshape(tensor, (-1,))


@dataclass(frozen=True)
class _Layout:
    weights: tuple[Any, ...]
    groups: tuple[_Group, ...]


class _Flat:
    """What turns an optimiser of Keras into one on long vectors; the arithmetic stays Keras's own."""

    def build(self: Any, variables: list[Any]) -> None:
        """Make the vectors, and the optimiser's own variables beside them."""
        weights = tuple(variables)
        groups, exempt = [], []
        for name, decays in (("decayed", True), ("not_decayed", False)):
            places = tuple(place for place, weight in enumerate(weights) if (weight.name not in NOT_DECAYED) is decays)
            if not places:
                continue
            own = tuple(weights[place] for place in places)
            vector = keras.Variable("zeros", shape=(sum(math.prod(w.shape) for w in own),), name=name)
            groups.append(_Group(own, places, vector))
            exempt += [] if decays else [vector]
        self.exclude_from_weight_decay(var_list=exempt)
        self.flat_layout = _Layout(weights, tuple(groups))
        super().build([group.vector for group in groups])  # type: ignore[misc]

    def apply(self: Any, grads: Sequence[Any], trainable_variables: Any = None) -> None:
        """Update weights from their gradients.

        Args:
            grads: one a variable, None where the loss does not depend on it.
            trainable_variables: the variables; when not given, all that the optimiser was built with. What was frozen
                since then is not among them and does not move, nor decay.
        """
        groups, weights = self.flat_layout.groups, self.flat_layout.weights
        given = dict(zip(map(id, trainable_variables or weights), grads, strict=True))
        gradients = [given.get(id(weight)) for weight in weights]
        for group in groups:
            group.vector.assign(group.joined(weights))
        super().apply([group.joined(gradients) for group in groups], [group.vector for group in groups])  # type: ignore[misc]
        for group in groups:
            group.put_back(group.vector, [gradient is not None for gradient in gradients])

    def stateless_apply(self: Any, optimizer_variables: Any, grads: Any, trainable_variables: Any) -> Any:
        """JAX's way: values in, new values out."""
        own, weights = self.variables, self.flat_layout.weights
        mapping = [*zip(weights, trainable_variables, strict=True), *zip(own, optimizer_variables, strict=True)]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            self.apply(grads)
        return [scope.get_current_value(v) for v in weights], [scope.get_current_value(v) for v in own]

    def _update_model_variables_moving_average(self: Any, trainable_variables: Sequence[Any]) -> None:
        """Take the weights into their averages after an update; Keras's own does so after each batch of it.

        Between two updates the weights stand still, and an average that went on meanwhile, by whatever root of the
        momentum, would be another one than that of the same updates from whole batches.
        """
        # Keras's own start: up to the first update the average is the weights. `iterations` counts updates.
        momentum = ops.cast(ops.not_equal(self.iterations, 0), "float32") * self.ema_momentum
        if self.gradient_accumulation_steps:
            updates = ops.equal((self._iterations + 1) % self.gradient_accumulation_steps, 0)
            goes_on = ops.logical_or(updates, ops.equal(self.iterations, 0))
            momentum = ops.where(goes_on, momentum, 1.0)
        for weight, average in zip(trainable_variables, self._model_variables_moving_average, strict=True):
            average.assign(momentum * average + (1 - momentum) * weight)

    def finalize_variable_values(self: Any, var_list: Sequence[Any]) -> None:
        """Put the averages in the place of the weights, where averages are kept."""
        if self.use_ema:
            everywhere = [True] * len(self.flat_layout.weights)
            for group, average in zip(self.flat_layout.groups, self._model_variables_moving_average, strict=True):
                group.put_back(average, everywhere)


class FlatAdamW(_Flat, keras.optimizers.AdamW):  # type: ignore[misc]
    """AdamW on long vectors."""


class FlatSGD(_Flat, keras.optimizers.SGD):  # type: ignore[misc]
    """SGD on long vectors."""


class FlatRMSprop(_Flat, keras.optimizers.RMSprop):  # type: ignore[misc]
    """RMSprop on long vectors."""
