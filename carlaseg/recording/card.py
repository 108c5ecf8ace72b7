"""What a recording says about itself to people: README.md, from facts alone."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from carlaseg.dataset.records import RecordingMetadata
from carlaseg.files import write_whole

CARD_FILE = "README.md"
CONTACT_SHEET_FILE = "contact_sheet.jpg"

STAND_IN = (
    "Drawn by carlaseg's embedded simulator, a stand-in for CARLA: its pictures teach the pipeline, not the world."
)


def write_card(folder: Path, metadata: RecordingMetadata, counts: Mapping[str, int], command: tuple[str, ...]) -> None:
    """Write README.md into a recording.

    Args:
        folder: the recording.
        metadata: what holds for all its frames.
        counts: "frames", "dropped", "vehicles", "walkers" and what else was counted.
        command: the words that record it again.

    Raises:
        OSError: it could not be written.
    """
    scheme = metadata.label_scheme
    sensors = "\n".join(
        f"| {sensor.name} | {sensor.blueprint} | {sensor.size[0]}x{sensor.size[1]} | "
        f"{sensor.camera_size[0]}x{sensor.camera_size[1]} | {sensor.fov_deg:g} | `{sensor.folder}/` |"
        for sensor in metadata.rig
    )
    instruments = "".join(
        f"\n| {sensor.name} | {sensor.blueprint} | | | | {f'`{sensor.folder}/`' if sensor.folder else 'frames.jsonl'} |"
        for sensor in metadata.instruments
    )
    classes = ", ".join(f"{label.class_id} {label.name}" for label in scheme.classes)
    source = STAND_IN if metadata.simulator == "embedded" else "Drawn by a CARLA server."
    text = f"""# {folder.name}

{counts["frames"]} frames of RGB with semantic segmentation of the same tick. {source}

| | |
| --- | --- |
| town, weather | {metadata.town}, {metadata.weather} |
| seeds | {", ".join(f"{name} {seed}" for name, seed in metadata.seeds.items())} |
| other vehicles, pedestrians | {counts["vehicles"]}, {counts["walkers"]} |
| dropped frames | {counts["dropped"]} |
| CARLA client, server | {metadata.client_version}, {metadata.server_version} |
| carlaseg | {metadata.carlaseg_version} |
| started | {metadata.started} |

| sensor | blueprint | saved (HxW) | drawn (HxW) | field of view | where |
| --- | --- | --- | --- | --- | --- |
{sensors}{instruments}

`rgb/` holds the pictures, `seg_raw/` the ids in one 8-bit channel, `seg/` the ids in colours (where it was asked for),
`frames.jsonl` pose, speed and weather of each frame, `recording.json` everything that holds for all of them.
A file's number is the tick of the drive. Look at {CONTACT_SHEET_FILE} first: do the colours sit on the objects?

Labels are of scheme {scheme.name} ({scheme.title}): {classes}.

Recorded by

    {shlex.join(command)}
"""
    write_whole(folder / CARD_FILE, text.encode())
