"""After the last step: scores of the best weights, the model card, and what is said at the end."""

from __future__ import annotations

import shlex

from carlaseg.checkpoint import RunFolder, load_weights
from carlaseg.console import StopRequest, duration, say
from carlaseg.errors import CheckpointError
from carlaseg.metrics import Scores, confusion_csv
from carlaseg.training import pictures
from carlaseg.training.card import model_card
from carlaseg.training.loop import State, validate
from carlaseg.training.prepare import Prepared
from carlaseg.training.runs import comparison, table


class Log:
    """Says a line and keeps it in the run's log.txt."""

    def __init__(self, run: RunFolder) -> None:
        self._path = run.path / "log.txt"

    def __call__(self, label: str, text: str = "") -> None:
        """Say and keep."""
        say(label, text)
        self.keep(label, text)

    def keep(self, label: str, text: str = "") -> None:
        """Keep without saying."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{label:<8}{text}".rstrip() + "\n")


def score_best(run: RunFolder, ready: Prepared, state: State, stop: StopRequest) -> Scores:
    """Score the best weights on the validation frames, and write the files of scores.

    Raises:
        CheckpointError: there are no best weights.
        Interrupted: Ctrl-C.
    """
    if not run.weights("best").is_file():
        raise CheckpointError(f"{run.weights('best')}: expected the best weights, received no such file.")
    load_weights(run.weights("best"), ready.model)
    names = ready.selection.target.names
    scored = validate(ready.scoring, ready.validation, len(names), (), stop)
    if scored is None:
        raise stop.interrupted(
            f"stopped while scoring; all {state.epoch} epochs are safe in {run}.",
            ("score it again", f"carlaseg train --resume {shlex.quote(str(run))}"),
        )
    scores = Scores.from_confusion(scored.confusion, names)
    run.write_text("confusion.csv", confusion_csv(scored.confusion, names))
    pictures.confusion(run, scored.confusion, names)
    run.write_text("per_class.csv", scores.csv())
    run.write_json("validation_metrics.json", {"epoch": state.best_epoch, **scores.to_json()})
    return scores


def draw_curves_and_write_card(run: RunFolder, ready: Prepared, state: State, scores: Scores) -> None:
    """Draw the curves and write the model card."""
    pictures.curves(run, run.metrics())
    run.write_text("README.md", model_card(run, ready, state, scores))


def say_end(run: RunFolder, ready: Prepared, state: State, scores: Scores, seconds: float, talk: Log) -> None:
    """Say what came out, how it compares, and what to do next."""
    early = f"; no better for {ready.config.patience} epochs" if state.epoch < ready.epochs else ""
    talk("done", f"{state.epoch} of {ready.epochs} epochs{early}; {duration(seconds)}; best epoch {state.best_epoch}")
    weakest = ", ".join(f"{c.name} {c.iou or 0:.2f}" for c in scores.weakest[:3])
    talk(
        "score",
        f"mIoU {scores.mean_iou:.3f} over {scores.present} classes   accuracy {scores.pixel_accuracy:.3f}   "
        f"on {len(ready.selection.validation)} validation frames   weakest: {weakest}",
    )
    lines = {line.run: line for line in table(run.path.parent)}
    said = comparison(lines[run.name]) if run.name in lines else None
    if said is not None:
        talk("compare", said)
    if ready.device.warning:
        talk("warning", ready.device.warning)
    talk("wrote", f"{run.path.resolve()}   start with README.md, curves.png, predictions/")
    talk("next", f"carlaseg infer --run {shlex.quote(str(run))} --input dataset_test")
