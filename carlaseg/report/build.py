"""`carlaseg report`: read what there is, build the page, write it whole."""

from __future__ import annotations

from pathlib import Path

from carlaseg.config import ReportConfig
from carlaseg.console import counted, result, say
from carlaseg.errors import DatasetError
from carlaseg.files import disk_fault, write_whole
from carlaseg.report.page import page
from carlaseg.report.sections import SECTIONS
from carlaseg.report.sources import Sources, gather


def report(config: ReportConfig) -> Path:
    """Write the page.

    Returns:
        Path of the HTML file.

    Raises:
        CheckpointError: no such run.
        ConfigError: a results folder that was named is none.
        DatasetError: the page cannot be written.
    """
    sources = gather(config)
    _say_found(sources)
    built = [(section.anchor, section.title, section.build(sources)) for section in SECTIONS]
    text = page(sources.run.name, [(anchor, title, body) for anchor, title, body in built if body])
    path = config.output or sources.run.path / "report.html"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text.encode())
    except OSError as error:
        raise DatasetError(f"{path}: expected room to write the report, received {disk_fault(error)}.") from error
    return path


def report_command(config: ReportConfig) -> int:
    """`carlaseg report`: prints the page's path."""
    path = report(config)
    say("wrote", f"{path.stat().st_size / 2**20:.1f} MiB, one file that needs nothing else")
    result(str(path.resolve()))
    return 0


def _say_found(sources: Sources) -> None:
    recordings = sum(len(found.recordings) for found in sources.data)
    say(
        "report",
        f"{sources.run}: {counted(len(sources.epochs), 'epoch')}, {counted(len(sources.results), 'results folder')}, "
        f"{counted(len(sources.data), 'dataset folder')} with {counted(recordings, 'recording')}",
    )
    for missing in sources.missing:
        say("note", f"{missing}; left out")
