"""What a network costs to run, counted from its graph without running it."""

from __future__ import annotations

import math
from typing import Any

import keras

from carlaseg.models.recomputation import RecomputedNormReluConv


def multiply_adds(model: keras.Model, height: int, width: int) -> int:
    """Multiplications with an addition that convolutions and dense layers make on one picture.

    Exact for every layer with a kernel: convolutions (groups, strides and dilation counted for), depthwise, separable
    and transposed ones, and dense layers. Positions of a kernel that lie in the padding count, as they do everywhere.
    Normalisation, activations, pooling, resizing and biases are left out, as is usual. What a transposed convolution
    computes and a crop then drops counts.

    Args:
        model: a functional model with one input of pictures, (B, height, width, maps).
        height: height of the picture in pixels.
        width: width of the picture in pixels.

    Returns:
        Multiply-adds of one forward pass of one picture.
    """
    # Keras names a graph's tensors by the layers that make them; going through the layers in order gives every tensor
    # its shape at this size, without a second set of weights.
    (picture,) = model.inputs
    shapes: dict[int, Any] = {id(picture): (1, height, width, picture.shape[-1])}
    total = 0
    for layer in model.operations:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        inputs = [shapes[id(tensor)] for tensor in _tensors(layer.input)]
        outputs = _output_shapes(layer, inputs)
        shapes.update(zip(map(id, _tensors(layer.output)), outputs, strict=True))
        total += _of_layer(layer, inputs[0], outputs[0])
    return total


def _tensors(tensors: Any) -> list[Any]:
    return list(tensors) if isinstance(tensors, list | tuple) else [tensors]


def _output_shapes(layer: Any, inputs: list[Any]) -> list[Any]:
    specs = [
        keras.KerasTensor(shape, dtype=tensor.dtype)
        for shape, tensor in zip(inputs, _tensors(layer.input), strict=True)
    ]
    outputs = layer.compute_output_spec(specs if isinstance(layer.input, list | tuple) else specs[0])
    return [tuple(output.shape) for output in _tensors(outputs)]


def _of_layer(layer: Any, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> int:
    layers = keras.layers
    if isinstance(layer, RecomputedNormReluConv):
        layer = layer.convolution
    if isinstance(layer, layers.SeparableConv2D):
        pixels = math.prod(output_shape[1:3])
        return pixels * (math.prod(layer.depthwise_kernel.shape) + math.prod(layer.pointwise_kernel.shape))
    if isinstance(layer, layers.Conv2DTranspose):
        # Every input pixel is multiplied with the whole kernel.
        return math.prod(input_shape[1:3]) * math.prod(layer.kernel.shape)
    if isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D):
        # A kernel has shape (height, width, maps in a group, maps out), or one map in for each of a depthwise kernel.
        return math.prod(output_shape[1:3]) * math.prod(layer.kernel.shape)
    if isinstance(layer, layers.Dense):
        return math.prod(input_shape[1:-1]) * math.prod(layer.kernel.shape)
    return 0
