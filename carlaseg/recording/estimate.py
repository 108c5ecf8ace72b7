"""How long, how big, does it fit: said before the first frame is saved, from what the warm-up showed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from carlaseg.config import RecordConfig
from carlaseg.dataset.encoding import encode, encode_photograph
from carlaseg.errors import DatasetError
from carlaseg.recording.rig import RigSpec
from carlaseg.recording.streams import SensorFrame

LARGEST_SHARE_OF_FREE_DISK = 0.98


@dataclass(frozen=True)
class Estimate:
    """What a recording will cost.

    Attributes:
        byte_count: of its pictures.
        free_bytes: on the disk they go to.
        seconds: None when too few ticks were seen to tell.
    """

    byte_count: int
    free_bytes: int
    seconds: float | None


def estimate(
    config: RecordConfig,
    rig: RigSpec,
    frames: int,
    folder: Path,
    seen: Mapping[str, SensorFrame],
    seconds_between_frames: float | None,
) -> Estimate:
    """The cost of so many frames, from one warm-up frame and the time the warm-up's ticks took.

    Args:
        config: of the recording.
        rig: its sensors.
        frames: still to be saved.
        folder: they go to; need not exist yet.
        seen: data of a warm-up tick, by sensor name.
        seconds_between_frames: that the simulator needs from one saved frame to the next; None when unknown.

    Raises:
        DatasetError: they would not fit on the disk.
    """
    began_s = time.perf_counter()
    frame_bytes = 0
    for sensor in rig.sensors:
        if not sensor.what.has_files:
            continue
        array = sensor.array(seen[sensor.name].data)
        photograph = sensor.kind == "rgb"
        frame_bytes += len((encode_photograph(array, config.rgb_format) if photograph else encode(array))[1])
        # The coloured copy is the file of the ids with a palette.
        frame_bytes += len(encode(array)[1]) if sensor is rig.pair[1] and config.colour else 0
    encode_s = time.perf_counter() - began_s
    home = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free_bytes = shutil.disk_usage(home).free
    # Shards hold every file once more.
    needed = frame_bytes * frames * (1 if config.shards is None else 2)
    if needed > free_bytes * LARGEST_SHARE_OF_FREE_DISK:
        raise DatasetError(
            f"{home}: expected about {bytes_text(needed)} free for {frames} frames, received {bytes_text(free_bytes)}. "
            "Nothing was written.",
            (("elsewhere", "carlaseg record --output /another/disk ..."), ("fewer", "carlaseg record --frames ...")),
        )
    if seconds_between_frames is None:
        return Estimate(needed, free_bytes, None)
    return Estimate(needed, free_bytes, frames * max(seconds_between_frames, encode_s / config.writers))


def bytes_text(count: float) -> str:
    """A number of bytes for people, in MB or GB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
