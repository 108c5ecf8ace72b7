"""PSPNet: a dilated encoder, and means over grids of 1, 2, 3 and 6 windows a side beside its feature maps.

Source: Zhao, Shi, Qi, Wang, Jia, "Pyramid Scene Parsing Network" (2017), section 3.2 and figure 3: encoder at output
stride 8 by dilation, a 1x1 convolution to a quarter of the maps on each of the four grids, bilinear upsampling, a 3x3
convolution, logits brought to the picture's size; batch norm and dropout 0.1 as in the authors' code.

What differs: the auxiliary loss on the fourth stage (section 3.3) is left out, because networks here have one output.
The 3x3 convolution has a quarter of the encoder's maps, which is the published 512 for ResNet50. MobileNetV2 and
DenseNet121 as encoders are ours. The published ResNets have a stem of three 3x3 convolutions; here it is the 7x7 one of
the ImageNet weights that Keras offers.
"""

from __future__ import annotations

import keras

from carlaseg.models.encoders import ENCODERS, encoder_input, load_encoder_weights
from carlaseg.models.layers import class_logits, conv, dropout, norm_relu
from carlaseg.models.resampling import AverageBins, ResizeTo


def pspnet_resnet50(
    num_classes: int,
    *,
    dropout_rate: float = 0.1,
    encoder_weights: str = "none",
    width_multiplier: float = 1.0,
    seed: int = 0,
) -> keras.Model:
    """PSPNet on ResNet50; 46.6 M parameters."""
    return _pspnet("resnet50", num_classes, dropout_rate, encoder_weights, width_multiplier, seed)


def pspnet_mobilenet_v2(
    num_classes: int,
    *,
    dropout_rate: float = 0.1,
    encoder_weights: str = "none",
    width_multiplier: float = 1.0,
    seed: int = 0,
) -> keras.Model:
    """PSPNet on MobileNetV2; 2.4 M parameters."""
    return _pspnet("mobilenet_v2", num_classes, dropout_rate, encoder_weights, width_multiplier, seed)


def pspnet_densenet121(
    num_classes: int,
    *,
    dropout_rate: float = 0.1,
    encoder_weights: str = "none",
    width_multiplier: float = 1.0,
    seed: int = 0,
) -> keras.Model:
    """PSPNet on DenseNet121; 12.7 M parameters."""
    return _pspnet("densenet121", num_classes, dropout_rate, encoder_weights, width_multiplier, seed)


def _pspnet(
    encoder: str, num_classes: int, dropout_rate: float, encoder_weights: str, width_multiplier: float, seed: int
) -> keras.Model:
    image, x = encoder_input(encoder, encoder_weights, width_multiplier)
    x = ENCODERS[encoder].features(x, output_stride=8, width_multiplier=width_multiplier, seed=seed)[5]

    # === Pyramid ===
    quarter = max(4, x.shape[-1] // 4)
    levels = [x]
    for bins in (1, 2, 3, 6):
        where = f"pyramid{bins}"
        y = AverageBins(bins, name=f"{where}_means")(x)
        y = norm_relu(conv(y, quarter, 1, name=f"{where}_conv", seed=seed, bias=False), name=where)
        levels.append(ResizeTo(name=f"{where}_resize")([y, x]))
    x = keras.layers.Concatenate(name="pyramid")(levels)

    # === Head ===
    x = norm_relu(conv(x, quarter, 3, name="head_conv", seed=seed, bias=False), name="head")
    x = dropout(x, dropout_rate, name="head_dropout", seed=seed)
    x = class_logits(x, num_classes, seed=seed)
    logits = ResizeTo(dtype="float32", name="logits_resize")([x, image])
    model = keras.Model(image, logits, name=f"pspnet_{encoder}")
    load_encoder_weights(model, encoder, encoder_weights)
    return model
