"""FC-DenseNet against the paper: parameters, convolutions, and who sees whom."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carlaseg import models
from carlaseg.errors import ConfigError
from carlaseg.models.fc_densenet import kernel_weights

ROOT = Path(__file__).resolve().parents[2]

# Trainable parameters and all parameters, by number of classes. Source: an analytic counter of the published graphs.
PARAMETERS = {
    "fc_densenet56": {
        2: (1_375_058, 1_396_226), 11: (1_376_795, 1_397_963), 12: (1_376_988, 1_398_156), 13: (1_377_181, 1_398_349),
        19: (1_378_339, 1_399_507), 28: (1_380_076, 1_401_244), 29: (1_380_269, 1_401_437),
    },
    "fc_densenet67": {
        2: (3_460_642, 3_500_322), 11: (3_463_243, 3_502_923), 12: (3_463_532, 3_503_212), 13: (3_463_821, 3_503_501),
        19: (3_465_555, 3_505_235), 28: (3_468_156, 3_507_836), 29: (3_468_445, 3_508_125),
    },
    "fc_densenet103": {
        2: (9_319_778, 9_422_850), 11: (9_322_091, 9_425_163), 12: (9_322_348, 9_425_420), 13: (9_322_605, 9_425_677),
        19: (9_324_147, 9_427_219), 28: (9_326_460, 9_429_532), 29: (9_326_717, 9_429_789),
    },
}  # fmt: skip


def trainable(model: Any) -> int:
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)


def convolutions(model: Any) -> list[Any]:
    return [layer for layer in model.layers if type(layer).__name__ in ("Conv2D", "Conv2DTranspose")]


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_published_network_has_the_published_parameters_and_layers(name: str) -> None:
    for num_classes, counts in PARAMETERS[name].items():
        # The classes are in the last layer alone, so two builds give all seven.
        if num_classes in (2, 29):
            model = models.build(name, num_classes)
            assert (trainable(model), model.count_params()) == counts
            assert len(convolutions(model)) == int(name.removeprefix("fc_densenet"))
    a_class = model.get_layer("logits").count_params() // 29
    for num_classes, (trained, total) in PARAMETERS[name].items():
        assert (trained, total) == (trainable(model) - (29 - num_classes) * a_class,
                                    model.count_params() - (29 - num_classes) * a_class)  # fmt: skip


def test_the_free_form_as_it_stands_is_the_network_of_724_942_parameters() -> None:
    model = models.build("fc_densenet", num_classes=13)
    assert (trainable(model), model.count_params()) == (713_580, 724_942)
    assert len(convolutions(model)) == 56
    first = model.get_layer("first_conv")
    assert (first.filters, first.kernel_size) == (36, (7, 7))
    assert model.get_layer("down1_transition_conv").filters == int(0.6 * (36 + 4 * 12))
    assert type(model.get_layer("down1_transition_pool")).__name__ == "AveragePooling2D"
    assert {
        layer.filters for layer in convolutions(model) if layer.name.startswith("up") and "transition" in layer.name
    } == {48}


def test_a_transition_up_sees_the_new_feature_maps_of_the_block_before_alone() -> None:
    model = models.build("fc_densenet103", num_classes=11)
    # 15 layers of the bottleneck, then 12, 10, 7, 5 of the blocks on the way up, 16 feature maps each.
    channels = [model.get_layer(f"up{level}_transition_conv").input.shape[-1] for level in range(1, 6)]
    assert channels == [15 * 16, 12 * 16, 10 * 16, 7 * 16, 5 * 16]


def test_the_classifier_sees_the_whole_stack_of_the_last_block() -> None:
    widths = {"fc_densenet56": 192, "fc_densenet67": 288, "fc_densenet103": 256}
    for name, width in widths.items():
        assert models.build(name, num_classes=11).get_layer("logits").input.shape[-1] == width


def test_layers_may_differ_from_block_to_block() -> None:
    model = models.build("fc_densenet", 3, groups=1, layers_per_block=(1, 2, 3), growth_rate=4, first_filters=8)
    assert model.get_layer("up1_dense3_conv").filters == 4
    with pytest.raises(ConfigError, match=r"expected one number of at least 1, or 3 of them for 1 groups"):
        models.build("fc_densenet", 3, groups=1, layers_per_block=(1, 2))


def test_an_enormous_form_is_refused_before_memory_is_taken_for_it() -> None:
    expected = "expected a form of at most 500 million weights, received one of 128,396 million"
    with pytest.raises(ConfigError, match=expected):
        models.build("fc_densenet", 3, groups=8, layers_per_block=64, growth_rate=256, first_filters=1024)
    # What is counted is what would be there.
    model = models.build("fc_densenet103", 11)
    kernels = [v for v in model.trainable_variables if v.path.endswith("/kernel")]
    ends = ("first_conv/kernel", "logits/kernel")
    counted = kernel_weights((4, 5, 7, 10, 12, 15, 12, 10, 7, 5, 4), 16, 48, 1.0)
    assert counted == sum(int(np.prod(v.shape)) for v in kernels if v.path not in ends)


def test_an_image_smaller_than_the_deepest_pooling_is_segmented_too() -> None:
    model = models.build("fc_densenet", 3, groups=5, layers_per_block=1, growth_rate=2, first_filters=4)
    assert np.asarray(model(np.zeros((1, 5, 3, 3), np.uint8))).shape == (1, 5, 3, 3)


def test_dropout_acts_in_training_alone() -> None:
    model = models.build("fc_densenet", 3, groups=1, layers_per_block=1, growth_rate=4, first_filters=8)
    picture = np.full((1, 16, 16, 3), 90, np.uint8)
    assert np.array_equal(np.asarray(model(picture)), np.asarray(model(picture)))
    assert not np.array_equal(np.asarray(model(picture, training=True)), np.asarray(model(picture, training=True)))


def test_it_computes_what_the_plain_way_of_writing_it_computes() -> None:
    """Moments taken once against BatchNormalization in every layer: a step of training, running moments, inference."""
    import keras

    from carlaseg.training.losses import segmentation_loss

    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        from plain_fc_densenet import plain_fc_densenet
    finally:
        sys.path.pop(0)
    options = {"groups": 2, "layers_per_block": 2, "growth_rate": 4, "first_filters": 6, "dropout_rate": 0.0}
    ours = models.build("fc_densenet", 3, **options)
    plain = plain_fc_densenet(3, softmax=False, **options)
    blocks = ["down1", "down2", "bottleneck", "up1", "up2"]
    places = [f"{b}_{layer}" for b in blocks for layer in ("dense1", "dense2", "transition")]
    norms = [ours.get_layer(f"{p}_norm") for p in places if f"{p}_norm" in {layer.name for layer in ours.layers}]
    convs = ["first_conv", *(layer.name.replace("_norm", "_conv") for layer in norms), "logits"]
    pairs = list(zip(norms, by_creation(plain, "BatchNormalization"), strict=True))
    pairs += list(zip([ours.get_layer(name) for name in convs], by_creation(plain, "Conv2D"), strict=True))
    transposed = [ours.get_layer(f"up{level}_transition_conv") for level in (1, 2)]
    pairs += list(zip(transposed, by_creation(plain, "Conv2DTranspose"), strict=True))
    for mine, peer in pairs:
        peer.set_weights(mine.get_weights())

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 16, 24, 3)).astype(np.uint8)
    masks = rng.integers(0, 3, (2, 16, 24)).astype(np.uint8)
    for model in (ours, plain):
        model.compile(
            optimizer=keras.optimizers.SGD(0.05), loss=segmentation_loss(), run_eagerly=True, jit_compile=False
        )
    losses = []
    for model, pictures in ((ours, images), (plain, images.astype(np.float32))):
        model.reset_metrics()
        losses.append(float(model.train_on_batch(pictures, masks)))
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    for mine, peer in pairs:
        for one, other in zip(mine.get_weights(), peer.get_weights(), strict=True):
            assert np.abs(one - other).max() < 1e-4, mine.name
    assert np.abs(np.asarray(ours(images)) - np.asarray(plain(images.astype(np.float32)))).max() < 1e-3


def by_creation(model: Any, kind: str) -> list[Any]:
    """Layers of a kind in the order they were made: Keras numbers their names."""
    layers = [layer for layer in model.layers if type(layer).__name__ == kind]
    return sorted(layers, key=lambda layer: int((re.findall(r"_(\d+)$", layer.name) or ["0"])[0]))
