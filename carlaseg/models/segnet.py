"""SegNet: VGG16's thirteen convolutions with batch norm, and their mirror image; maxima go back where they came from.

Source: Badrinarayanan, Kendall, Cipolla, "SegNet: A Deep Convolutional Encoder-Decoder Architecture for Image
Segmentation" (2017), section 3, and the authors' `segnet_train.prototxt`: 26 convolutions with bias, batch norm and
ReLU after all but the last, five poolings whose positions the decoder's unpooling uses. ImageNet weights are VGG16's,
laid into the encoder's convolutions under fresh batch norms, as the authors begin.

One thing differs: a picture of odd size keeps its last row and column (pooling rounds up, unpooling is cropped), where
the authors fix the size to 360x480 and give every unpooling its size by hand.
"""

from __future__ import annotations

from typing import Any

import keras

from carlaseg.models.encoders import VGG16_STAGES, encoder_input, load_encoder_weights
from carlaseg.models.layers import BATCH_NORM_MOMENTUM, CropToSkip, SeededHeUniform, conv, scaled
from carlaseg.models.resampling import MaxPoolWithIndices, MaxUnpool


def segnet(
    num_classes: int,
    *,
    encoder_weights: str = "none",
    width_multiplier: float = 1.0,
    seed: int = 0,
    name: str = "segnet",
) -> keras.Model:
    """SegNet with 13 + 13 convolutions and pooling indices; 29.4 M parameters.

    Args:
        num_classes: classes to tell apart.
        encoder_weights: "none", "imagenet", or a weights file of `keras.applications.VGG16` without its top.
        width_multiplier: feature maps against the published ones.
        seed: seed of initial weights.
        name: name of the model.

    Returns:
        A model from uint8 (B, H, W, 3) RGB to float32 (B, H, W, num_classes) logits; H and W are free.

    Raises:
        ConfigError: encoder weights that cannot be loaded.
    """
    image, x = encoder_input("vgg16", encoder_weights, width_multiplier)

    # === Encoder: names of VGG16, whose weights fit ===
    pooled = []
    for stage, (convs, filters) in enumerate(VGG16_STAGES, start=1):
        for index in range(1, convs + 1):
            x = _conv_norm_relu(x, scaled(filters, width_multiplier), f"block{stage}_conv{index}", seed)
        before = x
        x, index = MaxPoolWithIndices(name=f"block{stage}_pool")(x)
        pooled.append((before, index))

    # === Decoder: the last convolution of a stage brings the maps to the number of the next one ===
    for stage in range(5, 0, -1):
        convs, filters = VGG16_STAGES[stage - 1]
        fewer = VGG16_STAGES[stage - 2][1] if stage > 1 else None
        before, index = pooled[stage - 1]
        x = MaxUnpool(name=f"up{stage}_unpool")([x, index])
        x = CropToSkip(name=f"up{stage}_crop")([x, before])
        for index in range(1, convs):
            x = _conv_norm_relu(x, scaled(filters, width_multiplier), f"up{stage}_conv{index}", seed)
        if fewer is not None:
            x = _conv_norm_relu(x, scaled(fewer, width_multiplier), f"up{stage}_conv{convs}", seed)

    logits = keras.layers.Conv2D(
        num_classes,
        3,
        padding="same",
        kernel_initializer=SeededHeUniform(seed, "logits"),
        dtype="float32",
        name="logits",
    )(x)
    model = keras.Model(image, logits, name=name)
    load_encoder_weights(model, "vgg16", encoder_weights)
    return model


def _conv_norm_relu(x: Any, filters: int, name: str, seed: int) -> Any:
    x = conv(x, filters, 3, name=name, seed=seed)
    x = keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_norm")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)
