"""What `carlaseg evaluate` found, as HTML: intervals by class, tables by drive, weather and distance, a paired test.

Everything here was read from files and may be of another version: whatever is not as expected is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from carlaseg.metrics import figure as ratio
from carlaseg.report import pictures
from carlaseg.report.charts import Line, line_chart
from carlaseg.report.page import meter, paragraph, swatch, table, tiles
from carlaseg.report.sources import Results, Sources

GROUPS_SHOWN = 24
UNSURE_SHOWN = 4
UNSURE_WIDTH = 1200
TITLES = {
    "drive": "By drive",
    "town": "By town",
    "weather": "By weather",
    "distance": "By distance",
    "rows": "By rows of the picture",
}
FIGURES = {
    "mean_iou": "mean IoU",
    "pixel_accuracy": "pixel accuracy",
    "class_accuracy": "class accuracy",
    "frequency_weighted_iou": "frequency-weighted IoU",
}


def evaluated(outcome: Results, sources: Sources) -> str:
    """Tables and charts of one results folder; empty without an evaluation."""
    found = outcome.evaluation
    try:
        if not found:
            return ""
        parts = [_classes(found, sources), _groups(found), _calibration(found)]
        parts += [_against(comparison) for comparison in outcome.comparisons]
    except (KeyError, TypeError, ValueError, AttributeError):
        return ""
    return "".join(parts)


def unsure(outcome: Results) -> str:
    """Pictures of what the network was least sure of; empty where no maps were made."""
    mapped = [line for line in outcome.lines if "uncertainty" in line and "mean_mutual_information" in line]
    mapped.sort(key=lambda line: -float(line["mean_mutual_information"]))
    shown = []
    for line in mapped[:UNSURE_SHOWN]:
        tag = pictures.image_tag(outcome.folder / str(line["uncertainty"]), UNSURE_WIDTH, str(line["name"]))
        if tag:
            shown.append(f'<div class="wide panel">{tag}</div>')
    if not shown:
        return ""
    return (
        "<h3>Least sure</h3>"
        + paragraph(
            "Image, entropy, mutual information (four times as bright) of several passes with dropout on. Bright is "
            "unsure; entropy is all doubt, mutual information the part that more training data could take away.",
            "soft",
        )
        + "".join(shown)
    )


def _classes(found: Mapping[str, Any], sources: Sources) -> str:
    how = found["intervals"]
    colours = {name: index for index, name in enumerate(sources.card.class_names)} if sources.card else {}
    rows = [
        (
            (swatch(sources.palette[colours[c["name"]]]) if c["name"] in colours else "") + escape(str(c["name"])),
            meter(c["iou"]["value"]) + ratio(c["iou"]["value"]),
            _range(c["iou"]),
            ratio(c["recall"]),
            ratio(c["precision"]),
            ratio(c["boundary_f1"]),
            f"{100 * c['share']:.2f} %",
        )
        for c in sorted(found["classes"], key=lambda c: -c["share"])
    ]
    figures = [
        (ratio(found["figures"][key]["value"]), f"{label}, {_range(found['figures'][key])}")
        for key, label in FIGURES.items()
    ]
    if found["boundary_f1"] is not None:
        figures.append((ratio(found["boundary_f1"]), "border F1: borders within 0.75 % of the diagonal"))
    if found["calibration"]:
        figures.append((ratio(found["calibration"]["expected_calibration_error"]), "calibration error"))
    absent = [str(c["name"]) for c in found["scores"]["classes"] if not c["pixels"]]
    return (
        paragraph(
            f"{100 * how['level']:.0f} % of {how['resamples']} resamples of the {found['images']} images"
            + (", whole drives drawn," if how["of"] == "drives" else "")
            + " give a figure in this range.",
            "soft",
        )
        + tiles(figures)
        + table(("class", "IoU", "range", "recall", "precision", "border F1", "share"), rows)
        + (paragraph(f"Absent here: {', '.join(absent)}.", "soft") if absent else "")
    )


def _groups(found: Mapping[str, Any]) -> str:
    parts = []
    for by, title in TITLES.items():
        groups = found["groups"].get(by, [])
        bands = by in ("distance", "rows")
        if not bands and len(groups) < 2:
            continue
        rows = [
            (
                escape(str(g["name"])),
                f"{g['images']:,}",
                meter(g["figures"]["mean_iou"]["value"]) + ratio(g["figures"]["mean_iou"]["value"]),
                _range(g["figures"]["mean_iou"]),
                str(g["classes_present"]),
                ratio(g["figures"]["pixel_accuracy"]["value"]),
                escape(_weakest(g["iou"])),
            )
            for g in groups[:GROUPS_SHOWN]
        ]
        if not rows:
            continue
        parts.append(f"<h3>{title}</h3>")
        if bands:
            parts.append(paragraph(f"The bands are {found['bands_are']}.", "soft"))
        head = (by, "images", "mean IoU", "range", "classes", "pixel accuracy", "weakest class")
        parts.append(table(head, rows))
        if len(groups) > GROUPS_SHOWN:
            parts.append(paragraph(f"{len(groups) - GROUPS_SHOWN} more in by_group.csv.", "soft"))
    if parts:
        parts.append(
            paragraph("Mean IoU is over the classes that a group shows, so groups of other classes differ by that too.")
        )
    return "".join(parts)


def _calibration(found: Mapping[str, Any]) -> str:
    calibration = found["calibration"]
    if not calibration:
        return ""
    filled = [b for b in calibration["bins"] if b["pixels"]]
    points = [(float(b["confidence"]), float(b["accuracy"])) for b in filled]
    chart = line_chart(
        "calibration",
        [Line("right", 1, points), Line("as promised", 2, [(0.0, 0.0), (1.0, 1.0)])],
        (0.0, 1.0),
        x_label="confidence",
    )
    promises = "too much" if (calibration["overconfidence"] or 0) > 0 else "too little"
    return (
        "<h3>Is its confidence worth its name?</h3>"
        + paragraph(
            f"Pixels by confidence, and how many of them are right. The network promises {promises}: its mean "
            f"confidence is {abs(calibration['overconfidence'] or 0):.3f} "
            f"{'above' if promises == 'too much' else 'below'} its accuracy.",
            "soft",
        )
        + f'<div class="charts">{chart}</div>'
    )


def _against(comparison: Mapping[str, Any]) -> str:
    against = comparison.get("against")
    if not against:
        return ""
    rows = [
        (
            FIGURES[name],
            f"{c['difference']['value']:+.4f}",
            f"{c['difference']['low']:+.4f} to {c['difference']['high']:+.4f}",
            f"{c['p_value']:.3f}",
        )
        for name, c in against["figures"].items()
        if name in FIGURES and c["difference"]["low"] is not None
    ]
    return (
        f"<h3>Against <code>{escape(str(against['results']))}</code></h3>"
        + paragraph(f"On {against['images']} images that both have: {against['verdict']}.")
        + table(("figure", "difference", "range", "p"), rows)
    )


def _weakest(iou: Mapping[str, Any]) -> str:
    known = [(float(interval["value"]), name) for name, interval in iou.items() if interval["value"] is not None]
    if not known:
        return "-"
    value, name = min(known)
    return f"{name} {value:.2f}"


def _range(interval: Mapping[str, Any]) -> str:
    if interval["low"] is None or interval["high"] is None:
        return "-"
    return f"{interval['low']:.3f} to {interval['high']:.3f}"
