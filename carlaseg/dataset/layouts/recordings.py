"""Recordings of carlaseg: one, or a folder of them. docs/dataset-format.md is the law."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from carlaseg.dataset.layouts.listing import Listing, chosen_splits, folders_in
from carlaseg.dataset.reader import is_recording, read_frame_files, read_metadata
from carlaseg.dataset.records import FileRecord, RecordingMetadata
from carlaseg.dataset.samples import Sample, SampleTable
from carlaseg.labels import require_one_scheme

IMAGE, MASK = "rgb", "seg_raw"


def recordings_in(folder: Path) -> list[Path]:
    """The folder itself when it is a recording, else the recordings right inside it, in reading order."""
    if is_recording(folder):
        return [folder]
    return [folder / name for name in folders_in(folder) if is_recording(folder / name)]


def find(folder: Path, split: str | None) -> Listing | None:
    """The frames of a recording, or of all recordings in a folder."""
    recordings = recordings_in(folder)
    if not recordings:
        return None
    if split is not None:
        chosen_splits(folder, (), split)
    metadata_of = {recording: read_metadata(recording) for recording in recordings}
    schemes = {str(recording): metadata.label_scheme for recording, metadata in metadata_of.items()}
    require_one_scheme(schemes)
    several = len(recordings) > 1
    samples = SampleTable(
        sample
        for recording, metadata in metadata_of.items()
        for sample in _samples_of(recording, metadata, f"{recording.resolve().name}_" if several else "")
    )
    name = next(iter(schemes.values())).name
    layout = "recording" if is_recording(folder) else "recordings"
    return Listing(layout, samples, name, ("recording.json names it",))


def _samples_of(recording: Path, metadata: RecordingMetadata, before: str) -> Iterator[Sample]:
    drive = recording.resolve().name
    for frame, files in read_frame_files(recording, metadata):
        if IMAGE not in files:
            continue
        yield sample_of(recording, metadata, frame, files, drive, before)


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
