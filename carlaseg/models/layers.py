"""Blocks that two or more networks use. Keras layers and `keras.ops` alone, so they run on every backend.

Every layer gets its name from the caller, and every random number comes from `seed` and that name: a network built
twice with one seed has the same weights, under TensorFlow, JAX and PyTorch alike.
"""

from __future__ import annotations

import zlib
from typing import Any

import keras
import numpy as np
from keras import ops

from carlaseg.errors import ConfigError

# Keras's 0.99 needs some 500 steps to forget its start, more than a small recording gives in a whole training; at 0.9
# the statistics follow the weights within 20 steps, and a batch of pictures has pixels enough to estimate them.
BATCH_NORM_MOMENTUM = 0.9


@keras.saving.register_keras_serializable(package="carlaseg")
class SeededHeUniform(keras.initializers.Initializer):
    """He-uniform initial weights drawn with NumPy.

    Keras's own `he_uniform` draws different weights on each backend, and compiles a program for each new shape on JAX:
    106 s for a network of 56 convolutions, against 2 s for this.

    Source: He et al. 2015, "Delving Deep into Rectifiers", section 2.2; the limits are those of Keras's `he_uniform`.

    Args:
        seed: seed of the network.
        name: name of the layer; with the seed it decides the weights.
        fan_in: inputs that one output sums; counted from the kernel's shape when not given, which is wrong for a
            depthwise kernel alone.
    """

    def __init__(self, seed: int, name: str, fan_in: int | None = None) -> None:
        self.seed = seed
        self.name = name
        self.fan_in = fan_in

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        """Weights of a convolution kernel, shape (kernel height, kernel width, in, out)."""
        fan_in = self.fan_in or int(np.prod(shape[:-1]))
        limit = float(np.sqrt(6.0 / fan_in))
        rng = np.random.default_rng([self.seed, zlib.crc32(self.name.encode())])
        drawn = rng.uniform(-limit, limit, shape).astype("float32")
        return ops.convert_to_tensor(drawn, dtype=dtype or "float32")

    def get_config(self) -> dict[str, Any]:
        """Arguments that make the same initialiser again."""
        return {"seed": self.seed, "name": self.name, "fan_in": self.fan_in}


@keras.saving.register_keras_serializable(package="carlaseg")
class CropToSkip(keras.layers.Layer):
    """Crop a picture of feature maps to the height and width of another one, from the top left.

    Pooling rounds odd sizes up and upsampling doubles them, so what comes up can be one row or column larger than what
    it is joined with. Inputs: (B, H+0..1, W+0..1, C) and (B, H, W, any). Output: (B, H, W, C).
    """

    def call(self, inputs: Any) -> Any:
        """The first input, cropped."""
        larger, skip = inputs
        _, height, width, _ = ops.shape(skip)
        return larger[:, :height, :width, :]

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """Height and width of the second input, channels of the first."""
        larger, skip = input_shape
        return (*skip[:3], larger[3])


@keras.saving.register_keras_serializable(package="carlaseg")
class ChannelMoments(keras.layers.Layer):
    """Mean and variance of every feature map over the batch, for the batch norms that see it.

    Input: (B, H, W, C). Output: float32 (2, C), mean then variance; zeros outside training, where no norm looks.
    """

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Mean and variance."""
        if not training:
            return ops.zeros((2, inputs.shape[-1]), "float32")
        return ops.stack(ops.moments(ops.cast(inputs, "float32"), axes=(0, 1, 2)))

    def compute_output_shape(self, input_shape: Any) -> tuple[int, int]:
        """Two rows of as many numbers as there are feature maps."""
        return (2, input_shape[-1])

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
        """Float32 whatever the precision of the feature maps."""
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), "float32")


@keras.saving.register_keras_serializable(package="carlaseg")
class StackNormRelu(keras.layers.BatchNormalization):
    """Batch norm of a stack of feature maps whose moments are known, and ReLU.

    In a dense block every layer normalises all feature maps before it, each with a scale and a shift of its own but
    with the same moments. Taken once a feature map (`ChannelMoments`) instead of once a layer they save much of the
    memory traffic of the norms; the numbers and the weights are those of BatchNormalization and ReLU.

    Inputs: the stack (B, H, W, C), then the moments of its parts in order: (2, C1), (2, C2), ..., C1 + C2 + ... = C.
    """

    def __init__(self, **options: Any) -> None:
        # Moments stay float32 in mixed precision: half-precision variances of thousands of pixels are noise.
        super().__init__(autocast=False, **options)

    def build(self, input_shape: Any) -> None:
        """Make the weights of a batch norm over the stack."""
        super().build(input_shape[0])
        self.input_spec = None

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the stack."""
        return input_shape[0]

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Scale and shift from the batch's moments in training, from the running ones otherwise."""
        stack, *moments = inputs
        return scaled_relu(stack, *self.scale_and_shift(moments, training))

    def scale_and_shift(self, moments: Any, training: bool | None) -> tuple[Any, Any]:
        """What the norm comes to, float32 (C,) each; in training the running moments move towards the batch's."""
        if training and self.trainable:
            mean, variance = ops.unstack(ops.concatenate(moments, axis=-1), 2)
            self.moving_mean.assign(self.moving_mean * self.momentum + mean * (1.0 - self.momentum))
            self.moving_variance.assign(self.moving_variance * self.momentum + variance * (1.0 - self.momentum))
        else:
            mean, variance = ops.convert_to_tensor(self.moving_mean), ops.convert_to_tensor(self.moving_variance)
        scale = self.gamma * ops.rsqrt(variance + self.epsilon)
        return scale, self.beta - mean * scale


