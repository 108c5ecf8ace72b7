"""`carlaseg convert`: a dataset written in another format, with what that loses said before and after."""

from __future__ import annotations

import json
import shlex
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, Protocol

from carlaseg import console, labels
from carlaseg.dataset.exports import TARGETS, build
from carlaseg.dataset.exports.card import LICENCE_NOTE, write_card
from carlaseg.dataset.exports.job import Outcome, convert
from carlaseg.dataset.exports.source import Source, SplitRule
from carlaseg.errors import DatasetError

_MANY = 100
"""Images that take some seconds; fewer need no progress line."""

_OWN_SCHEME = {"cityscapes": "cityscapes", "kitti-road": "kitti-road"}


class ConvertSettings(Protocol):
    """What `convert_command` reads of its configuration."""

    @property
    def input(self) -> Path:
        """Dataset to convert."""

    @property
    def to(self) -> str:
        """Target format."""

    @property
    def output(self) -> Path:
        """Folder that gets it."""

    @property
    def scheme(self) -> str | None:
        """Label scheme of the masks, where the dataset does not say."""

    @property
    def classes(self) -> str | None:
        """Label scheme to translate into."""

    @property
    def split_by(self) -> Literal["drive", "town"]:
        """What stays on one side."""

    @property
    def val(self) -> float:
        """Share of val."""

    @property
    def test(self) -> float:
        """Share of test."""

    @property
    def seed(self) -> int:
        """Decides which drives."""

    @property
    def shard_mb(self) -> float:
        """Size of a shard."""

    @property
    def json(self) -> bool:
        """Print one JSON object."""


def convert_command(config: ConvertSettings) -> int:
    """Convert a dataset, or go on with a conversion that was interrupted.

    Returns:
        The exit code, 0.

    Raises:
        ConfigError: an unknown scheme, or `--classes` with a target that has labels of its own.
        DatasetError: nothing to convert, an output folder with something else in it, a damaged sample, a full disk.
        Interrupted: Ctrl-C; the same command goes on.
    """
    _refuse_inside(config.input, config.output)
    rule = SplitRule(config.split_by, config.val, config.test, config.seed)
    source = Source(config.input, config.scheme, rule)
    export = build(config.to, source, config.output, config.classes, config.shard_mb)
    notes = (*source.notes, *(f"lost: {loss}" for loss in export.losses))
    console.say(
        "data",
        f"{source.folder}: {source.layout}, {console.counted(len(source.samples), 'mask')} of {source.scheme.title}",
    )
    for note in notes:
        console.say("note", note)
    scheme = labels.scheme(_OWN_SCHEME.get(config.to) or config.classes or source.scheme.name)

    def card() -> None:
        write_card(config.output, config.to, TARGETS[config.to], source, scheme, notes)

    with ExitStack() as stack:
        stop = stack.enter_context(console.stop_on_signal("the images being written"))
        watch = _Watch(stack)
        outcome = convert(export, config.output, settings_of(config, source), watch, stop, card)
    if config.to == "huggingface" and not outcome.complete_before:
        console.say("note", LICENCE_NOTE)
    _print(config, source, outcome, notes)
    return 0


def settings_of(config: ConvertSettings, source: Source) -> dict[str, object]:
    """All that decides what a conversion writes, as JSON values: a folder begun with other ones is not gone on with."""
    return {
        "input": str(config.input.resolve()),
        "to": config.to,
        "scheme": source.scheme.name,
        "classes": config.classes,
        "split_by": config.split_by,
        "val": config.val,
        "test": config.test,
        "seed": config.seed,
        "shard_mb": config.shard_mb,
        "images": len(source.samples),
        "list of images": source.fingerprint(),
    }


class _Watch:
    """The progress line; it begins where an earlier run ended, so that the time left is that of this run."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._progress: console.Progress | None = None
        self._done = 0

    def __call__(self, done: int, total: int) -> None:
        if self._progress is None and total < _MANY:
            return
        if self._progress is None:
            self._progress = self._stack.enter_context(console.Progress("convert", total, "images", start=done))
        else:
            self._progress.advance(done - self._done)
        self._done = done


def _refuse_inside(source: Path, output: Path) -> None:
    whole = source.resolve()
    if output.resolve() == whole or whole in output.resolve().parents:
        raise DatasetError(
            f"--output {output}: expected a folder outside the dataset, received one inside {source}, where it "
            "would be read as part of it.",
            (("beside it", f"--output {shlex.quote(f'{whole}_converted')}"),),
        )


def _print(config: ConvertSettings, source: Source, outcome: Outcome, notes: tuple[str, ...]) -> None:
    if config.json:
        values = {
            "schema": "carlaseg.convert/1",
            "input": str(config.input),
            "to": config.to,
            "output": str(config.output),
            "images": outcome.images,
            "written": outcome.written,
            "splits": source.counts,
            "notes": list(notes),
        }
        console.result(json.dumps(values, indent=2))
        return
    if outcome.complete_before:
        console.result(
            f"{config.output}: was complete already, {console.counted(outcome.images, 'image')}; nothing was changed"
        )
        return
    splits = ", ".join(f"{split} {count}" for split, count in source.counts.items())
    console.result(f"{config.output}: {TARGETS[config.to]}, {console.counted(outcome.images, 'image')} ({splits})")
