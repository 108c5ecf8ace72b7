"""The steps of an epoch and the validation after it.

Keras's `train_on_batch` in a loop of our own, rather than `fit`: a run can then stop and go on at any step, on all
three backends, and the loop is where a step that is no number is found (docs/decisions/0010). A step is a pure function
of (weights, optimiser, dropout states, batch number), which is what the checkpoint holds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carlaseg.checkpoint import RunFolder, save_weights
from carlaseg.checkpoint.weights import WAITING
from carlaseg.config import TrainConfig
from carlaseg.console import Progress, StopRequest
from carlaseg.errors import CheckpointError, TrainingDiverged
from carlaseg.labels import IGNORE_ID
from carlaseg.metrics import confusion_matrix
from carlaseg.pipeline import EvaluationBatches, TrainingBatches
from carlaseg.training.schedules import learning_rate

SAVE_EVERY_S = 180.0
"""An epoch may take hours on a small machine; a power cut then costs three minutes of it."""


@dataclass
class State:
    """Where a run stands; with weights, optimiser and dropout states it is all that a continuation needs.

    Attributes:
        epoch: epochs that are finished, validation included.
        step: steps done in the running epoch.
        loss_sum: sum of their losses.
        train_s: seconds they took.
        best_epoch: epoch with the best validation mIoU, 0 before the first.
        best_mean_iou: that mIoU.
        epochs_without_better: epochs since then.
        accumulate: batches an update in which `step` was counted.
        frames: frames trained on; 0 in what an earlier carlaseg saved.
        validation_frames: frames validated on.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    train_s: float = 0.0
    best_epoch: int = 0
    best_mean_iou: float = -1.0
    epochs_without_better: int = 0
    accumulate: int = 1
    frames: int = 0
    validation_frames: int = 0

    def end_epoch(self, mean_iou: float) -> None:
        """Go on to the next epoch, the validation of this one having given a mean IoU."""
        self.epoch, self.step, self.loss_sum, self.train_s = self.epoch + 1, 0, 0.0, 0.0
        self.epochs_without_better += 1
        if mean_iou > self.best_mean_iou:
            self.best_epoch, self.best_mean_iou, self.epochs_without_better = self.epoch, mean_iou, 0

    def save(self, run: RunFolder, model: Any) -> None:
        """Write last.weights.h5: everything a continuation needs, in one file, as a whole."""
        save_weights(run.weights("last"), model, asdict(self))

    @classmethod
    def from_saved(cls, values: dict[str, Any]) -> State:
        """The state as it was saved.

        Raises:
            CheckpointError: it is none.
        """
        try:
            state = cls(**values)
        except TypeError as error:
            raise CheckpointError(f"training state: expected what carlaseg saves, received {error}.") from error
        for name, start in asdict(cls()).items():
            value = values.get(name, start)
            whole = type(start) is int
            if type(value) not in ((int,) if whole else (int, float)) or (whole and value < 0):
                raise CheckpointError(
                    f"training state: expected {'a count' if whole else 'a number'} for {name}, received {value!r}."
                )
        return state

    def counted_in(self, accumulate: int, model: Any) -> State:
        """The same place when an update has another number of batches; the optimiser's count of them follows.

        Needed after a batch was halved because memory ran out. States are saved after a multiple of an update's batches
        alone, so that the division of the step leaves nothing over; one batch becomes several in the optimiser's count.
        """
        if accumulate == self.accumulate:
            return self
        optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
        count = next(v for v in optimizer.variables if v.path.endswith("/iteration"))
        count.assign(int(count) * accumulate // self.accumulate)
        for waiting in (v for v in optimizer.variables if v.path.endswith(WAITING)):
            # A sum of means of batches: as many more batches, each with a mean of its own.
            waiting.assign(waiting * (accumulate / self.accumulate))
        step = self.step * accumulate // self.accumulate
        loss_sum = self.loss_sum * accumulate / self.accumulate
        return replace(self, step=step, loss_sum=loss_sum, accumulate=accumulate)


@dataclass(frozen=True)
class Validation:
    """What a pass over the validation frames gave.

    Attributes:
        loss: mean loss of the pixels that are not void.
        confusion: int64, (C, C), rows truth.
        predictions: class ids, uint8 (H, W), of the frames that were asked for.
    """

    loss: float
    confusion: NDArray[np.int64]
    predictions: dict[int, NDArray[np.uint8]]


def train_steps(
    model: Any,
    batches: TrainingBatches,
    config: TrainConfig,
    epochs: int,
    state: State,
    run: RunFolder,
    stop: StopRequest,
    progress: Progress,
) -> None:
    """Do the steps of the running epoch that are still to do; returns early, after whole updates, when asked to stop.

    Raises:
        TrainingDiverged: the loss of a step is not a finite number; nothing was saved since the last good one.
    """
    total_steps = epochs * len(batches)
    warm_up = None if config.warmup_epochs is None else round(config.warmup_epochs * len(batches))
    began_s = saved_s = time.monotonic()
    before_s = state.train_s
    with closing(batches.epoch(state.epoch, state.step)) as epoch:
        for images, masks in epoch:
            step = state.epoch * len(batches) + state.step
            model.optimizer.learning_rate = learning_rate(
                config.schedule, step, total_steps, config.learning_rate, warm_up
            )
            model.reset_metrics()  # train_on_batch gives the mean since the last reset
            loss = float(model.train_on_batch(images, masks))
            if not math.isfinite(loss):
                where = f"epoch {state.epoch + 1}, step {state.step + 1} of {len(batches)}"
                raise diverged(where, loss, config, run)
            state.step += 1
            state.loss_sum += loss
            now_s = time.monotonic()
            state.train_s = before_s + now_s - began_s
            progress.advance(config.batch_size, loss=f"{state.loss_sum / state.step:.3f}")
            if state.step % batches.accumulate:
                continue  # only an overflow in float16 leaves gradients of a part of an update to be saved
            if stop.requested:
                return
            if now_s - saved_s > SAVE_EVERY_S:
                state.save(run, model)
                saved_s = now_s


def validate(
    scoring: Any, batches: EvaluationBatches, num_classes: int, wanted: Sequence[int], stop: StopRequest | None = None
) -> Validation | None:
    """Score all frames in order.

    Args:
        scoring: model of `network.scorer`.
        batches: the validation frames.
        num_classes: classes of the network.
        wanted: frames whose predictions to keep.
        stop: looked at between batches.

    Returns:
        The scores, or None when asked to stop.
    """
    confusion = np.zeros((num_classes, num_classes), np.int64)
    loss_sum = weight_sum = 0.0
    predictions: dict[int, NDArray[np.uint8]] = {}
    first = 0
    with closing(iter(batches)) as stream:  # type: ignore[type-var]
        for images, masks in stream:
            count = len(images)
            # A smaller last batch would be compiled anew; void pixels count for nothing.
            missing = batches.batch_size - count
            if missing and first:
                images = np.pad(images, ((0, missing), (0, 0), (0, 0), (0, 0)))
                masks = np.pad(masks, ((0, missing), (0, 0), (0, 0)), constant_values=IGNORE_ID)
            ids, losses, weights = scoring.predict_on_batch([images, masks])
            confusion += confusion_matrix(masks[:count], ids[:count], num_classes)
            loss_sum += float(np.sum(losses, dtype=np.float64))
            weight_sum += float(np.sum(weights, dtype=np.float64))
            for index in wanted:
                if first <= index < first + count:
                    predictions[index] = ids[index - first].copy()
            first += count
            if stop is not None and stop.requested:
                return None
    return Validation(loss_sum / max(weight_sum, 1e-6), confusion, predictions)


def diverged(where: str, loss: float, config: TrainConfig, run: RunFolder) -> TrainingDiverged:
    """The answer to a loss that is no number."""
    return TrainingDiverged(
        f"{where}: expected a finite loss, received {loss}. {_what_is_safe(run)}",
        (
            ("try", f"a smaller --learning-rate than {config.learning_rate:g}, in a new run"),
            ("look", f"{run.path / 'check_train_batch.jpg'}: do the colours sit on the objects?"),
        ),
    )


def _what_is_safe(run: RunFolder) -> str:
    if run.weights("last").exists():
        return f"The weights of the last save are whole in {run.weights('last')}."
    return "No epoch was finished, so no weights were saved."
