"""`carlaseg infer`: a network and images in; ids, colours, panels, videos and, with truth, scores out.

One flat story. Reading, the network and writing overlap: threads decode ahead and encode behind, the network runs in
the main thread, and memory is bounded by a few frames on each side.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carlaseg.config import InferConfig
from carlaseg.console import Progress, StopRequest, counted, duration, result, say, stop_on_signal
from carlaseg.errors import CarlasegError, DatasetError, Interrupted
from carlaseg.inference.films import Film
from carlaseg.inference.inputs import Source, name_of_inputs, open_inputs
from carlaseg.inference.network import Network, find_network, settings_of
from carlaseg.inference.quality import Segmenter
from carlaseg.inference.results import ResultsWriter, claim, refuse_taken, write_json
from carlaseg.inference.resume import done_of, earlier_lines, keep, recounted
from carlaseg.inference.scores import write_scores
from carlaseg.inference.truth import truth_table
from carlaseg.metrics import Scores
from carlaseg.pipeline import InferenceBatch, for_inference, for_stream

PRINTED_CLASSES = 12
DAMAGED_PRINTED = 5
EXIT_DAMAGED = DatasetError.exit_code
WRITTEN_OF_PICTURES = frozenset({"ids", "colours", "panels"})
WRITTEN_OF_FILMS = frozenset({"video"})
PICTURES_RATE_HZ = 10.0
"""Of a video that is made of pictures because --write asks for one."""


@dataclass(frozen=True)
class InferResult:
    """What was done.

    Attributes:
        folder: the results folder.
        images: how many were segmented.
        kept: how many an earlier, unfinished inference had done already.
        damaged: file and reason of those that could not be, and of masks that could not be read.
        films: videos that were written.
        scores: with truth, its scores.
        seconds: from the first image to the last file.
        load_s: seconds to load and compile the network.
        read_s: seconds of the reading threads together.
        network_s: seconds of the network.
        write_s: seconds of the writing threads together.
    """

    folder: Path
    images: int
    kept: int
    damaged: tuple[tuple[str, str], ...]
    films: tuple[Path, ...]
    scores: Scores | None
    seconds: float
    load_s: float
    read_s: float
    network_s: float
    write_s: float

    @property
    def images_per_s(self) -> float:
        """Images a second, the loading of the network left out."""
        return self.images / self.seconds if self.seconds > 0 else 0.0

    def to_json(self) -> dict[str, Any]:
        """The result as plain JSON values; summary.json."""
        return {
            "format": 1,
            "folder": str(self.folder),
            "images": self.images,
            "kept": self.kept,
            "damaged": [{"file": file, "reason": reason} for file, reason in self.damaged],
            "videos": [str(path) for path in self.films],
            "images_per_s": round(self.images_per_s, 3),
            "seconds": {
                "all": round(self.seconds, 3),
                "load": round(self.load_s, 3),
                "read": round(self.read_s, 3),
                "network": round(self.network_s, 3),
                "write": round(self.write_s, 3),
            },
            "scores": self.scores.to_json() if self.scores else None,
        }


@dataclass
class _Count:
    """What has been done so far."""

    images: int = 0
    load_s: float = 0.0
    read_s: float = 0.0
    network_s: float = 0.0
    began_s: float = 0.0
    damaged: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class _Part:
    """One source, and what is to be done with it."""

    source: Source
    table: NDArray[np.uint8] | None
    write: frozenset[str]
    done: tuple[dict[str, Any], ...]

    @property
    def finished(self) -> frozenset[str]:
        """Names of what is done."""
        return frozenset(str(line["name"]) for line in self.done)

    @property
    def is_live(self) -> bool:
        """Whether it has no end of its own, and cannot be seen twice."""
        return isinstance(self.source, Film) and self.source.live


def infer(config: InferConfig) -> InferResult:
    """Segment images, videos, a camera or what a CARLA server shows.

    Raises:
        CheckpointError: no such network, or it cannot be used.
        DatasetError: an input is not there, or its truth cannot be compared with the network's classes.
        ConfigError: the results folder exists.
        SimulatorError: no CARLA server where one was named, or it went silent.
        Interrupted: Ctrl-C; what was predicted is on disk.
    """
    network = find_network(config)
    size = tuple(config.size or network.size)
    sees = f"sees tiles of {config.tiles}" if config.tiles else f"sees {size[0]}x{size[1]}"
    say("model", f"{network.what}, {sees}")
    with ExitStack() as closing:
        sources = open_inputs(config, (size[0], size[1]), closing)
        tables = [truth_table(source, network) for source in sources]
        folder = config.output / (config.name or f"{network.name}_{name_of_inputs(config)}")
        earlier = earlier_lines(folder, settings_of(config, network)) if config.resume else {}
        if not config.resume:
            refuse_taken(folder, config.overwrite)
        parts = []
        for source, table in zip(sources, tables, strict=True):
            films = isinstance(source, Film)
            write = frozenset(config.write) or (WRITTEN_OF_FILMS if films else WRITTEN_OF_PICTURES)
            done = done_of(source, earlier, folder, write) if config.resume else []
            parts.append(_Part(source, table, write, tuple(done)))
        return _infer(config, network, (size[0], size[1]), folder, parts)


@dataclass
class _Work:
    """What every part is segmented with, and where its results go."""

    config: InferConfig
    size: tuple[int, int]
    segment: Segmenter
    writer: ResultsWriter
    count: _Count
    progress: Progress
    stop: StopRequest


def _infer(
    config: InferConfig, network: Network, size: tuple[int, int], folder: Path, parts: list[_Part]
) -> InferResult:
    count = _Count()
    segment = _loaded(config, network, size, parts, count)
    kept, kept_confusion = _claimed(config, network, folder, parts)
    say("out", str(folder.absolute()))
    total = _total(parts)
    with stop_on_signal("the images in work") as stop:
        # The first batch compiles the network; the clock starts with what comes after, as it does for a large folder.
        count.began_s = time.perf_counter()
        with (
            Progress("infer", total, "images", start=len(kept)) as progress,
            ResultsWriter(folder, network.legend, kept, kept_confusion) as writer,
        ):
            work = _Work(config, size, segment, writer, count, progress, stop)
            for part in parts:
                _infer_part(part, work)
                if stop.requested:
                    break
        seconds = time.perf_counter() - count.began_s
        # A camera has no end of its own: stopping it is how one finishes.
        complete = not stop.requested or all(part.is_live for part in parts)
        outcome = _scored(config, network, parts, writer, count, seconds, complete)
        write_json(folder / "summary.json", outcome.to_json())
        if not complete:
            raise _interrupted(stop, outcome, total, live_too=any(part.is_live for part in parts))
    if outcome.images + outcome.kept == 0:
        first = f"; the first: {count.damaged[0][1]}" if count.damaged else ""
        raise DatasetError(
            f"{', '.join(config.input)}: expected at least one image that can be read, "
            f"received {len(count.damaged)} damaged ones{first}",
        )
    return outcome


def _loaded(
    config: InferConfig, network: Network, size: tuple[int, int], parts: list[_Part], count: _Count
) -> Segmenter:
    """The network, ready to segment as the settings say. Nobody's files are touched."""
    began_s = time.perf_counter()
    try:
        runtime = network.load()
    except KeyboardInterrupt:
        raise Interrupted("stopped while loading the network; nothing was predicted or changed.") from None
    segment = Segmenter(runtime, config, frozenset().union(*(part.write for part in parts)))
    segment.try_out((config.tiles.height, config.tiles.width) if config.tiles else size)
    count.load_s = time.perf_counter() - began_s
    return segment


