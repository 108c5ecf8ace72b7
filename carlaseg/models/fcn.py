"""FCN-8s on VGG16 and MobileNet: scores at three depths of a classifier, each upsampled and added to the next finer.

Source: Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation" (2015), section 4, and the
authors' `voc-fcn8s-atonce` network, which trains all three depths in one go: convolutions in place of the dense layers
(fc6 7x7, fc7 1x1), 1x1 scores on fc7, pool4 and pool3, deconvolutions 4x4, 4x4 and 16x16 without bias that begin as
bilinear interpolation, pool4 and pool3 scaled by 0.01 and 0.0001 before they are scored.

What differs: the authors pad the picture by 100 pixels, let fc6 eat the border and crop with hand-counted offsets; here
everything is 'same', so features and scores stay over the pixels they belong to. The scales are there because
activations of the ImageNet weights are hundreds to thousands; a network without those weights goes without.

Two forms are not in the paper. The light one scores pool5 directly (the two dense layers are 89 % of the parameters)
and its deconvolutions have biases, as in the many road segmentation projects that came after the paper. MobileNet's
form is the light one with another encoder, scored at strides 32, 16 and 8.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from carlaseg.models.encoders import ENCODERS, encoder_input, load_encoder_weights
from carlaseg.models.layers import CropToSkip, SeededHeUniform, conv, dropout, scaled


@keras.saving.register_keras_serializable(package="carlaseg")
class Bilinear(keras.initializers.Initializer):
    """Weights with which a transposed convolution of kernel 2s and stride s interpolates every map by itself.

    Source: Long et al. 2015, section 3.3, and `get_upsampling_filter` of the authors' code.
    """

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        """Weights of a transposed kernel, shape (kernel height, kernel width, out, in)."""
        size, _, maps_out, maps_in = shape
        factor = (size + 1) // 2
        centre = factor - 1 if size % 2 else factor - 0.5
        ramp = 1 - np.abs(np.arange(size) - centre) / factor
        kernel = np.zeros(shape, "float32")
        for index in range(min(maps_out, maps_in)):
            kernel[:, :, index, index] = np.outer(ramp, ramp)
        return ops.convert_to_tensor(kernel, dtype=dtype or "float32")


def fcn8s_vgg16(
    num_classes: int,
    *,
    dropout_rate: float = 0.5,
    encoder_weights: str = "none",
    width_multiplier: float = 1.0,
    seed: int = 0,
    name: str = "fcn8s_vgg16",
) -> keras.Model:
    """FCN-8s on VGG16 with its dense layers as convolutions; 134.3 M parameters.

    Args:
        num_classes: classes to tell apart.
        dropout_rate: dropout after fc6 and fc7.
        encoder_weights: "none", "imagenet", or a weights file of `keras.applications.VGG16` with its top.
        width_multiplier: feature maps against the published ones.
        seed: seed of initial weights and dropout.
        name: name of the model.

    Returns:
        A model from uint8 (B, H, W, 3) RGB to float32 (B, H, W, num_classes) logits; H and W are free.

    Raises:
        ConfigError: encoder weights that cannot be loaded.
    """
    image, x = encoder_input("vgg16", encoder_weights, width_multiplier)
    stages = ENCODERS["vgg16"].features(x, width_multiplier=width_multiplier, seed=seed)
    x = stages[5]
    for layer, kernel in (("fc6", 7), ("fc7", 1)):
        x = conv(x, scaled(4096, width_multiplier), kernel, name=layer, seed=seed)
        x = keras.layers.ReLU(name=f"{layer}_relu")(x)
        x = dropout(x, dropout_rate, name=f"{layer}_dropout", seed=seed)
    scales = (1.0, 1.0) if encoder_weights == "none" else (1e-2, 1e-4)
    logits = _decoder(image, x, stages[4], stages[3], num_classes, scales, seed, deconv_bias=False)
    model = keras.Model(image, logits, name=name)
    classifier = load_encoder_weights(model, "vgg16", encoder_weights, include_top=True)
    if classifier is not None:
        for dense, layer in (("fc1", "fc6"), ("fc2", "fc7")):
            copy_dense(classifier.get_layer(dense), model.get_layer(layer))
    return model


def fcn8s_vgg16_light(
    num_classes: int,
    *,
    encoder_weights: str = "none",
    width_multiplier: float = 1.0,
    seed: int = 0,
    name: str = "fcn8s_vgg16_light",
) -> keras.Model:
    """FCN-8s on VGG16 without its dense layers: pool5 is scored; 14.8 M parameters.

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
    scales = (1.0, 1.0) if encoder_weights == "none" else (1e-2, 1e-4)
    return _without_dense("vgg16", num_classes, encoder_weights, width_multiplier, scales, seed, name)


