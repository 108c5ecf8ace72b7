"""A run folder of any network with a dataset of drawn scenes: what benchmarks of export start from.

The weights have seen a few steps only: enough for batch norm to have statistics and for logits to have a direction,
not enough to be good at anything. Speeds do not depend on it; parity does, and says so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

SCHEME = "carla-0.9.0"


def scene(seed: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """An RGB image and its ids: sky, buildings, road with a line, cars, and noise over all of it."""
    rng = np.random.default_rng(seed)
    height, width = size
    mask = np.full(size, 7, np.uint8)  # road
    horizon = int(height * rng.uniform(0.35, 0.5))
    mask[:horizon] = 0
    for _ in range(6):
        left, top = int(rng.integers(0, width)), int(rng.integers(0, horizon))
        mask[top:horizon, left : left + width // 6] = rng.choice([1, 9])  # building, vegetation
    mask[horizon:, : int(width * rng.uniform(0.1, 0.25))] = 8  # sidewalk
    mask[horizon:, width // 2 : width // 2 + max(1, width // 60)] = 6  # road line
    for _ in range(3):
        left, top = int(rng.integers(0, width)), int(rng.integers(horizon, height))
        mask[top - height // 10 : top + height // 12, left : left + width // 7] = 10  # vehicle
    colours = np.random.default_rng(5).integers(30, 225, (256, 3)).astype(np.int16)
    noise = rng.normal(0, 18, (*size, 3))
    image = np.clip(cv2.GaussianBlur(colours[mask].astype(np.float32), (3, 3), 0) + noise, 0, 255).astype(np.uint8)
    return image, mask


def write_scenes(folder: Path, count: int, size: tuple[int, int]) -> Path:
    """A plain dataset of scenes: rgb/ and seg_raw/."""
    for part in ("rgb", "seg_raw"):
        (folder / part).mkdir(parents=True)
    for number in range(count):
        image, mask = scene(number, size)
        cv2.imwrite(str(folder / "rgb" / f"{number:06d}.png"), image[..., ::-1])
        cv2.imwrite(str(folder / "seg_raw" / f"{number:06d}.png"), mask)
    return folder


def write_run(
    runs: Path, network: str, data: Path, size: tuple[int, int], steps: int, options: dict[str, Any] | None = None
) -> Path:
    """A run folder whose network did a few steps on the dataset.

    Args:
        runs: folder of run folders.
        network: name in `carlaseg.models`.
        data: dataset, which the run's settings then name.
        size: (height, width) to train at.
        steps: training steps; 0 lets batch norm see a batch and trains nothing.
        options: of the builder.
    """
    from carlaseg import labels, models
    from carlaseg.backend import prepare_backend
    from carlaseg.checkpoint import ModelCard, RunFolder, save_weights
    from carlaseg.config import TrainConfig
    from carlaseg.pipeline import for_training, select

    prepare_backend()
    import keras

    scheme = labels.scheme(SCHEME)
    settings = TrainConfig(dataset=(data,), scheme=SCHEME, validation_share=0.3)
    selection = select(settings)
    batches = for_training(selection.train, selection.tables, size, 2, cache="ram")
    model = models.build(network, scheme.num_classes, **(options or {}))
    if steps:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)
        model.compile(optimizer=keras.optimizers.Adam(3e-3), loss=loss)
        model.optimizer.build(model.trainable_variables)
    for step in range(max(steps, 8)):
        images, masks = batches.batch(step // len(batches), step % len(batches))
        if steps:
            model.train_on_batch(images, masks)
        else:
            model(images[:1], training=True)
    run = RunFolder.create(runs, network, network)
    run.write_config(settings)
    run.write_model_card(
        ModelCard(
            network=network,
            num_classes=scheme.num_classes,
            options=options or {},
            scheme=scheme.name,
            class_names=scheme.names,
            palette=tuple((int(r), int(g), int(b)) for r, g, b in scheme.palette[: scheme.num_classes]),
            size=size,
            parameters=model.count_params(),
        )
    )
    save_weights(run.weights("best"), model)
    del model, batches
    keras.backend.clear_session()  # the optimiser's memory is twice the network's
    return run.path
