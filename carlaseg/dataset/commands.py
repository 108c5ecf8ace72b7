"""`carlaseg verify` and `carlaseg stats`: their results on standard output, their talk on standard error."""

from __future__ import annotations

import json
import shlex
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from carlaseg import console
from carlaseg.dataset.opening import open_dataset
from carlaseg.dataset.repair import repair
from carlaseg.dataset.stats import count
from carlaseg.dataset.verify import verify
from carlaseg.errors import ConfigError, DatasetError

_MANY = 500
"""Pictures that take some seconds; fewer need no progress line."""


class VerifySettings(Protocol):
    """What `verify_command` reads of its configuration."""

    @property
    def folder(self) -> Path:
        """Folder to check."""

    @property
    def deep(self) -> bool:
        """Decode every picture, compare every checksum."""

    @property
    def alignment(self) -> bool:
        """Also look for masks that do not fit their image."""

    @property
    def repair(self) -> bool:
        """Move aside what is broken, then check."""

    @property
    def scheme(self) -> str | None:
        """Label scheme, where the dataset does not say."""

    @property
    def json(self) -> bool:
        """Print one JSON object."""


class StatsSettings(Protocol):
    """What `stats_command` reads of its configuration."""

    @property
    def folder(self) -> Path:
        """Folder to count."""

    @property
    def scheme(self) -> str | None:
        """Label scheme, where the dataset does not say."""

    @property
    def images(self) -> bool:
        """Also read the pictures."""

    @property
    def output(self) -> Path | None:
        """Folder for the files."""

    @property
    def json(self) -> bool:
        """Print one JSON object."""


class _Watch:
    """A progress line for work that is long enough to want one."""

    def __init__(self, label: str, unit: str, stack: ExitStack) -> None:
        self._label, self._unit, self._stack = label, unit, stack
        self._progress: console.Progress | None = None
        self._done = 0

    def __call__(self, done: int, total: int) -> None:
        if self._progress is None and total > _MANY:
            self._progress = self._stack.enter_context(console.Progress(self._label, total, self._unit))
        if self._progress is not None:
            self._progress.advance(done - self._done)
        self._done = done


def verify_command(config: VerifySettings) -> int:
    """Check a dataset, after repairing it where that is asked for, and print the report.

    Returns:
        The exit code: 0 when nothing is wrong, 5 otherwise.

    Raises:
        ConfigError: `--alignment` without `--deep`, which reads the pictures it needs.
        DatasetError: there is nothing to check or to repair.
    """
    if config.alignment and not config.deep:
        raise ConfigError(
            "--alignment: expected --deep beside it (every picture is read), received a fast check.",
            (("both", f"carlaseg verify {shlex.quote(str(config.folder))} --deep --alignment"),),
        )
    if config.repair:
        with ExitStack() as stack:
            repaired = repair(config.folder, config.deep, _Watch("repair", "images", stack))
        for done in repaired:
            console.say("repair", done.sentence())
    with ExitStack() as stack:
        watch = _Watch("check", "images", stack)
        report = verify(config.folder, config.deep, config.scheme, watch, alignment=config.alignment)
    if config.json:
        console.result(json.dumps(report.to_json(), indent=2))
    else:
        for line in report.lines():
            console.result(line)
    if report.ok:
        return 0
    if report.layout.startswith("recording") and not config.repair:
        console.say(
            "next", f"carlaseg verify {shlex.quote(str(config.folder))} --repair     moves it aside, deletes nothing"
        )
    return DatasetError.exit_code


def stats_command(config: StatsSettings) -> int:
    """Count a dataset, print the table, write the files where a folder is given.

    Returns:
        The exit code, 0.

    Raises:
        DatasetError: there is nothing to count, or a file is damaged.
        Interrupted: Ctrl-C.
    """
    dataset = open_dataset(config.folder, config.scheme)
    with ExitStack() as stack:
        stop = stack.enter_context(console.stop_on_signal("the images being read"))
        counted = count(dataset, _Watch("count", "images", stack), config.images, stop)
    if config.json:
        console.result(json.dumps(counted.to_json(), indent=2))
    else:
        for line in counted.lines():
            console.result(line)
    if config.output is not None:
        for path in counted.write(config.output):
            console.say("wrote", str(path))
    return 0
