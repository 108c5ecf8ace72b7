"""The deployed network against the network it came from, and the search for blocks that eight bits hurt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carlaseg import models
from carlaseg.inference.exporting.quantising import Attempt, least_float

FAST = ("fc_densenet", "deeplab_v3_plus_mobilenet_v2")
SMALL = [name for name in models.names() if models.network(name).smallest]


def with_lived_in_norms(name: str) -> Any:
    """A small network whose batch norms have seen something."""
    import keras

    model = models.build(name, 7, **(models.network(name).smallest or {}))
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            for variable in layer.weights:
                positive = "variance" in variable.path or "gamma" in variable.path
                drawn = rng.uniform(0.5, 1.5, variable.shape) if positive else rng.normal(0, 0.3, variable.shape)
                variable.assign(drawn.astype(np.float32))
    return model


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in FAST else pytest.mark.slow) for n in SMALL])
def test_the_folded_network_gives_the_same_answers_without_batch_norm(name: str) -> None:
    import keras

    from carlaseg.inference.exporting.folding import blocks, folded

    model = with_lived_in_norms(name)
    deployed = folded(model)
    kinds = {type(layer) for layer in deployed.layers}
    assert not kinds & {keras.layers.BatchNormalization, keras.layers.Dropout}
    assert deployed.count_params() <= model.count_params()
    images = np.random.default_rng(1).integers(0, 256, (1, 48, 80, 3)).astype(np.uint8)
    expected, ours = (np.asarray(m(images, training=False)) for m in (model, deployed))
    assert np.abs(ours - expected).max() <= 1e-4 * np.abs(expected).max()
    layers = [layer for block in blocks(model).values() for layer in block]
    assert len(layers) == len(set(layers)) >= 8


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n == "fc_densenet" else pytest.mark.slow) for n in SMALL])
def test_feature_maps_of_equal_ranges_give_the_same_answers(name: str) -> None:
    import keras

    from carlaseg.inference.exporting.equalising import equalised
    from carlaseg.inference.exporting.folding import folded

    deployed = folded(with_lived_in_norms(name))
    before = deployed.get_weights()
    images = np.random.default_rng(1).integers(0, 256, (1, 31, 48, 3)).astype(np.uint8)
    network = equalised(deployed, [images])
    expected, ours = (np.asarray(m(images, training=False)) for m in (deployed, network))
    assert np.abs(ours - expected).max() <= 1e-4 * np.abs(expected).max()
    assert all(np.array_equal(a, b) for a, b in zip(before, deployed.get_weights(), strict=True))
    if name == "fc_densenet":
        stacks = [layer.output for layer in network.layers if isinstance(layer, keras.layers.Concatenate)]
        for stack in keras.Model(network.input, stacks)(images, training=False):
            largest = np.abs(np.asarray(stack)).max(axis=(0, 1, 2))
            # One that never leaves zero stays there; pooling takes the largest values from some.
            assert np.all((largest == 0) | (largest > 0.3))
            assert largest.max() == pytest.approx(1.0, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_a_graph_is_made_of_operations_that_the_reader_of_saved_models_allows(name: str) -> None:
    from carlaseg.inference.exporting.folding import folded
    from carlaseg.inference.exporting.graph import traced
    from carlaseg.inference.runtimes.saved_model import ALLOWED

    model = folded(models.build(name, 5, **(models.network(name).smallest or {})))
    for size in (None, (48, 64)):
        definition = traced(model, size, argmax=True).frozen.graph.as_graph_def()
        assert {node.op for node in definition.node} <= ALLOWED
        assert not definition.library.function


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_openvino_gives_the_same_answers_at_any_size(name: str, tmp_path: Path) -> None:
    from carlaseg.inference.artefact import ArtefactCard
    from carlaseg.inference.exporting.folding import folded
    from carlaseg.inference.exporting.formats import Task
    from carlaseg.inference.exporting.openvino_file import write
    from carlaseg.inference.runtimes import open_artefact

    network = folded(with_lived_in_norms(name))
    card = ArtefactCard(
        carlaseg="0",
        run="r",
        checkpoint="best",
        network=name,
        scheme="camvid",
        class_names=tuple("abcdefg"),
        palette=((0, 0, 0),) * 7,
        trained_size=(48, 80),
        size=None,
        precision="float32",
    )
    write(Task(network, card, tmp_path / "model.xml", tmp_path))
    artefact = open_artefact(tmp_path / "model.xml")
    for size in ((48, 80), (45, 70)):
        images = np.random.default_rng(1).integers(0, 256, (1, *size, 3)).astype(np.uint8)
        expected = np.asarray(network(images, training=False))
        assert np.abs(artefact.logits(images) - expected).max() <= 1e-3 * np.abs(expected).max(), size


BLOCKS = {"first": ("a",), "down1": ("b", "c"), "up1": ("d",), "logits": ("e",)}


def search(needed: set[str], sensitivity: dict[str, float], **options: Any) -> tuple[Attempt | None, list[Attempt]]:
    asked: list[Attempt] = []

    def passes(attempt: Attempt) -> bool:
        asked.append(attempt)
        return needed <= set(attempt.kept)

    found = least_float(BLOCKS, passes, lambda attempt: sensitivity[attempt.kept[0]], lambda _: None, **options)
    return found, asked


def test_nothing_is_left_in_float_when_eight_bits_everywhere_pass() -> None:
    assert search(set(), {}) == (Attempt((), ()), [Attempt((), ())])


def test_the_most_sensitive_blocks_are_left_in_float_first() -> None:
    found, asked = search({"up1", "logits"}, {"first": 0.91, "down1": 0.90, "up1": 0.95, "logits": 0.99})
    assert found == Attempt(("logits", "up1"), ("e", "d"))
    assert [attempt.kept for attempt in asked] == [(), ("logits",), ("logits", "up1")]


def test_the_number_of_blocks_in_float_doubles_up_to_all_of_them() -> None:
    found, asked = search({"first", "nobody"}, {"first": 0.1, "down1": 0.2, "up1": 0.3, "logits": 0.4})
    assert found is None
    assert [len(attempt.kept) for attempt in asked] == [0, 1, 2, 4]


def test_the_search_ends_in_time_and_takes_blocks_it_did_not_reach_last() -> None:
    found, asked = search({"first"}, {}, time_limit_s=-1.0)
    assert found == Attempt(("first",), ("a",))
    assert len(asked) == 2
