"""What a report is made of, read from the disk once. A part that is missing is left out and named, never an error."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carlaseg.checkpoint import ModelCard, RunFolder
from carlaseg.config import ReportConfig
from carlaseg.dataset import Sample, open_dataset
from carlaseg.dataset.reader import is_recording, read_metadata
from carlaseg.dataset.records import RecordingMetadata
from carlaseg.errors import CarlasegError, ConfigError, DatasetError
from carlaseg.labels import LabelScheme
from carlaseg.metrics import Scores


@dataclass(frozen=True)
class Results:
    """An inference results folder.

    Attributes:
        folder: where it is.
        config: the settings it was made with.
        lines: predictions.jsonl, a mapping an image.
        scores: its scores, None without truth.
        metrics: metrics.json, empty without truth.
        summary: summary.json, empty when the inference was killed.
        evaluation: evaluation.json of carlaseg evaluate, or that of a comparison; empty when nobody evaluated.
        comparisons: evaluation_against_*.json.
    """

    folder: Path
    config: Mapping[str, Any]
    lines: Sequence[Mapping[str, Any]]
    scores: Scores | None
    metrics: Mapping[str, Any]
    summary: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    comparisons: Sequence[Mapping[str, Any]]

    @property
    def confusion(self) -> NDArray[np.int64]:
        """int64, (C, C), rows truth; empty without truth."""
        return np.asarray(self.metrics.get("confusion", []), np.int64)


@dataclass(frozen=True)
class Data:
    """A dataset folder and what it was used for.

    Attributes:
        role: train, validation or test.
        folder: where it is.
        layout: how it lies on disk.
        scheme: label scheme of its masks, None without.
        samples: its frames.
        recordings: what the recordings in it say of themselves, by folder.
    """

    role: str
    folder: Path
    layout: str
    scheme: LabelScheme | None
    samples: Sequence[Sample]
    recordings: Mapping[Path, RecordingMetadata]


@dataclass(frozen=True)
class Sources:
    """Everything a report shows."""

    run: RunFolder
    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    card: ModelCard | None
    epochs: Sequence[Mapping[str, Any]]
    validation: Scores | None
    evolution: Sequence[Path]
    data: Sequence[Data]
    results: Sequence[Results]
    missing: Sequence[str] = field(default_factory=tuple)

    @property
    def palette(self) -> NDArray[np.uint8]:
        """uint8, (256, 3), RGB: the colours of the run's classes, black for void."""
        palette = np.zeros((256, 3), np.uint8)
        if self.card is not None:
            palette[: self.card.num_classes] = self.card.palette
        return palette

    @property
    def best_epoch(self) -> Mapping[str, Any] | None:
        """The line of the epoch whose weights are the best ones."""
        scored = [line for line in self.epochs if isinstance(line.get("val_mean_iou"), int | float)]
        return max(scored, key=lambda line: float(line["val_mean_iou"])) if scored else None

    @property
    def embedded(self) -> tuple[str, ...]:
        """The dataset folders whose pictures come from the embedded simulator."""
        made = (f for f in self.data if any(m.simulator == "embedded" for m in f.recordings.values()))
        return tuple(dict.fromkeys(str(found.folder) for found in made))


def gather(config: ReportConfig) -> Sources:
    """Read all there is.

    Raises:
        CheckpointError: no such run.
        ConfigError: a results folder that was named is none.
    """
    run = RunFolder.find(config.run, config.runs)
    missing: list[str] = []
    settings = _json(run.path / "config.json")
    try:
        card: ModelCard | None = run.model_card()
    except CarlasegError as error:
        card = None
        missing.append(error.message)
    results = _results(config, run, missing)
    return Sources(
        run=run,
        config=settings,
        environment=_json(run.path / "environment.json"),
        card=card,
        epochs=_jsonl(run.path / "metrics.jsonl"),
        validation=_scores(_json(run.path / "validation_metrics.json")),
        evolution=sorted((run.path / "predictions").glob("epoch_*.jpg")),
        data=_data(settings, results, missing),
        results=results,
        missing=missing,
    )


def _results(config: ReportConfig, run: RunFolder, missing: list[str]) -> list[Results]:
    for folder in config.results:
        if not (folder / "predictions.jsonl").is_file():
            raise ConfigError(
                f"--results {folder}: expected a results folder of carlaseg infer, received something else."
            )
    folders = list(config.results)
    if not folders:
        places = {Path("dataset_out").resolve(), (run.path.parent.parent / "dataset_out").resolve()}
        found = [path.parent for place in sorted(places) for path in sorted(place.glob("*/predictions.jsonl"))]
        folders = [folder for folder in found if _made_from(folder, run)]
    if not folders:
        missing.append(f"no results of {run.name} under dataset_out/")
    return [_read_results(folder) for folder in folders]


def _read_results(folder: Path) -> Results:
    metrics = _json(folder / "metrics.json")
    comparisons = [_json(path) for path in sorted(folder.glob("evaluation_against_*.json"))]
    return Results(
        folder=folder,
        config=_json(folder / "config.json"),
        lines=_jsonl(folder / "predictions.jsonl"),
        scores=_scores(metrics),
        metrics=metrics,
        summary=_json(folder / "summary.json"),
        # A comparison holds the whole evaluation as well.
        evaluation=_json(folder / "evaluation.json") or next((c for c in comparisons if c), {}),
        comparisons=comparisons,
    )


def _made_from(folder: Path, run: RunFolder) -> bool:
    named = _json(folder / "config.json").get("run")
    return isinstance(named, str) and Path(os.path.abspath(named)) == Path(os.path.abspath(run.path))


def _data(settings: Mapping[str, Any], results: Sequence[Results], missing: list[str]) -> list[Data]:
    wanted: list[tuple[str, Path, str | None, str | None]] = []
    for role, key in (("train", "dataset"), ("validation", "validation")):
        folders = settings.get(key)
        for folder in folders if isinstance(folders, list) else []:
            wanted.append((role, Path(str(folder)), settings.get("scheme"), None))
    for outcome in results:
        c = outcome.config
        given = c.get("input", [])
        for word in given if isinstance(given, list) else [given]:
            if Path(str(word)).is_dir():
                wanted.append(("test", Path(str(word)), c.get("scheme"), c.get("split")))
    found: list[Data] = []
    for role, folder, scheme, split in wanted:
        if any((known.role, known.folder) == (role, folder) for known in found):
            continue
        try:
            dataset = open_dataset(folder, scheme, split)
        except (DatasetError, ConfigError):
            missing.append(f"{folder} ({role}) is not to be read from here")
            continue
        found.append(
            Data(role, folder, dataset.layout, dataset.scheme, dataset.samples, _recordings(dataset.samples, folder))
        )
    return found


def _recordings(samples: Sequence[Sample], folder: Path) -> dict[Path, RecordingMetadata]:
    folders = dict.fromkeys([folder, *(sample.image_path.parent.parent for sample in samples)])
    recordings: dict[Path, RecordingMetadata] = {}
    for candidate in folders:
        if is_recording(candidate):
            try:
                recordings[candidate] = read_metadata(candidate)
            except DatasetError:
                continue
    return recordings


def _scores(values: Mapping[str, Any]) -> Scores | None:
    try:
        return Scores.from_json(dict(values)) if values else None
    except DatasetError:
        return None


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _jsonl(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a file; a last line that was cut off is not there."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return []
    lines = []
    for line in text.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            lines.append(value)
    return lines
