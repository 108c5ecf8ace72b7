"""A run becomes an artefact; the artefact is compared with the run; only one that passes stands in its place.

One flat story. Everything is made in a folder beside the place it will have, and moved there at the end.
"""

from __future__ import annotations

import importlib
import json
import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from carlaseg import __version__
from carlaseg.backend import prepare_backend
from carlaseg.checkpoint import RunFolder, load_model
from carlaseg.config import ExportConfig, Size
from carlaseg.console import result, say
from carlaseg.errors import CheckpointError, ConfigError, Interrupted
from carlaseg.files import disk_fault
from carlaseg.inference.artefact import ArtefactCard
from carlaseg.inference.exporting.formats import FORMATS, Format, Task
from carlaseg.inference.exporting.parity import Reference, Report, bytes_of, measure_speed
from carlaseg.inference.exporting.pictures import calibration_pictures, labelled_pictures
from carlaseg.inference.exporting.quantising import Attempt, least_float
from carlaseg.inference.predictor import KerasPredictor
from carlaseg.inference.runtimes import ArtefactPredictor, open_artefact
from carlaseg.inference.runtimes.opening import require

RANKED_WITH = 8
"""Calibration pictures that a block's sensitivity is judged by."""
REPORTS = ("parity.json", "parity.md")


@dataclass(frozen=True)
class ExportResult:
    """What was made.

    Attributes:
        path: the artefact.
        report: its comparison with the checkpoint.
    """

    path: Path
    report: Report


class Loaded:
    """A run's network, loaded and folded once, for as many exports as are wanted of it.

    Args:
        run: the run folder.
        checkpoint: which of its weights.

    Raises:
        CheckpointError: its weights cannot be used.
        ConfigError: Keras runs on another backend than TensorFlow.
    """

    def __init__(self, run: RunFolder, checkpoint: Literal["best", "last"] = "best") -> None:
        prepare_backend()
        import keras

        if keras.backend.backend() != "tensorflow":
            raise ConfigError(
                f"expected Keras on TensorFlow, whose graphs the converters read, received {keras.backend.backend()}.",
                (("there", "KERAS_BACKEND=tensorflow carlaseg export ..."),),
            )
        from carlaseg.inference.exporting.folding import blocks, folded

        model = load_model(run, checkpoint)
        self.checkpoint = KerasPredictor(model)
        self.folded = folded(model)
        self.blocks = blocks(model)
        self.conversions: dict[str, bytes] = {}


def export(config: ExportConfig, loaded: Loaded | None = None) -> ExportResult:
    """Make an artefact of a run, with its parity report beside it.

    Args:
        config: the settings.
        loaded: the run's network, where an earlier export loaded it.

    Raises:
        ConfigError: a precision the format lacks, a missing package, a name that is taken, another Keras backend.
        CheckpointError: no such run, its weights cannot be used, or the artefact falls below the floor.
        DatasetError: no pictures to calibrate with or to compare on.
        Interrupted: Ctrl-C; no artefact is left.
    """
    form = FORMATS[config.to]
    _check(config, form)
    run = RunFolder.find(config.run, config.runs)
    card = run.model_card()
    path = config.output or run.path / "exports" / f"{config.to}_{config.precision}" / f"model{form.suffix}"
    _refuse_taken(path, config)
    size = tuple(config.size or card.size)
    size = (size[0], size[1])
    labelled = labelled_pictures(config, run, card, size)
    pictures: tuple[NDArray[np.uint8], ...] = ()
    calibrated_with = None
    if config.precision == "int8":
        pictures, calibrated_with = calibration_pictures(config, run, size)
    say("export", f"{run}, {config.checkpoint} weights: {card.network}, {card.parameters:,} parameters")
    say("compare", f"on {labelled.source} at {size[0]}x{size[1]}")
    if calibrated_with:
        say("int8", f"calibrated with {calibrated_with}")

    try:
        with _beside(path) as folder:
            network = loaded or Loaded(run, config.checkpoint)
            made = _Made(config, form, run, network, folder / path.name, pictures)
            reference = Reference(network.checkpoint.logits, labelled, card.class_names)
            artefact = made.artefact(reference)
            parity = reference.compare(artefact)
            if parity.miou_drop > config.max_miou_drop:
                raise _below_floor(config, parity.miou_drop, made.card.kept_float)
            checkpoint_speed, speed = measure_speed(network.checkpoint, artefact, labelled.images)
            report = Report(
                card=made.card,
                artefact=path.name,
                runtime=artefact.name,
                parity=parity,
                floor=config.max_miou_drop,
                artefact_bytes=bytes_of(made.path),
                checkpoint_bytes=4 * card.parameters,
                speed=speed,
                checkpoint_speed=checkpoint_speed,
                checkpoint_runtime=network.checkpoint.name,
                picture_size=size,
                calibrated_with=calibrated_with,
            )
            del artefact
            text = json.dumps(report.to_json(), indent=2, ensure_ascii=False) + "\n"
            (folder / REPORTS[0]).write_text(text, encoding="utf-8")
            (folder / REPORTS[1]).write_text(report.to_markdown(), encoding="utf-8")
            _move(folder, path)
    except KeyboardInterrupt:
        raise Interrupted("stopped; no artefact was left, and what was there before is whole.") from None
    return ExportResult(path, report)