def _claimed(
    config: InferConfig, network: Network, folder: Path, parts: list[_Part]
) -> tuple[list[dict[str, Any]], NDArray[np.int64]]:
    """Make the results folder, or take it up again; the lines that are kept of it, and their confusion matrix."""
    kept = [line for part in parts for line in part.done]
    confusion = np.zeros((network.num_classes, network.num_classes), np.int64)
    if config.resume:
        say("resume", f"{len(kept)} images are done already in {folder}")
        for part in parts:
            confusion += recounted(folder, part.source, part.done, part.table, network.num_classes)
        keep(folder, kept)
    else:
        # Only now: a network that cannot be loaded must not cost anybody the results of an earlier one.
        claim(folder, config.overwrite)
    _write_facts(folder, config, network)
    return kept, confusion


def _scored(
    config: InferConfig,
    network: Network,
    parts: list[_Part],
    writer: ResultsWriter,
    count: _Count,
    seconds: float,
    complete: bool,
) -> InferResult:
    """Write the scores of all that is done, and say what was."""
    scores = write_scores(
        writer.folder,
        writer.confusion,
        writer.lines,
        network.class_names,
        f"{network.name} on {', '.join(config.input)}",
        {
            "run": str(network.path),
            "weights": config.checkpoint,
            "input": list(config.input),
            "truth_scheme": next((part.source.scheme.name for part in parts if part.source.scheme), None),
            "scheme": network.scheme,
            "complete": complete,
        },
    )
    return InferResult(
        folder=writer.folder,
        images=count.images,
        kept=sum(len(part.done) for part in parts),
        damaged=tuple(count.damaged),
        films=tuple(writer.films),
        scores=scores,
        seconds=seconds,
        load_s=count.load_s,
        read_s=count.read_s,
        network_s=count.network_s,
        write_s=writer.write_s,
    )


