"""README.md of a converted dataset: facts, and what was lost; for Hugging Face with its YAML head."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from carlaseg import __version__
from carlaseg.dataset.exports.job import STATE_FILE
from carlaseg.dataset.exports.source import Source
from carlaseg.files import write_whole
from carlaseg.labels import LabelScheme

CARD_FILE = "README.md"
LICENCE_NOTE = "licence: TODO, yours to choose; README.md says unknown until you do"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_LARGEST = "1M<n<10M"


def write_card(
    folder: Path, target: str, title: str, source: Source, scheme: LabelScheme, notes: Sequence[str]
) -> None:
    """Write README.md into a conversion.

    Args:
        folder: the conversion.
        target: what the user typed.
        title: what the format is called.
        source: what was converted.
        scheme: label scheme of the written masks.
        notes: what was lost, and how it was split.

    Raises:
        OSError: it could not be written.
    """
    lines = [*(_yaml(source) if target == "huggingface" else ()), *_page(title, source, scheme, notes)]
    write_whole(folder / CARD_FILE, ("\n".join(lines) + "\n").encode())


def _yaml(source: Source) -> Iterator[str]:
    total = len(source.samples)
    yield "---"
    yield "license: unknown  # TODO: choose one before you publish"
    yield "task_categories:"
    yield "- image-segmentation"
    yield "size_categories:"
    yield f"- {next((name for limit, name in _SIZES if total < limit), _LARGEST)}"
    yield "tags:"
    yield from (f"- {tag}" for tag in ("semantic-segmentation", "autonomous-driving", "synthetic", "carla"))
    yield f"pretty_name: {source.folder.resolve().name}"
    yield "---"
    yield ""


def _page(title: str, source: Source, scheme: LabelScheme, notes: Sequence[str]) -> Iterator[str]:
    yield f"# {source.folder.resolve().name} as {title}"
    yield ""
    splits = ", ".join(f"{count} {split}" for split, count in source.counts.items())
    yield f"{len(source.samples)} images with semantic segmentation ({splits}), converted by carlaseg {__version__}."
    if any(source.simulators):
        stand_in = "embedded" in source.simulators
        yield (
            "Drawn by carlaseg's embedded simulator, a stand-in for CARLA: its pictures teach the pipeline, not the "
            "world."
            if stand_in
            else "Drawn by a CARLA server: synthetic pictures, not the real world."
        )
    yield ""
    for name, counts in (("town", source.towns), ("weather", source.weathers)):
        if counts:
            yield f"- {name}: {_counted(counts)}"
    yield f"- labels: {scheme.title} (`{scheme.name}`)"
    yield from (f"- {note}" for note in notes)
    yield ""
    yield "| id | class | colour |"
    yield "| --- | --- | --- |"
    for label in scheme.classes:
        yield f"| {label.class_id} | {label.name} | {', '.join(str(value) for value in label.color)} |"
    yield ""
    yield f"The settings that made it stand in `{STATE_FILE}`."


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in counts.most_common())
