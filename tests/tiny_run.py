"""A tiny dataset with a pattern that can be learned, and a tiny run folder with real weights, both made in a moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

SCHEME = "carla-0.9.14"
SIZE = (24, 32)


def frame(seed: int, size: tuple[int, int] = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """An RGB image and its ids: sky (11) over road (1) with a car (14), each in its own colour with some noise."""
    rng = np.random.default_rng(seed)
    height, width = size
    mask = np.full(size, 1, np.uint8)
    mask[: height // 2] = 11
    left = int(rng.integers(0, width // 2))
    mask[height // 2 - 4 : height // 2 + 4, left : left + width // 3] = 14
    palette = np.zeros((256, 3), np.int16)
    palette[[1, 11, 14]] = [(90, 90, 95), (120, 170, 230), (200, 40, 40)]
    image = np.clip(palette[mask] + rng.integers(-12, 12, (*size, 3)), 0, 255).astype(np.uint8)
    return image, mask


def write_dataset(folder: Path, frames: int = 6, size: tuple[int, int] = SIZE, masks: bool = True) -> Path:
    """A plain folder of the older kind: rgb/ and seg_raw/ with the ids in the red channel; or pictures alone."""
    images = folder / "rgb" if masks else folder
    images.mkdir(parents=True)
    if masks:
        (folder / "seg_raw").mkdir()
    for number in range(frames):
        image, mask = frame(number, size)
        assert cv2.imwrite(str(images / f"rgb_{number:08d}.png"), image[..., ::-1])
        if masks:
            red = np.zeros((*size, 3), np.uint8)
            red[..., 2] = mask
            assert cv2.imwrite(str(folder / "seg_raw" / f"seg_raw_{number:08d}.png"), red)
    return folder


TINY = {"groups": 1, "layers_per_block": 1, "growth_rate": 4, "first_filters": 8, "seed": 0}


def write_run(runs: Path, name: str = "tiny", network: str = "fc_densenet", options: dict[str, Any] = TINY) -> Path:
    """A run folder with an untrained network, through the same doors as training uses."""
    from carlaseg import labels, models
    from carlaseg.checkpoint import ModelCard, RunFolder, save_weights
    from carlaseg.config import TrainConfig

    scheme = labels.scheme(SCHEME)
    model = models.build(network, scheme.num_classes, **options)
    run = RunFolder.create(runs, network, name)
    run.write_config(TrainConfig(run=name, epochs=2))
    run.write_environment()
    run.write_model_card(
        ModelCard(
            network=network,
            num_classes=scheme.num_classes,
            options=options,
            scheme=scheme.name,
            class_names=scheme.names,
            palette=tuple(tuple(label.color) for label in scheme.classes),
            size=SIZE,
            parameters=int(model.count_params()),
        )
    )
    for epoch in (1, 2):
        run.append_metrics({"epoch": epoch, "loss": 2.0 / epoch, "val_loss": 2.2 / epoch, "val_mean_iou": 0.2 * epoch})
    for which in ("best", "last"):
        save_weights(run.weights(which), model)
    return run.path
