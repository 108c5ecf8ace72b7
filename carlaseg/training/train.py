"""`carlaseg train`: from folders to a run folder, as one story read from the top to the bottom.

settings - device - data - network - what will be trained - run folder and first pictures - epochs - scores of the best
"""

from __future__ import annotations

import dataclasses
import json
import math
import shlex
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from carlaseg.checkpoint import RunFolder, load_training_state, save_weights
from carlaseg.config import TrainConfig, flags_of
from carlaseg.console import Progress, StopRequest, counted, duration, result, say, stop_on_signal
from carlaseg.errors import CheckpointError, ConfigError, Interrupted
from carlaseg.metrics import Scores
from carlaseg.training import memory, pictures
from carlaseg.training.finish import Log, draw_curves_and_write_card, say_end, score_best
from carlaseg.training.loop import State, Validation, diverged, train_steps, validate
from carlaseg.training.prepare import Prepared, prepare, rebuilt
from carlaseg.training.processes import agreed, joined, start_all
from carlaseg.training.range_test import advice, range_test
from carlaseg.training.resume import continued
from carlaseg.training.tensorboard import EventFile

FRAMES_SHOWN = 8
"""Validation frames whose prediction is drawn after every epoch."""
TABLE_HEAD = f"{'epoch':>7} {'loss':>8} {'val_loss':>9} {'mIoU':>6} {'acc':>6} {'img/s':>7} {'time':>7} {'left':>8}"


