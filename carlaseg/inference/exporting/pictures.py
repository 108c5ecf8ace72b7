"""Pictures for an export: some of the training set to calibrate with, some with truth to compare on.

The run's settings say which they were; a folder given by the user takes their place.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carlaseg import labels
from carlaseg.checkpoint import ModelCard, RunFolder
from carlaseg.config import ExportConfig, TrainConfig, from_mapping
from carlaseg.dataset import Sample, open_dataset, read_image
from carlaseg.errors import ConfigError, DatasetError
from carlaseg.pipeline import Selection, for_evaluation, select
from carlaseg.pipeline.cache import resized_image


@dataclass(frozen=True)
class Labelled:
    """Pictures with truth, at the network's size.

    Attributes:
        images: uint8, (N, H, W, 3), RGB.
        truth: uint8, (N, H, W), class ids of the network, 255 for void.
        source: where they are from, for people.
    """

    images: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    source: str


def calibration_pictures(
    config: ExportConfig, run: RunFolder, size: tuple[int, int]
) -> tuple[tuple[NDArray[np.uint8], ...], str]:
    """Pictures that the network learned from, evenly spread, each uint8 (1, H, W, 3), and where they are from.

    Raises:
        DatasetError: there are none, or one cannot be read.
    """
    if config.calibration_data is not None:
        samples: Sequence[Sample] = open_dataset(config.calibration_data, config.scheme).samples
        source = str(config.calibration_data)
    else:
        samples = _selection(run, "--calibration-data").train
        source = f"the training set of {run.name}"
    chosen = spread(samples, config.calibration)
    pictures = tuple(resized_image(read_image(sample.image_path), size)[None] for sample in chosen)
    return pictures, f"{len(pictures)} pictures of {source}"


def labelled_pictures(config: ExportConfig, run: RunFolder, card: ModelCard, size: tuple[int, int]) -> Labelled:
    """Pictures with truth that the network did not learn from.

    Raises:
        DatasetError: there are none, one cannot be read, or its truth is of other classes than the network's.
    """
    if config.validation_data is not None:
        data = open_dataset(config.validation_data, config.scheme, masks_required=True)
        assert data.scheme is not None  # what masks_required asks for
        target = labels.scheme(card.scheme)
        try:
            tables = {data.scheme.name: target.void_table[labels.remap(data.scheme, target).table]}
        except ConfigError as error:
            raise DatasetError(
                f"{data.folder}: expected truth of the network's classes ({card.scheme}), received {data.scheme.name}: "
                f"{error.message} Nothing was exported."
            ) from error
        samples: Sequence[Sample] = data.samples
        source = str(config.validation_data)
    else:
        selection = _selection(run, "--validation-data")
        samples, tables = selection.validation, dict(selection.tables)
        source = f"the validation set of {run.name}"
    chosen = spread(samples, config.images or len(samples))
    batches = for_evaluation(chosen, tables, size, 1, cache="none")
    pairs = list(batches)
    images, truth = (np.concatenate([pair[part] for pair in pairs]) for part in (0, 1))
    return Labelled(images, truth, f"{len(chosen)} of {len(samples)} pictures of {source}")


def spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    """So many samples, evenly spread over all of them."""
    if len(samples) <= count:
        return list(samples)
    return [samples[int(place)] for place in np.linspace(0, len(samples) - 1, count)]


def _selection(run: RunFolder, flag: str) -> Selection:
    """The frames a run was made of.

    Args:
        run: the run folder.
        flag: what names a folder in their place.

    Raises:
        DatasetError: they are no longer where they were.
    """
    values = run.read_json("config.json")
    known = {field.name for field in dataclasses.fields(TrainConfig)}
    settings = from_mapping(
        TrainConfig, {name: value for name, value in values.items() if name in known}, str(run.path / "config.json")
    )
    try:
        return select(settings)
    except DatasetError as error:
        folders = ", ".join(str(Path(folder)) for folder in (*settings.dataset, *settings.validation))
        raise DatasetError(
            f"{run}: expected the pictures it was trained on ({folders}, seen from here), received: {error.message} "
            "Nothing was exported.",
            (("name a folder", f"the same command with {flag} DIR"),),
        ) from error
