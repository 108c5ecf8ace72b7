"""Recordings of carlaseg: one, a folder of them, or splits of them. docs/dataset-format.md is the law."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from carlaseg.dataset.layouts.listing import SPLITS, Listing, chosen_splits, folders_in
from carlaseg.dataset.reader import is_recording, read_frame_files, read_metadata
from carlaseg.dataset.records import FileRecord, RecordingMetadata
from carlaseg.dataset.samples import Sample, SampleTable
from carlaseg.labels import require_one_scheme

IMAGE, MASK = "rgb", "seg_raw"


def recordings_in(folder: Path) -> list[Path]:
    """All recordings that make a dataset of a folder, in reading order.

    The folder itself when it is a recording, else those right inside it, else those in its train, val and test.
    """
    return [recording for recordings in _by_split(folder).values() for recording in recordings]


def _by_split(folder: Path) -> dict[str, list[Path]]:
    """Recordings by split, as a plan leaves them or each its split's name; under no name where they have no splits."""
    if is_recording(folder):
        return {"": [folder]}
    if right_inside := _right_inside(folder):
        named = {recording.name: [recording] for recording in right_inside}
        if not named.keys() <= set(SPLITS):
            return {"": right_inside}
    else:
        named = {split: _right_inside(folder / split) for split in SPLITS}
    return {split: named[split] for split in SPLITS if named.get(split)}


def _right_inside(folder: Path) -> list[Path]:
    return [folder / name for name in folders_in(folder) if is_recording(folder / name)]


def find(folder: Path, split: str | None) -> Listing | None:
    """The frames of a recording, or of all recordings in a folder or in its splits."""
    by_split = _by_split(folder)
    if not by_split:
        return None
    splits = tuple(name for name in by_split if name)
    chosen = chosen_splits(folder, splits, split) or ("",)
    recordings = [recording for name in chosen for recording in by_split[name]]
    metadata_of = {recording: read_metadata(recording) for recording in recordings}
    schemes = {str(recording): metadata.label_scheme for recording, metadata in metadata_of.items()}
    require_one_scheme(schemes)
    drive_of = _drives([recording for recordings in by_split.values() for recording in recordings])
    several = len(drive_of) > 1
    samples = SampleTable(
        sample
        for recording, metadata in metadata_of.items()
        for sample in _samples_of(recording, metadata, drive_of[recording], several)
    )
    name = next(iter(schemes.values())).name
    layout = "recording" if is_recording(folder) else "recordings"
    return Listing(layout, samples, name, ("recording.json names it",), splits=splits)


def _drives(recordings: list[Path]) -> dict[Path, str]:
    """The name of each recording's drive: that of its folder, and of its split where two splits have it."""
    names = {recording: recording.resolve().name for recording in recordings}
    times = Counter(names.values())
    return {
        recording: name if times[name] == 1 else f"{recording.parent.name}_{name}" for recording, name in names.items()
    }


def _samples_of(recording: Path, metadata: RecordingMetadata, drive: str, several: bool) -> Iterator[Sample]:
    for frame, files in read_frame_files(recording, metadata):
        if IMAGE not in files:
            continue
        yield sample_of(recording, metadata, frame, files, drive, f"{drive}_" if several else "")


def sample_of(
    recording: Path,
    metadata: RecordingMetadata,
    frame: int,
    files: Mapping[str, FileRecord],
    drive: str,
    before: str = "",
) -> Sample:
    """A frame of a recording that has an image, as a sample.

    Args:
        recording: its folder.
        metadata: of the recording.
        frame: its number.
        files: its files, by folder.
        drive: name of the drive.
        before: what its name begins with, where there are several recordings.
    """
    mask = files.get(MASK)
    return Sample(
        image_path=recording / files[IMAGE].path,
        mask_path=recording / mask.path if mask else None,
        mask_encoding="ids" if mask else None,
        scheme=metadata.label_scheme.name if mask else None,
        drive=drive,
        frame=frame,
        town=metadata.town,
        weather=metadata.weather,
        name=f"{before}{frame:08d}",
    )
