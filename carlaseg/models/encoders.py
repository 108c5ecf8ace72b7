"""ImageNet classifiers as encoders: VGG16, MobileNet, MobileNetV2, ResNet50 and DenseNet121, dilated where asked.

Graphs and layer names are those of `keras.applications`, whose weight files therefore fit layer by layer. They are
built again here because those graphs cannot be dilated, draw other initial weights on each backend, and round odd sizes
down; a test loads each one's weights into its twin and compares what comes out.

Preprocessing is part of the network and belongs to the weights: with weights of `keras.applications` the picture is
scaled as they were trained, without them to [-1, 1]. Networks see RGB throughout: for the two encoders that were
trained on BGR, the first kernel is turned round instead of the picture.

ResNet50 is the one of `keras.applications`: its convolutions have biases, 26,560 numbers more than the bias-free
ResNet50 of PyTorch (23,534,592 trainable against 23,508,032), and strides stand in the first 1x1 convolution of a
stage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from carlaseg.errors import ConfigError
from carlaseg.models.layers import BATCH_NORM_MOMENTUM, conv, depthwise_conv, image_input, scaled

# What `encoder_weights` says when the graph of a network with pretrained weights is wanted, and its numbers come from a
# checkpoint: the preprocessing of the weights, without a download.
LATER = "later"

_EPSILON = 1.001e-5


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """A row of the table of encoders.

    Args:
        features: takes the scaled picture, `output_stride`, `width_multiplier` and `seed`; returns the feature maps of
            stage 1 (half height and width) to stage 5. Stages past the output stride keep their size and are dilated.
        application: its name in `keras.applications`.
        scale: what its weights want bytes multiplied by, RGB.
        offset: what they want added then, RGB.
        first_kernel_of_bgr: first convolution, for weights that were trained on BGR.
    """

    features: Callable[..., dict[int, Any]]
    application: str
    scale: float | tuple[float, float, float]
    offset: float | tuple[float, float, float]
    first_kernel_of_bgr: str | None = None


def vgg16(x: Any, *, output_stride: int = 32, width_multiplier: float = 1.0, seed: int = 0) -> dict[int, Any]:
    """VGG16's thirteen convolutions; stage k is what comes out of the k-th pooling.

    Source: Simonyan and Zisserman 2015, "Very Deep Convolutional Networks", table 1, column D.
    """
    _refuse_dilation("vgg16", output_stride)
    stages = {}
    for stage, (convs, filters) in enumerate(VGG16_STAGES, start=1):
        for index in range(1, convs + 1):
            name = f"block{stage}_conv{index}"
            x = conv(x, scaled(filters, width_multiplier), 3, name=name, seed=seed)
            x = keras.layers.ReLU(name=f"{name}_relu")(x)
        x = keras.layers.MaxPooling2D(2, padding="same", name=f"block{stage}_pool")(x)
        stages[stage] = x
    return stages


# (convolutions, feature maps) of each stage.
VGG16_STAGES = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))


def mobilenet(x: Any, *, output_stride: int = 32, width_multiplier: float = 1.0, seed: int = 0) -> dict[int, Any]:
    """MobileNet, 13 separable convolutions.

    Source: Howard et al. 2017, "MobileNets", table 1.
    """
    _refuse_dilation("mobilenet", output_stride)
    x = conv(x, scaled(32, width_multiplier), 3, name="conv1", seed=seed, stride=2, bias=False)
    x = _norm_relu6(x, "conv1_bn", "conv1_relu")
    stages = {}
    stage = 1
    for index, filters in enumerate((64, 128, 128, 256, 256, *[512] * 6, 1024, 1024), start=1):
        stride = 2 if index in (2, 4, 6, 12) else 1
        if stride == 2:
            stages[stage] = x
            stage += 1
        x = depthwise_conv(x, 3, name=f"conv_dw_{index}", seed=seed, stride=stride)
        x = _norm_relu6(x, f"conv_dw_{index}_bn", f"conv_dw_{index}_relu")
        x = conv(x, scaled(filters, width_multiplier), 1, name=f"conv_pw_{index}", seed=seed, bias=False)
        x = _norm_relu6(x, f"conv_pw_{index}_bn", f"conv_pw_{index}_relu")
    stages[stage] = x
    return stages


def mobilenet_v2(x: Any, *, output_stride: int = 32, width_multiplier: float = 1.0, seed: int = 0) -> dict[int, Any]:
    """MobileNetV2's 17 inverted residual blocks; stage 5 is the last one's 320 maps, without the 1x1 to 1280 after it.

    Source: Sandler et al. 2018, "MobileNetV2", table 2; section 6.3 segments from there, too.
    """
    x = conv(x, scaled(32, width_multiplier), 3, name="Conv1", seed=seed, stride=2, bias=False)
    x = _norm_relu6(x, "bn_Conv1", "Conv1_relu")
    stages = {}
    stage, rates = 1, _Rates(2, output_stride)
    repeats = ((16, 1), (24, 2), (32, 3), (64, 4), (96, 3), (160, 3), (320, 1))
    for index, filters in enumerate(filters for filters, blocks in repeats for _ in range(blocks)):
        stride, dilation = 1, rates.dilation
        if index in (1, 3, 6, 13):
            stages[stage] = x
            stage += 1
            stride, dilation = rates.halve()
        x = _inverted_residual(x, index, scaled(filters, width_multiplier), stride, dilation, seed)
    stages[stage] = x
    return stages


def _inverted_residual(x: Any, index: int, filters: int, stride: int, dilation: int, seed: int) -> Any:
    where = f"block_{index}" if index else "expanded_conv"
    inputs, channels = x, x.shape[-1]
    if index:
        x = conv(x, 6 * channels, 1, name=f"{where}_expand", seed=seed, bias=False)
        x = _norm_relu6(x, f"{where}_expand_BN", f"{where}_expand_relu")
    x = depthwise_conv(x, 3, name=f"{where}_depthwise", seed=seed, stride=stride, dilation=dilation)
    x = _norm_relu6(x, f"{where}_depthwise_BN", f"{where}_depthwise_relu")
    x = conv(x, filters, 1, name=f"{where}_project", seed=seed, bias=False)
    x = _norm(x, f"{where}_project_BN", 1e-3)
    # A block that would have halved the picture has no shortcut, even where dilation lets it keep its size.
    if channels == filters and index not in (1, 3, 6, 13):
        x = keras.layers.Add(name=f"{where}_add")([inputs, x])
    return x


def resnet50(x: Any, *, output_stride: int = 32, width_multiplier: float = 1.0, seed: int = 0) -> dict[int, Any]:
    """ResNet50, 16 bottleneck blocks, convolutions with bias.

    Source: He et al. 2016, "Deep Residual Learning", table 1; strides and biases as in `keras.applications`.
    """
    x = keras.layers.ZeroPadding2D(3, name="conv1_pad")(x)
    x = conv(x, scaled(64, width_multiplier), 7, name="conv1_conv", seed=seed, stride=2, padding="valid")
    x = _norm_relu(x, "conv1_bn", "conv1_relu")
    stages = {1: x}
    x = keras.layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = keras.layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)
    rates = _Rates(4, output_stride)
    for stage, (filters, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), start=2):
        stride = 1
        if stage > 2:
            stride, _ = rates.halve()
        for block in range(1, blocks + 1):
            # The stride is in a 1x1 convolution that stands before the 3x3, so the 3x3 already needs the new rate.
            x = _bottleneck(
                x,
                f"conv{stage}_block{block}",
                scaled(filters, width_multiplier),
                stride if block == 1 else 1,
                rates.dilation,
                shortcut=block == 1,
                seed=seed,
            )
        stages[stage] = x
    return stages


def _bottleneck(x: Any, where: str, filters: int, stride: int, dilation: int, *, shortcut: bool, seed: int) -> Any:
    inputs = x
    if shortcut:
        inputs = conv(x, 4 * filters, 1, name=f"{where}_0_conv", seed=seed, stride=stride)
        inputs = _norm(inputs, f"{where}_0_bn", _EPSILON)
    x = conv(x, filters, 1, name=f"{where}_1_conv", seed=seed, stride=stride)
    x = _norm_relu(x, f"{where}_1_bn", f"{where}_1_relu")
    x = conv(x, filters, 3, name=f"{where}_2_conv", seed=seed, dilation=dilation)
    x = _norm_relu(x, f"{where}_2_bn", f"{where}_2_relu")
    x = conv(x, 4 * filters, 1, name=f"{where}_3_conv", seed=seed)
    x = _norm(x, f"{where}_3_bn", _EPSILON)
    x = keras.layers.Add(name=f"{where}_add")([inputs, x])
    return keras.layers.ReLU(name=f"{where}_out")(x)


def densenet121(x: Any, *, output_stride: int = 32, width_multiplier: float = 1.0, seed: int = 0) -> dict[int, Any]:
    """DenseNet121. Where it is dilated, the pooling of the transition is left out.

    Source: Huang et al. 2017, "Densely Connected Convolutional Networks", table 1; without the poolings and with
    dilated blocks as in Yang et al. 2018, "DenseASPP".
    """
    x = keras.layers.ZeroPadding2D(3, name="conv1_pad")(x)
    x = conv(x, scaled(64, width_multiplier), 7, name="conv1_conv", seed=seed, stride=2, bias=False, padding="valid")
    x = _norm_relu(x, "conv1_bn", "conv1_relu")
    stages = {1: x}
    x = keras.layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = keras.layers.MaxPooling2D(3, strides=2, name="pool1")(x)
    growth_rate, rates = scaled(32, width_multiplier), _Rates(4, output_stride)
    for stage, blocks in enumerate((6, 12, 24, 16), start=2):
        if stage > 2:
            where = f"pool{stage - 1}"
            x = _norm_relu(x, f"{where}_bn", f"{where}_relu")
            x = conv(x, x.shape[-1] // 2, 1, name=f"{where}_conv", seed=seed, bias=False)
            stride, _ = rates.halve()
            if stride == 2:
                x = keras.layers.AveragePooling2D(2, padding="same", name=f"{where}_pool")(x)
        for block in range(1, blocks + 1):
            where = f"conv{stage}_block{block}"
            y = _norm_relu(x, f"{where}_0_bn", f"{where}_0_relu")
            y = conv(y, 4 * growth_rate, 1, name=f"{where}_1_conv", seed=seed, bias=False)
            y = _norm_relu(y, f"{where}_1_bn", f"{where}_1_relu")
            y = conv(y, growth_rate, 3, name=f"{where}_2_conv", seed=seed, bias=False, dilation=rates.dilation)
            x = keras.layers.Concatenate(name=f"{where}_concat")([x, y])
        stages[stage] = x
    stages[5] = _norm_relu(x, "bn", "relu")
    return stages


ENCODERS: Mapping[str, Encoder] = {
    "vgg16": Encoder(
        features=vgg16,
        application="VGG16",
        scale=1.0,
        offset=(-123.68, -116.779, -103.939),
        first_kernel_of_bgr="block1_conv1",
    ),
    "mobilenet": Encoder(features=mobilenet, application="MobileNet", scale=1 / 127.5, offset=-1.0),
    "mobilenet_v2": Encoder(features=mobilenet_v2, application="MobileNetV2", scale=1 / 127.5, offset=-1.0),
    "resnet50": Encoder(
        features=resnet50,
        application="ResNet50",
        scale=1.0,
        offset=(-123.68, -116.779, -103.939),
        first_kernel_of_bgr="conv1_conv",
    ),
    "densenet121": Encoder(
        features=densenet121,
        application="DenseNet121",
        scale=(1 / (255 * 0.229), 1 / (255 * 0.224), 1 / (255 * 0.225)),
        offset=(-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225),
    ),
}


def encoder_input(encoder: str, encoder_weights: str, width_multiplier: float = 1.0) -> tuple[Any, Any]:
    """RGB bytes in, and the picture as the encoder's weights want it; in [-1, 1] where there are none.

    Returns:
        The input, uint8 (B, H, W, 3) RGB of free height and width, and the scaled picture, float (B, H, W, 3).

    Raises:
        ConfigError: weights that are no file, or that fit another width; said before a large network is built.
    """
    if encoder_weights == "none":
        return image_input()
    row = ENCODERS[encoder]
    if encoder_weights not in ("imagenet", LATER) and not Path(encoder_weights).is_file():
        raise ConfigError(
            f"encoder_weights: expected 'none', 'imagenet' or a weights file of {row.application}, received "
            f"{encoder_weights!r}, which is no file."
        )
    if encoder_weights != LATER and width_multiplier != 1:
        raise ConfigError(
            f"encoder_weights: expected a network of published width, received width_multiplier={width_multiplier}. "
            f"Weights of {encoder} fit width_multiplier=1 alone; encoder_weights='none' fits every width."
        )
    image = keras.Input(shape=(None, None, 3), dtype="uint8", name="image")
    # Lists, not tuples: what a configuration in JSON gives back.
    scale = list(row.scale) if isinstance(row.scale, tuple) else row.scale
    offset = list(row.offset) if isinstance(row.offset, tuple) else row.offset
    return image, keras.layers.Rescaling(scale, offset=offset, name="rescaling")(image)


def load_encoder_weights(
    model: keras.Model, encoder: str, encoder_weights: str, *, include_top: bool = False
) -> keras.Model | None:
    """Copy the weights of a `keras.applications` classifier into the layers of the same names.

    Args:
        model: network that holds the encoder's layers, of published width.
        encoder: a name in `ENCODERS`.
        encoder_weights: "imagenet" downloads them through Keras; a path is a weights file of the classifier, in any
            form that Keras reads; "none" and "later" do nothing.
        include_top: the classifier's dense layers are wanted as well, and the file has them.

    Returns:
        The classifier, for what has to be copied by other means; None where there was nothing to do.

    Raises:
        ConfigError: a file that does not fit, or no network to download it from.
    """
    if encoder_weights in ("none", LATER):
        return None
    source = _classifier(encoder, encoder_weights, include_top)
    row = ENCODERS[encoder]
    ours = {layer.name: layer for layer in model.layers if layer.weights}
    for layer in source.layers:
        target = ours.get(layer.name)
        if target is None or not layer.weights:
            continue
        values = layer.get_weights()
        if layer.name == row.first_kernel_of_bgr:
            values[0] = np.ascontiguousarray(values[0][:, :, ::-1])
        target.set_weights(values)
    return source


def _classifier(encoder: str, encoder_weights: str, include_top: bool) -> keras.Model:
    row = ENCODERS[encoder]
    build = getattr(keras.applications, row.application)
    try:
        return build(include_top=include_top, weights=encoder_weights, input_shape=(224, 224, 3))
    except (
        Exception
    ) as error:  # Keras raises a plain Exception when a download fails, and ValueError, OSError, KeyError
        top = "with" if include_top else "without"
        raise ConfigError(
            f"encoder_weights: expected weights of keras.applications.{row.application} {top} its top from "
            f"{encoder_weights!r}, received {str(error).splitlines()[0] if str(error) else type(error).__name__}.",
            (
                ("from a file", "encoder_weights=PATH, the file that keras.applications downloads elsewhere"),
                ("without", "encoder_weights=none trains the encoder from scratch"),
            ),
        ) from error


class _Rates:
    """Strides and dilations on the way down, until the output stride is reached and after."""

    def __init__(self, stride: int, output_stride: int) -> None:
        if output_stride not in (8, 16, 32):
            raise ConfigError(f"output_stride: expected 8, 16 or 32, received {output_stride}.")
        self._stride = stride
        self._output_stride = output_stride
        self.dilation = 1

    def halve(self) -> tuple[int, int]:
        """Stride and dilation of the layer that halves the picture; from then on `dilation` is that of the others.

        Where the picture may not become smaller, that layer keeps the old dilation (it still works on the old grid) and
        the ones after it look twice as far, so that they see what they saw before.
        """
        before = self.dilation
        if self._stride < self._output_stride:
            self._stride *= 2
            return 2, before
        self.dilation *= 2
        return 1, before


def _refuse_dilation(encoder: str, output_stride: int) -> None:
    if output_stride != 32:
        raise ConfigError(f"output_stride: expected 32, the only one {encoder} is built for, received {output_stride}.")


def _norm(x: Any, name: str, epsilon: float) -> Any:
    return keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, epsilon=epsilon, name=name)(x)


def _norm_relu(x: Any, norm_name: str, relu_name: str) -> Any:
    return keras.layers.ReLU(name=relu_name)(_norm(x, norm_name, _EPSILON))


def _norm_relu6(x: Any, norm_name: str, relu_name: str) -> Any:
    return keras.layers.ReLU(6.0, name=relu_name)(_norm(x, norm_name, 1e-3))
