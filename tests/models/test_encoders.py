"""Encoders against their twins in keras.applications, and dilation against what it stands for."""

from __future__ import annotations

from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from carlaseg import models
from carlaseg.errors import ConfigError
from carlaseg.models.encoders import ENCODERS, LATER, encoder_input, load_encoder_weights

# Where a twin's last feature maps are, when not at its end.
LAST_LAYER = {"mobilenet_v2": "block_16_project_BN"}


def random_twin(encoder: str) -> keras.Model:
    """The classifier of keras.applications with random weights of ordinary size, moving statistics included."""
    twin = getattr(keras.applications, ENCODERS[encoder].application)(
        include_top=False, weights=None, input_shape=(64, 96, 3)
    )
    rng = np.random.default_rng(0)
    for weight in twin.weights:
        if len(weight.shape) == 1:
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    return twin


def answer(model: keras.Model, pictures: np.ndarray) -> np.ndarray:
    # Eagerly: tracing these networks takes much longer than running them once.
    return keras.ops.convert_to_numpy(model(pictures, training=False))


def bytes_of_a_picture(height: int = 64, width: int = 96) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (1, height, width, 3), dtype="uint8")


@pytest.mark.parametrize("encoder", list(ENCODERS))
def test_a_weights_file_makes_an_encoder_answer_like_its_twin(encoder: str, tmp_path: Path) -> None:
    twin = random_twin(encoder)
    path = tmp_path / "twin.weights.h5"
    twin.save_weights(path)
    if encoder in LAST_LAYER:
        twin = keras.Model(twin.input, twin.get_layer(LAST_LAYER[encoder]).output)

    image, x = encoder_input(encoder, str(path))
    ours = keras.Model(image, ENCODERS[encoder].features(x, seed=0)[5])
    load_encoder_weights(ours, encoder, str(path))

    picture = bytes_of_a_picture()
    module = getattr(keras.applications, "resnet" if encoder == "resnet50" else encoder.removesuffix("121"))
    expected = answer(twin, module.preprocess_input(picture.astype("float32")))
    got = answer(ours, picture)
    np.testing.assert_allclose(got, expected, atol=2e-4 * np.abs(expected).max())
    assert np.abs(expected).std() > 0


@pytest.mark.parametrize(
    ("encoder", "exact"),
    [("resnet50", True), ("mobilenet_v2", True), pytest.param("densenet121", False, marks=pytest.mark.slow)],
)
def test_a_dilated_encoder_sees_at_every_fourth_pixel_what_the_plain_one_sees(encoder: str, exact: bool) -> None:
    outputs = []
    for output_stride in (32, 8):
        image, x = encoder_input(encoder, "none")
        stages = ENCODERS[encoder].features(x, output_stride=output_stride, width_multiplier=1 / 16, seed=0)
        outputs.append(answer(keras.Model(image, stages[5]), bytes_of_a_picture(96, 64)))
    plain, dilated = outputs
    assert plain.shape[1:3] == (3, 2)
    assert dilated.shape[1:3] == (12, 8)
    if exact:  # DenseNet leaves poolings out, so it does not compute the same.
        first = (slice(None), slice(0, None, 4), slice(0, None, 4))
        if encoder == "mobilenet_v2":
            # Its strided convolutions look to the bottom right at even sizes: its grid begins a pixel later each time.
            first = (slice(None), slice(3, None, 4), slice(3, None, 4))
        np.testing.assert_allclose(dilated[first], plain, atol=1e-4 * np.abs(plain).max())


def test_stages_halve_the_picture_and_odd_sizes_are_rounded_up() -> None:
    for encoder, row in ENCODERS.items():
        image, x = encoder_input(encoder, "none")
        stages = row.features(x, width_multiplier=1 / 16, seed=0)
        shapes = keras.Model(image, [stages[stage] for stage in range(1, 6)])(bytes_of_a_picture(75, 53))
        assert [tuple(stage.shape[1:3]) for stage in shapes] == [(38, 27), (19, 14), (10, 7), (5, 4), (3, 2)], encoder


def test_the_old_file_format_that_keras_applications_downloads_is_read(tmp_path: Path) -> None:
    twin = random_twin("mobilenet")
    path = tmp_path / "mobilenet_1_0_224_tf_no_top.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in twin.layers]
        file.attrs["backend"], file.attrs["keras_version"] = b"tensorflow", b"2.1.3"
        for layer in twin.layers:
            group = file.create_group(layer.name)
            # Trainable weights, then the others: the order of the old format.
            weights = [*layer.trainable_weights, *layer.non_trainable_weights]
            names = [f"{layer.name}/{weight.name}:0" for weight in weights]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, weight in zip(names, weights, strict=True):
                group[name] = keras.ops.convert_to_numpy(weight)
    model = models.build("fcn8s_mobilenet", 3, encoder_weights=str(path))
    for name in ("conv1", "conv_dw_13", "conv_pw_13_bn"):
        for ours, theirs in zip(model.get_layer(name).get_weights(), twin.get_layer(name).get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_a_checkpoint_of_a_pretrained_network_is_rebuilt_without_its_weights_file(tmp_path: Path) -> None:
    path = tmp_path / "twin.weights.h5"
    random_twin("mobilenet").save_weights(path)
    options = {"encoder_weights": str(path)}
    trained = models.build("fcn8s_mobilenet", 3, **options)
    path.unlink()
    again = models.rebuild("fcn8s_mobilenet", 3, **options)
    again.set_weights(trained.get_weights())
    picture = bytes_of_a_picture()
    np.testing.assert_array_equal(answer(again, picture), answer(trained, picture))


def test_pretrained_preprocessing_stays_in_a_rebuilt_network() -> None:
    scratch = models.build("segnet", 3, width_multiplier=1 / 16)
    pretrained = models.build("segnet", 3, width_multiplier=1 / 16, encoder_weights=LATER)
    assert scratch.get_layer("rescaling").get_config()["offset"] == -1.0
    assert pretrained.get_layer("rescaling").get_config()["offset"] == [-123.68, -116.779, -103.939]


@pytest.mark.parametrize("name", ["fcn8s_vgg16", "segnet", "pspnet_mobilenet_v2"])
def test_a_path_that_is_no_file_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=r"no/such\.h5.*no file"):
        models.build(name, 3, encoder_weights="no/such.h5")


def test_a_file_that_does_not_fit_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    path = tmp_path / "other.weights.h5"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save_weights(path)
    with pytest.raises(ConfigError, match=r"weights of keras\.applications\.MobileNet ") as caught:
        models.build("fcn8s_mobilenet", 3, encoder_weights=str(path))
    assert caught.value.next_steps


def test_weights_and_another_width_do_not_go_together() -> None:
    with pytest.raises(ConfigError, match=r"width_multiplier=0\.5"):
        models.build("segnet", 3, encoder_weights="imagenet", width_multiplier=0.5)
