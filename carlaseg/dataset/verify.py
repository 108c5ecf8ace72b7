"""Whether a dataset is what it promises: every problem by file, every pixel by name, nothing changed on disk.

Fast: pairs, lines, lengths, picture headers and ends, sizes, and every id of every mask. Deep: every picture decoded
and every checksum compared as well.
"""

from __future__ import annotations

import os
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from carlaseg.dataset.headers import picture_size
from carlaseg.dataset.layouts.recordings import recordings_in
from carlaseg.dataset.opening import open_dataset, spread, thinned
from carlaseg.dataset.pictures import read_image, read_raw_mask
from carlaseg.dataset.reader import FRAMES_FILE, FilesPresent, read_lines, read_metadata
from carlaseg.dataset.records import FileRecord, RecordingMetadata
from carlaseg.dataset.samples import MaskEncoding, Sample
from carlaseg.errors import DatasetError
from carlaseg.labels import LabelScheme, detect, same_meaning
from carlaseg.labels import scheme as scheme_named

_AT_ONCE = 256
_MASKS_READ_FOR_MEANING = 24


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: its kind, the file or folder, and a sentence."""

    kind: str
    path: Path
    detail: str


@dataclass(frozen=True)
class VerifyReport:
    """What a check found.

    Attributes:
        folder: what was checked.
        layout: its layout.
        scheme: name of its label scheme, None when nobody could tell or there are no masks.
        evidence: why that scheme.
        frames: images that are there to be read.
        labelled: how many of them have a mask.
        sizes: images by size, "HxW".
        deep: whether every picture was decoded.
        problems: everything that is wrong, file by file.
        notes: what is odd but harms nobody.
    """

    folder: Path
    layout: str
    scheme: str | None
    evidence: tuple[str, ...]
    frames: int
    labelled: int
    sizes: dict[str, int]
    deep: bool
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    @property
    def counts(self) -> dict[str, int]:
        """Problems by kind, the most frequent first."""
        return dict(Counter(problem.kind for problem in self.problems).most_common())

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "schema": "carlaseg.verify/1",
            "ok": self.ok,
            "folder": str(self.folder),
            "layout": self.layout,
            "scheme": self.scheme,
            "evidence": list(self.evidence),
            "frames": self.frames,
            "labelled": self.labelled,
            "sizes": self.sizes,
            "deep": self.deep,
            "counts": self.counts,
            "problems": [
                {"kind": problem.kind, "path": str(problem.path), "detail": problem.detail} for problem in self.problems
            ],
            "notes": list(self.notes),
        }

    def lines(self, most: int = 10) -> Iterator[str]:
        """The report for people, a line each, with at most `most` problems of each kind."""
        yield f"{self.folder}: {self.layout}, {self.frames} images, {self.labelled} with masks"
        if self.sizes:
            yield "size    " + ", ".join(f"{size} ({count})" for size, count in self.sizes.items())
        if self.labelled:
            yield f"labels  {self.scheme or 'unknown'}: {'; '.join(self.evidence)}"
        for note in self.notes:
            yield f"note    {note}"
        for kind, count in self.counts.items():
            yield f"wrong   {kind}: {count}"
            shown = [problem for problem in self.problems if problem.kind == kind][:most]
            yield from (f"        {problem.path}: {problem.detail}" for problem in shown)
            if count > most:
                yield f"        ... and {count - most} more (--json lists all)"
        how = "every picture decoded, every checksum compared" if self.deep else "every mask decoded, images by header"
        yield f"{'ok' if self.ok else 'failed'}      {len(self.problems)} problems ({how})"


@dataclass(frozen=True)
class _Item:
    """A sample and, in a recording, what its line promises of each file."""

    sample: Sample
    files: tuple[tuple[Path, FileRecord], ...] = ()


def verify(
    folder: Path, deep: bool = False, scheme: str | None = None, advance: Callable[[], object] | None = None
) -> VerifyReport:
    """Check a dataset of any layout.

    Args:
        folder: the dataset.
        deep: decode every picture and compare every checksum.
        scheme: label scheme of the masks, where the dataset does not say.
        advance: called after each image, for progress.

    Raises:
        ConfigError: there is no such label scheme.
        DatasetError: there is nothing to check: no folder, no layout we know.
    """
    problems: list[Problem] = []
    notes: list[str] = []
    evidence: tuple[str, ...]
    found: LabelScheme | None
    recordings = recordings_in(folder) if folder.is_dir() else []
    if recordings:
        layout = "recording" if recordings == [folder] else f"recordings ({len(recordings)})"
        items: list[_Item] = []
        found = None if scheme is None else scheme_named(scheme)
        for recording in recordings:
            metadata = _metadata(recording, problems)
            if metadata is None:
                continue
            if found is None:
                found = metadata.label_scheme
            elif metadata.label_scheme != found and scheme is None:
                problems.append(
                    Problem("mixed schemes", recording, f"{metadata.label_scheme.name}, where others have {found.name}")
                )
            items += _items_of_recording(recording, metadata, problems, notes)
        evidence = ("named by the user",) if scheme else ("recording.json names it",)
    else:
        dataset = open_dataset(folder, scheme)
        layout, found, evidence = dataset.layout, dataset.scheme, dataset.evidence
        items = [_Item(sample) for sample in dataset.samples]
        problems += [Problem("missing image", path, "a mask without its image") for path in dataset.orphans]
        _missing_masks(items, problems, notes, dataset.layout)
        if dataset.labelled and found is None:
            problems.append(Problem("unknown scheme", folder, f"{'; '.join(evidence)}; name it with --scheme"))
    problems += _other_meaning(folder, items, found)
    sizes = _check_items(items, found, deep, problems, advance)
    # One camera has one size. Collections of pictures, and KITTI Road by its nature, have several.
    if len(sizes) > 1 and any(item.sample.mask_path for item in items) and layout != "kitti-road":
        problems += _sizes_differ(sizes)
    return VerifyReport(
        folder=folder,
        layout=layout,
        scheme=found.name if found else None,
        evidence=evidence,
        frames=len(items),
        labelled=sum(item.sample.mask_path is not None for item in items),
        sizes={f"{height}x{width}": len(paths) for (height, width), paths in _by_frequency(sizes)},
        deep=deep,
        problems=tuple(problems),
        notes=tuple(notes),
    )


def _metadata(recording: Path, problems: list[Problem]) -> RecordingMetadata | None:
    try:
        return read_metadata(recording)
    except DatasetError as error:
        problems.append(Problem("damaged metadata", recording, error.message))
        return None


def _items_of_recording(
    recording: Path, metadata: RecordingMetadata, problems: list[Problem], notes: list[str]
) -> list[_Item]:
    present = FilesPresent(recording)
    named: set[str] = set()
    frames: set[int] = set()
    items: list[_Item] = []
    try:
        for record in read_lines(recording):
            if record.frame in frames:
                problems.append(
                    Problem("duplicate frame", recording / FRAMES_FILE, f"frame {record.frame} has a second line")
                )
                continue
            frames.add(record.frame)
            named.update(file.path for file in record.files.values())
            missing = [file.path for file in record.files.values() if file.path not in present]
            problems += [
                Problem("missing file", recording / path, f"the line of frame {record.frame} names it")
                for path in missing
            ]
            image, mask = record.files.get("rgb"), record.files.get("seg_raw")
            if missing or image is None:
                continue
            sample = Sample(
                image_path=recording / image.path,
                mask_path=recording / mask.path if mask else None,
                mask_encoding="ids" if mask else None,
                scheme=metadata.label_scheme.name if mask else None,
                drive=recording.name,
                frame=record.frame,
                town=metadata.town,
                weather=metadata.weather,
                name=f"{record.frame:08d}",
            )
            items.append(_Item(sample, tuple((recording / file.path, file) for file in record.files.values())))
    except DatasetError as error:
        problems.append(Problem("damaged line", recording / FRAMES_FILE, error.message))
    if metadata.ended is None:
        notes.append(f"{recording}: was never ended; the {len(items)} frames with a line are complete")
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
    return items


def _missing_masks(items: Sequence[_Item], problems: list[Problem], notes: list[str], layout: str) -> None:
    bare = [item.sample.image_path for item in items if item.sample.mask_path is None]
    if len(bare) == len(items):
        notes.append("no masks: images to run inference on")
    elif layout == "kitti-road":
        notes.append(f"{len(bare)} images have no mask of the whole road")
    else:
        problems += [Problem("missing mask", path, "an image without its mask") for path in bare]


def _other_meaning(folder: Path, items: Sequence[_Item], found: LabelScheme | None) -> list[Problem]:
    """A named scheme whose ids all fit can still be the wrong one; the scene tells."""
    masked = [item for item in items if item.sample.mask_path is not None and item.sample.mask_encoding != "colors"]
    if found is None or len(masked) < 2:
        return []
    masks = []
    for item in spread(masked, _MASKS_READ_FOR_MEANING):
        sample = item.sample
        if sample.mask_path is not None and sample.mask_encoding is not None:
            try:
                masks.append(thinned(read_raw_mask(sample.mask_path, sample.mask_encoding, found)))
            except DatasetError:
                continue  # Reported file by file.
    detection = detect(masks)
    seen = np.unique(np.concatenate([np.unique(mask) for mask in masks])) if masks else np.empty(0, np.intp)
    if not detection.confident or detection.scheme is None or same_meaning(detection.scheme, found, seen):
        return []
    detail = f"said to be {found.name}, looks like {detection.scheme.name}: {'; '.join(detection.evidence)}"
    return [Problem("another scheme", folder, detail)]


Sizes = dict[tuple[int, int], list[Path]]


def _by_frequency(sizes: Sizes) -> list[tuple[tuple[int, int], list[Path]]]:
    return sorted(sizes.items(), key=lambda item: -len(item[1]))


def _sizes_differ(sizes: Sizes) -> list[Problem]:
    (usual, usual_paths), *others = _by_frequency(sizes)
    return [
        Problem(
            "sizes differ",
            paths[0],
            f"{size[0]}x{size[1]} (so are {len(paths) - 1} more), where {len(usual_paths)} are {usual[0]}x{usual[1]}",
        )
        for size, paths in others
    ]


def _check_items(
    items: Sequence[_Item],
    found: LabelScheme | None,
    deep: bool,
    problems: list[Problem],
    advance: Callable[[], object] | None,
) -> Sizes:
    """Check every sample, add what is wrong to `problems`, and give the images by size."""
    sizes: Sizes = defaultdict(list)

    def check(item: _Item) -> tuple[tuple[int, int] | None, list[Problem]]:
        return _check_item(item, found, deep)

    # Decoding releases the GIL. In slices, so that a million futures never wait at once.
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for start in range(0, len(items), _AT_ONCE):
            chunk = items[start : start + _AT_ONCE]
            for item, (size, wrong) in zip(chunk, pool.map(check, chunk), strict=True):
                problems += wrong
                if size is not None:
                    sizes[size].append(item.sample.image_path)
                if advance is not None:
                    advance()
    return sizes


def _check_item(item: _Item, found: LabelScheme | None, deep: bool) -> tuple[tuple[int, int] | None, list[Problem]]:
    wrong: list[Problem] = []
    for path, promised in item.files:
        problem = _check_promise(path, promised, deep)
        if problem is not None:
            wrong.append(problem)
    sample = item.sample
    size: tuple[int, int] | None = None
    mask_size: tuple[int, int] | None = None
    try:
        if deep:
            height, width, _ = read_image(sample.image_path).shape
            size = (height, width)
        else:
            size = picture_size(sample.image_path)
    except DatasetError as error:
        wrong.append(Problem("damaged image", sample.image_path, _without(error, sample.image_path)))
    if sample.mask_path is not None and sample.mask_encoding is not None:
        mask_size, problem = _check_mask(sample.mask_path, sample.mask_encoding, found)
        if problem is not None:
            wrong.append(problem)
    if size is not None and mask_size is not None and size != mask_size:
        detail = f"mask {mask_size[0]}x{mask_size[1]}, image {size[0]}x{size[1]}"
        wrong.append(Problem("size of a pair", sample.mask_path or sample.image_path, detail))
    return size, wrong


def _check_mask(
    path: Path, encoding: MaskEncoding, found: LabelScheme | None
) -> tuple[tuple[int, int] | None, Problem | None]:
    try:
        if encoding == "colors":
            pixels = read_image(path)
            size = (pixels.shape[0], pixels.shape[1])
        else:
            mask = read_raw_mask(path, encoding, found)
            size = (mask.shape[0], mask.shape[1])
    except DatasetError as error:
        return None, Problem("damaged mask", path, _without(error, path))
    if found is None:
        return size, None
    try:
        if encoding == "colors":
            read_raw_mask(path, encoding, found)
        else:
            found.check_ids(mask, str(path))
    except DatasetError as error:
        return size, Problem("outside the scheme", path, _without(error, path))
    return size, None


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
