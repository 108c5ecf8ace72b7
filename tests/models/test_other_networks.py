"""The other families against their papers: parameters, and what makes each of them what it is."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from carlaseg import models
from carlaseg.errors import ConfigError
from carlaseg.models.fcn import Bilinear, copy_dense

# Trainable parameters at 2, 11, 13 and 19 classes. Source: an analytic counter of the published graphs, where not said.
CLASSES = (2, 11, 13, 19)
# ResNet50 of keras.applications has biases in its convolutions: so many more than the bias-free one of the papers.
BIASES = 26_560
MOBILENET_V2 = 1_811_712  # up to the last block: 2,223,872 without the 1x1 to 1280 and its batch norm, 412,160
DENSENET121 = 6_953_856  # 7,037,504 less 83,648 moving statistics
PARAMETERS = {
    "segnet": (29_444_162, 29_449_355, 29_450_509, 29_453_971),
    "unet": (31_031_810, 31_032_395, 31_032_525, 31_032_915),
    "unet_batch_norm": (31_043_586, 31_044_171, 31_044_301, 31_044_691),
    "pspnet_resnet50": tuple(n + BIASES for n in (46_582_850, 46_587_467, 46_588_493, 46_591_571)),
    "deeplab_v3_plus_resnet50": tuple(n + BIASES for n in (26_691_250, 26_693_563, 26_694_077, 26_695_619)),
    "deeplab_v3_plus_mobilenet_v2": tuple(n + MOBILENET_V2 for n in (903_218, 905_531, 906_045, 907_587)),
    "enet": (362_671, 363_967, 364_255, 365_119),
    # Ours, no paper's; the pyramid over 320 maps: 4 bins of 80, a 3x3 from 640 to 80, 81 numbers a class.
    "pspnet_mobilenet_v2": tuple(
        MOBILENET_V2 + 4 * (320 * 80 + 160) + 9 * 640 * 80 + 160 + 81 * num_classes for num_classes in CLASSES
    ),
    "pspnet_densenet121": tuple(
        DENSENET121 + 4 * (1024 * 256 + 512) + 9 * 2048 * 256 + 512 + 257 * num_classes for num_classes in CLASSES
    ),
    # The head over 1024 maps and 256 low-level ones, term by term.
    "deeplab_v3_plus_densenet121": tuple(
        DENSENET121
        + 2 * (1024 * 256 + 512)  # 1x1 and the whole picture's mean
        + 3 * (9 * 1024 + 2048 + 1024 * 256 + 512)  # the three rates
        + (1280 * 256 + 512)
        + (256 * 48 + 96)
        + (9 * 304 + 608 + 304 * 256 + 512)
        + (9 * 256 + 512 + 256 * 256 + 512)
        + 257 * num_classes
        for num_classes in CLASSES
    ),
}
# Deconvolutions from all classes to all classes make these grow with the square.
PARAMETERS_OF_FCN = {
    "fcn8s_vgg16": (134_271_430, 134_348_929, 134_372_487, 134_456_985),
    "fcn8s_vgg16_light": (14_718_412, 14_763_682, 14_780_078, 14_843_090),
    # Ours: the encoder's 3,206,976, scores on 1024, 512 and 256 maps, deconvolutions 4x4, 4x4, 16x16 with bias.
    "fcn8s_mobilenet": tuple(3_206_976 + 1795 * c + 288 * c * c + 3 * c for c in CLASSES),
}
MOVING_STATISTICS = {"segnet": 15_872, "unet": 0, "unet_batch_norm": 11_776, "enet": 372_319 - 363_967}


def trainable(model: keras.Model) -> int:
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_network_has_the_parameters_of_its_paper(name: str) -> None:
    first, *between, last = PARAMETERS[name]
    # The classes are in one layer alone, so two builds give all four.
    few, many = models.build(name, CLASSES[0]), models.build(name, CLASSES[-1])
    assert (trainable(few), trainable(many)) == (first, last)
    one_class = (few.get_layer("logits").count_params()) // CLASSES[0]
    assert between == [trainable(few) + (num_classes - 2) * one_class for num_classes in CLASSES[1:-1]]
    if name in MOVING_STATISTICS:
        assert many.count_params() - trainable(many) == MOVING_STATISTICS[name]


@pytest.mark.parametrize(
    ("name", "place"),
    [
        (name, place)
        if name != "fcn8s_vgg16" or CLASSES[place] == 11
        else pytest.param(name, place, marks=pytest.mark.slow)  # 134 million random numbers each
        for name in PARAMETERS_OF_FCN
        for place in range(4)
    ],
)
def test_a_form_of_fcn8s_has_its_parameters(name: str, place: int) -> None:
    assert trainable(models.build(name, CLASSES[place])) == PARAMETERS_OF_FCN[name][place]


def test_the_light_fcn8s_and_the_original_differ_by_the_dense_layers_and_the_biases() -> None:
    narrow = {"width_multiplier": 1 / 16}
    original, light = (models.build(name, 3, **narrow) for name in ("fcn8s_vgg16", "fcn8s_vgg16_light"))
    names = {layer.name for layer in original.layers} - {layer.name for layer in light.layers}
    assert names == {"fc6", "fc6_relu", "fc6_dropout", "fc7", "fc7_relu", "fc7_dropout"}
    assert original.get_layer("fc6").kernel.shape == (7, 7, 32, 256)
    assert not original.get_layer("logits_deconv").use_bias
    assert light.get_layer("logits_deconv").use_bias


@pytest.mark.parametrize("factor", [2, 8])
def test_a_bilinear_deconvolution_interpolates_each_class_by_itself(factor: int) -> None:
    deconv = keras.layers.Conv2DTranspose(
        3, 2 * factor, strides=factor, padding="same", use_bias=False, kernel_initializer=Bilinear()
    )
    scores = np.random.default_rng(0).normal(size=(1, 5, 6, 3)).astype("float32")
    got = np.asarray(deconv(scores))
    expected = np.asarray(keras.ops.image.resize(scores, (5 * factor, 6 * factor), interpolation="bilinear"))
    # At the border a deconvolution mixes in zeros where interpolation repeats the last score.
    inside = (slice(None), slice(factor, -factor), slice(factor, -factor))
    np.testing.assert_allclose(got[inside], expected[inside], atol=1e-5)


def test_a_dense_layer_of_vgg16_becomes_the_convolution_with_the_same_answer() -> None:
    block = np.random.default_rng(0).normal(size=(2, 7, 7, 4)).astype("float32")
    dense = keras.layers.Dense(6, bias_initializer="uniform")
    expected = np.asarray(dense(block.reshape(2, -1)))
    conv = keras.layers.Conv2D(6, 7)
    conv.build(block.shape)
    copy_dense(dense, conv)
    np.testing.assert_allclose(np.asarray(conv(block))[:, 0, 0], expected, atol=1e-5)


def test_segnet_has_26_convolutions_and_a_decoder_that_mirrors_the_encoder() -> None:
    model = models.build("segnet", 4, width_multiplier=1 / 16)
    filters = [layer.filters for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    encoder = [4, 4, 8, 8, 16, 16, 16, 32, 32, 32, 32, 32, 32]
    assert filters == encoder + [32, 32, 32, 32, 32, 16, 16, 16, 8, 8, 4, 4, 4]
    unpooled = model.get_layer("up3_unpool").input[1]
    assert unpooled is model.get_layer("block3_pool").output[1]


def test_enet_changes_its_bottlenecks_in_the_order_of_the_paper() -> None:
    model = models.build("enet", 4)
    for stage in (2, 3):
        dilations = [
            model.get_layer(f"stage{stage}_{index}_main_conv").dilation_rate[0] for index in (1, 2, 4, 5, 6, 8)
        ]
        assert dilations == [1, 2, 4, 1, 8, 16]
        kernels = [model.get_layer(f"stage{stage}_3_{half}_conv").kernel_size for half in ("column", "row")]
        assert kernels == [(5, 1), (1, 5)]
    rates = {layer.name: layer.rate for layer in model.layers if isinstance(layer, keras.layers.SpatialDropout2D)}
    assert rates["stage1_4_dropout"] == pytest.approx(0.01)
    assert rates["stage2_0_dropout"] == pytest.approx(0.1)
    prelus = [layer.name for layer in model.layers if isinstance(layer, keras.layers.PReLU)]
    assert prelus
    assert not [name for name in prelus if name.startswith(("stage4", "stage5"))]


@pytest.mark.parametrize(("output_stride", "rates"), [(16, [6, 12, 18]), (8, [12, 24, 36])])
def test_the_atrous_pyramid_looks_twice_as_far_at_half_the_stride(output_stride: int, rates: list[int]) -> None:
    model = models.build("deeplab_v3_plus_mobilenet_v2", 4, width_multiplier=1 / 8, output_stride=output_stride)
    assert [model.get_layer(f"aspp{index}_depthwise").dilation_rate[0] for index in (2, 3, 4)] == rates
    assert model.get_layer("low_level_conv").filters == 6


def test_an_output_stride_that_deeplab_has_no_rates_for_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected 8 or 16, received 32"):
        models.build("deeplab_v3_plus_resnet50", 4, output_stride=32)
