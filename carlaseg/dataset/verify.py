"""Whether a dataset is what it promises: every problem by file, every pixel by name, nothing changed on disk.

Fast: pairs, lines, lengths, picture headers and ends, sizes, and every id of every mask. Deep: every picture decoded
and every checksum compared as well.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice, repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np

from carlaseg.dataset.alignment import NEVER_DOUBTFUL, doubtful_below, scored
from carlaseg.dataset.headers import picture_size
from carlaseg.dataset.layouts.recordings import IMAGE, recordings_in, sample_of
from carlaseg.dataset.opening import open_dataset, thinned
from carlaseg.dataset.pictures import Mask, read_image, read_raw_mask
from carlaseg.dataset.reader import FRAMES_FILE, METADATA_FILE, FilesPresent, line_count, read_lines, read_metadata
from carlaseg.dataset.records import FileRecord, RecordingMetadata
from carlaseg.dataset.samples import MaskEncoding, Sample
from carlaseg.dataset.shards import check_shards
from carlaseg.dataset.verify_report import Doubt, Problem, VerifyReport
from carlaseg.errors import DatasetError
from carlaseg.labels import LabelScheme, detect, same_meaning
from carlaseg.labels import scheme as scheme_named

_AT_ONCE = 256
_MASKS_READ_FOR_MEANING = 24


@dataclass(frozen=True)
class _Item:
    """A sample and, in a recording, what its line promises of each file."""

    sample: Sample
    files: tuple[tuple[Path, FileRecord], ...] = ()


def verify(
    folder: Path,
    deep: bool = False,
    scheme: str | None = None,
    watch: Callable[[int, int], object] | None = None,
    *,
    alignment: bool = False,
) -> VerifyReport:
    """Check a dataset of any layout.

    Args:
        folder: the dataset.
        deep: decode every picture and compare every checksum.
        scheme: label scheme of the masks, where the dataset does not say.
        watch: called now and then with the images done and the images in all, for progress.
        alignment: with `deep`, also compare the edges of each image with the borders in its mask.

    Raises:
        ConfigError: there is no such label scheme.
        DatasetError: there is nothing to check: no folder, no layout we know.
    """
    found: LabelScheme | None = None if scheme is None else scheme_named(scheme)
    recordings = recordings_in(folder) if folder.is_dir() else []
    work = _recordings_work(recordings, found) if recordings else _dataset_work(folder, scheme)
    checked = _check_items(work, deep, deep and alignment, watch)
    problems = work.problems + checked.problems
    for recording in recordings:
        with contextlib.suppress(DatasetError):  # Damaged lines are among the problems already.
            problems += check_shards(recording, deep)
    # One camera has one size. Collections of pictures, and KITTI Road by its nature, have several.
    if len(checked.sizes) > 1 and checked.labelled and work.layout != "kitti-road":
        problems += _sizes_differ(checked.sizes)
    if work.scheme is not None:
        problems += _other_meaning(folder, checked.masks, work.scheme)
    return VerifyReport(
        folder=folder,
        layout=work.layout,
        scheme=work.scheme.name if work.scheme else None,
        evidence=work.evidence,
        frames=checked.frames,
        labelled=checked.labelled,
        sizes={f"{height}x{width}": count for (height, width), (count, _) in _by_frequency(checked.sizes)},
        deep=deep,
        problems=tuple(problems),
        notes=tuple(work.notes),
        doubts=checked.worst_first() if deep and alignment else None,
    )


@dataclass
class _Work:
    """What is to be checked. Problems and notes grow while `items` is read, one recording after the other."""

    layout: str
    scheme: LabelScheme | None
    evidence: tuple[str, ...]
    total: int
    items: Iterator[_Item]
    problems: list[Problem]
    notes: list[str]


def _recordings_work(recordings: Sequence[Path], named: LabelScheme | None) -> _Work:
    problems: list[Problem] = []
    notes: list[str] = []
    found = named
    readable: dict[Path, RecordingMetadata] = {}
    for recording in recordings:
        metadata = _metadata(recording, problems)
        if metadata is None:
            continue
        readable[recording] = metadata
        found = found or metadata.label_scheme
        if metadata.label_scheme != found and named is None:
            detail = f"{metadata.label_scheme.name}, where others have {found.name}"
            problems.append(Problem("mixed schemes", recording, detail))
    return _Work(
        layout="recording" if len(recordings) == 1 else f"recordings ({len(recordings)})",
        scheme=found,
        evidence=("named by the user",) if named else ("recording.json names it",),
        total=sum(line_count(recording) for recording in readable),
        items=chain.from_iterable(
            _items_of_recording(recording, metadata, problems, notes) for recording, metadata in readable.items()
        ),
        problems=problems,
        notes=notes,
    )


def _dataset_work(folder: Path, scheme: str | None) -> _Work:
    dataset = open_dataset(folder, scheme)
    problems = [Problem("missing image", path, "a mask without its image") for path in dataset.orphans]
    notes: list[str] = []
    bare = len(dataset.samples) - dataset.labelled
    if bare == len(dataset.samples):
        notes.append("no masks: images to run inference on")
    elif bare and dataset.layout == "kitti-road":
        notes.append(f"{bare} images have no mask of the whole road")
    elif bare:
        problems += [
            Problem("missing mask", sample.image_path, "an image without its mask")
            for sample in dataset.samples
            if sample.mask_path is None
        ]
    if dataset.labelled and dataset.scheme is None:
        problems.append(Problem("unknown scheme", folder, f"{'; '.join(dataset.evidence)}; name it with --scheme"))
    return _Work(
        layout=dataset.layout,
        scheme=dataset.scheme,
        evidence=dataset.evidence,
        total=len(dataset.samples),
        items=(_Item(sample) for sample in dataset.samples),
        problems=problems,
        notes=notes,
    )


def _metadata(recording: Path, problems: list[Problem]) -> RecordingMetadata | None:
    try:
        return read_metadata(recording)
    except DatasetError as error:
        path = recording / METADATA_FILE
        problems.append(Problem("damaged metadata", path, _without(error, path)))
        return None


def _items_of_recording(
    recording: Path, metadata: RecordingMetadata, problems: list[Problem], notes: list[str]
) -> Iterator[_Item]:
    present = FilesPresent(recording)
    named: set[str] = set()
    frames: set[int] = set()
    complete = 0
    last = -1
    try:
        for record in read_lines(recording):
            if record.frame in frames:
                problems.append(
                    Problem("duplicate frame", recording / FRAMES_FILE, f"frame {record.frame} has a second line")
                )
                continue
            if metadata.ended is not None and record.frame < last:
                detail = (
                    f"frame {record.frame} stands after {last}, and readers of an ended recording count on the order"
                )
                problems.append(Problem("line out of order", recording / FRAMES_FILE, detail))
            last = record.frame
            frames.add(record.frame)
            named.update(file.path for file in record.files.values())
            missing = [file.path for file in record.files.values() if file.path not in present]
            problems += [
                Problem("missing file", recording / path, f"the line of frame {record.frame} names it")
                for path in missing
            ]
            if missing or IMAGE not in record.files:
                continue
            complete += 1
            files = tuple((recording / file.path, file) for file in record.files.values())
            yield _Item(sample_of(recording, metadata, record.frame, record.files, recording.name), files)
    except DatasetError as error:
        path = recording / FRAMES_FILE
        problems.append(Problem("damaged line", path, _without(error, path)))
    if metadata.ended is None:
        notes.append(f"{recording}: was never ended; {complete} frames are complete")
    elif metadata.counts.get("frames") != len(frames):
        problems.append(
            Problem(
                "frame count",
                recording,
                f"recording.json counts {metadata.counts.get('frames')} frames, {FRAMES_FILE} has {len(frames)}",
            )
        )
    folders = {path.partition("/")[0] for path in named} | {"rgb", "seg_raw", "seg"}
    leftovers = [f"{folder}/{name}" for folder in sorted(folders) for name in present.names(folder)]
    leftover_count = sum(path not in named for path in leftovers)
    if leftover_count:
        notes.append(f"{recording}: {leftover_count} files belong to no frame and are never read")


def _other_meaning(folder: Path, masks: Sequence[Mask], found: LabelScheme) -> list[Problem]:
    """A named scheme whose ids all fit can still be the wrong one; the scene tells."""
    if len(masks) < 2:
        return []
    detection = detect(masks)
    seen = np.unique(np.concatenate([np.unique(mask) for mask in masks]))
    if not detection.confident or detection.scheme is None or same_meaning(detection.scheme, found, seen):
        return []
    detail = f"said to be {found.name}, looks like {detection.scheme.name}: {'; '.join(detection.evidence)}"
    return [Problem("another scheme", folder, detail)]


Size = tuple[int, int]
Sizes = dict[Size, tuple[int, Path]]
"""How many images have a size, and the first of them."""


def _by_frequency(sizes: Sizes) -> list[tuple[Size, tuple[int, Path]]]:
    return sorted(sizes.items(), key=lambda item: -item[1][0])


def _sizes_differ(sizes: Sizes) -> list[Problem]:
    (usual, (usual_count, _)), *others = _by_frequency(sizes)
    return [
        Problem(
            "sizes differ",
            first,
            f"{size[0]}x{size[1]} (so are {count - 1} more), where {usual_count} are {usual[0]}x{usual[1]}",
        )
        for size, (count, first) in others
    ]


@dataclass
class _Checked:
    """What was seen: at most a score an image, unless they are broken."""

    frames: int
    labelled: int
    sizes: Sizes
    masks: list[Mask]
    problems: list[Problem]
    scores: array[float]
    doubts: list[Doubt]

    def worst_first(self) -> tuple[Doubt, ...]:
        """Pairs that are doubtful, measured by all the others."""
        limit = doubtful_below(self.scores)
        return tuple(sorted((doubt for doubt in self.doubts if doubt.score < limit), key=lambda doubt: doubt.score))


class _ItemCheck(NamedTuple):
    """What was seen of one image: its size, its mask thinned out, what is wrong, how well image and mask fit."""

    size: Size | None
    mask: Mask | None
    problems: list[Problem]
    doubt: Doubt | None = None


def _check_items(work: _Work, deep: bool, alignment: bool, watch: Callable[[int, int], object] | None) -> _Checked:
    seen = _Checked(0, 0, {}, [], [], array("d"), [])
    # A fair sample of masks of a stream whose length nobody knows yet: each new one replaces an old one at random.
    rng = np.random.default_rng(0)
    # Decoding releases the GIL. In slices, so that a million futures never wait at once.
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        while chunk := list(islice(work.items, _AT_ONCE)):
            checks = pool.map(_check_item, chunk, repeat(work.scheme), repeat(deep), repeat(alignment))
            for item, (size, mask, wrong, doubt) in zip(chunk, checks, strict=True):
                seen.frames += 1
                seen.labelled += item.sample.mask_path is not None
                seen.problems += wrong
                if doubt is not None:
                    seen.scores.append(doubt.score)
                    # Most pairs are good: their names need not be kept.
                    seen.doubts += [doubt] if doubt.score < NEVER_DOUBTFUL else []
                if size is not None:
                    count, first = seen.sizes.get(size, (0, item.sample.image_path))
                    seen.sizes[size] = (count + 1, first)
                if mask is None:
                    continue
                if len(seen.masks) < _MASKS_READ_FOR_MEANING:
                    seen.masks.append(mask)
                elif (place := int(rng.integers(seen.frames))) < _MASKS_READ_FOR_MEANING:
                    seen.masks[place] = mask
            if watch is not None:
                watch(seen.frames, work.total)
    return seen


def _check_item(item: _Item, found: LabelScheme | None, deep: bool, alignment: bool) -> _ItemCheck:
    wrong = [problem for path, promised in item.files if (problem := _check_promise(path, promised, deep)) is not None]
    sample = item.sample
    size: Size | None = None
    mask: Mask | None = None
    try:
        if deep:
            height, width, _ = read_image(sample.image_path).shape
            size = (height, width)
        else:
            size = picture_size(sample.image_path)
    except DatasetError as error:
        wrong.append(Problem("damaged image", sample.image_path, _without(error, sample.image_path)))
    if sample.mask_path is not None and sample.mask_encoding is not None:
        mask_size, mask, problem = _check_mask(sample.mask_path, sample.mask_encoding, found)
        if problem is not None:
            wrong.append(problem)
        if size is not None and mask_size is not None and size != mask_size:
            detail = f"mask {mask_size[0]}x{mask_size[1]}, image {size[0]}x{size[1]}"
            wrong.append(Problem("size of a pair", sample.mask_path, detail))
    doubt = scored(sample) if alignment and not wrong else None
    return _ItemCheck(size, mask, wrong, doubt)


def _check_mask(
    path: Path, encoding: MaskEncoding, found: LabelScheme | None
) -> tuple[Size | None, Mask | None, Problem | None]:
    """The mask's size, its ids thinned out, and what is wrong with it."""
    mask: Mask | None = None
    try:
        if encoding == "colors":
            height, width, _ = read_image(path).shape
        else:
            mask = read_raw_mask(path, encoding, found)
            height, width = mask.shape
    except DatasetError as error:
        return None, None, Problem("damaged mask", path, _without(error, path))
    try:
        if found is not None and mask is None:
            read_raw_mask(path, encoding, found)
        elif found is not None and mask is not None:
            found.check_ids(mask, str(path))
    except DatasetError as error:
        return (height, width), None, Problem("outside the scheme", path, _without(error, path))
    # A copy, so that the whole mask can be forgotten.
    return (height, width), None if mask is None else thinned(mask).copy(), None


def _check_promise(path: Path, promised: FileRecord, deep: bool) -> Problem | None:
    try:
        length = path.stat().st_size
        if length != promised.length:
            return Problem("length", path, f"expected {promised.length} bytes, received {length}")
        if deep and (checksum := f"{zlib.crc32(path.read_bytes()):08x}") != promised.crc32:
            return Problem("checksum", path, f"expected crc32 {promised.crc32}, received {checksum}")
    except OSError as error:
        return Problem("missing file", path, str(error.strerror))
    return None


def _without(error: DatasetError, path: Path) -> str:
    """The error's sentence without the path it begins with."""
    return error.message.removeprefix(str(path)).lstrip(":, ")