def export_command(config: ExportConfig) -> int:
    """`carlaseg export`: prints the parity report and says what to do with the artefact.

    Returns:
        0.
    """
    outcome = export(config)
    report = outcome.report
    if config.json:
        result(json.dumps({"path": str(outcome.path), **report.to_json()}, ensure_ascii=False))
    else:
        for line in report.to_markdown().splitlines():
            result(line)
    say("wrote", f"{outcome.path.absolute()}   {report.artefact_bytes / 1e6:.2f} MB, with parity.json and parity.md")
    say("next", f"carlaseg infer --model {shlex.quote(str(outcome.path))} --input FOLDER")
    return 0


class _Made:
    """The artefact of one export, made as often as the search for sensitive blocks asks for."""

    def __init__(
        self,
        config: ExportConfig,
        form: Format,
        run: RunFolder,
        network: Loaded,
        path: Path,
        pictures: tuple[NDArray[np.uint8], ...],
    ) -> None:
        self.path = path
        self._config = config
        self._run = run
        self._network = network
        self._pictures = pictures
        self._write = importlib.import_module(f"carlaseg.inference.exporting.{form.module}").write
        card = run.model_card()
        size = config.size or Size(*card.size)
        self.card = ArtefactCard(
            carlaseg=__version__,
            run=run.name,
            checkpoint=config.checkpoint,
            network=card.network,
            scheme=card.scheme,
            class_names=card.class_names,
            palette=card.palette,
            trained_size=card.size,
            size=None if config.size is None and form.any_size else (size.height, size.width),
            precision=config.precision,
            output="ids" if config.argmax else "logits",
        )

    def artefact(self, reference: Reference) -> ArtefactPredictor:
        """The artefact, opened; with eight bits, one that keeps the floor if there is one."""
        if self._config.precision != "int8":
            return self._opened(Attempt((), ()))
        expected = [
            self._network.checkpoint.logits(picture)[0].argmax(axis=-1) for picture in self._pictures[:RANKED_WITH]
        ]
        drops: dict[Attempt, float] = {}

        def passes(attempt: Attempt) -> bool:
            drops[attempt] = reference.compare(self._opened(attempt)).miou_drop
            say("int8", f"mean IoU drops by {drops[attempt]:.3f} points")
            return drops[attempt] <= self._config.max_miou_drop

        def agreement(attempt: Attempt) -> float:
            predict = self._opened(attempt)
            pairs = zip(self._pictures, expected, strict=False)
            return float(np.mean([predict(picture, ids.shape)[0] == ids for picture, ids in pairs]))

        attempt = least_float(self._network.blocks, passes, agreement, lambda sentence: say("int8", sentence))
        if attempt is None:
            raise _below_floor(self._config, min(drops.values()), tuple(self._network.blocks))
        return open_artefact(self.path)

    def _opened(self, attempt: Attempt) -> ArtefactPredictor:
        for old in (self.path, self.path.with_suffix(".bin")):
            if old.is_dir():
                shutil.rmtree(old)
            elif self.path.suffix != "" or old == self.path:
                old.unlink(missing_ok=True)
        self.card = replace(self.card, kept_float=attempt.kept)
        network = self._network
        self._write(
            Task(
                model=network.folded,
                card=self.card,
                path=self.path,
                run=self._run.path,
                pictures=self._pictures,
                kept_float=attempt.layers,
                conversions=network.conversions,
            )
        )
        return open_artefact(self.path)


def _check(config: ExportConfig, form: Format) -> None:
    if config.precision not in form.precisions:
        raise ConfigError(
            f"--to {config.to} --precision {config.precision}: expected {' or '.join(form.precisions)} for this "
            f"format, received {config.precision}. Nothing was exported.",
            (("formats with it", ", ".join(n for n, f in FORMATS.items() if config.precision in f.precisions)),),
        )
    require(*form.packages)
    if config.output is not None and config.output.suffix.lower() != form.suffix:
        wanted = f"a name that ends in {form.suffix}" if form.suffix else "the name of a folder, without a suffix"
        raise ConfigError(f"--output {config.output}: expected {wanted}, received {config.output.name}.")


def _refuse_taken(path: Path, config: ExportConfig) -> None:
    taken = [old for old in (path, *(path.parent / name for name in REPORTS)) if old.exists()]
    if taken and not config.overwrite:
        raise ConfigError(
            f"{taken[0]}: expected a place that is free, received one that is taken. Nothing was changed.",
            (("replace it", "the same command with --overwrite"), ("or keep both", "--output ANOTHER_FOLDER/NAME")),
        )


def _below_floor(config: ExportConfig, drop: float, kept: tuple[str, ...]) -> CheckpointError:
    steps = [("allow more", f"--max-miou-drop {drop + 0.05:.1f}")]
    if config.precision == "int8":
        steps.insert(0, ("more pictures to calibrate", f"--calibration {4 * config.calibration}"))
        steps.append(("or", "--precision float16"))
    where = f", with {', '.join(kept)} left in float" if kept else ""
    return CheckpointError(
        f"--max-miou-drop {config.max_miou_drop:g}: expected a mean IoU at most so many points below the checkpoint's, "
        f"received {drop:.3f} points less{where}. No artefact was left.",
        tuple(steps),
    )


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A folder beside the artefact's place; it is gone afterwards, and so are folders made for it that stay empty."""
    made = [parent for parent in path.parents if not parent.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=path.parent) as folder:
            yield Path(folder)
    except OSError as error:
        raise CheckpointError(
            f"{path}: expected room to write it, received {disk_fault(error)}. No artefact was left."
        ) from error
    finally:
        for parent in made:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()


def _move(folder: Path, path: Path) -> None:
    for made in sorted(folder.iterdir()):
        place = path.parent / made.name
        if place.is_dir():
            shutil.rmtree(place)
        os.replace(made, place)
