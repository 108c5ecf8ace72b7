"""Layers that change height and width at sizes known only when the picture comes. No weights, no state.

They are written so that they leave Keras as they are: slices, comparisons and reshapes, which ONNX, LiteRT and OpenVINO
have, in place of the scatter and arg-max operations, which they have not.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops


def _doubled(length: int | None) -> int | None:
    return None if length is None else 2 * length


def _halved(length: int | None) -> int | None:
    return None if length is None else (length + 1) // 2


@keras.saving.register_keras_serializable(package="carlaseg")
class MaxPoolWithIndices(keras.layers.Layer):
    """The largest of every 2x2 window, and which of the four it was.

    Input: (B, H, W, C). Outputs: the maxima, (B, ceil(H/2), ceil(W/2), C), and their positions, int32 of the same
    shape: 0 top left, 1 top right, 2 bottom left, 3 bottom right; the first one where several are equal.

    An odd last row or column is repeated to fill its windows. The copy loses every tie to the original, so no index
    ever points outside the picture.
    """

    def call(self, inputs: Any) -> Any:
        """Maxima and positions."""
        rows = ops.concatenate([inputs, inputs[:, -1:]], axis=1)
        x = ops.concatenate([rows, rows[:, :, -1:]], axis=2)
        _, height, width, _ = ops.shape(inputs)
        # One past the last even row, or the copy below the last odd one.
        bottom, right = height + height % 2, width + width % 2
        first = x[:, 0:bottom:2, 0:right:2]
        second = x[:, 0:bottom:2, 1:right:2]
        third = x[:, 1:bottom:2, 0:right:2]
        fourth = x[:, 1:bottom:2, 1:right:2]
        largest = ops.maximum(ops.maximum(first, second), ops.maximum(third, fourth))
        index = ops.where(first == largest, 0, ops.where(second == largest, 1, ops.where(third == largest, 2, 3)))
        # Chosen by the index, not by the maximum: then the gradient goes where the index points, on every backend.
        pooled = ops.where(index == 0, first, ops.where(index == 1, second, ops.where(index == 2, third, fourth)))
        return pooled, ops.cast(index, "int32")

    def compute_output_spec(self, inputs: Any) -> tuple[Any, Any]:
        """Shapes and types of maxima and positions."""
        shape = (inputs.shape[0], _halved(inputs.shape[1]), _halved(inputs.shape[2]), inputs.shape[3])
        return keras.KerasTensor(shape, dtype=self.compute_dtype), keras.KerasTensor(shape, dtype="int32")


@keras.saving.register_keras_serializable(package="carlaseg")
class MaxUnpool(keras.layers.Layer):
    """Feature maps of twice the height and width: every value where its maximum was, zeros elsewhere.

    Inputs: (B, H, W, C) and positions from `MaxPoolWithIndices`, int32 (B, H, W, C). Output: (B, 2H, 2W, C).
    """

    def call(self, inputs: Any) -> Any:
        """The values at their places."""
        x, index = inputs
        zeros = ops.zeros_like(x)
        first, second, third, fourth = (ops.where(index == place, x, zeros) for place in range(4))
        batch, height, width, _ = ops.shape(x)
        channels = x.shape[-1]
        top = ops.reshape(ops.stack([first, second], axis=3), (batch, height, 2 * width, channels))
        bottom = ops.reshape(ops.stack([third, fourth], axis=3), (batch, height, 2 * width, channels))
        return ops.reshape(ops.stack([top, bottom], axis=2), (batch, 2 * height, 2 * width, channels))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """Twice the height and width of the first input."""
        batch, height, width, channels = input_shape[0]
        return (batch, _doubled(height), _doubled(width), channels)


@keras.saving.register_keras_serializable(package="carlaseg")
class AverageBins(keras.layers.Layer):
    """Means over a grid of bins x bins windows that cover the picture, whatever its size.

    Window i of a side of n pixels runs from floor(i n / bins) to ceil((i + 1) n / bins), so windows overlap by a pixel
    where the side is no multiple of the bins, and none is ever empty. Input: (B, H, W, C); output (B, bins, bins, C).

    Source: the adaptive average pooling of PyTorch, which the authors' later code of PSPNet uses.

    Args:
        bins: windows a side.
    """

    def __init__(self, bins: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bins = bins

    def call(self, inputs: Any) -> Any:
        """The means, summed in float32."""
        _, height, width, _ = ops.shape(inputs)
        x = ops.cast(inputs, "float32")
        x = ops.einsum("ih,bhwc->biwc", self._weights_of_windows(height), x)
        x = ops.einsum("jw,biwc->bijc", self._weights_of_windows(width), x)
        return ops.cast(x, self.compute_dtype)

    def _weights_of_windows(self, length: Any) -> Any:
        index = ops.convert_to_tensor(np.arange(self.bins, dtype="int32"))[:, None]
        first = index * length // self.bins
        end = ((index + 1) * length + self.bins - 1) // self.bins
        place = ops.arange(length, dtype="int32")[None, :]
        inside = ops.logical_and(place >= first, place < end)
        return ops.cast(inside, "float32") / ops.cast(end - first, "float32")

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """As many rows and columns as bins."""
        return (input_shape[0], self.bins, self.bins, input_shape[3])

    def get_config(self) -> dict[str, Any]:
        """Arguments that make the same layer again."""
        return {**super().get_config(), "bins": self.bins}


@keras.saving.register_keras_serializable(package="carlaseg")
class ResizeTo(keras.layers.Layer):
    """Feature maps resized bilinearly, half-pixel centres, to the height and width of another tensor.

    Inputs: (B, h, w, C) and (B, H, W, any). Output: (B, H, W, C).

    Where the size is known only when the picture comes (TensorFlow, a model of free size), interpolation is a product
    with a matrix for the rows and one for the columns, because `keras.ops.image.resize` of Keras 3.15 wants numbers.
    """

    def call(self, inputs: Any) -> Any:
        """The first input, resized in float32."""
        x, target = inputs
        _, height, width, _ = ops.shape(x)
        _, new_height, new_width, _ = ops.shape(target)
        x = ops.cast(x, "float32")
        if isinstance(new_height, int) and isinstance(new_width, int):
            x = ops.image.resize(x, (new_height, new_width), interpolation="bilinear")
        else:
            x = ops.einsum("ih,bhwc->biwc", _interpolation(height, new_height), x)
            x = ops.einsum("jw,biwc->bijc", _interpolation(width, new_width), x)
        return ops.cast(x, self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """Height and width of the second input, channels of the first."""
        x, target = input_shape
        return (x[0], target[1], target[2], x[3])


def _interpolation(length: Any, new_length: Any) -> Any:
    """Weights of `length` old places in each of `new_length` new ones, float32 (new_length, length)."""
    old, new = ops.cast(length, "float32"), ops.cast(new_length, "float32")
    centre = (ops.cast(ops.arange(new_length), "float32") + 0.5) * (old / new) - 0.5
    centre = ops.clip(centre, 0.0, old - 1.0)
    distance = ops.abs(centre[:, None] - ops.cast(ops.arange(length), "float32")[None, :])
    return ops.relu(1.0 - distance)
