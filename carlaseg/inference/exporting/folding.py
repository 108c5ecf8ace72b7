"""The network as it is deployed: batch norm folded, dropout and batch moments gone, the same answers.

A norm that follows a convolution goes into that convolution's kernel and bias. A norm that comes first, as before the
ReLU of FC-DenseNet's layers, cannot: its ReLU stands between it and the next convolution. It becomes one
multiplication and one addition a feature map. No format is left to do this by itself, so all get the same network.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import keras
import numpy as np
from keras import ops

from carlaseg.models.layers import ChannelMoments, StackNormRelu

BLOCK = re.compile(r"[^_]+(_\d+(?=_))?")
FOLDABLE = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Conv2DTranspose)


class ScaleShift(keras.layers.Layer):  # type: ignore[misc]
    """A batch norm with nothing left to learn: a factor and a summand a feature map, and the ReLU that belongs to it.

    Input: (B, H, W, C), or a list that begins with it. Output: (B, H, W, C).

    Args:
        relu: whether a ReLU follows.
        as_convolution: whether it is a convolution of one pixel, a kernel a feature map, to converters.
    """

    def __init__(self, relu: bool, as_convolution: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.relu = relu
        self.as_convolution = as_convolution

    def build(self, input_shape: Any) -> None:
        """Make room for a factor and a summand a feature map."""
        channels = (input_shape[0] if isinstance(input_shape[0], list | tuple) else input_shape)[-1]
        self.scale = self.add_weight(shape=(channels,), initializer="ones", trainable=False, name="scale")
        self.shift = self.add_weight(shape=(channels,), initializer="zeros", trainable=False, name="shift")

    def call(self, inputs: Any) -> Any:
        """Scaled and shifted."""
        x = inputs[0] if isinstance(inputs, list | tuple) else inputs
        if self.as_convolution:
            x = ops.depthwise_conv(x, ops.reshape(self.scale, (1, 1, -1, 1)), data_format="channels_last") + self.shift
        else:
            x = x * self.scale + self.shift
        return ops.relu(x) if self.relu else x

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the feature maps."""
        return input_shape[0] if isinstance(input_shape[0], list | tuple) else input_shape


def folded(model: Any) -> Any:
    """A network with the same answers and fewer operations.

    Args:
        model: from `carlaseg.models`, with its weights.

    Returns:
        A Keras model from uint8 (B, H, W, 3) to float32 (B, H, W, C) logits, for prediction alone.
    """
    into = _norms_after_convolutions(model)
    folded_convolutions = {convolution.name for convolution in into.values()}

    def copied(layer: Any) -> Any:
        if isinstance(layer, keras.layers.Dropout | keras.layers.SpatialDropout2D) or layer.name in into:
            return keras.layers.Identity(name=layer.name)
        if isinstance(layer, keras.layers.BatchNormalization):
            return ScaleShift(isinstance(layer, StackNormRelu), name=layer.name)
        config = layer.get_config()
        if layer.name in folded_convolutions:
            config["use_bias"] = True
        return type(layer).from_config(config)

    def called(layer: Any, *inputs: Any, **options: Any) -> Any:
        # What a batch norm may be called with, the layer in its place may not know.
        return layer(*inputs, **{name: value for name, value in options.items() if name not in ("mask", "training")})

    deployed = keras.models.clone_model(model, clone_function=copied, call_function=called)
    for layer in model.layers:
        if layer.name in into:
            convolution = into[layer.name]
            deployed.get_layer(convolution.name).set_weights(_folded_weights(convolution, layer))
        elif isinstance(layer, keras.layers.BatchNormalization):
            deployed.get_layer(layer.name).set_weights(_scale_and_shift(layer))
        elif layer.weights and layer.name not in folded_convolutions and not _is_random(layer):
            deployed.get_layer(layer.name).set_weights(layer.get_weights())
    return deployed


def with_norms_as_convolutions(deployed: Any) -> Any:
    """A copy of a deployed network whose batch norms before a ReLU are convolutions of one pixel, a kernel a map."""

    def copied(layer: Any) -> Any:
        if isinstance(layer, ScaleShift):
            return ScaleShift(layer.relu, as_convolution=True, name=layer.name)
        return type(layer).from_config(layer.get_config())

    network = keras.models.clone_model(deployed, clone_function=copied)
    network.set_weights(deployed.get_weights())
    return network


def blocks(model: Any) -> dict[str, tuple[str, ...]]:
    """The network's convolutions by block, which a layer's name begins with: `down2_dense1_conv`, `block_7_expand`.

    Returns:
        Block to names of its layers, in the network's order.
    """
    found: dict[str, list[str]] = {}
    for layer in model.layers:
        if isinstance(layer, FOLDABLE):
            found.setdefault(_block_of(layer.name), []).append(layer.name)
    return {block: tuple(names) for block, names in found.items()}


def norms_before_relus(deployed: Any) -> tuple[str, ...]:
    """Names of the layers that are left of batch norms which no convolution could take in."""
    return tuple(layer.name for layer in deployed.layers if isinstance(layer, ScaleShift))


def _block_of(name: str) -> str:
    match = BLOCK.match(name)
    return match[0] if match else name


def _is_random(layer: Any) -> bool:
    return isinstance(layer, keras.layers.Dropout | keras.layers.SpatialDropout2D | ChannelMoments)


def _norms_after_convolutions(model: Any) -> dict[str, Any]:
    """Names of norms that are all a linear convolution's output goes to, each with that convolution."""
    used: Counter[int] = Counter()
    made_by: dict[int, Any] = {}
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        used.update(id(tensor) for tensor in keras.tree.flatten(layer.input))
        made_by.update({id(tensor): layer for tensor in keras.tree.flatten(layer.output)})
    used.update(id(tensor) for tensor in model.outputs)
    found: dict[str, Any] = {}
    for layer in model.layers:
        if type(layer) is not keras.layers.BatchNormalization:
            continue
        before = made_by.get(id(layer.input))
        linear = isinstance(before, FOLDABLE) and before.activation is keras.activations.linear
        if linear and used[id(layer.input)] == 1 and layer.axis in (-1, 3):
            found[layer.name] = before
    return found


def _scale_and_shift(norm: Any) -> list[Any]:
    """Factor and summand a feature map, from float64: rounding once, not at each step."""

    def of(variable: Any, otherwise: float) -> Any:
        if variable is None:
            return np.full(norm.moving_mean.shape, otherwise)
        return ops.convert_to_numpy(variable).astype(np.float64)

    scale = of(norm.gamma, 1.0) / np.sqrt(of(norm.moving_variance, 1.0) + norm.epsilon)
    shift = of(norm.beta, 0.0) - of(norm.moving_mean, 0.0) * scale
    return [scale.astype(np.float32), shift.astype(np.float32)]


def _folded_weights(convolution: Any, norm: Any) -> list[Any]:
    scale, shift = (part.astype(np.float64) for part in _scale_and_shift(norm))
    kernel = ops.convert_to_numpy(convolution.kernel).astype(np.float64)
    if isinstance(convolution, keras.layers.DepthwiseConv2D):
        kernel = kernel * scale.reshape(kernel.shape[2:])
    elif isinstance(convolution, keras.layers.Conv2DTranspose):
        kernel = kernel * scale[:, None]
    else:
        kernel = kernel * scale
    bias = ops.convert_to_numpy(convolution.bias).astype(np.float64) if convolution.use_bias else 0.0
    return [kernel.astype(np.float32), (bias * scale + shift).astype(np.float32)]