def _infer_part(part: _Part, work: _Work) -> None:
    source = part.source
    film = "video" in part.write
    if film and isinstance(source, Film) and part.done:
        return  # its video is there, so all of it is done
    if film:
        work.writer.begin_film(source.name, source.rate_hz if isinstance(source, Film) else PICTURES_RATE_HZ)
    # What is seen live is not kept waiting for the pictures after it.
    batch_size = work.config.batch_size or (1 if part.is_live else work.segment.batch_size)
    batches = _batches(part, None if work.config.tiles else work.size, batch_size)
    try:
        for batch in batches:
            _note_damaged(batch, work)
            if batch.frames:
                _segment(batch, part.write, work)
            work.progress.advance(len(batch.frames) + len(batch.damaged))
            if work.stop.requested:
                break
    finally:
        batches.close()
    if film:
        work.writer.end_film(whole=part.is_live or not work.stop.requested)


def _note_damaged(batch: InferenceBatch, work: _Work) -> None:
    count = work.count
    for frame in (*batch.damaged, *batch.frames):
        count.read_s += frame.read_s
        if frame.problem is not None:
            count.damaged.append((str(frame.sample.image_path), frame.problem.message))
            if len(count.damaged) <= DAMAGED_PRINTED:
                work.progress.note(f"skipped {frame.problem.message}")


def _segment(batch: InferenceBatch, write: frozenset[str], work: _Work) -> None:
    """Predict a batch and hand it to the writers; the compiling that the first one asks for is not on the clock."""
    count = work.count
    image = batch.frames[0].image
    assert image is not None
    if count.images == 0:
        warm_s = work.segment.warm(batch.images, (image.shape[0], image.shape[1]))
        count.load_s += warm_s
        count.began_s += warm_s
    before_s = time.perf_counter()
    predictions = work.segment(batch)
    count.network_s += time.perf_counter() - before_s
    for frame, prediction in zip(batch.frames, predictions, strict=True):
        work.writer.add(frame, prediction, write)
    count.images += len(batch.frames)


def _batches(part: _Part, size: tuple[int, int] | None, batch_size: int) -> Generator[InferenceBatch, None, None]:
    source, finished = part.source, part.finished
    if isinstance(source, Film):
        frames = (frame for frame in source.frames(part.table) if frame.sample.name not in finished)
        return for_stream(frames, size, batch_size)
    samples = source.samples
    if finished:
        samples = [sample for sample in samples if sample.name not in finished]
    return for_inference(samples, size, batch_size, part.table)


def infer_command(config: InferConfig) -> int:
    """`carlaseg infer`: prints the scores (or the object that summary.json holds) and says what to do next.

    Returns:
        0, or 5 when some files were damaged.
    """
    outcome = infer(config)
    if config.json:
        result(json.dumps(outcome.to_json(), ensure_ascii=False))
    elif outcome.scores is not None:
        for line in outcome.scores.table(limit=PRINTED_CLASSES):
            result(line)
    else:
        result(str(outcome.folder))
    _say_done(outcome)
    if outcome.damaged:
        say("damaged", f"{len(outcome.damaged)} files, listed in summary.json; the rest is done")
    folder = shlex.quote(str(outcome.folder))
    if outcome.scores is not None:
        say("next", f"carlaseg evaluate {folder}     intervals, by drive and weather, what is confused")
    if config.model is None:
        run = shlex.quote(str(find_network(config).path))
        # Kept weights are to be shared: a page of one's own pictures does not belong beside them.
        page = f" --output {shlex.quote(str(outcome.folder / 'report.html'))}" if config.weights else ""
        say("next", f"carlaseg report {run} --results {folder}{page}")
    return EXIT_DAMAGED if outcome.damaged else 0


def _say_done(outcome: InferResult) -> None:
    say(
        "done",
        f"{counted(outcome.images, 'image')} in {duration(outcome.seconds)}, {outcome.images_per_s:.1f} images/s   "
        f"network {outcome.network_s:.1f} s; beside it read {outcome.read_s:.1f} s, write {outcome.write_s:.1f} s"
        f"   (loading and compiling {outcome.load_s:.1f} s apart)",
    )
    say("wrote", str(outcome.folder.absolute()))
    for path in outcome.films:
        say("video", str(path))


def _write_facts(folder: Path, config: InferConfig, network: Network) -> None:
    write_json(folder / "config.json", settings_of(config, network))
    colours = [list(colour) for colour in network.palette]
    write_json(
        folder / "classes.json",
        {"format": 1, "scheme": network.scheme, "names": list(network.class_names), "colours": colours},
    )


def _total(parts: list[_Part]) -> int | None:
    """How many images there are in all; None when nobody knows."""
    lengths = [part.source.length for part in parts]
    return None if None in lengths else sum(length for length in lengths if length is not None)


def _interrupted(stop: StopRequest, outcome: InferResult, total: int | None, live_too: bool) -> CarlasegError:
    again = f"carlaseg infer --config {shlex.quote(str(outcome.folder / 'config.json'))}"
    of = "" if total is None else f" of {total}"
    return stop.interrupted(
        f"stopped after {outcome.images + outcome.kept}{of} images; their results are whole in {outcome.folder}.",
        *(() if live_too else (("go on", f"{again} --resume"),)),
        ("start over", f"{again} --overwrite"),
    )
