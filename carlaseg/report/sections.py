"""One function a section of the page: sources in, HTML out; an empty string where its part is missing."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from carlaseg.console import counted, duration
from carlaseg.metrics import Scores
from carlaseg.metrics import figure as ratio
from carlaseg.report import pictures
from carlaseg.report.charts import Line, confusion_chart, line_chart
from carlaseg.report.evaluated import evaluated, unsure
from carlaseg.report.page import command, facts, figure, meter, paragraph, swatch, table, tiles
from carlaseg.report.sources import Data, Results, Sources

FRAMES_SHOWN = 6
FRAMES_COUNTED = 60
"""Frames whose masks are read for the class shares of a dataset: enough for a picture, quick for any dataset."""
PANELS_SHOWN = 4
PANEL_WIDTH = 1500
EVOLUTION_SHOWN = 10
EVOLUTION_WIDTH = 1100
PAIRS_SHOWN = 8


@dataclass(frozen=True)
class Section:
    """A part of the page."""

    anchor: str
    title: str
    build: Callable[[Sources], str]


def summary(sources: Sources) -> str:
    """The name of the run, its largest figures, and what it predicts at a glance."""
    card, best = sources.card, sources.best_epoch
    parts = [f"<h1>{escape(sources.run.name)}</h1>"]
    if card is not None:
        parts.append(
            paragraph(
                f"{card.network}, {card.parameters:,} parameters, {card.num_classes} classes of {card.scheme}, "
                f"trained at {card.size[0]}x{card.size[1]}.",
                "lead",
            )
        )
    figures: list[tuple[str, str]] = []
    for outcome in [r for r in sources.results if r.scores][:2]:
        scores = outcome.scores
        assert scores is not None
        on = _input(outcome, sources)
        figures.append((ratio(scores.mean_iou), f"mean IoU on {on}, {scores.present} classes"))
        figures.append((ratio(scores.pixel_accuracy), f"pixel accuracy on {on}"))
    if best is not None:
        figures.append((ratio(best["val_mean_iou"]), f"best validation mean IoU, epoch {best['epoch']}"))
    if sources.epochs:
        spent = sum(float(line.get("train_s", 0.0)) for line in sources.epochs)
        figures.append(
            (str(len(sources.epochs)), "epochs" + (f", {duration(spent)} of training steps" if spent else ""))
        )
    parts.append(tiles(figures) if figures else "")
    if sources.embedded:
        parts.append(
            f'<p class="note">The pictures in {escape(", ".join(sources.embedded))} come from the embedded simulator, '
            "a stand-in for CARLA: they teach the pipeline, not the world. Figures on them say nothing about real "
            "streets.</p>"
        )
    shown = _middle_panel(sources)
    if shown:
        parts.append(shown)
    return "".join(parts)


def recorded(sources: Sources) -> str:
    """What the data are: recordings, frames with their labels, classes."""
    return "".join(_data(found) for found in sources.data)


def _data(found: Data) -> str:
    role = {"train": "To train", "validation": "To validate", "test": "To test"}[found.role]
    labelled = sum(sample.mask_path is not None for sample in found.samples)
    parts = [
        f"<h3>{role}: <code>{escape(str(found.folder))}</code></h3>",
        paragraph(
            f"{counted(len(found.samples), 'frame')}, {labelled} with labels"
            + (f" of {found.scheme.title}" if found.scheme else "")
            + f"; {found.layout}.",
            "soft",
        ),
    ]
    if found.recordings:
        rows = [
            (
                escape(folder.name),
                escape(m.town.split("/")[-1]),
                escape(m.weather),
                f"{m.counts.get('frames', 0):,}" if m.counts else "-",
                "embedded" if m.simulator == "embedded" else f"CARLA {escape(m.server_version)}",
                escape(", ".join(f"{key} {value}" for key, value in m.seeds.items())),
            )
            for folder, m in found.recordings.items()
        ]
        parts.append(table(("recording", "town", "weather", "frames", "simulator", "seeds"), rows, numbers_from=9))
    shown = [found.samples[i] for i in pictures.spread(len(found.samples), FRAMES_SHOWN)]
    tags = [pictures.sample_tag(sample, found.scheme) for sample in shown]
    parts.append(f'<div class="sheet">{"".join(tags)}</div>')
    if found.scheme is not None and labelled:
        shares, looked_at = pictures.class_shares(found.samples, found.scheme.num_classes, FRAMES_COUNTED)
        classes = [
            (
                swatch(found.scheme.classes[i].color) + escape(found.scheme.names[i]),
                meter(float(shares[i]) / float(shares.max())),
                f"{100 * shares[i]:.2f} %",
            )
            for i in sorted(range(len(shares)), key=lambda i: -shares[i])
            if shares[i] > 0
        ]
        absent = [name for name, share in zip(found.scheme.names, shares, strict=True) if share == 0]
        parts.append(
            f"<details><summary>Classes and their share of the labelled pixels, counted on {looked_at} frames</summary>"
            + table(("class", "", "share"), classes)
            + (paragraph(f"Not seen: {', '.join(absent)}.", "soft") if absent else "")
            + "</details>"
        )
    return "".join(parts)


def trained(sources: Sources) -> str:
    """The settings, the curves and the scores on the validation frames."""
    config, epochs = sources.config, sources.epochs
    if not config and not epochs:
        return ""
    parts = [
        facts(
            (
                ("network", str(config.get("model", ""))),
                ("trained on", ", ".join(_strings(config.get("dataset")))),
                (
                    "validated on",
                    ", ".join(_strings(config.get("validation"))) or "whole drives held out of the training folders",
                ),
                ("size, batch", f"{config.get('size', '?')} (height x width), {config.get('batch_size', '?')} images"),
                ("augmentation", str(config.get("augment", ""))),
                (
                    "optimiser",
                    f"{config.get('optimizer', '?')}, {config.get('schedule', '?')} "
                    f"from {config.get('learning_rate', '?')}",
                ),
                ("seed", str(config.get("seed", ""))),
                ("machine", _machine(sources.environment)),
            )
        )
    ]
    best = sources.best_epoch
    mark = (float(best["epoch"]), f"best {best['epoch']}") if best is not None else None
    charts = [
        line_chart(
            "loss", [_line(epochs, "loss", "training", 2), _line(epochs, "val_loss", "validation", 1)], mark=mark
        ),
        line_chart(
            "validation",
            [
                _line(epochs, "val_mean_iou", "mean IoU", 1),
                _line(epochs, "val_pixel_accuracy", "pixel accuracy", 3),
                _line(epochs, "val_class_accuracy", "class accuracy", 4),
            ],
            (0.0, 1.0),
            mark,
        ),
    ]
    parts.append(f'<div class="charts">{"".join(charts)}</div>')
    if sources.validation is not None:
        parts.append("<h3>The best weights on the validation frames, by class</h3>")
        parts.append(_scores(sources.validation, sources))
    return "".join(parts)


def evolved(sources: Sources) -> str:
    """The prediction on the same frames, epoch after epoch, behind a slider."""
    chosen = [sources.evolution[i] for i in pictures.spread(len(sources.evolution), EVOLUTION_SHOWN)]
    shown = [
        figure(pictures.image_tag(path, EVOLUTION_WIDTH, f"after {_epoch(path.stem)}"), f"after {_epoch(path.stem)}")
        for path in chosen
    ]
    shown = [tag for tag in shown if tag]
    if not shown:
        return ""
    last = len(shown) - 1
    slider = f'<input type="range" min="0" max="{last}" value="{last}" step="1" aria-label="epoch">' if last else ""
    return (
        paragraph("The same validation frames after every epoch: image, truth, prediction. Drag the slider.", "soft")
        + f'<div class="slider">{slider}{"".join(shown)}</div>'
    )


def tested(sources: Sources) -> str:
    """Scores, confusion matrix, most confused pairs of each results folder."""
    return "".join(_tested(outcome, sources) for outcome in sources.results)


def _tested(outcome: Results, sources: Sources) -> str:
    seconds = outcome.summary.get("seconds", {})
    parts = [f"<h3>On <code>{escape(_input(outcome, sources))}</code></h3>"]
    speed = outcome.summary.get("images_per_s")
    parts.append(
        paragraph(
            f"{counted(len(outcome.lines), 'image')}"
            + (f", {speed:.1f} a second; network {seconds.get('network', 0):.1f} s" if speed else "")
            + ("" if outcome.metrics.get("complete", True) else "; stopped before its end")
            + (f"; {len(outcome.summary['damaged'])} damaged files" if outcome.summary.get("damaged") else "")
            + ".",
            "soft",
        )
    )
    if outcome.scores is None:
        return "".join(parts) + paragraph("No truth there, so no scores.", "soft")
    parts.append(evaluated(outcome, sources) or _scores(outcome.scores, sources) + _how_to_evaluate(outcome))
    names = [c.name for c in outcome.scores.classes]
    if outcome.confusion.shape == (len(names), len(names)):
        parts.append("<h3>Confusion matrix</h3>")
        parts.append(
            paragraph("A row a true class, in percent of its pixels. Point at a cell for the numbers.", "soft")
        )
        parts.append(confusion_chart(outcome.confusion, names))
    pairs = outcome.metrics.get("most_confused", [])[:PAIRS_SHOWN]
    if pairs:
        rows = [
            (escape(p["truth"]), escape(p["prediction"]), f"{100 * p['share']:.1f} %", f"{p['pixels']:,}")
            for p in pairs
        ]
        parts.append("<h3>Most confused</h3>")
        parts.append(table(("truth", "taken for", "of the class", "pixels"), rows, numbers_from=2))
    return "".join(parts)


def best_and_worst(sources: Sources) -> str:
    """The panels of the worst and the best images, and what the network was least sure of."""
    parts = []
    for outcome in sources.results:
        worst, best = outcome.metrics.get("worst", []), outcome.metrics.get("best", [])
        half = min(PANELS_SHOWN, max(1, len(outcome.lines) // 2))
        if outcome.scores is None:
            chosen = [outcome.lines[i] for i in pictures.spread(len(outcome.lines), PANELS_SHOWN)]
            parts.append(_panels(outcome, sources, "Some of them", chosen))
        else:
            parts.append(_panels(outcome, sources, "Worst", worst[:half]))
            parts.append(_panels(outcome, sources, "Best", best[:half]))
        parts.append(unsure(outcome))
    return "".join(parts)


def repeat(sources: Sources) -> str:
    """The commands that made all of this."""
    lines = []
    for found in sources.data:
        for m in found.recordings.values():
            if m.command:
                lines.append(_typed(m.command))
    typed = sources.environment.get("command")
    if isinstance(typed, list):
        lines.append(_typed([str(word) for word in typed]))
    for outcome in sources.results:
        lines.append(f"carlaseg infer --config {shlex.quote(str(outcome.folder / 'config.json'))} --overwrite")
    results = "".join(f" {shlex.quote(str(outcome.folder))}" for outcome in sources.results)
    lines.append(f"carlaseg report {shlex.quote(str(sources.run))}" + (f" --results{results}" if results else ""))
    return command("\n".join(dict.fromkeys(lines)))


def limits(sources: Sources) -> str:
    """What the figures do not say."""
    lines = [
        "Mean IoU is over the classes that the truth shows; a class that never occurs there counts neither way. "
        "Void pixels are left out.",
        "The validation frames chose the best epoch, so their scores are a little too kind; "
        "the test frames were never used.",
    ]
    tests = [found for found in sources.data if found.role == "test"]
    trains = {found.folder.resolve() for found in sources.data if found.role != "test"}
    if any(found.folder.resolve() in trains for found in tests):
        lines[1] = "Results above were made on folders that were also trained or validated on: they are no test."
    if sources.embedded:
        lines.append(
            "The embedded simulator is a stand-in for CARLA: simple towns, simple light, exact labels. A network "
            "trained on it is a test of the pipeline and will not work on CARLA's or real pictures."
        )
    lines += [f"Missing here: {missing}." for missing in sources.missing]
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


SECTIONS = (
    Section("summary", "", summary),
    Section("data", "What was recorded", recorded),
    Section("training", "What was trained", trained),
    Section("evolution", "How it learned", evolved),
    Section("test", "How good it is", tested),
    Section("panels", "Where it fails and shines", best_and_worst),
    Section("repeat", "Do it again", repeat),
    Section("limits", "Limits", limits),
)


def _scores(scores: Scores, sources: Sources) -> str:
    rows = [
        (
            swatch(sources.palette[c.id]) + escape(c.name),
            meter(c.iou) + ratio(c.iou),
            ratio(c.recall),
            ratio(c.precision),
            f"{100 * c.share:.2f} %",
        )
        for c in sorted((c for c in scores.classes if c.present), key=lambda c: -c.share)
    ]
    absent = [c.name for c in scores.classes if not c.present]
    return (
        tiles(
            (
                (ratio(scores.mean_iou), f"mean IoU, {scores.present} of {len(scores.classes)} classes"),
                (ratio(scores.pixel_accuracy), "pixel accuracy"),
                (ratio(scores.class_accuracy), "class accuracy"),
                (ratio(scores.frequency_weighted_iou), "frequency-weighted IoU"),
            )
        )
        + table(("class", "IoU", "recall", "precision", "share"), rows)
        + (paragraph(f"Absent here: {', '.join(absent)}.", "soft") if absent else "")
    )


def _how_to_evaluate(outcome: Results) -> str:
    return paragraph("How sure these figures are, and by drive, weather and distance:", "soft") + command(
        f"carlaseg evaluate {shlex.quote(str(outcome.folder))}"
    )


def _panels(outcome: Results, sources: Sources, title: str, entries: list[Any]) -> str:
    shown = []
    for entry in entries:
        path = outcome.folder / str(entry.get("panel", ""))
        tag = pictures.image_tag(path, PANEL_WIDTH, str(entry.get("name", ""))) if path.is_file() else ""
        if tag:
            shown.append(f'<div class="wide panel">{tag}</div>')
    if not shown:
        return ""
    return f"<h3>{title}: <code>{escape(_input(outcome, sources))}</code></h3>" + "".join(shown)


def _middle_panel(sources: Sources) -> str:
    """The panel of a typical image: the one in the middle by score."""
    for outcome in sources.results:
        scored = sorted(
            (a for a in outcome.lines if "mean_iou" in a and "panel" in a), key=lambda a: float(a["mean_iou"])
        )
        if scored:
            line = scored[len(scored) // 2]
            tag = pictures.image_tag(outcome.folder / str(line["panel"]), PANEL_WIDTH, str(line["name"]))
            if tag:
                note = "A typical test image: half of them score better, half worse."
                return f'<div class="wide panel">{tag}</div>{paragraph(note, "soft")}'
    return ""


def _line(epochs: Any, key: str, label: str, colour: int) -> Line:
    points = [
        (float(line["epoch"]), float(line[key]))
        for line in epochs
        if isinstance(line.get(key), int | float) and isinstance(line.get("epoch"), int | float)
    ]
    return Line(label, colour, points)


def _input(outcome: Results, sources: Sources) -> str:
    """What was segmented, and in which folder the results are where several are of the same."""
    given = outcome.config.get("input")
    named = ", ".join(_strings(given)) or outcome.folder.name
    several = sum(other.config.get("input") == given for other in sources.results) > 1
    return f"{named} ({outcome.folder.name})" if several else named


def _machine(environment: Mapping[str, Any]) -> str:
    parts = [str(environment.get(key, "")) for key in ("device", "backend", "platform")]
    return "; ".join(part for part in parts if part)


def _strings(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _typed(words: Any) -> str:
    return shlex.join([str(word) for word in words])


def _epoch(stem: str) -> str:
    number = stem.rpartition("_")[2]
    return f"epoch {int(number)}" if number.isdigit() else stem
