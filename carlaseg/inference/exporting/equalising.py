"""The deployed network with feature maps of equal ranges: the same answers, and eight bits that suffice for each map.

LiteRT gives a tensor one range, and all parts of a stack (and what they are made of) that of the whole stack. In
FC-DenseNet one map in twenty reaches 29 and most stay below 2, so most were left with a dozen of the 256 steps.

A convolution may give a map k times smaller where everything that reads it takes it k times larger. So each map is
divided by its largest value on the calibration pictures, in the convolution that makes it, and multiplied again in the
batch norms and convolutions that read it. Between them may stand only what such a factor passes through unchanged.

Source: the idea is that of Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction",
section 4.1; ours takes ranges from pictures and follows maps through stacks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from carlaseg.inference.exporting.folding import ScaleShift, with_norms_as_convolutions
from carlaseg.models.layers import ChannelMoments, CropToSkip

CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.Conv2DTranspose)
PASSED_THROUGH = (keras.layers.AveragePooling2D, keras.layers.MaxPooling2D, keras.layers.Identity, CropToSkip)
"""Of the first input alone: a crop's second one only says how large."""
SMALLEST_RANGE = 1e-6
"""Maps that stay below are always zero; they are left as they are."""

Parts = tuple[str, ...]
"""The convolutions that made a tensor: one, or those of a stack in order."""


def equalised(deployed: Any, pictures: Iterable[NDArray[np.uint8]]) -> Any:
    """A network with the same answers, whose feature maps fill their ranges.

    Batch norms that stand before a ReLU become convolutions of one pixel, a kernel a feature map: those have a scale a
    map in eight bits, where a multiplication has one for all.

    Args:
        deployed: from `folded`; it stays as it is.
        pictures: that show how large feature maps become, each uint8 (1, H, W, 3).
    """
    network = with_norms_as_convolutions(deployed)
    readers, fixed = _readers(network)
    largest = _largest(network, fixed, pictures)
    for name, values in largest.items():
        _scale_outputs(network.get_layer(name), 1.0 / values)
    for layer, parts in readers:
        _scale_inputs(layer, np.concatenate([largest[name] for name in parts]))
    return network


def _readers(network: Any) -> tuple[list[tuple[Any, Parts]], set[str]]:
    """Layers that take in a factor a map, each with what it reads; and convolutions whose maps stay as they are."""
    made: dict[int, Parts] = {}
    fixed: set[str] = set()
    readers: list[tuple[Any, Parts]] = []

    def parts_of(tensors: Iterable[Any]) -> Parts:
        return tuple(name for tensor in tensors for name in made.get(id(tensor), ()))

    for layer in network.layers:
        if isinstance(layer, keras.layers.InputLayer | ChannelMoments):
            continue  # moments are those of training: nothing is predicted from them
        inputs, outputs = keras.tree.flatten(layer.input), keras.tree.flatten(layer.output)
        if isinstance(layer, (*CONVOLUTIONS, ScaleShift)):
            if id(inputs[0]) in made:
                readers.append((layer, made[id(inputs[0])]))
            if isinstance(layer, CONVOLUTIONS):
                made[id(outputs[0])] = (layer.name,)
                if layer.activation is not keras.activations.linear:
                    fixed.add(layer.name)
        elif isinstance(layer, keras.layers.Concatenate) and all(id(tensor) in made for tensor in inputs):
            made[id(outputs[0])] = parts_of(inputs)
        elif isinstance(layer, PASSED_THROUGH) and id(inputs[0]) in made:
            made[id(outputs[0])] = made[id(inputs[0])]
        else:
            fixed.update(parts_of(inputs))
    fixed.update(parts_of(network.outputs))
    return readers, fixed


def _largest(network: Any, fixed: set[str], pictures: Iterable[NDArray[np.uint8]]) -> dict[str, NDArray[np.float64]]:
    """The largest absolute value of every map of every convolution; 1 for maps that stay as they are."""
    convolutions = [layer for layer in network.layers if isinstance(layer, CONVOLUTIONS)]
    largest = {layer.name: np.zeros(layer.filters) for layer in convolutions}
    seen = {
        layer.name: ops.max(ops.abs(layer.output), axis=(0, 1, 2)) for layer in convolutions if layer.name not in fixed
    }
    if seen:
        probe = keras.Model(network.input, seen)
        for picture in pictures:
            for name, values in probe.predict_on_batch(picture).items():
                largest[name] = np.maximum(largest[name], values)
    return {name: np.where(values > SMALLEST_RANGE, values, 1.0) for name, values in largest.items()}


def _scale_outputs(convolution: Any, factors: NDArray[np.float64]) -> None:
    kernel, *bias = convolution.get_weights()
    # A transposed convolution's kernel has its outputs before its inputs.
    transposed = isinstance(convolution, keras.layers.Conv2DTranspose)
    kernel = kernel * (factors[:, None] if transposed else factors)
    convolution.set_weights([kernel, *(values * factors for values in bias)])


def _scale_inputs(layer: Any, factors: NDArray[np.float64]) -> None:
    weights, *others = layer.get_weights()
    last = isinstance(layer, ScaleShift | keras.layers.Conv2DTranspose)
    layer.set_weights([weights * (factors if last else factors[:, None]), *others])
