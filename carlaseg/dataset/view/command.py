"""`carlaseg view`: a contact sheet, a video, or a file for the Rerun viewer."""

from __future__ import annotations

import shlex
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from carlaseg import console
from carlaseg.dataset.contact_sheet import contact_sheet
from carlaseg.dataset.opening import open_dataset, spread
from carlaseg.dataset.recorded import Books
from carlaseg.dataset.samples import Dataset, SampleTable
from carlaseg.dataset.view.frames import Show
from carlaseg.errors import ConfigError, DatasetError
from carlaseg.files import disk_fault

_SHEET_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_FRAMES_OF_A_SHEET = 24


class ViewSettings(Protocol):
    """What `view_command` reads of its configuration."""

    @property
    def input(self) -> Path:
        """Dataset to look at."""

    @property
    def output(self) -> Path:
        """Contact sheet to write."""

    @property
    def video(self) -> Path | None:
        """Video to write instead."""

    @property
    def rerun(self) -> Path | None:
        """File for Rerun to write instead."""

    @property
    def show(self) -> Show:
        """Which picture of each sample a video shows."""

    @property
    def fps(self) -> float:
        """Pictures a second of the video."""

    @property
    def columns(self) -> int:
        """Pairs a row of the sheet."""

    @property
    def frames(self) -> int | None:
        """How many samples."""

    @property
    def height(self) -> int:
        """Height of a picture of the sheet."""

    @property
    def scheme(self) -> str | None:
        """Label scheme of the masks, where the dataset does not say."""

    @property
    def split(self) -> str | None:
        """Split to look at."""

    @property
    def overwrite(self) -> bool:
        """Replace the file."""


def view_command(config: ViewSettings) -> int:
    """Write one picture, video or Rerun file of a dataset.

    Returns:
        The exit code, 0.

    Raises:
        ConfigError: two forms at once, a file name that no form has, rerun-sdk is missing.
        DatasetError: nothing to look at, a damaged sample, a file that is there already, a disk that fails.
        Interrupted: Ctrl-C.
    """
    path = _target(config)
    if config.rerun is not None:
        from carlaseg.dataset.view.rerun_file import rerun_sdk

        rerun_sdk()
    dataset = open_dataset(config.input, config.scheme, config.split)
    if path.exists() and not config.overwrite:
        raise DatasetError(
            f"{path}: expected a new file, received one that is there. Nothing was changed.",
            (("replace it", "the same with --overwrite"),),
        )
    try:
        _write(config, dataset, path)
    except OSError as error:
        raise DatasetError(f"{path}: expected room to write it, received {disk_fault(error)}.") from error
    console.result(str(path))
    if config.rerun is not None:
        console.say("next", f"rerun {shlex.quote(str(path))}")
    return 0


def _target(config: ViewSettings) -> Path:
    if config.video is not None and config.rerun is not None:
        raise ConfigError("--video and --rerun: expected one of them, received both.")
    for flag, path, suffixes in (
        ("--video", config.video, (".mp4",)),
        ("--rerun", config.rerun, (".rrd",)),
        ("--output", config.output, _SHEET_SUFFIXES),
    ):
        if path is not None:
            if path.suffix.lower() not in suffixes:
                raise ConfigError(
                    f"{flag} {path}: expected a name ending in {' or '.join(suffixes)}. "
                    "A film is asked for by --video, a file for Rerun by --rerun."
                )
            return path
    raise AssertionError("--output always has a value")


def _write(config: ViewSettings, dataset: Dataset, path: Path) -> None:
    if config.video is None and config.rerun is None:
        chosen = spread(dataset.samples, config.frames or _FRAMES_OF_A_SHEET)
        contact_sheet(chosen, path, config.columns, config.height)
        return
    # A video is of frames in a row, from the first; a sheet is spread over all.
    samples: SampleTable = dataset.samples[: config.frames]
    with ExitStack() as stack:
        stop = stack.enter_context(console.stop_on_signal("the current picture"))
        progress = stack.enter_context(console.Progress("view", len(samples), "pictures"))
        if config.video is not None:
            from carlaseg.dataset.view.video import write_video

            write_video(samples, path, config.show, config.fps, progress, stop)
        else:
            from carlaseg.dataset.view.rerun_file import write_rerun

            write_rerun(samples, Books().known, dataset.scheme, path, progress, stop)
