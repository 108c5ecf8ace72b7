"""Multiply-adds, against numbers counted by hand and published ones."""

from __future__ import annotations

import keras
import pytest

from carlaseg import models
from carlaseg.models.cost import multiply_adds


def of_one_layer(layer: keras.layers.Layer, maps: int = 6, height: int = 10, width: int = 14) -> int:
    picture = keras.Input((None, None, maps))
    return multiply_adds(keras.Model(picture, layer(picture)), height, width)


def test_a_same_convolution_costs_its_kernel_at_every_pixel() -> None:
    assert of_one_layer(keras.layers.Conv2D(5, 3, padding="same")) == 10 * 14 * 3 * 3 * 6 * 5


def test_strides_borders_and_dilation_count_by_the_pixels_that_come_out() -> None:
    assert of_one_layer(keras.layers.Conv2D(5, 3, strides=2, padding="same")) == 5 * 7 * 3 * 3 * 6 * 5
    assert of_one_layer(keras.layers.Conv2D(5, 3)) == 8 * 12 * 3 * 3 * 6 * 5
    assert of_one_layer(keras.layers.Conv2D(5, 3, dilation_rate=2)) == 6 * 10 * 3 * 3 * 6 * 5


def test_groups_and_depthwise_kernels_see_their_own_maps_alone() -> None:
    assert of_one_layer(keras.layers.Conv2D(4, 3, groups=2, padding="same")) == 10 * 14 * 3 * 3 * 3 * 4
    assert of_one_layer(keras.layers.DepthwiseConv2D(3, padding="same")) == 10 * 14 * 3 * 3 * 6
    separable = 10 * 14 * (3 * 3 * 6 + 6 * 5)
    assert of_one_layer(keras.layers.SeparableConv2D(5, 3, padding="same")) == separable


def test_a_transposed_convolution_costs_its_kernel_at_every_pixel_that_goes_in() -> None:
    assert of_one_layer(keras.layers.Conv2DTranspose(5, 3, strides=2, padding="same")) == 10 * 14 * 3 * 3 * 6 * 5


def test_a_dense_layer_costs_its_kernel_once_a_vector() -> None:
    assert of_one_layer(keras.layers.Dense(5)) == 10 * 14 * 6 * 5
    picture = keras.Input((None, None, 6))
    mean = keras.layers.GlobalAveragePooling2D()(picture)
    assert multiply_adds(keras.Model(picture, keras.layers.Dense(5)(mean)), 10, 14) == 6 * 5


def test_layers_without_a_kernel_cost_nothing_and_shapes_go_through_them() -> None:
    picture = keras.Input((None, None, 6))
    x = keras.layers.BatchNormalization()(keras.layers.MaxPooling2D(2, padding="same")(picture))
    x = keras.layers.Concatenate()([x, keras.layers.ReLU()(x)])
    model = keras.Model(picture, keras.layers.Conv2D(5, 1)(x))
    assert multiply_adds(model, 11, 13) == 6 * 7 * 12 * 5


# At 224x224 and 11 classes; the first three from the research behind this project, which counted them from the graph of
# the paper. VGG16's convolutions alone are the well-known 15.3 thousand million.
PUBLISHED = {
    "fc_densenet56": 8.9,
    "fc_densenet67": 20.9,
    "fc_densenet103": 20.1,
    "fcn8s_vgg16_light": 15.4,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_cost_what_is_known_of_them(name: str) -> None:
    assert round(multiply_adds(models.build(name, 11), 224, 224) / 1e9, 1) == PUBLISHED[name]
