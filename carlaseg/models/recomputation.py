"""Norm, ReLU and convolution as one layer that keeps nothing of what lies between; for training in less memory.

Source: Pleiss et al. 2017, "Memory-Efficient Implementation of DenseNets": what concatenation and batch norm make is
cheap to make again, and it is what grows with the square of a block's layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
from keras import ops

from carlaseg.models.layers import SeededHeUniform, StackNormRelu, scaled_relu

Recompute = Callable[[Callable[..., Any], Sequence[Any], Sequence[Any]], Sequence[Any]]
"""How a backend computes y = function(*maps, *others) in training and keeps nothing of what lies between; gives y and
the maps as they came. `carlaseg.training.recomputation` has them."""


class RecomputedNormReluConv(keras.layers.Layer):
    """`StackNormRelu` of feature maps side by side and the convolution after it.

    Forward it gives the numbers of the two layers it is made of. In training it keeps its inputs alone, which other
    layers keep anyway; the backward pass makes the stack and the ReLU again. Its two layers are built before it, so
    that their weights have the names they have without it, and a checkpoint fits both forms of the network.

    Inputs: `parts` pictures of feature maps (B, H, W, C1), (B, H, W, C2), ..., then the moments of their maps in order,
    float32 (2, Ci). Outputs: (B, H, W, filters), then the pictures as they came, for whoever sees them next: gradients
    then meet in pairs on their way back. Where more than two meet at once, TensorFlow's graph optimiser adds them in
    order of arrival, which differs from process to process.

    Args:
        parts: how many of the inputs are feature maps.
        norm: the norm, built.
        convolution: the convolution, built; 'same', stride 1, with bias.
        recompute: the backend's way.
        name: name of the layer.
    """

    def __init__(
        self, parts: int, norm: StackNormRelu, convolution: keras.layers.Conv2D, recompute: Recompute, *, name: str
    ) -> None:
        super().__init__(name=name, autocast=False)  # moments stay float32
        self.parts = parts
        self.norm = norm
        self.convolution = convolution
        self.recompute = recompute

    def build(self, input_shape: Any) -> None:
        """Nothing: its two layers are built by whoever makes it."""

    def compute_output_shape(self, input_shape: Any) -> list[Any]:
        """That of the convolution, and those of the pictures."""
        return [(*input_shape[0][:3], self.convolution.filters), *input_shape[: self.parts]]

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> list[Any]:
        """Pictures in the precision they come in."""
        shapes = self.compute_output_shape([tensor.shape for tensor in inputs])
        dtypes = [self.convolution.compute_dtype, *(tensor.dtype for tensor in inputs[: self.parts])]
        return [keras.KerasTensor(shape, dtype) for shape, dtype in zip(shapes, dtypes, strict=True)]

    def call(self, inputs: Any, training: bool | None = None) -> list[Any]:
        """The convolution's feature maps, and the inputs' own."""
        maps, moments = inputs[: self.parts], inputs[self.parts :]
        dtype = self.convolution.compute_dtype
        kernel, bias = ops.cast(self.convolution.kernel, dtype), ops.cast(self.convolution.bias, dtype)
        others = (*self.norm.scale_and_shift(moments, training), kernel, bias)
        if training:
            return list(self.recompute(_norm_relu_conv, maps, others))
        return [_norm_relu_conv(*maps, *others), *maps]


def all_layers(model: keras.Model) -> Iterator[Any]:
    """A network's layers, and the two that stand in each recomputed one."""
    for layer in model.layers:
        yield layer
        if isinstance(layer, RecomputedNormReluConv):
            yield layer.norm
            yield layer.convolution


def _norm_relu_conv(*values: Any) -> Any:
    """The convolution's output, of pictures, scale, shift, kernel and bias."""
    *maps, scale, shift, kernel, bias = values
    stack = ops.concatenate(maps, axis=-1) if len(maps) > 1 else maps[0]
    y = ops.conv(scaled_relu(stack, scale, shift), kernel, padding="same")
    return ops.add(y, ops.reshape(bias, (1, 1, 1, -1)))


def recomputed_norm_relu_conv(
    maps: list[Any],
    moments: list[Any],
    filters: int,
    kernel: int,
    recompute: Recompute,
    *,
    momentum: float,
    name: str,
    seed: int,
) -> list[Any]:
    """The layer called, `{name}_recomputed`, of a norm `{name}_norm` and a convolution `{name}_conv`."""
    norm = StackNormRelu(momentum=momentum, name=f"{name}_norm")
    convolution = keras.layers.Conv2D(
        filters,
        kernel,
        padding="same",
        kernel_initializer=SeededHeUniform(seed, f"{name}_conv"),
        name=f"{name}_conv",
    )
    stack = (*maps[0].shape[:3], sum(part.shape[-1] for part in maps))
    norm.build([stack])
    convolution.build(stack)
    layer = RecomputedNormReluConv(len(maps), norm, convolution, recompute, name=f"{name}_recomputed")
    called: list[Any] = layer([*maps, *moments])
    return called
