"""What tests of conversions share: three recordings in two towns, and a conversion as it is typed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from tiny_datasets import SCHEME, line, metadata, road_image, road_scene

from carlaseg.config import ConvertConfig
from carlaseg.dataset import Pose, RecordingWriter, SensorRecord
from carlaseg.dataset.convert import convert_command

CAMERA = SensorRecord(
    "rgb_front", "sensor.camera.rgb", (48, 64), (96, 128), 90.0, Pose((1.6, 0.25, 1.7), (-15.0, 0.0, 0.0))
)


def write_drives(folder: Path) -> Path:
    """Three recordings of four frames in two towns."""
    for number, town in enumerate(("Town01", "Town02", "Town02")):
        facts = replace(metadata(town=town), rig=(CAMERA,))
        with RecordingWriter(folder / f"{town}_{number}", facts, SCHEME) as writer:
            for frame in range(10, 14):
                scene = road_scene(SCHEME, 10 * number + frame)
                writer.write_frame(frame, road_image(10 * number + frame), scene, line(frame))
    return folder


def run(to: str, source: Path, output: Path, **settings: Any) -> Path:
    assert convert_command(ConvertConfig(input=source, to=to, output=output, **settings)) == 0
    return output


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
