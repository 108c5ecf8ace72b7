"""U-Net, 64 to 1024 feature maps, with and without batch norm.

Source: Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation" (2015), section 2
and figure 1; dropout at the end of the contracting path (section 3.1) with the rate of the authors' network file.

What differs: convolutions are 'same' where the paper's are unpadded and its prediction is smaller than its picture; a
size that is no multiple of 16 is pooled up and cropped on the way back. Batch norm, which the paper did not have yet,
stands between a convolution and its ReLU; the convolutions keep their biases.
"""

from __future__ import annotations

from typing import Any

import keras

from carlaseg.models.layers import (
    BATCH_NORM_MOMENTUM,
    CropToSkip,
    class_logits,
    conv,
    dropout,
    image_input,
    scaled,
    upsampling_conv,
)

_FILTERS = (64, 128, 256, 512, 1024)


def unet_batch_norm(
    num_classes: int,
    *,
    dropout_rate: float = 0.0,
    width_multiplier: float = 1.0,
    seed: int = 0,
    name: str = "unet_batch_norm",
) -> keras.Model:
    """U-Net with batch norm after every 3x3 convolution; see `unet`."""
    return unet(
        num_classes,
        batch_norm=True,
        dropout_rate=dropout_rate,
        width_multiplier=width_multiplier,
        seed=seed,
        name=name,
    )


def unet(
    num_classes: int,
    *,
    batch_norm: bool = False,
    dropout_rate: float = 0.5,
    width_multiplier: float = 1.0,
    seed: int = 0,
    name: str = "unet",
) -> keras.Model:
    """U-Net; 31.0 M parameters.

    Args:
        num_classes: classes to tell apart.
        batch_norm: batch norm after every 3x3 convolution.
        dropout_rate: dropout at the end of the contracting path, on 512 and on 1024 maps.
        width_multiplier: feature maps against the published ones.
        seed: seed of initial weights and dropout.
        name: name of the model.

    Returns:
        A model from uint8 (B, H, W, 3) RGB to float32 (B, H, W, num_classes) logits; H and W are free.
    """
    filters = [scaled(maps, width_multiplier) for maps in _FILTERS]
    image, x = image_input()

    # === Contracting path ===
    skips = []
    for level, maps in enumerate(filters, start=1):
        x = _two_convs(x, maps, batch_norm, f"down{level}", seed)
        if level >= 4:
            x = dropout(x, dropout_rate, name=f"down{level}_dropout", seed=seed)
        if level < 5:
            skips.append(x)
            x = keras.layers.MaxPooling2D(2, padding="same", name=f"down{level}_pool")(x)

    # === Expansive path ===
    for level in range(4, 0, -1):
        where, skip = f"up{level}", skips[level - 1]
        x = upsampling_conv(x, filters[level - 1], 2, name=f"{where}_deconv", seed=seed)
        x = CropToSkip(name=f"{where}_crop")([x, skip])
        x = keras.layers.Concatenate(name=f"{where}_skip")([skip, x])
        x = _two_convs(x, filters[level - 1], batch_norm, where, seed)

    return keras.Model(image, class_logits(x, num_classes, seed=seed), name=name)


def _two_convs(x: Any, filters: int, batch_norm: bool, name: str, seed: int) -> Any:
    for index in (1, 2):
        where = f"{name}_conv{index}"
        x = conv(x, filters, 3, name=where, seed=seed)
        if batch_norm:
            x = keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{where}_norm")(x)
        x = keras.layers.ReLU(name=f"{where}_relu")(x)
    return x
