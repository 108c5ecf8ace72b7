"""`carlaseg augment`: what the presets do to a dataset, as a picture, and what they cost."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from carlaseg.config import AugmentConfig
from carlaseg.console import result, say
from carlaseg.dataset import open_dataset
from carlaseg.dataset.pictures import PICTURE_SUFFIXES
from carlaseg.errors import ConfigError, DatasetError
from carlaseg.files import disk_fault, write_whole
from carlaseg.labels import IGNORE_ID
from carlaseg.pipeline.augment import PRESETS, Augmenter, augmentation_sheet
from carlaseg.pipeline.cache import Frames
from carlaseg.pipeline.selection import translations

TIMED_S = 1.0
"""How long a preset is timed."""


def augment_command(config: AugmentConfig) -> int:
    """Time the presets; with --show draw one.

    Raises:
        ConfigError: an unknown preset or scheme, or a picture's name without the ending of a picture.
        DatasetError: no dataset, or a damaged one; the picture cannot be written.
    """
    if config.show and config.output.suffix.lower() not in PICTURE_SUFFIXES:
        raise ConfigError(
            f"--output {config.output}: expected a name ending in {' or '.join(sorted(PICTURE_SUFFIXES))}."
        )
    data = open_dataset(config.dataset, config.scheme, masks_required=True)
    target, tables, _ = translations([data], config.classes)
    places = np.linspace(0, len(data.samples) - 1, min(config.frames, len(data.samples))).round().astype(np.int64)
    frames = Frames([data.samples[int(place)] for place in np.unique(places)], tables, config.size, "none")
    pairs = [frames.read(index) for index in range(len(frames))]
    if config.show:
        _write(config, augmentation_sheet(pairs, target.palette, config.augment, config.seed, config.draws))
        return 0
    costs = [_cost(preset, config.seed, pairs) for preset in PRESETS]
    if config.json:
        result(json.dumps({"format": 1, "size": list(config.size), "presets": costs}))
        return 0
    result(f"{'preset':<8} {'ms a frame':>10} {'frames/s':>9} {'void added':>11}   one thread, {config.size}")
    for cost in costs:
        result(f"{cost['preset']:<8} {1000 * cost['frame_s']:>10.2f} {1 / cost['frame_s']:>9.0f} {cost['void']:>11.1%}")
    return 0


def _cost(preset: str, seed: int, pairs: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> dict[str, Any]:
    """Seconds a frame of one thread, and the share of the pixels that become void."""
    augmenter = Augmenter(preset, seed)
    augmenter(*pairs[0], 0, 0)  # imgaug is imported here
    before = np.mean([np.mean(mask == IGNORE_ID) for _, mask in pairs])
    void: list[float] = []
    began_s = time.perf_counter()
    while time.perf_counter() - began_s < TIMED_S or len(void) < len(pairs):
        epoch, index = divmod(len(void), len(pairs))
        void.append(float(np.mean(augmenter(*pairs[index], epoch, index)[1] == IGNORE_ID)))
    frame_s = (time.perf_counter() - began_s) / len(void)
    return {"preset": preset, "frame_s": frame_s, "void": max(0.0, float(np.mean(void) - before))}


def _write(config: AugmentConfig, sheet: NDArray[np.uint8]) -> None:
    encoded = cv2.imencode(config.output.suffix, np.ascontiguousarray(sheet[..., ::-1]))[1]
    try:
        config.output.parent.mkdir(parents=True, exist_ok=True)
        write_whole(config.output, encoded.tobytes())
    except OSError as error:
        raise DatasetError(f"{config.output}: expected room to write it, received {disk_fault(error)}.") from error
    say("look", f"{config.output}: each row a frame as it is, then as {config.draws} epochs of {config.augment} see it")
