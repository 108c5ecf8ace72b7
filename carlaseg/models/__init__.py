"""Segmentation networks by name. Every one takes RGB bytes of any size and gives a logit a class and pixel.

    model = carlaseg.models.build("fc_densenet103", num_classes=11)

A new network is one file with a builder and one row in `NETWORKS`; tests/models/contract.py tests every row.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras

from carlaseg.errors import ConfigError
from carlaseg.models.deeplab_v3_plus import (
    deeplab_v3_plus_densenet121,
    deeplab_v3_plus_mobilenet_v2,
    deeplab_v3_plus_resnet50,
)
from carlaseg.models.encoders import LATER
from carlaseg.models.enet import enet
from carlaseg.models.fc_densenet import fc_densenet, fc_densenet56, fc_densenet67, fc_densenet103
from carlaseg.models.fcn import fcn8s_mobilenet, fcn8s_vgg16, fcn8s_vgg16_light
from carlaseg.models.pspnet import pspnet_densenet121, pspnet_mobilenet_v2, pspnet_resnet50
from carlaseg.models.segnet import segnet
from carlaseg.models.unet import unet, unet_batch_norm


@dataclass(frozen=True, kw_only=True)
class Network:
    """A row of the table.

    Args:
        build: builder; takes num_classes and keyword options, returns a Keras model.
        summary: what it is, in half a line.
        source: the paper.
        smallest: options that make the smallest useful member of the family, with which the tests train it. None where
            the family's free form has them already.
    """

    build: Callable[..., keras.Model]
    summary: str
    source: str
    smallest: Mapping[str, Any] | None = None

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the options the builder takes."""
        parameters = inspect.signature(self.build).parameters.values()
        return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "name")


_TIRAMISU = "Jegou et al. 2017, The One Hundred Layers Tiramisu"
_FCN = "Long et al. 2015, Fully Convolutional Networks for Semantic Segmentation"
_UNET = "Ronneberger et al. 2015, U-Net"
_PSPNET = "Zhao et al. 2017, Pyramid Scene Parsing Network"
_DEEPLAB = "Chen et al. 2018, Encoder-Decoder with Atrous Separable Convolution"

NETWORKS: Mapping[str, Network] = {
    "fc_densenet": Network(
        build=fc_densenet,
        summary="FC-DenseNet of free form: groups, layers, growth rate, first filters, compression are flags",
        source=_TIRAMISU,
        smallest={"groups": 2, "layers_per_block": 1, "growth_rate": 4, "first_filters": 8, "first_kernel": 3},
    ),
    "fc_densenet56": Network(
        build=fc_densenet56, summary="FC-DenseNet56: 4 layers a block, growth rate 12", source=_TIRAMISU
    ),
    "fc_densenet67": Network(
        build=fc_densenet67, summary="FC-DenseNet67: 5 layers a block, growth rate 16", source=_TIRAMISU
    ),
    "fc_densenet103": Network(
        build=fc_densenet103, summary="FC-DenseNet103: 4 to 15 layers a block, growth rate 16", source=_TIRAMISU
    ),
    "fcn8s_vgg16": Network(
        build=fcn8s_vgg16,
        summary="FCN-8s on VGG16 with fc6 and fc7 as convolutions",
        source=_FCN,
        smallest={"width_multiplier": 1 / 16},
    ),
    "fcn8s_vgg16_light": Network(build=fcn8s_vgg16_light, summary="FCN-8s on VGG16 without fc6 and fc7", source=_FCN),
    "fcn8s_mobilenet": Network(
        build=fcn8s_mobilenet,
        summary="FCN-8s on MobileNet, for the frugal",
        source=_FCN,
        smallest={"width_multiplier": 1 / 8},
    ),
    "segnet": Network(
        build=segnet,
        summary="SegNet: VGG16 with batch norm, and its mirror image by pooling indices",
        source="Badrinarayanan et al. 2017, SegNet",
        smallest={"width_multiplier": 1 / 16},
    ),
    "unet": Network(
        build=unet, summary="U-Net, 64 to 1024 feature maps", source=_UNET, smallest={"width_multiplier": 1 / 16}
    ),
    "unet_batch_norm": Network(build=unet_batch_norm, summary="U-Net with batch norm", source=_UNET),
    "pspnet_resnet50": Network(build=pspnet_resnet50, summary="PSPNet on ResNet50, output stride 8", source=_PSPNET),
    "pspnet_mobilenet_v2": Network(
        build=pspnet_mobilenet_v2,
        summary="PSPNet on MobileNetV2, output stride 8",
        source=_PSPNET,
        smallest={"width_multiplier": 1 / 8},
    ),
    "pspnet_densenet121": Network(
        build=pspnet_densenet121, summary="PSPNet on DenseNet121, output stride 8", source=_PSPNET
    ),
    "deeplab_v3_plus_resnet50": Network(
        build=deeplab_v3_plus_resnet50, summary="DeepLabv3+ on ResNet50, output stride 16 or 8", source=_DEEPLAB
    ),
    "deeplab_v3_plus_mobilenet_v2": Network(
        build=deeplab_v3_plus_mobilenet_v2,
        summary="DeepLabv3+ on MobileNetV2, output stride 16 or 8",
        source=_DEEPLAB,
        smallest={"width_multiplier": 1 / 8},
    ),
    "deeplab_v3_plus_densenet121": Network(
        build=deeplab_v3_plus_densenet121, summary="DeepLabv3+ on DenseNet121, output stride 16 or 8", source=_DEEPLAB
    ),
    "enet": Network(
        build=enet,
        summary="ENet, a third of a million parameters",
        source="Paszke et al. 2016, ENet",
        smallest={"width_multiplier": 1 / 2},
    ),
}


