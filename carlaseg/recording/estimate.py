"""How long, how big, does it fit: said before the first frame is saved, from what the warm-up showed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from carlaseg.config import RecordConfig
from carlaseg.dataset.encoding import encode
from carlaseg.errors import DatasetError
from carlaseg.recording.rig import RigSpec
from carlaseg.recording.streams import SensorFrame

FEWEST_TICKS = 5
"""The first ticks build caches on both sides; fewer say nothing about the later ones."""

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
    tick_s: float,
    ticks: int,
) -> Estimate:
    """The cost of so many frames, from one warm-up frame and the time the warm-up's ticks took.

    Args:
        config: of the recording.
        rig: its sensors.
        frames: still to be saved.
        folder: they go to; need not exist yet.
        seen: data of a warm-up tick, by sensor name.
        tick_s: mean seconds a tick.
        ticks: that this is the mean of.

    Raises:
        DatasetError: they would not fit on the disk.
    """
    began_s = time.perf_counter()
    image, ids = rig.pair_arrays(seen)
    ids_bytes = len(encode(ids)[1])
    frame_bytes = ids_bytes + sum(len(encode(array)[1]) for array in (image, *rig.other_arrays(seen).values()))
    if config.colour:
        # Three channels that change where the ids do take about twice their bytes.
        frame_bytes += 2 * ids_bytes
    encode_s = time.perf_counter() - began_s
    home = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free_bytes = shutil.disk_usage(home).free
    needed = frame_bytes * frames
    if needed > free_bytes * LARGEST_SHARE_OF_FREE_DISK:
        raise DatasetError(
            f"{home}: expected about {bytes_text(needed)} free for {frames} frames, received {bytes_text(free_bytes)}. "
            "Nothing was written.",
            (("elsewhere", "carlaseg record --output /another/disk ..."), ("fewer", "carlaseg record --frames ...")),
        )
    frame_s = max(tick_s * config.every, encode_s / config.writers)
    return Estimate(needed, free_bytes, frame_s * frames if ticks >= FEWEST_TICKS else None)


def bytes_text(count: float) -> str:
    """A number of bytes for people, in MB or GB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
