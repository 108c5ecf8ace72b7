"""ENet: a large encoder and a small decoder of bottlenecks, dilated and asymmetric in turn; 0.36 M parameters.

Source: Paszke, Chaurasia, Kim, Culurciello, "ENet: A Deep Neural Network Architecture for Real-Time Semantic
Segmentation" (2016), sections 3 and 4, table 1 and figure 2: initial block of 13 + 3 maps, no biases, batch norm after
every convolution and between it and its PReLU, PReLU in the encoder and ReLU in the decoder, spatial dropout 0.01 in
the first stage and 0.1 after it, unpooling with the positions of the encoder's maxima.

The paper leaves three numbers open. Here a bottleneck has a quarter of its output's maps inside, a PReLU has a slope
for every map, and the decoder upsamples by 3x3 transposed convolutions; with these the encoder and decoder have 363,967
trainable parameters at 11 classes, the paper's 0.37 M. Batch norm does not stand between the halves of an asymmetric
convolution. Odd sizes are pooled up and cropped on the way back.
"""

from __future__ import annotations

import zlib
from typing import Any, Literal

import keras
from keras import ops

from carlaseg.models.layers import (
    BATCH_NORM_MOMENTUM,
    CropToSkip,
    SeededHeUniform,
    conv,
    image_input,
    scaled,
)
from carlaseg.models.resampling import MaxPoolWithIndices, MaxUnpool

Kind = Literal["regular", "asymmetric"] | int


