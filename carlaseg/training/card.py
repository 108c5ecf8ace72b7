"""README.md of a run: the model card, written from facts alone."""

from __future__ import annotations

import shlex
from pathlib import Path

from carlaseg import __version__
from carlaseg.checkpoint import RunFolder
from carlaseg.config import flags_of
from carlaseg.console import counted, duration
from carlaseg.metrics import Scores, figure
from carlaseg.training.loop import State
from carlaseg.training.prepare import Prepared

HEAD = """---
library_name: keras
pipeline_tag: image-segmentation
tags: [semantic-segmentation, carla, carlaseg]
---
"""
LIMITS = """## Limits

Frames of one drive resemble each other, and the validation frames come from the same simulator or camera as
the training frames: expect a lower score anywhere else. Licence of the weights: that of the training data.
"""


def model_card(run: RunFolder, ready: Prepared, state: State, scores: Scores) -> str:
    """The text of README.md.

    Args:
        run: the run folder.
        ready: what was trained, on what.
        state: where the run stands.
        scores: of the best weights on the validation frames.
    """
    card = ready.card
    lines = [
        HEAD,
        f"# {run.name}",
        "",
        f"`{card.network}` of {card.parameters:,} parameters, trained by carlaseg {__version__} to tell "
        f"{card.num_classes} classes apart ({ready.selection.target.title}).",
        "",
        *_facts(run, ready, state),
        "",
        "## Scores on the validation frames, best weights",
        "",
        *_scores(scores),
        "",
        "## Pictures",
        "",
        "![curves](curves.png)",
        "",
        f"![predictions](predictions/epoch_{state.best_epoch:03d}.jpg)",
        "",
        "Image, truth, prediction of the same validation frames; one such sheet an epoch lies in predictions/.",
        "",
        "## Use",
        "",
        "```",
        f"carlaseg infer --run {shlex.quote(str(run))} --input FOLDER_OF_IMAGES",
        "```",
        "",
        LIMITS,
    ]
    return "\n".join(lines)


def _facts(run: RunFolder, ready: Prepared, state: State) -> list[str]:
    """A table of what was done, with what."""
    config, selection, device = ready.settings, ready.selection, ready.device
    steps_s = sum(float(record.get("train_s", 0.0)) for record in run.metrics())
    facts = {
        "command": f"`{shlex.join(['carlaseg', 'train', *flags_of(config)])}`",
        "trained on": f"{counted(len(selection.train), 'frame')} of {_folders(config.dataset)}",
        "validated on": f"{counted(len(selection.validation), 'frame')}; {selection.note}",
        "size": f"{config.size} (height x width), batch {config.batch_size}, augmentation `{config.augment}`",
        "optimiser": f"{config.optimizer}, {config.schedule} from {config.learning_rate:g}, seed {config.seed}",
        "machine": f"{device.name}; {device.backend}",
        "time": f"{counted(state.epoch, 'epoch')}, {duration(steps_s)} of training steps",
        "best epoch": f"{state.best_epoch}, by validation mean IoU",
    }
    return ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in facts.items())]


def _scores(scores: Scores) -> list[str]:
    """The means, and a table of the classes that the validation frames show."""
    lines = [
        f"mean IoU **{scores.mean_iou:.3f}** over {scores.present} of {len(scores.classes)} classes, "
        f"pixel accuracy {scores.pixel_accuracy:.3f}, class accuracy {scores.class_accuracy:.3f}, "
        f"frequency-weighted IoU {scores.frequency_weighted_iou:.3f}",
        "",
        "| class | share | IoU | recall | precision |",
        "|---|---|---|---|---|",
    ]
    for entry in sorted((c for c in scores.classes if c.present), key=lambda c: -c.share):
        ratios = " | ".join(figure(value) for value in (entry.iou, entry.recall, entry.precision))
        lines.append(f"| {entry.name} | {entry.share:.2%} | {ratios} |")
    absent = [c.name for c in scores.classes if not c.present]
    return [*lines, "", f"The validation frames do not show: {', '.join(absent)}."] if absent else lines


def _folders(folders: tuple[Path, ...]) -> str:
    return ", ".join(f"`{folder}`" for folder in folders)