@dataclass(frozen=True)
class TrainResult:
    """What a training gave; what `--json` prints.

    Attributes:
        run: the run folder.
        network: name of the network.
        parameters: numbers in it.
        epochs: epochs done, those before a --resume included.
        best_epoch: the epoch of best.weights.h5.
        seconds: time of this process.
        scores: figures of best.weights.h5 on the validation frames.
    """

    run: Path
    network: str
    parameters: int
    epochs: int
    best_epoch: int
    seconds: float
    scores: Scores

    def to_json(self) -> dict[str, Any]:
        """The result as plain JSON values."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {"format": 1, **values, "run": str(self.run), "scores": self.scores.to_json()}


def train(config: TrainConfig) -> TrainResult | None:
    """Train a network.

    Returns:
        What came out of it; None for a --dry-run or a --lr-range-test.

    Raises:
        ConfigError: settings that do not fit together, too little memory, no GPU where one is required.
        DatasetError: a folder, a file or a label scheme that cannot be trained on.
        CheckpointError: a run that cannot be continued, or no room to write.
        TrainingDiverged: the loss stopped being a number.
        Interrupted: Ctrl-C; the run can be continued from the step it was at.
    """
    with joined(config) as own, ExitStack() as held:
        return _train(own, held)


def _train(config: TrainConfig, held: ExitStack) -> TrainResult | None:
    began_s = time.monotonic()
    run = None
    if config.resume is not None:
        config, run = continued(config)
        held.enter_context(run.ours())
    try:
        ready = prepare(config)
    except KeyboardInterrupt:
        raise Interrupted("stopped before the first step; nothing was trained or written.") from None
    if config.dry_run:
        say("dry run", "nothing was trained or written")
        return None

    if config.lr_range_test:
        with stop_on_signal("the current update") as stop:
            tested = range_test(ready.model, ready.train, agreed(stop, config))
        say("range", advice(tested))
        if config.json:
            result(json.dumps({"format": 1, **dataclasses.asdict(tested)}))
        return None

    state = _first_state(ready)
    if run is None:
        run = RunFolder.create(config.runs, config.model, config.run)
        held.enter_context(run.ours())
        _open_run(run, ready)
    else:
        state = _saved_state(run, ready)
        if ready.epochs < state.epoch:
            raise ConfigError(
                f"--epochs {ready.epochs}: expected at least the {state.epoch} that {run} has done, received fewer. "
                "Nothing was changed."
            )
        run.keep_metrics(state.epoch)
        run.write_config(ready.settings)
        run.write_model_card(ready.card)
    talk = Log(run)
    for line in ready.header:
        talk.keep(*line)
    talk("run", str(run.path.resolve()))
    _first_pictures(run, ready)
    if state.epoch or state.step:
        talk(
            "resume",
            f"after {counted(state.epoch, 'epoch')} and {counted(state.step, 'step')}; "
            f"best so far {state.best_mean_iou:.3f} mIoU",
        )

    with stop_on_signal("the current batch") as own_stop, stop_after(config.minutes, own_stop):
        stop = agreed(own_stop, config)
        while True:
            try:
                _run_epochs(run, ready, state, stop, talk)
                scores = score_best(run, ready, state, stop)
                break
            except Exception as error:
                if not memory.is_out_of_memory(error):
                    raise
                smaller = memory.at_a_smaller_batch(ready.config)
                # With several processes the others wait in the middle of the step that did not fit here.
                if smaller is None or config.processes > 1:
                    raise _out_of_memory(ready, run) from error
            # Outside of the except block: its traceback would keep the network that has to go.
            ready, state = _again(run, ready, smaller, talk)
    seconds = time.monotonic() - began_s
    draw_curves_and_write_card(run, ready, state, scores)
    say_end(run, ready, state, scores, seconds, talk)
    return TrainResult(run.path, config.model, ready.card.parameters, state.epoch, state.best_epoch, seconds, scores)


def train_command(config: TrainConfig) -> int:
    """`carlaseg train`: talk on standard error; with --json the result on standard output."""
    if config.processes > 1 and config.coordinator is None:
        return start_all(config)
    done = train(config)
    if config.json and done is not None:
        result(json.dumps(done.to_json()))
    return 0


def _open_run(run: RunFolder, ready: Prepared) -> None:
    run.write_config(ready.settings)
    run.write_environment(
        # Not the words of this process: a script of one's own or one of several processes has other words.
        command=["carlaseg", "train", *flags_of(ready.settings)],
        device=ready.device.name,
        backend=ready.device.backend,
    )
    run.write_model_card(ready.card)


def _first_state(ready: Prepared) -> State:
    frames, validation_frames = (len(batches.frames) for batches in (ready.train, ready.validation))
    return State(accumulate=ready.config.accumulate, frames=frames, validation_frames=validation_frames)


def _saved_state(run: RunFolder, ready: Prepared) -> State:
    """Where the run stood at its last save, with weights and optimiser filled in; the start when there is none.

    Raises:
        CheckpointError: what was saved cannot be used.
        ConfigError: it was trained or validated on more frames than there are now, or on fewer.
    """
    first = _first_state(ready)
    if not run.weights("last").is_file():
        if done := len(run.metrics()):
            raise CheckpointError(
                f"--resume {run}: expected the weights of its {done} epochs, received no last.weights.h5. Nothing was "
                "changed.",
                (("what is there still", f"carlaseg infer --run {shlex.quote(str(run))}"),)
                if run.weights("best").is_file()
                else (),
            )
        return first
    saved = State.from_saved(load_training_state(run.weights("last"), ready.model))
    began_with, now = ((s.frames, s.validation_frames) for s in (saved, first))
    if any(began_with) and began_with != now:
        settings, folder = shlex.quote(str(run.path / "config.json")), shlex.quote(str(run))
        raise ConfigError(
            f"--resume {run}: expected the frames it began with, {began_with[0]} to train and {began_with[1]} to "
            f"validate on, received {now[0]} and {now[1]}. Nothing was changed.",
            (("or a new run", f"carlaseg train --config {settings} --init-from {folder} --run NEW_NAME"),),
        )
    return saved.counted_in(first.accumulate, ready.model)


def _again(run: RunFolder, ready: Prepared, config: TrainConfig, talk: Log) -> tuple[Prepared, State]:
    """Go back to the last save with a smaller batch, the updates being those of the batch that did not fit."""
    talk(
        "memory",
        f"a batch of {ready.config.batch_size} did not fit; going on from the last save with {config.batch_size}, "
        f"{config.accumulate} batches an update: the updates see the same frames, with the same gradient "
        "only where batches have equally many labelled pixels",
    )
    ready = rebuilt(ready, config)
    state = _saved_state(run, ready)
    run.keep_metrics(state.epoch)
    run.write_config(ready.settings)
    return ready, state


@contextmanager
def stop_after(minutes: float | None, stop: StopRequest) -> Iterator[None]:
    """Ask to stop once so many minutes have gone by; never when None."""
    if minutes is None:
        yield
        return
    timer = threading.Timer(minutes * 60, stop.request)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _first_pictures(run: RunFolder, ready: Prepared) -> None:
    target = ready.selection.target
    images, masks = ready.train.batch(0, 0)
    drawn = (
        pictures.check_train_batch(run, images, masks, target.names, target.palette),
        pictures.check_classes(run, ready.counts.shares, target.names, target.palette),
    )
    paths = "   ".join(str(path) for path in drawn if path is not None)
    if paths:
        say("look", f"{paths}   before you wait: do the colours sit on the objects?")


# === The epochs ===


def _run_epochs(run: RunFolder, ready: Prepared, state: State, stop: StopRequest, talk: Log) -> None:
    wanted = np.linspace(0, len(ready.validation.frames) - 1, FRAMES_SHOWN).round().astype(np.int64)
    wanted = np.unique(wanted)
    shown_images, shown_masks = ready.validation.frames.gather(wanted)
    images_an_epoch = len(ready.train) * ready.config.batch_size
    if _finished(ready, state):
        talk("done", f"{state.epoch} epochs were done before; {_what_goes_on(ready, state)}")
        return
    talk("", TABLE_HEAD)
    done = state.epoch * images_an_epoch + state.step * ready.config.batch_size
    epoch_times_s: list[float] = []
    with (
        _event_file(run, ready.config) as events,
        Progress("train", ready.epochs * images_an_epoch, "images", start=done) as progress,
    ):
        while not _finished(ready, state):
            began_s = time.monotonic()
            train_steps(ready.model, ready.train, ready.config, ready.epochs, state, run, stop, progress)
            outcome = None if stop.requested else _validated(run, ready, state, stop, wanted.tolist())
            if outcome is None:
                state.save(run, ready.model)
                raise _interrupted(run, ready, state, stop)
            epoch_times_s.append(time.monotonic() - began_s)
            record = _record(ready, state, outcome)
            # The metrics first: after a power cut between the two, the line is dropped and the epoch done again.
            run.append_metrics(record)
            state.end_epoch(outcome.scores.mean_iou)
            state.save(run, ready.model)
            left_s = (ready.epochs - state.epoch) * sum(epoch_times_s) / len(epoch_times_s)
            line = _table_line(record, ready.epochs, epoch_times_s[-1], left_s)
            progress.note(f"{'':<8}{line}")
            talk.keep("", line)
            drawn = [outcome.validation.predictions[index] for index in wanted.tolist()]
            target = ready.selection.target
            pictures.predictions(run, state.epoch, shown_images, shown_masks, drawn, target.names, target.palette)
            if events is not None:
                events.add(state.epoch, record)


@dataclass(frozen=True)
class _Outcome:
    """What the validation of an epoch gave, and whether no epoch before was as good."""

    validation: Validation
    scores: Scores
    better: bool


def _validated(
    run: RunFolder, ready: Prepared, state: State, stop: StopRequest, wanted: Sequence[int]
) -> _Outcome | None:
    """Score an epoch's weights, the mean of them where one is kept, and save the best; None when asked to stop.

    Raises:
        TrainingDiverged: the loss is not a finite number; nothing of this epoch was saved at its end.
    """
    target = ready.selection.target
    with nullcontext() if ready.averaged is None else ready.averaged.in_place(ready.train, state.epoch):
        validation = validate(ready.scoring, ready.validation, target.num_classes, wanted, stop)
        if validation is None:
            return None
        if not math.isfinite(validation.loss):
            raise diverged(f"the validation of epoch {state.epoch + 1}", validation.loss, ready.config, run)
        scores = Scores.from_confusion(validation.confusion, target.names)
        better = scores.mean_iou > state.best_mean_iou
        if better:
            save_weights(run.weights("best"), ready.model)
    return _Outcome(validation, scores, better)


def _record(ready: Prepared, state: State, outcome: _Outcome) -> dict[str, Any]:
    """The line of metrics.jsonl of the epoch that is ending."""
    steps, scores = len(ready.train), outcome.scores
    return {
        "epoch": state.epoch + 1,
        "loss": state.loss_sum / steps,
        "val_loss": outcome.validation.loss,
        "val_mean_iou": scores.mean_iou,
        "val_pixel_accuracy": scores.pixel_accuracy,
        "val_class_accuracy": scores.class_accuracy,
        "val_frequency_weighted_iou": scores.frequency_weighted_iou,
        "learning_rate": float(ready.model.optimizer.learning_rate),
        "images_per_s": steps * ready.config.batch_size / max(state.train_s, 1e-9),
        "train_s": state.train_s,
        "best": outcome.better,
    }


@contextmanager
def _event_file(run: RunFolder, config: TrainConfig) -> Iterator[EventFile | None]:
    """TensorBoard's file, where one is wished for."""
    if not config.tensorboard:
        yield None
        return
    events = EventFile(run.path / "tensorboard")
    try:
        yield events
    finally:
        events.close()


