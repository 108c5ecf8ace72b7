"""The network of a run, ready to train and to be scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import keras

from carlaseg import models
from carlaseg.config import TrainConfig
from carlaseg.errors import ConfigError
from carlaseg.training.losses import PixelScore, segmentation_loss
from carlaseg.training.optimizer import build_optimizer
from carlaseg.training.recomputation import backend_recomputation

FREE_FORM = ("groups", "layers_per_block", "growth_rate", "first_filters", "compression")
"""Settings that only a network of free form has."""
OPTIONAL = ("dropout_rate", "encoder_weights", "output_stride")
"""Settings that some networks have; when not given they are left to the network."""
OF_A_NETWORK = (*FREE_FORM, *OPTIONAL)


def network_options(config: TrainConfig) -> dict[str, Any]:
    """The options of `models.build` that a configuration asks for; what is not given is the paper's own.

    Raises:
        ConfigError: a setting that the network or the backend does not have, or an unknown network.
    """
    known = models.network(config.model).options
    changed = [f.name for f in fields(config) if f.name in OF_A_NETWORK and getattr(config, f.name) != f.default]
    refused = [name for name in changed if name not in known]
    if refused:
        flag, value = refused[0].replace("_", "-"), getattr(config, refused[0])
        if refused[0] in FREE_FORM:
            raise ConfigError(
                f"--{flag}: expected with a network of free form, received with {config.model}, whose form is fixed.",
                (("free form", f"--model fc_densenet --{flag} {value}"),),
            )
        having = [name for name, row in models.NETWORKS.items() if refused[0] in row.options]
        raise ConfigError(
            f"--{flag}: expected with a network that has it ({', '.join(having)}), received with {config.model}.",
            (("without", f"--model {config.model} without --{flag}"),),
        )
    if config.recompute and "recompute" not in known:
        having = [name for name, row in models.NETWORKS.items() if "recompute" in row.options]
        raise ConfigError(
            f"--recompute: expected with a network that has it ({', '.join(having)}), received with {config.model}.",
            (("less memory", f"a smaller --batch-size than {config.batch_size}, with --accumulate"),),
        )
    if config.recompute:
        backend_recomputation()  # refuses a backend that has none
    wanted = (*FREE_FORM, *(name for name in OPTIONAL if name in changed), "seed")
    return {name: getattr(config, name) for name in wanted if name in known}


def build_network(config: TrainConfig, num_classes: int) -> tuple[Any, dict[str, Any]]:
    """The network in the precision that is asked for, and the options that make it again to predict.

    Raises:
        ConfigError: a setting that the network does not have or cannot use.
    """
    options = network_options(config)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(config.precision)
    try:
        # How the training spares memory is no part of what was trained.
        spared = {"recompute": backend_recomputation()} if config.recompute else {}
        return models.build(config.model, num_classes, **options, **spared), options
    finally:
        keras.config.set_dtype_policy(before)


def compile_for_training(model: Any, config: TrainConfig, class_weights: Sequence[float] | None) -> None:
    """Give a network its loss and its optimiser, whose variables exist afterwards.

    Built variables matter twice: a checkpoint can be filled into them, and TensorFlow does not trace the step twice
    (it would find new variables in the first trace and start again: 12 s of 25 s to the first step).
    """
    optimizer = build_optimizer(config, model.trainable_variables)
    loss = segmentation_loss(config.loss, config.loss_weights, class_weights, config.label_smoothing)
    model.compile(optimizer=optimizer, loss=loss, jit_compile=jit_compile(), auto_scale_loss=False)


def scorer(model: Any) -> Any:
    """A model from (images, masks) to (class ids, loss, labelled pixels), sharing the network's weights."""
    masks = keras.Input(shape=(None, None), dtype="uint8", name="mask")
    score = PixelScore(name="score")([model.output, masks])
    scoring = keras.Model([model.inputs[0], masks], score, name="scorer")
    scoring.compile(jit_compile=jit_compile())
    return scoring


def jit_compile() -> str | bool:
    """What `compile` is told about XLA."""
    # XLA compiles a step of this many small convolutions for minutes; JAX cannot do without it.
    return "auto" if keras.backend.backend() == "jax" else False