def names() -> tuple[str, ...]:
    """The networks that `build` knows."""
    return tuple(NETWORKS)


def network(name: str) -> Network:
    """The row of a network.

    Raises:
        ConfigError: no network of that name; the nearest one is named.
    """
    if name in NETWORKS:
        return NETWORKS[name]
    near = difflib.get_close_matches(name, NETWORKS, n=1, cutoff=0.5)
    hint = f" Nearest: {near[0]}." if near else ""
    raise ConfigError(f"--model: expected one of {', '.join(NETWORKS)}, received {name!r}.{hint}")


def describe(name: str) -> str:
    """What a network is, in half a line.

    Raises:
        ConfigError: no network of that name.
    """
    return network(name).summary


def build(name: str, num_classes: int, **options: Any) -> keras.Model:
    """A network with fresh weights.

    Args:
        name: one of `names()`.
        num_classes: classes to tell apart.
        options: keyword options of the builder, for example `dropout_rate` and `seed`.

    Returns:
        A model from uint8 (B, H, W, 3) RGB to float32 (B, H, W, num_classes) logits, for any H and W.

    Raises:
        ConfigError: an unknown name or option, or a value the builder cannot use.
    """
    row = network(name)
    if not 1 <= num_classes <= 255:
        raise ConfigError(f"num_classes: expected 1 to 255 (255 marks void pixels), received {num_classes}.")
    unknown = [option for option in options if option not in row.options]
    if unknown:
        raise ConfigError(f"{name}: expected options among {', '.join(row.options)}, received {unknown[0]!r}.")
    return row.build(num_classes, **options)


def rebuild(name: str, num_classes: int, **options: Any) -> keras.Model:
    """The network that `build` made with these options, for the weights of a checkpoint.

    As `build`, but weights of an encoder are not read or downloaded again; the preprocessing that goes with them stays.

    Raises:
        ConfigError: an unknown name or option, or a value the builder cannot use.
    """
    if "recompute" in options:
        raise ConfigError(f"{name}: expected options of a network, received 'recompute', which is one of a training.")
    if options.get("encoder_weights", "none") != "none":
        options = {**options, "encoder_weights": LATER}
    return build(name, num_classes, **options)
