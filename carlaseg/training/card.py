"""README.md of a run: the model card, written from facts alone."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from carlaseg import __version__
from carlaseg.checkpoint import ModelCard, RunFolder
from carlaseg.config import TrainConfig
from carlaseg.console import duration
from carlaseg.metrics import Scores, figure
from carlaseg.pipeline import Selection
from carlaseg.training.device import Device


def model_card(
    run: RunFolder,
    config: TrainConfig,
    card: ModelCard,
    selection: Selection,
    device: Device,
    scores: Scores,
    best_epoch: int,
    epochs: int,
    seconds: float,
) -> str:
    """The text of README.md."""
    lines = [
        "---",
        "library_name: keras",
        "pipeline_tag: image-segmentation",
        "tags: [semantic-segmentation, carla, carlaseg]",
        "---",
        "",
        f"# {run.name}",
        "",
        f"`{card.network}` of {card.parameters:,} parameters, trained by carlaseg {__version__} to tell "
        f"{card.num_classes} classes apart ({selection.target.title}).",
        "",
        "| | |",
        "|---|---|",
        f"| command | `{_command(run, config)}` |",
        f"| trained on | {len(selection.train)} frames of {_folders(config.dataset)} |",
        f"| validated on | {len(selection.validation)} frames; {selection.note} |",
        f"| size | {config.size} (height x width), batch {config.batch_size}, augmentation `{config.augment}` |",
        f"| optimiser | {config.optimizer}, {config.schedule} from {config.learning_rate:g}, seed {config.seed} |",
        f"| machine | {device.name}; {device.backend} |",
        f"| time | {epochs} epochs in {duration(seconds)} |",
        f"| best epoch | {best_epoch}, by validation mean IoU |",
        "",
        "## Scores on the validation frames, best weights",
        "",
        f"mean IoU **{scores.mean_iou:.3f}** over {scores.present} of {len(scores.classes)} classes, "
        f"pixel accuracy {scores.pixel_accuracy:.3f}, class accuracy {scores.class_accuracy:.3f}, "
        f"frequency-weighted IoU {scores.frequency_weighted_iou:.3f}",
        "",
        "| class | share | IoU | recall | precision |",
        "|---|---|---|---|---|",
    ]
    for entry in sorted((c for c in scores.classes if c.present), key=lambda c: -c.share):
        lines.append(
            f"| {entry.name} | {entry.share:.2%} | {figure(entry.iou)} | {figure(entry.recall)} "
            f"| {figure(entry.precision)} |"
        )
    absent = [c.name for c in scores.classes if not c.present]
    if absent:
        lines += ["", f"The validation frames do not show: {', '.join(absent)}."]
    lines += [
        "",
        "## Pictures",
        "",
        "![curves](curves.png)",
        "",
        f"![predictions](predictions/epoch_{best_epoch:03d}.jpg)",
        "",
        "Image, truth, prediction of the same validation frames; one such sheet an epoch lies in predictions/.",
        "",
        "## Use",
        "",
        "```",
        f"carlaseg infer --run {run} --input FOLDER_OF_IMAGES",
        "```",
        "",
        "## Limits",
        "",
        "Frames of one drive resemble each other, and the validation frames come from the same simulator or camera as",
        "the training frames: expect a lower score anywhere else. Licence of the weights: that of the training data.",
        "",
    ]
    return "\n".join(lines)


def _command(run: RunFolder, config: TrainConfig) -> str:
    """What to type for this run; the words of one of several processes are those of whoever started them."""
    words = sys.argv[1:] if config.processes == 1 else ["train", "--config", str(run.path / "config.json")]
    return shlex.join(["carlaseg", *words])


def _folders(folders: tuple[Path, ...]) -> str:
    return ", ".join(f"`{folder}`" for folder in folders)
