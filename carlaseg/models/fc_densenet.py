"""FC-DenseNet, "the one hundred layers tiramisu": 56, 67 and 103 layers as published, and a free form.

Source: Jegou, Drozdzal, Vazquez, Romero, Bengio, "The One Hundred Layers Tiramisu: Fully Convolutional DenseNets for
Semantic Segmentation" (2017), sections 3.2 and 3.3, tables 1 and 2. Where the paper's text and the authors' code leave
room, this file follows the code: a block hands only its *new* feature maps to the transition up, except the last block,
whose whole stack goes to the classifier; the input of the bottleneck is not carried up.

One thing differs, and only at sizes that are not multiples of 2**groups: the authors' pooling drops an odd row or
column and the upsampled maps are cropped from their centre; here pooling keeps it and the crop is from the top left, so
that the prediction has the size of the image, whatever that is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import keras

from carlaseg.errors import ConfigError
from carlaseg.models.layers import (
    BATCH_NORM_MOMENTUM,
    ChannelMoments,
    CropToSkip,
    StackNormRelu,
    class_logits,
    conv,
    dropout,
    image_input,
    upsampling_conv,
)
from carlaseg.models.recomputation import Recompute, recomputed_norm_relu_conv

MOST_WEIGHTS = 500_000_000
"""More is a slip of a digit, or a checkpoint that would fill the memory: the largest network here has 134 million."""


def fc_densenet56(
    num_classes: int, *, dropout_rate: float = 0.2, recompute: Recompute | None = None, seed: int = 0
) -> keras.Model:
    """FC-DenseNet56: 4 layers a block, growth rate 12; 1.4 M parameters."""
    return _published(num_classes, 4, 12, dropout_rate, recompute, seed, "fc_densenet56")


def fc_densenet67(
    num_classes: int, *, dropout_rate: float = 0.2, recompute: Recompute | None = None, seed: int = 0
) -> keras.Model:
    """FC-DenseNet67: 5 layers a block, growth rate 16; 3.5 M parameters."""
    return _published(num_classes, 5, 16, dropout_rate, recompute, seed, "fc_densenet67")


def fc_densenet103(
    num_classes: int, *, dropout_rate: float = 0.2, recompute: Recompute | None = None, seed: int = 0
) -> keras.Model:
    """FC-DenseNet103: 4 to 15 layers a block, growth rate 16; 9.4 M parameters."""
    layers = (4, 5, 7, 10, 12, 15, 12, 10, 7, 5, 4)
    return _published(num_classes, layers, 16, dropout_rate, recompute, seed, "fc_densenet103")


def _published(
    num_classes: int,
    layers_per_block: int | Sequence[int],
    growth_rate: int,
    dropout_rate: float,
    recompute: Recompute | None,
    seed: int,
    name: str,
) -> keras.Model:
    return fc_densenet(
        num_classes,
        groups=5,
        layers_per_block=layers_per_block,
        growth_rate=growth_rate,
        first_filters=48,
        first_kernel=3,
        compression=1.0,
        dropout_rate=dropout_rate,
        pooling="max",
        recompute=recompute,
        seed=seed,
        name=name,
    )


def fc_densenet(
    num_classes: int,
    *,
    groups: int = 5,
    layers_per_block: int | Sequence[int] = 4,
    growth_rate: int = 12,
    first_filters: int = 36,
    first_kernel: int = 7,
    compression: float = 0.6,
    dropout_rate: float = 0.2,
    pooling: Literal["max", "average"] = "average",
    recompute: Recompute | None = None,
    seed: int = 0,
    name: str = "fc_densenet",
) -> keras.Model:
    """An FC-DenseNet of free form; as it stands, a network of 724,942 parameters at 13 classes.

    Args:
        num_classes: classes to tell apart.
        groups: blocks on the way down, and as many on the way up; each halves (doubles) height and width.
        layers_per_block: dense layers in every block, or one number for each of the 2 * groups + 1 blocks in order.
        growth_rate: new feature maps a dense layer.
        first_filters: feature maps of the first convolution.
        first_kernel: height and width of its kernel.
        compression: share of its feature maps that a transition down keeps.
        dropout_rate: dropout after every convolution but the first and the last.
        pooling: how a transition down halves height and width.
        recompute: the backend's way to train in less memory: stacks and their norms are made again in the backward
            pass. The weights, their names and what they compute are the same. None keeps them.
        seed: seed of initial weights and dropout.
        name: name of the model.

    Returns:
        A model from uint8 (B, H, W, 3) RGB to float32 (B, H, W, num_classes) logits; H and W are free.

    Raises:
        ConfigError: a number of layers that does not fit the groups, or a form that is far too large.
    """
    layers = _layers_of_every_block(groups, layers_per_block)
    count = kernel_weights(layers, growth_rate, first_filters, compression)
    if count > MOST_WEIGHTS:
        raise ConfigError(
            f"fc_densenet: expected a form of at most {MOST_WEIGHTS // 10**6} million weights, received one of "
            f"{count // 10**6:,} million. FC-DenseNet103 has 9."
        )
    image, x = image_input()
    x = conv(x, first_filters, first_kernel, name="first_conv", seed=seed)

    # === Down ===
    seen = [_part(x, name="first")]
    skips = []
    for level in range(1, groups + 1):
        where = f"down{level}"
        seen, new = _dense_block(seen, layers[level - 1], growth_rate, dropout_rate, recompute, name=where, seed=seed)
        skip = _joined([*seen, *new], name=f"{where}_stack")
        filters = max(1, int(compression * skip.maps.shape[-1]))
        x, skip = _transition_down(
            skip, filters, dropout_rate, pooling, recompute, name=f"{where}_transition", seed=seed
        )
        skips.append(skip)
        seen = [_part(x, name=f"{where}_transition")]

    # === Bottleneck ===
    _, new = _dense_block(seen, layers[groups], growth_rate, dropout_rate, recompute, name="bottleneck", seed=seed)

    # === Up: up1 follows the bottleneck and meets the last way down ===
    for level in range(1, groups + 1):
        where, skip = f"up{level}", skips[-level]
        x = _transition_up(_joined(new, name=f"{where}_new").maps, skip.maps, name=f"{where}_transition", seed=seed)
        seen = [_part(x, name=f"{where}_transition"), skip]
        count = layers[groups + level]
        seen, new = _dense_block(seen, count, growth_rate, dropout_rate, recompute, name=where, seed=seed)

    x = _joined([*seen, *new], name="last_stack").maps
    return keras.Model(image, class_logits(x, num_classes, seed=seed), name=name)


class _Part(NamedTuple):
    """Feature maps that dense layers see, and their moments; a joined part keeps those of its parts."""

    maps: Any
    moments: tuple[Any, ...]


def _part(maps: Any, *, name: str) -> _Part:
    return _Part(maps, (ChannelMoments(name=f"{name}_moments")(maps),))


def _joined(parts: list[_Part], *, name: str) -> _Part:
    if len(parts) == 1:
        return parts[0]
    maps = keras.layers.Concatenate(name=name)([part.maps for part in parts])
    return _Part(maps, tuple(moment for part in parts for moment in part.moments))


def _layers_of_every_block(groups: int, layers_per_block: int | Sequence[int]) -> tuple[int, ...]:
    blocks = 2 * groups + 1
    layers = (layers_per_block,) * blocks if isinstance(layers_per_block, int) else tuple(layers_per_block)
    if groups < 1 or len(layers) != blocks or min(layers) < 1:
        raise ConfigError(
            f"layers_per_block: expected one number of at least 1, or {blocks} of them for {groups} groups, "
            f"received {layers_per_block}."
        )
    return layers


def kernel_weights(layers: tuple[int, ...], growth_rate: int, first_filters: int, compression: float) -> int:
    """Weights of the dense layers and the transitions, counted before memory is taken for them."""
    groups = len(layers) // 2

    def block(maps: int, count: int) -> int:
        return 9 * growth_rate * sum(maps + index * growth_rate for index in range(count))

    total, maps, skips = 0, first_filters, []
    for count in layers[:groups]:
        total += block(maps, count)
        skips.append(maps + count * growth_rate)
        maps = max(1, int(compression * skips[-1]))
        total += skips[-1] * maps
    total += block(maps, layers[groups])
    for level, count in enumerate(layers[groups + 1 :], 1):
        up = layers[groups + level - 1] * growth_rate
        total += 9 * up * up + block(up + skips[-level], count)
    return total


def _dense_block(
    seen: list[_Part],
    layers: int,
    growth_rate: int,
    dropout_rate: float,
    recompute: Recompute | None,
    *,
    name: str,
    seed: int,
) -> tuple[list[_Part], list[_Part]]:
    """What the block was given, and its new feature maps, one part a layer.

    Each layer sees the block's input and the parts before it.
    """
    parts = list(seen)
    for index in range(1, layers + 1):
        where = f"{name}_dense{index}"
        y, parts = _norm_relu_conv(parts, growth_rate, 3, recompute, name=where, seed=seed)
        y = dropout(y, dropout_rate, name=f"{where}_dropout", seed=seed)
        parts.append(_part(y, name=where))
    return parts[: len(seen)], parts[len(seen) :]


def _norm_relu_conv(
    parts: list[_Part], filters: int, kernel: int, recompute: Recompute | None, *, name: str, seed: int
) -> tuple[Any, list[_Part]]:
    """Feature maps made of all parts, and the parts for whoever sees them next."""
    if recompute is not None:
        maps, moments = [part.maps for part in parts], [moment for part in parts for moment in part.moments]
        y, *maps = recomputed_norm_relu_conv(
            maps, moments, filters, kernel, recompute, momentum=BATCH_NORM_MOMENTUM, name=name, seed=seed
        )
        return y, [_Part(own, part.moments) for own, part in zip(maps, parts, strict=True)]
    stack = _joined(parts, name=f"{name}_stack")
    x = StackNormRelu(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_norm")([stack.maps, *stack.moments])
    return conv(x, filters, kernel, name=f"{name}_conv", seed=seed), parts


def _transition_down(
    skip: _Part, filters: int, dropout_rate: float, pooling: str, recompute: Recompute | None, *, name: str, seed: int
) -> tuple[Any, _Part]:
    """The smaller feature maps, and the skip for the way up."""
    x, (skip,) = _norm_relu_conv([skip], filters, 1, recompute, name=name, seed=seed)
    x = dropout(x, dropout_rate, name=f"{name}_dropout", seed=seed)
    pool = keras.layers.MaxPooling2D if pooling == "max" else keras.layers.AveragePooling2D
    return pool(2, padding="same", name=f"{name}_pool")(x), skip


def _transition_up(new: Any, skip: Any, *, name: str, seed: int) -> Any:
    up = upsampling_conv(new, new.shape[-1], 3, name=f"{name}_conv", seed=seed)
    return CropToSkip(name=f"{name}_crop")([up, skip])
