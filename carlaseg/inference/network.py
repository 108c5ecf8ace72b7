"""Which network predicts: found and described before anything is loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carlaseg.backend import prepare_backend
from carlaseg.checkpoint import RunFolder, find_kept, load_model
from carlaseg.config import InferConfig, to_json
from carlaseg.inference.panels import Legend
from carlaseg.inference.predictor import KerasPredictor, Runtime
from carlaseg.inference.runtimes import open_artefact


@dataclass(frozen=True)
class Network:
    """A trained network.

    Attributes:
        name: for the names of results.
        path: the run folder, or the exported file.
        what: weights, parameters and classes in a line.
        scheme: label scheme of its classes.
        class_names: one a class.
        palette: (red, green, blue) a class.
        size: (height, width) it was trained at.
        load: loads it; seconds.
    """

    name: str
    path: Path
    what: str
    scheme: str
    class_names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    size: tuple[int, int]
    load: Callable[[], Runtime]

    @property
    def num_classes(self) -> int:
        """How many classes it tells apart."""
        return len(self.class_names)

    @property
    def legend(self) -> Legend:
        """Names and colours of its classes; void and whatever lies above the table is black."""
        palette: NDArray[np.uint8] = np.zeros((256, 3), np.uint8)
        palette[: self.num_classes] = self.palette
        return Legend(self.class_names, palette)


def find_network(config: InferConfig) -> Network:
    """The network that the settings name.

    Raises:
        CheckpointError: there is none, it is of a newer format, or the exported file is not one of ours.
        ConfigError: the exported file's runtime is not installed.
    """
    if config.model is not None:
        return _of_artefact(config.model)
    run = find_kept(config.weights) if config.weights is not None else RunFolder.find(config.run, config.runs)
    card = run.model_card()
    best = [r for r in run.metrics() if r.get("best")] if config.checkpoint == "best" else run.metrics()
    epoch = f" of epoch {best[-1]['epoch']}" if best and "epoch" in best[-1] else ""

    def load() -> Runtime:
        prepare_backend()
        return KerasPredictor(load_model(run, config.checkpoint))

    return Network(
        name=run.name,
        path=run.path,
        what=(
            f"{run}, {config.checkpoint} weights{epoch}: {card.network}, {card.parameters:,} parameters, "
            f"{card.num_classes} classes ({card.scheme})"
        ),
        scheme=card.scheme,
        class_names=card.class_names,
        palette=card.palette,
        size=card.size,
        load=load,
    )


def _of_artefact(path: Path) -> Network:
    # Opened at once: what it is can be read from the inside alone, and is read in less than Keras needs to load.
    artefact = open_artefact(path)
    card = artefact.card
    return Network(
        name=f"{card.run}_{path.suffix.lstrip('.') or 'saved_model'}_{card.precision}",
        path=path,
        what=(
            f"{path}, from the {card.checkpoint} weights of {card.run}: {card.network}, {card.num_classes} classes "
            f"({card.scheme}), {card.precision}, by {artefact.name}"
        ),
        scheme=card.scheme,
        class_names=card.class_names,
        palette=card.palette,
        size=card.size or card.trained_size,
        load=lambda: artefact,
    )


def settings_of(config: InferConfig, network: Network) -> dict[str, Any]:
    """The effective settings, with the run that `latest` or a bare name stood for."""
    named = config.model is not None or config.weights is not None
    return to_json(config) | ({} if named else {"run": str(network.path)})
