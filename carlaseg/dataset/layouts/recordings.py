"""Recordings of carlaseg: one, or a folder of them. docs/dataset-format.md is the law."""

from __future__ import annotations

from pathlib import Path

from carlaseg.dataset.layouts.listing import Listing, chosen_splits, folders_in
from carlaseg.dataset.reader import is_recording, read_frames, read_metadata
from carlaseg.dataset.samples import Sample
from carlaseg.labels import LabelScheme, require_one_scheme

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
    samples: list[Sample] = []
    schemes: dict[str, LabelScheme] = {}
    for recording in recordings:
        metadata = read_metadata(recording)
        schemes[str(recording)] = metadata.label_scheme
        drive = recording.resolve().name
        for record in read_frames(recording, metadata):
            if IMAGE not in record.files:
                continue
            mask = record.files.get(MASK)
            samples.append(
                Sample(
                    image_path=recording / record.files[IMAGE].path,
                    mask_path=recording / mask.path if mask else None,
                    mask_encoding="ids" if mask else None,
                    scheme=metadata.label_scheme.name if mask else None,
                    drive=drive,
                    frame=record.frame,
                    town=metadata.town,
                    weather=metadata.weather,
                    name=f"{drive}_{record.frame:08d}" if len(recordings) > 1 else f"{record.frame:08d}",
                )
            )
    require_one_scheme(schemes)
    name = next(iter(schemes.values())).name
    layout = "recording" if is_recording(folder) else "recordings"
    return Listing(layout, samples, name, ("recording.json names it",))
