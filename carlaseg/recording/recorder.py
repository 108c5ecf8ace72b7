"""A recording, told from top to bottom: connect, cast, warm up, save frames, leave all as it was found."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from carlaseg import __version__
from carlaseg.config import RecordConfig, flags_of, to_json
from carlaseg.console import Progress, StopRequest, counted, say, stop_on_signal
from carlaseg.dataset import open_dataset
from carlaseg.dataset.contact_sheet import contact_sheet
from carlaseg.dataset.reader import read_lines
from carlaseg.dataset.records import RecordingMetadata
from carlaseg.dataset.shards import SHARDS, write_shards
from carlaseg.dataset.writer import RecordingWriter
from carlaseg.errors import CarlasegError, DatasetError, SimulatorError, TrafficOutOfStep
from carlaseg.files import disk_fault
from carlaseg.labels import LabelScheme, scheme_of_carla_version, scheme_of_tag_names
from carlaseg.memory import keep_freed_memory
from carlaseg.recording.announcing import say_header, say_if_no_road, say_plan
from carlaseg.recording.card import CONTACT_SHEET_FILE, write_card
from carlaseg.recording.casting import refuse_missing_agent, refuse_missing_window
from carlaseg.recording.drive import Drive, DriveFrame
from carlaseg.recording.embedded import EmbeddedSimulator
from carlaseg.recording.ledger import Ledger
from carlaseg.recording.place import Place, find_place, refuse_another_rig, refuse_second_drive_by_hand
from carlaseg.recording.preview import Cockpit, Preview
from carlaseg.recording.rig import front_pair
from carlaseg.recording.rig_file import load_rig
from carlaseg.recording.session import Session
from carlaseg.recording.stopwatch import Stopwatch
from carlaseg.recording.supervised import note_folder
from carlaseg.recording.writer import BackgroundWriter

CONTACT_SHEET_FRAMES = 12
BYTES_PER_MB = 10**6
ATTEMPTS = 4
"""At one drive. A lost signal is rare; what happens four times in a row is no accident."""


@dataclass(frozen=True)
class RecordResult:
    """What a recording came to.

    Attributes:
        folder: the recording.
        frames: complete frames in it.
        dropped: ticks that were due and could not be saved.
        byte_count: of its pictures.
        elapsed_s: from the first saved tick to the last file written.
        frames_per_s: saved in that time.
        stage_s: seconds by stage: "simulator", "wait" and "held back" follow one another on the main thread, "convert",
            "encode" and "disk" are the background threads' own.
        ended_by: the rule, or what of its driver, ended the drive before it had all its frames; None when it has them.
    """

    folder: Path
    frames: int
    dropped: int
    byte_count: int
    elapsed_s: float
    frames_per_s: float
    stage_s: Mapping[str, float]
    ended_by: str | None = None


def record(config: RecordConfig) -> RecordResult:
    """Record one drive.

    A drive that promises equal bytes, and whose TrafficManager had to be woken, is driven again from its beginning up
    to the first frame that is missing, where that can be done without asking.

    Raises:
        ConfigError: a setting that this server or town cannot meet.
        SimulatorError: no server, one of another version, a dead or a silent one; frames saved before stay valid.
        DatasetError: the folder exists, or the disk is full; frames saved before stay valid.
        Interrupted: Ctrl-C or SIGTERM; likewise.
    """
    keep_freed_memory()
    for rest in reversed(range(ATTEMPTS)):
        try:
            return _record_once(config)
        except TrafficOutOfStep as error:
            if not rest or not (config.simulator == "embedded" or config.reload):
                raise
            say("note", f"{error.message.rstrip('.')}. Driving it again from its beginning.")
    raise AssertionError("unreachable")


def _record_once(config: RecordConfig) -> RecordResult:
    watch = Stopwatch()
    rig = load_rig(config.rig) if config.rig else front_pair(config)
    refuse_missing_agent(config)
    with stop_on_signal("the current frame") as stop, ExitStack() as stack:
        session = _open_session(config, stack)
        place = find_place(config, session.town, session.server_version)
        note_folder(place.folder)
        if not place.frames_missing(config):
            return _nothing_to_do(config, place)
        label_scheme = _label_scheme(session)
        refuse_second_drive_by_hand(place, config)
        by_hand = config.driver == "manual"
        preview = stack.enter_context(Preview(label_scheme.palette, config.preview or by_hand))
        refuse_missing_window(config, preview.is_open)
        drive = Drive(
            session,
            config,
            rig,
            watch,
            rest_between=config.simulator == "embedded",
            saved_ticks=place.saved_ticks,
            cockpit=Cockpit(preview, rig) if by_hand else None,
        )
        refuse_another_rig(place, drive.rig)
        say_header(config, session, drive, label_scheme, place)
        _warm_up(config, place, drive, label_scheme, stop)
        watch.reset()
        metadata = _metadata(config, session, drive, label_scheme)
        saved = _save_frames(config, place, session, drive, metadata, preview, watch, stop)
    if saved.frames:
        _finish_folder(place.folder, metadata, saved.counts, config)
    if saved.ending is not None or (saved.frames < config.frames and drive.ended_by is None):
        raise _unfinished(config, saved, stop, place.folder, session.left_behind)
    for left in session.left_behind:
        say("note", f"left behind: {left}")
    _pack(config, place.folder)
    return RecordResult(
        folder=place.folder,
        frames=saved.frames,
        dropped=len(drive.dropped),
        byte_count=saved.byte_count,
        elapsed_s=saved.elapsed_s,
        frames_per_s=(saved.frames - len(place.saved_ticks)) / saved.elapsed_s,
        stage_s=watch.seconds,
        ended_by=drive.ended_by,
    )


def _open_session(config: RecordConfig, stack: ExitStack) -> Session:
    if config.simulator == "server":
        session = Session(
            config.host,
            config.port,
            fps=config.fps,
            timeout_s=config.timeout,
            town=config.town,
            allow_version_mismatch=config.allow_version_mismatch,
            fresh_world=config.reload,
            exact=config.exact,
        )
        return stack.enter_context(session)
    simulator = stack.enter_context(EmbeddedSimulator(config.town, config.seed))
    session = Session(
        simulator.host,
        simulator.port,
        fps=config.fps,
        timeout_s=config.timeout,
        # It is ours alone, so it can begin anew: the same command then gives the same bytes.
        fresh_world=True,
        exact=True,
        files_folder=simulator.files_folder,
    )
    return stack.enter_context(session)


def _nothing_to_do(config: RecordConfig, place: Place) -> RecordResult:
    _pack(config, place.folder)
    say("note", "every frame is there already; none was recorded. For more of this drive raise --frames.")
    files = (file for record in read_lines(place.folder) for file in record.files.values())
    byte_count = sum(file.length for file in files)
    return RecordResult(place.folder, len(place.saved_ticks), 0, byte_count, 0.0, 0.0, {})


def _label_scheme(session: Session) -> LabelScheme:
    """The scheme of the server's tags: by its version, else by the client's own table of tags."""
    by_version = scheme_of_carla_version(session.server_version)
    if by_version is not None:
        return by_version
    names = {str(name): int(value) for name, value in session.carla.CityObjectLabel.names.items()}
    by_table = scheme_of_tag_names(names)
    if by_table is None:
        raise SimulatorError(
            f"{session.host}:{session.port}: expected a CARLA version whose semantic tags are known, received "
            f"{session.server_version!r}, and the client's own table of tags is none of them either."
        )
    return by_table


def _warm_up(config: RecordConfig, place: Place, drive: Drive, label_scheme: LabelScheme, stop: StopRequest) -> None:
    """Drive up to the first frame that is missing, and say what the rest will cost.

    Raises:
        DatasetError: the frames would not fit on the disk.
        Interrupted: the user asked to stop.
        SimulatorError: the drive ended before its first frame.
    """
    try:
        seen = drive.begin(next(place.open_slots(config)), lambda: not stop.requested)
    except TrafficOutOfStep:
        # Whoever has asked to stop does not want it driven again.
        if not stop.requested:
            raise
        seen = None
    if seen is not None:
        say_plan(config, drive, place.frames_missing(config), place, seen)
        say_if_no_road(label_scheme, drive.rig.spec, seen)
    elif drive.ended_by is None:
        safe = f"{len(place.saved_ticks)} frames are safe in {place.folder}" if place.exists else "nothing was written"
        raise stop.interrupted(f"recording: stopped before the first new frame; {safe}.", _again(config))
    elif not place.saved_ticks:
        raise SimulatorError(
            f"the drive: expected a first frame, received its end in tick {drive.tick_count} ({drive.ended_by}). "
            "Nothing was written.",
            (("another drive", f"carlaseg record --seed {config.seed + 1} ..."),),
        )
    # Else it has ended where it ended before: all its frames are there.


@dataclass(frozen=True)
class _Saved:
    """What stands on disk when a drive is over.

    Attributes:
        frames: complete ones.
        byte_count: of their pictures.
        counts: for people and for `recording.json`.
        elapsed_s: from the first tick to the last file written.
        ending: what broke the drive off; None when nothing did.
    """

    frames: int
    byte_count: int
    counts: Mapping[str, int]
    elapsed_s: float
    ending: CarlasegError | None


def _save_frames(
    config: RecordConfig,
    place: Place,
    session: Session,
    drive: Drive,
    metadata: RecordingMetadata,
    preview: Preview,
    watch: Stopwatch,
    stop: StopRequest,
) -> _Saved:
    """Drive on and save; whatever breaks it off, the recording is closed."""
    writer = RecordingWriter(
        place.folder,
        metadata,
        metadata.label_scheme,
        config.colour,
        resume=place.exists,
        others=[sensor.folder for sensor in drive.rig.spec.others if sensor.folder],
        rgb_format=config.rgb_format,
    )
    began_s = time.monotonic()
    ending: CarlasegError | None = None
    try:
        _write_frames(config, place, drive, writer, preview, watch, stop)
    except TrafficOutOfStep as error:
        ending = None if stop.requested else error
    except CarlasegError as error:
        ending = error
    except RuntimeError as error:
        # The one kind of error that CARLA's client has.
        ending = session.no_answer("an answer", error)
        ending.__cause__ = error
    finally:
        counts = _counts(drive)
        writer.close(counts)
    elapsed_s = time.monotonic() - began_s
    watch.add("encode", writer.encode_s)
    watch.add("disk", writer.disk_s)
    frames = writer.frames_written
    return _Saved(frames, writer.bytes_written, {**counts, "frames": frames}, elapsed_s, ending)


def _write_frames(
    config: RecordConfig,
    place: Place,
    drive: Drive,
    writer: RecordingWriter,
    preview: Preview,
    watch: Stopwatch,
    stop: StopRequest,
) -> None:
    rig = drive.rig.spec
    ledger = Ledger(writer)

    def write(frame: DriveFrame) -> None:
        with watch.stage("convert"):
            image, tags = rig.pair_arrays(frame.sensors)
            others = rig.other_arrays(frame.sensors)
        writer.write_frame(frame.line.frame, image, tags, frame.line, others)

    with (
        Progress("record", config.frames, "frames", start=len(place.saved_ticks)) as progress,
        BackgroundWriter(
            write,
            config.writers,
            config.queue,
            byte_capacity=config.queue_mb * BYTES_PER_MB,
            bytes_of=lambda frame: frame.byte_count,
        ) as background,
    ):
        slots = place.open_slots(config)
        for _ in range(place.frames_missing(config)):
            try:
                frame = drive.next_frame(slots, lambda: not stop.requested)
            finally:
                ledger.enter(drive.dropped)
            if frame is None:
                break
            with watch.stage("held back"):
                background.submit(frame)
            if preview.is_open:
                preview.show(*rig.pair_arrays(frame.sensors))
            progress.advance(1, time=watch.shares("simulator", "wait", "held back"), dropped=str(len(drive.dropped)))


def _metadata(config: RecordConfig, session: Session, drive: Drive, label_scheme: LabelScheme) -> RecordingMetadata:
    seeds = {"drive": config.seed, "traffic": config.seed, "walkers": config.seed}
    if config.simulator == "embedded":
        seeds["town"] = config.seed
    return RecordingMetadata(
        carlaseg_version=__version__,
        client_version=session.client_version,
        server_version=session.server_version,
        simulator="embedded" if config.simulator == "embedded" else "carla",
        town=session.town,
        weather=config.weather,
        seeds=seeds,
        rig=drive.rig.camera_records,
        instruments=drive.rig.instrument_records,
        label_scheme=label_scheme,
        configuration=to_json(config),
        command=_typed(config),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _counts(drive: Drive) -> dict[str, int]:
    return {
        "dropped": len(drive.dropped),
        "ticks": drive.tick_count,
        "vehicles": drive.vehicles,
        "walkers": drive.walkers,
        "standing": drive.standing,
        "settling_ticks": drive.settling_ticks,
        "restarts": drive.restarts,
        "first_simulator_frame": drive.first_simulator_frame,
        **({"ended_by_rule": 1} if drive.ended_by is not None else {}),
    }


def _pack(config: RecordConfig, folder: Path) -> None:
    if config.shards is None:
        return
    shards = write_shards(folder, config.shards)
    say("shards", f"{counted(len(shards), 'tar')} of up to {config.shards} frames in {folder / SHARDS}")


def _finish_folder(folder: Path, metadata: RecordingMetadata, counts: Mapping[str, int], config: RecordConfig) -> None:
    try:
        write_card(folder, metadata, counts, _typed(config))
        samples = open_dataset(folder).samples
        shown = min(CONTACT_SHEET_FRAMES, len(samples))
        spread = [samples[number * len(samples) // shown] for number in range(shown)]
        contact_sheet(spread, folder / CONTACT_SHEET_FILE)
    except (OSError, DatasetError) as error:
        # The frames are what matters; a full disk has no room for the words about them.
        why = disk_fault(error) if isinstance(error, OSError) else error.message
        say("note", f"{folder}: no README.md or contact sheet: {why}")


def _unfinished(
    config: RecordConfig, saved: _Saved, stop: StopRequest, folder: Path, left_behind: list[str]
) -> CarlasegError:
    """The error that ends an unfinished recording: what happened, what is safe, what to type."""
    safe = f"{saved.frames} complete frames are safe in {folder}"
    left = "; ".join(left_behind) if left_behind else "0 actors left behind; world settings restored"
    ending = saved.ending
    if ending is None:
        return stop.interrupted(f"recording: stopped on request. {safe}; {left}.", _again(config))
    said = ending.message if str(folder) in ending.message else f"{ending.message} {safe}"
    error = type(ending)(f"{said.rstrip('.')}; {left}.", (*ending.next_steps, _again(config)))
    error.__cause__ = ending
    return error


def _again(config: RecordConfig) -> tuple[str, str]:
    return "go on with it", shlex.join(_typed(config))


def _typed(config: RecordConfig) -> tuple[str, ...]:
    return "carlaseg", "record", *flags_of(config)
