"""What `carlaseg record` says before its first frame: where, by which rig, who is cast, how much and how long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from carlaseg import __version__
from carlaseg.config import RecordConfig
from carlaseg.console import counted, duration, say
from carlaseg.labels import LabelScheme
from carlaseg.recording.drive import Drive
from carlaseg.recording.estimate import bytes_text, estimate
from carlaseg.recording.manual import HELP
from carlaseg.recording.place import Place
from carlaseg.recording.rig import RigSpec
from carlaseg.recording.session import Session
from carlaseg.recording.streams import SensorFrame

ROADS = "Roads"
"""What every drive shows. CARLA tags nothing in towns made of OpenDRIVE files. Source: carla-simulator/carla#4113."""


def say_header(config: RecordConfig, session: Session, drive: Drive, label_scheme: LabelScheme, place: Place) -> None:
    """Say what will be recorded, and what was found that the user may not expect."""
    embedded = config.simulator == "embedded"
    where = (
        "embedded, a stand-in for CARLA"
        if embedded
        else f"CARLA {session.server_version} at {config.host}:{config.port}"
    )
    say(f"carlaseg {__version__}  record", f"  simulator: {where}   town {session.town}   seed {config.seed}")
    say("rig", f"{_rig_text(drive.rig.spec)}      labels: {label_scheme.name}")
    driver = config.driver if config.replay is None else f"replay of {config.replay}"
    say("cast", f"{driver}, {config.weather}, {drive.vehicles} vehicles, {drive.walkers} pedestrians")
    if config.replay is None and (drive.vehicles, drive.walkers) != (config.traffic, config.walkers):
        say("note", f"asked for {config.traffic} vehicles and {config.walkers} pedestrians; the town had no more room")
    if config.driver == "manual":
        say("keys", HELP)
    if session.swept_orphans:
        say("note", f"{session.swept_orphans} actors that a killed recording had left behind were cleared away")
    elif session.found_abandoned:
        say("note", "a killed recording had left the server waiting for ticks; it will run freely again")
    elif session.found_synchronous:
        say("note", "the server was in synchronous mode already: is another client ticking it?")
    if not drive.settled:
        say("note", f"the pictures had not settled after {config.settle} ticks; the drive begins all the same")
    say("out", str(place.folder))
    if place.exists:
        count = len(place.saved_ticks)
        say("resume", f"{count} frames are there; the drive is driven again, unseen, up to the first one missing")


def say_plan(config: RecordConfig, drive: Drive, frames: int, place: Place, seen: Mapping[str, SensorFrame]) -> None:
    """Say what so many frames will cost, from what the warm-up has seen.

    Raises:
        DatasetError: they would not fit on the disk.
    """
    cost = estimate(config, drive.rig.spec, frames, place.folder, seen, drive.seconds_between_frames)
    how_long = f"    ~{duration(cost.seconds)} (from {drive.tick_count} ticks)" if cost.seconds is not None else ""
    every = "every tick" if config.every == 1 else f"one tick in {config.every}"
    size = f"~{bytes_text(cost.byte_count)} of {bytes_text(cost.free_bytes)} free"
    say("plan", f"{counted(frames, 'frame')}, {every} at {config.fps:g} Hz    {size}{how_long}")


def say_if_no_road(label_scheme: LabelScheme, rig: RigSpec, seen: Mapping[str, SensorFrame]) -> None:
    """Say so when the semantic camera of the pair sees no road: days may be recorded before somebody looks."""
    tags = rig.pair_arrays(seen)[1]
    if ROADS in label_scheme.names and not (tags == label_scheme.names.index(ROADS)).any():
        say("note", "the semantic camera sees no road: does it look elsewhere, or does this town have no tags?")


def _rig_text(rig: RigSpec) -> str:
    view = rig.pair[0].view
    assert view is not None
    kinds = Counter(sensor.kind for sensor in rig.sensors)
    sensors = " + ".join(kind if count == 1 else f"{count} {kind}" for kind, count in kinds.items())
    (height, width), (drawn_height, drawn_width) = view.size, view.camera_size
    drawn = f" (drawn at {drawn_height}x{drawn_width})" if view.camera_size != view.size else ""
    return f"{rig.name}: {sensors}, {height}x{width}{drawn}, fov {view.fov_deg:g}"
