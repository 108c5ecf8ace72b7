"""FC-DenseNet as it is usually written: a stack grown by Concatenate, BatchNormalization in every layer.

The peer of benchmarks/training_step.py and training.py, and the reference of tests/models/test_fc_densenet.py. As it
stands it is the network of 724,942 parameters at 13 classes, its weights in the same order; `fc_densenet_forms` has
the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers


def plain_fc_densenet(
    num_classes: int,
    groups: int = 5,
    layers_per_block: int | Sequence[int] = 4,
    growth_rate: int = 12,
    first_filters: int = 36,
    first_kernel: int = 7,
    compression: float = 0.6,
    dropout_rate: float = 0.2,
    pooling: str = "average",
    softmax: bool = True,
) -> keras.Model:
    """Float RGB 0 to 255 in, probabilities (or logits) out; height and width must be multiples of 2**groups."""

    def normed(x: Any) -> Any:
        return layers.Activation("relu")(layers.BatchNormalization(momentum=0.9)(x))

    blocks = 2 * groups + 1
    depths = iter((layers_per_block,) * blocks if isinstance(layers_per_block, int) else layers_per_block)
    pool = layers.MaxPooling2D if pooling == "max" else layers.AveragePooling2D

    def dense_block(x: Any) -> tuple[Any, Any]:
        new = None
        for _ in range(next(depths)):
            y = layers.Conv2D(growth_rate, 3, padding="same", kernel_initializer="he_uniform")(normed(x))
            y = layers.Dropout(dropout_rate)(y)
            x = layers.Concatenate()([x, y])
            new = y if new is None else layers.Concatenate()([new, y])
        return x, new

    image = keras.Input((None, None, 3))
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    x = layers.Conv2D(first_filters, first_kernel, padding="same", kernel_initializer="he_uniform")(x)
    skips = []
    for _ in range(groups):
        x, _new = dense_block(x)
        skips.append(x)
        x = layers.Conv2D(int(compression * x.shape[-1]), 1, kernel_initializer="he_uniform")(normed(x))
        x = pool(2, padding="same")(layers.Dropout(dropout_rate)(x))
    _stack, new = dense_block(x)
    for skip in reversed(skips):
        filters = new.shape[-1]
        up = layers.Conv2DTranspose(filters, 3, strides=2, padding="same", kernel_initializer="he_uniform")(new)
        x, new = dense_block(layers.Concatenate()([up, skip]))
    activation = "softmax" if softmax else None
    return keras.Model(image, layers.Conv2D(num_classes, 1, activation=activation)(x))
