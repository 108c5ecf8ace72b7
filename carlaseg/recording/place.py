"""Which folder a recording goes to, and what is in it already: nothing, a part of the same recording, or all of it.

One rule: the same command again goes on where it ended, and never anything else. A folder with other contents, or
with a recording of other settings, is refused; nothing is ever overwritten.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from carlaseg.config import RecordConfig, to_json
from carlaseg.dataset.reader import is_recording, read_frames, read_metadata
from carlaseg.dataset.rig_records import InstrumentRecord, SensorRecord
from carlaseg.dataset.shards import bring_back, frames_in_shards_alone
from carlaseg.errors import DatasetError
from carlaseg.recording.rig import Rig
from carlaseg.recording.slots import slot_of_tick

FREE_TO_CHANGE = frozenset(
    (
        *("frames", "output", "name", "host", "port", "traffic_port", "timeout", "writers", "queue", "queue_mb"),
        *("preview", "json", "plan", "shards", "max_drops_in_a_row", "max_drop_share", "exact"),
    )
)
"""Settings that may differ when a recording is gone on with: they do not change what a frame shows."""


@dataclass(frozen=True)
class Place:
    """A recording folder.

    Attributes:
        folder: absolute.
        saved_ticks: file numbers of the frames that are in it already.
        exists: whether there is a recording to go on with.
    """

    folder: Path
    saved_ticks: frozenset[int]
    exists: bool

    def frames_missing(self, config: RecordConfig) -> int:
        """How many frames are still to be saved."""
        return max(0, config.frames - len(self.saved_ticks))

    def open_slots(self, config: RecordConfig) -> Iterator[int]:
        """The slots that are still empty, in order, without an end."""
        filled = {slot_of_tick(config, tick) for tick in self.saved_ticks}
        return (slot for slot in count() if slot not in filled)


def find_place(config: RecordConfig, town: str, server_version: str) -> Place:
    """The folder for a recording, TOWN_WEATHER_seedNNNN unless it was named.

    Raises:
        DatasetError: there is something else in it.
    """
    name = config.name or f"{town}_{config.weather}_seed{config.seed:04d}"
    folder = (config.output / name).absolute()
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return Place(folder, frozenset(), exists=False)
    another = ("another name", f"carlaseg record --name {shlex.quote(f'{name}_2')} ...")
    if not is_recording(folder):
        raise DatasetError(
            f"{folder}: expected a new folder or a recording to go on with, received something else. "
            "Nothing was changed.",
            (another,),
        )
    earlier = read_metadata(folder)
    facts = {**to_json(config), "town": town, "server_version": server_version}
    # Settings that came after that recording had their default in it.
    recorded = {
        **to_json(RecordConfig()),
        **earlier.configuration,
        "town": earlier.town,
        "server_version": earlier.server_version,
    }
    for key in sorted(facts.keys() - FREE_TO_CHANGE):
        if facts[key] != recorded.get(key):
            raise DatasetError(
                f"{folder}: expected a recording of the same settings to go on with, received one with "
                f"{key} {recorded.get(key)} instead of {facts[key]}. Nothing was changed.",
                (another, ("another drive", f"carlaseg record --seed {config.seed + 1} ...")),
            )
    if packed := frames_in_shards_alone(folder):
        # They would be recorded again, and their lines lost.
        raise DatasetError(
            f"{folder}: expected the files of its frames beside their lines, received {len(packed)} frames that are in "
            "its shards alone. Nothing was changed.",
            (bring_back(folder),),
        )
    return Place(folder, frozenset(record.frame for record in read_frames(folder, earlier)), exists=True)


def refuse_second_drive_by_hand(place: Place, config: RecordConfig) -> None:
    """Make sure that a drive by hand is not gone on with: it cannot be driven again, so its frames would be two drives.

    Raises:
        DatasetError: there is one already.
    """
    if place.exists and config.driver == "manual":
        raise DatasetError(
            f"{place.folder}: expected a new folder, because nobody can drive by hand the same way twice, received one "
            f"with {len(place.saved_ticks)} frames. Nothing was changed.",
            (("another name", f"carlaseg record --driver manual --name {shlex.quote(f'{place.folder.name}_2')} ..."),),
        )


def refuse_another_rig(place: Place, rig: Rig) -> None:
    """Make sure that a recording is gone on with by the sensors it was begun with: a rig's file may have changed.

    Raises:
        DatasetError: they are others, or sit or see otherwise; the first one that differs is named.
    """
    if not place.exists:
        return
    earlier = read_metadata(place.folder)
    before = _by_name(earlier.rig, earlier.instruments)
    now = _by_name(rig.camera_records, rig.instrument_records)
    for name in [*now, *before]:
        if before.get(name) != now.get(name):
            what = "other settings" if name in before and name in now else "no such sensor"
            raise DatasetError(
                f"{place.folder}: expected a recording by the same rig to go on with, received one whose {name} has "
                f"{what}. Nothing was changed.",
                (("another name", f"carlaseg record --name {shlex.quote(f'{place.folder.name}_2')} ..."),),
            )


def _by_name(
    cameras: Sequence[SensorRecord], instruments: Sequence[InstrumentRecord]
) -> dict[str, SensorRecord | InstrumentRecord]:
    return {record.name: record for records in (cameras, instruments) for record in records}
