"""A run that has learned a little, with the dataset it learned from where its settings say: what export starts from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tiny_run import SCHEME, frame, write_dataset, write_run

STEPS = 40


def write_trained_run(base: Path) -> Path:
    """A run folder; its network finds road, sky and car in most of the pixels."""
    from carlaseg.checkpoint import RunFolder, load_model, save_weights
    from carlaseg.config import TrainConfig

    data = write_dataset(base / "drive", frames=10)
    run = RunFolder(write_run(base / "runs", "learned"))
    run.write_config(TrainConfig(dataset=(data,), scheme=SCHEME, validation_share=0.3))
    model = load_model(run)
    import keras

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(0.02), loss=loss)
    model.optimizer.build(model.trainable_variables)
    images, masks = (np.stack([frame(number)[part] for number in range(6)]) for part in (0, 1))
    for _ in range(STEPS):
        model.train_on_batch(images, masks)
    save_weights(run.weights("best"), model)
    return run.path