def _finished(ready: Prepared, state: State) -> bool:
    return state.epoch >= ready.epochs or _out_of_patience(ready, state)


def _out_of_patience(ready: Prepared, state: State) -> bool:
    return bool(ready.config.patience and state.epochs_without_better >= ready.config.patience)


def _what_goes_on(ready: Prepared, state: State) -> str:
    """What a run that is finished needs to be told before it does another epoch."""
    more_epochs = "--epochs with a larger number"
    if not _out_of_patience(ready, state):
        return f"{more_epochs} goes on"
    waited = state.epochs_without_better
    more_patience = f"the last {waited} no better: --patience above {waited}, or --patience 0 for none,"
    return f"{more_patience} goes on" if state.epoch < ready.epochs else f"{more_patience} and {more_epochs} go on"


def _table_line(record: dict[str, Any], epochs: int, epoch_s: float, left_s: float) -> str:
    return (
        f"{record['epoch']:>3}/{epochs:<3} {record['loss']:>8.3f} {record['val_loss']:>9.3f} "
        f"{record['val_mean_iou']:>6.3f} {record['val_pixel_accuracy']:>6.3f} {record['images_per_s']:>7.1f} "
        f"{duration(epoch_s):>7} {duration(left_s):>8}{'  best' if record['best'] else ''}"
    )


def _interrupted(run: RunFolder, ready: Prepared, state: State, stop: StopRequest) -> Interrupted:
    return stop.interrupted(
        f"stopped in epoch {state.epoch + 1} of {ready.epochs} after step {state.step} of {len(ready.train)}; weights, "
        f"optimiser and random state are safe in {run.weights('last')}.",
        ("continue", f"carlaseg train --resume {shlex.quote(str(run))}"),
    )


def _out_of_memory(ready: Prepared, run: RunFolder) -> ConfigError:
    config = ready.config
    flag, size = memory.largest_pictures(config)
    images = config.batch_size // config.processes
    needed = memory.step_bytes(ready.model, size, images)
    fits = memory.what_would_fit(ready.model, size, images, int(0.7 * needed), flag, config.processes)
    return ConfigError(
        f"{flag} {size} --batch-size {config.batch_size}: expected a step of {config.model} to fit into memory, "
        f"received an allocation that failed (about {memory.gib(needed)} are needed). What was saved is in {run}.",
        (("should fit", fits), *memory.by_recomputing(config)),
    )