def scaled_relu(stack: Any, scale: Any, shift: Any) -> Any:
    """ReLU of stack x scale + shift, in the stack's precision; (B, H, W, C) and twice (C,)."""
    scale, shift = ops.cast(scale, stack.dtype), ops.cast(shift, stack.dtype)
    if keras.backend.backend() != "tensorflow":
        return ops.relu(stack * scale + shift)
    # As three operations this goes through memory three times, and its gradient twice as often. As a 1x1 depthwise
    # convolution with a bias it is a single kernel on a CPU, and so is each of its gradients (docs/decisions/0012).
    return ops.relu(ops.add(ops.depthwise_conv(stack, ops.reshape(scale, (1, 1, -1, 1))), shift))


def image_input(name: str = "image") -> tuple[Any, Any]:
    """RGB bytes in, floats in [-1, 1] out: the first two layers of every network trained from scratch.

    Rescaling is part of the network so that a checkpoint and a PNG give the same answer everywhere.

    Returns:
        The input, uint8 (B, H, W, 3) RGB of free height and width, and the rescaled picture, float (B, H, W, 3).
    """
    image = keras.Input(shape=(None, None, 3), dtype="uint8", name=name)
    return image, keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="rescaling")(image)


def conv(
    x: Any,
    filters: int,
    kernel: int | tuple[int, int],
    *,
    name: str,
    seed: int,
    stride: int = 1,
    dilation: int = 1,
    bias: bool = True,
    padding: str = "same",
) -> Any:
    """A convolution with He-uniform weights; 'same', with bias, unless the caller says otherwise."""
    return keras.layers.Conv2D(
        filters,
        kernel,
        strides=stride,
        dilation_rate=dilation,
        use_bias=bias,
        padding=padding,
        kernel_initializer=SeededHeUniform(seed, name),
        name=name,
    )(x)


def depthwise_conv(x: Any, kernel: int, *, name: str, seed: int, stride: int = 1, dilation: int = 1) -> Any:
    """A 'same' convolution of every feature map with a kernel of its own, without bias."""
    return keras.layers.DepthwiseConv2D(
        kernel,
        strides=stride,
        dilation_rate=dilation,
        padding="same",
        use_bias=False,
        depthwise_initializer=SeededHeUniform(seed, name, fan_in=kernel * kernel),
        name=name,
    )(x)


def scaled(filters: int, width_multiplier: float) -> int:
    """Feature maps of a layer in a network that is narrower (wider) than published, never fewer than 4.

    Raises:
        ConfigError: a network of more than twice the width, which has four times the weights and more.
    """
    if not 0 < width_multiplier <= 2:
        raise ConfigError(f"width_multiplier: expected above 0 and at most 2, received {width_multiplier}.")
    return filters if width_multiplier == 1 else max(4, round(filters * width_multiplier))


def upsampling_conv(x: Any, filters: int, kernel: int, *, name: str, seed: int) -> Any:
    """A transposed convolution that doubles height and width."""
    return keras.layers.Conv2DTranspose(
        filters, kernel, strides=2, padding="same", kernel_initializer=SeededHeUniform(seed, name), name=name
    )(x)


def norm_relu(x: Any, *, name: str) -> Any:
    """Batch normalisation, then ReLU; layers `{name}_norm` and `{name}_relu`."""
    x = keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_norm")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def dropout(x: Any, rate: float, *, name: str, seed: int) -> Any:
    """Dropout with a stream of its own; the input itself when the rate is 0."""
    if rate == 0:
        return x
    return keras.layers.Dropout(rate, seed=(seed + zlib.crc32(name.encode())) % 2**31, name=name)(x)


def class_logits(x: Any, num_classes: int, *, seed: int, name: str = "logits") -> Any:
    """A 1x1 convolution to one channel a class, in float32 whatever the precision of the rest.

    Logits, not probabilities: cross-entropy on logits is exact where softmax saturates, and its gradient works on all
    three backends (the softmax form fails in PyTorch's backward pass with Keras 3.15).
    """
    return keras.layers.Conv2D(
        num_classes, 1, kernel_initializer=SeededHeUniform(seed, name), dtype="float32", name=name
    )(x)
