"""DeepLabv3+: atrous pyramid over a dilated encoder, and a decoder that refines it with maps of a quarter of the size.

Source: Chen, Zhu, Papandreou, Schroff, Adam, "Encoder-Decoder with Atrous Separable Convolution for Semantic Image
Segmentation" (2018), sections 3.1, 3.2 and 4: separable 3x3 convolutions with batch norm after the depthwise and the
pointwise half, 256 maps, rates 6, 12, 18 at output stride 16 and twice as much at 8, 48 low-level maps, two 3x3
convolutions in the decoder. Dropout 0.1 on the pyramid as in the authors' code.

The paper's encoders are ResNet101 and Xception, and its MobileNetV2 goes without pyramid rates and decoder; the
encoders here are ResNet50, MobileNetV2 and DenseNet121, all with the whole head.
"""

from __future__ import annotations

from typing import Any

import keras

from carlaseg.errors import ConfigError
from carlaseg.models.encoders import ENCODERS, encoder_input, load_encoder_weights
from carlaseg.models.layers import class_logits, conv, depthwise_conv, dropout, norm_relu, scaled
from carlaseg.models.resampling import ResizeTo

_RATES = {16: (6, 12, 18), 8: (12, 24, 36)}


def deeplab_v3_plus_resnet50(
    num_classes: int,
    *,
    output_stride: int = 16,
    dropout_rate: float = 0.1,
    encoder_weights: str = "none",
    width_multiplier: float = 1.0,
    seed: int = 0,
) -> keras.Model:
    """DeepLabv3+ on ResNet50; 26.7 M parameters."""
    return _deeplab("resnet50", num_classes, output_stride, dropout_rate, encoder_weights, width_multiplier, seed)


def deeplab_v3_plus_mobilenet_v2(
    num_classes: int,
    *,
    output_stride: int = 16,
    dropout_rate: float = 0.1,
    encoder_weights: str = "none",
    width_multiplier: float = 1.0,
    seed: int = 0,
) -> keras.Model:
    """DeepLabv3+ on MobileNetV2; 2.7 M parameters."""
    return _deeplab("mobilenet_v2", num_classes, output_stride, dropout_rate, encoder_weights, width_multiplier, seed)


def deeplab_v3_plus_densenet121(
    num_classes: int,
    *,
    output_stride: int = 16,
    dropout_rate: float = 0.1,
    encoder_weights: str = "none",
    width_multiplier: float = 1.0,
    seed: int = 0,
) -> keras.Model:
    """DeepLabv3+ on DenseNet121; 8.8 M parameters."""
    return _deeplab("densenet121", num_classes, output_stride, dropout_rate, encoder_weights, width_multiplier, seed)


def _deeplab(
    encoder: str,
    num_classes: int,
    output_stride: int,
    dropout_rate: float,
    encoder_weights: str,
    width_multiplier: float,
    seed: int,
) -> keras.Model:
    if output_stride not in _RATES:
        raise ConfigError(f"output_stride: expected 8 or 16, received {output_stride}.")
    image, x = encoder_input(encoder, encoder_weights, width_multiplier)
    stages = ENCODERS[encoder].features(x, output_stride=output_stride, width_multiplier=width_multiplier, seed=seed)
    low, x = stages[2], stages[5]
    maps = scaled(256, width_multiplier)

    # === Atrous spatial pyramid pooling ===
    branches = [_conv(x, maps, "aspp1", seed)]
    for index, rate in enumerate(_RATES[output_stride], start=2):
        branches.append(_separable(x, maps, f"aspp{index}", seed, rate))
    whole = keras.layers.GlobalAveragePooling2D(keepdims=True, name="aspp5_mean")(x)
    branches.append(ResizeTo(name="aspp5_resize")([_conv(whole, maps, "aspp5", seed), x]))
    x = _conv(keras.layers.Concatenate(name="aspp")(branches), maps, "aspp_projection", seed)
    x = dropout(x, dropout_rate, name="aspp_dropout", seed=seed)

    # === Decoder ===
    x = ResizeTo(name="decoder_resize")([x, low])
    low = _conv(low, scaled(48, width_multiplier), "low_level", seed)
    x = keras.layers.Concatenate(name="decoder_skip")([x, low])
    x = _separable(x, maps, "decoder1", seed)
    x = _separable(x, maps, "decoder2", seed)
    x = class_logits(x, num_classes, seed=seed)
    logits = ResizeTo(dtype="float32", name="logits_resize")([x, image])
    model = keras.Model(image, logits, name=f"deeplab_v3_plus_{encoder}")
    load_encoder_weights(model, encoder, encoder_weights)
    return model


def _conv(x: Any, filters: int, name: str, seed: int) -> Any:
    return norm_relu(conv(x, filters, 1, name=f"{name}_conv", seed=seed, bias=False), name=name)


def _separable(x: Any, filters: int, name: str, seed: int, rate: int = 1) -> Any:
    x = depthwise_conv(x, 3, name=f"{name}_depthwise", seed=seed, dilation=rate)
    return _conv(norm_relu(x, name=f"{name}_depthwise"), filters, name, seed)