def fcn8s_mobilenet(
    num_classes: int,
    *,
    encoder_weights: str = "none",
    width_multiplier: float = 1.0,
    seed: int = 0,
    name: str = "fcn8s_mobilenet",
) -> keras.Model:
    """FCN-8s on MobileNet, for the frugal; 3.3 M parameters.

    Args:
        num_classes: classes to tell apart.
        encoder_weights: "none", "imagenet", or a weights file of `keras.applications.MobileNet` without its top.
        width_multiplier: feature maps against the published ones.
        seed: seed of initial weights.
        name: name of the model.

    Returns:
        A model from uint8 (B, H, W, 3) RGB to float32 (B, H, W, num_classes) logits; H and W are free.

    Raises:
        ConfigError: encoder weights that cannot be loaded.
    """
    return _without_dense("mobilenet", num_classes, encoder_weights, width_multiplier, (1.0, 1.0), seed, name)


def _without_dense(
    encoder: str,
    num_classes: int,
    encoder_weights: str,
    width_multiplier: float,
    scales: tuple[float, float],
    seed: int,
    name: str,
) -> keras.Model:
    image, x = encoder_input(encoder, encoder_weights, width_multiplier)
    stages = ENCODERS[encoder].features(x, width_multiplier=width_multiplier, seed=seed)
    logits = _decoder(image, stages[5], stages[4], stages[3], num_classes, scales, seed, deconv_bias=True)
    model = keras.Model(image, logits, name=name)
    load_encoder_weights(model, encoder, encoder_weights)
    return model


def _decoder(
    image: Any,
    deepest: Any,
    pool4: Any,
    pool3: Any,
    num_classes: int,
    scales: tuple[float, float],
    seed: int,
    *,
    deconv_bias: bool,
) -> Any:
    """Scores at strides 32, 16 and 8, added up and brought to the picture's size, in float32."""
    x = _score(deepest, num_classes, "score32", seed)
    for stride, pool, scale in ((16, pool4, scales[0]), (8, pool3, scales[1])):
        if scale != 1:
            pool = keras.layers.Rescaling(scale, name=f"scale{stride}")(pool)
        skip = _score(pool, num_classes, f"score{stride}", seed)
        x = _upsample(x, skip, 2, f"up{stride}", deconv_bias)
        x = keras.layers.Add(name=f"sum{stride}", dtype="float32")([x, skip])
    return _upsample(x, image, 8, "logits", deconv_bias)


def _score(x: Any, num_classes: int, name: str, seed: int) -> Any:
    return keras.layers.Conv2D(
        num_classes, 1, kernel_initializer=SeededHeUniform(seed, name), dtype="float32", name=name
    )(x)


def _upsample(x: Any, target: Any, factor: int, name: str, bias: bool) -> Any:
    up = keras.layers.Conv2DTranspose(
        x.shape[-1],
        2 * factor,
        strides=factor,
        padding="same",
        use_bias=bias,
        kernel_initializer=Bilinear(),
        dtype="float32",
        name=f"{name}_deconv",
    )(x)
    return CropToSkip(dtype="float32", name=f"{name}_crop")([up, target])


def copy_dense(dense: keras.layers.Layer, target: keras.layers.Layer) -> None:
    """Give a convolution the weights of the dense layer whose place it takes.

    A dense layer on a flattened (h, w, c) block is a 'valid' h x w convolution: its kernel only has to be reshaped.

    Args:
        dense: layer with a kernel of shape (h * w * c, units).
        target: convolution with a kernel of shape (h, w, c, units).
    """
    kernel, bias = dense.get_weights()
    target.set_weights([kernel.reshape(target.kernel.shape), bias])