@keras.saving.register_keras_serializable(package="carlaseg")
class AppendZeroMaps(keras.layers.Layer):
    """Feature maps of zeros behind the input's, so that it can be added to a wider one.

    Input: (B, H, W, C). Output: (B, H, W, maps).

    Args:
        maps: feature maps of the output.
    """

    def __init__(self, maps: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.maps = maps

    def call(self, inputs: Any) -> Any:
        """The input and zeros."""
        return ops.pad(inputs, ((0, 0), (0, 0), (0, 0), (0, self.maps - inputs.shape[-1])))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """The input's shape with the new number of maps."""
        return (*input_shape[:3], self.maps)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make the same layer again."""
        return {**super().get_config(), "maps": self.maps}


def enet(
    num_classes: int,
    *,
    dropout_rate: float = 0.1,
    width_multiplier: float = 1.0,
    seed: int = 0,
    name: str = "enet",
) -> keras.Model:
    """ENet; 0.36 M parameters.

    Args:
        num_classes: classes to tell apart.
        dropout_rate: spatial dropout from the second stage on; a tenth of it in the first.
        width_multiplier: feature maps against the published ones.
        seed: seed of initial weights and dropout.
        name: name of the model.

    Returns:
        A model from uint8 (B, H, W, 3) RGB to float32 (B, H, W, num_classes) logits; H and W are free.
    """
    early = _Blocks(dropout_rate / 10, prelu=True, seed=seed)
    encoder = _Blocks(dropout_rate, prelu=True, seed=seed)
    decoder = _Blocks(dropout_rate, prelu=False, seed=seed)
    wide, middle, narrow = (scaled(maps, width_multiplier) for maps in (128, 64, 16))
    image, x = image_input()

    # === Initial block and stage 1 ===
    convolved = conv(x, max(1, narrow - 3), 3, name="initial_conv", seed=seed, stride=2, bias=False)
    pooled = keras.layers.MaxPooling2D(2, padding="same", name="initial_pool")(x)
    x = early.activate(early.norm(keras.layers.Concatenate(name="initial")([convolved, pooled]), "initial"), "initial")
    first = x
    x, first_index = early.down(x, middle, "stage1_0")
    for index in range(1, 5):
        x = early.same(x, "regular", f"stage1_{index}")

    # === Stages 2 and 3: the same eight bottlenecks, a number is a dilation ===
    second = x
    x, second_index = encoder.down(x, wide, "stage2_0")
    kinds: tuple[Kind, ...] = ("regular", 2, "asymmetric", 4, "regular", 8, "asymmetric", 16)
    for stage in (2, 3):
        for index, kind in enumerate(kinds, start=1):
            x = encoder.same(x, kind, f"stage{stage}_{index}")

    # === Decoder ===
    x = decoder.up(x, second, second_index, "stage4_0")
    for index in (1, 2):
        x = decoder.same(x, "regular", f"stage4_{index}")
    x = decoder.up(x, first, first_index, "stage5_0")
    x = decoder.same(x, "regular", "stage5_1")
    x = keras.layers.Conv2DTranspose(
        num_classes,
        3,
        strides=2,
        padding="same",
        use_bias=False,
        kernel_initializer=SeededHeUniform(seed, "logits"),
        dtype="float32",
        name="logits",
    )(x)
    return keras.Model(image, CropToSkip(dtype="float32", name="logits_crop")([x, image]), name=name)


class _Blocks:
    """Bottlenecks with the dropout and the activation of one part of the network."""

    def __init__(self, dropout_rate: float, *, prelu: bool, seed: int) -> None:
        self._dropout_rate = dropout_rate
        self._prelu = prelu
        self._seed = seed

    def norm(self, x: Any, name: str) -> Any:
        return keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_norm")(x)

    def activate(self, x: Any, name: str) -> Any:
        if not self._prelu:
            return keras.layers.ReLU(name=f"{name}_relu")(x)
        # The slope that PyTorch and Torch begin with, which the authors used.
        slope = keras.initializers.Constant(0.25)
        return keras.layers.PReLU(alpha_initializer=slope, shared_axes=[1, 2], name=f"{name}_prelu")(x)

    def same(self, x: Any, kind: Kind, name: str) -> Any:
        """A bottleneck that keeps height, width and maps; `kind` a dilation where it is a number."""
        maps = x.shape[-1]
        inside = max(1, maps // 4)
        y = self._conv(x, inside, 1, f"{name}_reduce")
        if kind == "asymmetric":
            y = conv(y, inside, (5, 1), name=f"{name}_column_conv", seed=self._seed, bias=False)
            y = self._conv(y, inside, (1, 5), f"{name}_row")
        else:
            y = self._conv(y, inside, 3, f"{name}_main", dilation=1 if kind == "regular" else kind)
        return self._join(x, y, name)

    def down(self, x: Any, maps: int, name: str) -> tuple[Any, Any]:
        """A bottleneck that halves height and width; also where the maxima were."""
        inside = max(1, maps // 4)
        pooled, index = MaxPoolWithIndices(name=f"{name}_pool")(x)
        y = self._conv(x, inside, 2, f"{name}_reduce", stride=2)
        y = self._conv(y, inside, 3, f"{name}_main")
        return self._join(AppendZeroMaps(maps, name=f"{name}_zeros")(pooled), y, name), index

    def up(self, x: Any, skip: Any, index: Any, name: str) -> Any:
        """A bottleneck that brings the picture to the height, width and maps of `skip`."""
        maps = skip.shape[-1]
        inside = max(1, maps // 4)
        shortcut = self.norm(
            conv(x, maps, 1, name=f"{name}_shortcut_conv", seed=self._seed, bias=False), f"{name}_shortcut"
        )
        shortcut = MaxUnpool(name=f"{name}_unpool")([shortcut, index])
        y = self._conv(x, inside, 1, f"{name}_reduce")
        y = keras.layers.Conv2DTranspose(
            inside,
            3,
            strides=2,
            padding="same",
            use_bias=False,
            kernel_initializer=SeededHeUniform(self._seed, f"{name}_main_deconv"),
            name=f"{name}_main_deconv",
        )(y)
        y = self.activate(self.norm(y, f"{name}_main"), f"{name}_main")
        joined = self._join(shortcut, y, name, maps)
        return CropToSkip(name=f"{name}_crop")([joined, skip])

    def _conv(self, x: Any, filters: int, kernel: Any, name: str, *, stride: int = 1, dilation: int = 1) -> Any:
        x = conv(
            x,
            filters,
            kernel,
            name=f"{name}_conv",
            seed=self._seed,
            stride=stride,
            dilation=dilation,
            bias=False,
        )
        return self.activate(self.norm(x, name), name)

    def _join(self, shortcut: Any, x: Any, name: str, maps: int | None = None) -> Any:
        """Expand to the shortcut's maps, norm, dropout, sum, activation."""
        x = conv(x, maps or shortcut.shape[-1], 1, name=f"{name}_expand_conv", seed=self._seed, bias=False)
        x = self.norm(x, f"{name}_expand")
        if self._dropout_rate:
            stream = (self._seed + zlib.crc32(f"{name}_dropout".encode())) % 2**31
            x = keras.layers.SpatialDropout2D(self._dropout_rate, seed=stream, name=f"{name}_dropout")(x)
        return self.activate(keras.layers.Add(name=f"{name}_sum")([shortcut, x]), name)
