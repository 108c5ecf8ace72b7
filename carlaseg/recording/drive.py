"""One ego's drive through one town: who is cast, and what every saved tick showed.

Frames are numbered by the ticks of the drive, from its first, and times count from there: the server's own counter
depends on how long it stood before we came, and the same command must give the same names again. A slot (`slots`) is
saved at its tick, or, where a sensor failed to deliver that one, at the next tick it can before the next slot's turn.
Slots in which nothing new is to be seen stay empty, and the drive goes on for longer.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from statistics import median
from typing import Any

from carlaseg.config import RecordConfig
from carlaseg.dataset.records import DroppedRecord, FrameRecord
from carlaseg.errors import SimulatorError
from carlaseg.recording.casting import cast_driver
from carlaseg.recording.drivers import Driver
from carlaseg.recording.events import EgoEvents
from carlaseg.recording.frame_line import frame_line
from carlaseg.recording.pictures import is_blank
from carlaseg.recording.preview import Cockpit
from carlaseg.recording.replay import ReplayedEgo
from carlaseg.recording.rig import Rig, RigSpec
from carlaseg.recording.rules import DriveRules
from carlaseg.recording.session import Session
from carlaseg.recording.settling import Settling
from carlaseg.recording.slots import tick_of_slot, warmup_ticks
from carlaseg.recording.standing import StandingWatch
from carlaseg.recording.stopwatch import Stopwatch
from carlaseg.recording.streams import MissingFrame, SensorFrame
from carlaseg.recording.traffic import Traffic
from carlaseg.recording.weather import weather_numbers, weather_preset

DROPS_BEFORE_LISTENING_AGAIN = 2
DROPS_BEFORE_GIVING_UP = 5
"""Warm-up ticks without pictures, one after the other."""
FEWEST_DUE_TO_JUDGE = 20
"""Shares of dropped frames mean nothing before so many were due."""
RESTARTS_BEFORE_GIVING_UP = 5
"""One after the other, without a frame worth saving between them."""
TICKS_TIMED = 5
"""The last ones, from which the time of a frame is told: the first ones build caches on both sides."""


@dataclass(frozen=True)
class DriveFrame:
    """A tick that every sensor delivered.

    Attributes:
        line: what is written about it.
        sensors: their data, by sensor name.
    """

    line: FrameRecord
    sensors: Mapping[str, SensorFrame]

    @property
    def byte_count(self) -> int:
        """Bytes that the sensors sent; they are held as long as the frame is."""
        return sum(len(getattr(sensor.data, "raw_data", b"")) for sensor in self.sensors.values())


class Drive:
    """Casts ego, driver, rig, traffic and weather on a session, and drives.

    Args:
        session: in synchronous mode; all that is spawned ends with it.
        config: of the recording.
        rig: the sensors to mount on the ego.
        watch: gets the seconds of the stages "simulator" and "wait".
        saved_ticks: of the drive, saved by an earlier recording that this one goes on with.
        rest_between: let sensors that remember nothing rest in ticks that are not saved, so that nothing is drawn for
            them. For the embedded simulator; a real camera's exposure and textures settle by drawing.
        cockpit: for a driver at the keyboard, who is shown every tick.

    Attributes:
        vehicles: how many other vehicles found a place.
        walkers: how many pedestrians did.
        settled: whether the pictures had settled before the drive began.
        settling_ticks: that this took.
        tick_count: ticks since the drive began, by the simulator's own count.
        dropped: ticks that were due and could not be saved.
        standing: slots left empty because the ego stood still.
        restarts: how often it was put elsewhere, by a rule or by its driver.
        ended_by: what ended the drive, a rule or its driver; None while it goes on.

    Raises:
        ConfigError: an unknown weather, a camera the server refuses, a port that is taken.
        SimulatorError: no place for the ego.
    """

    def __init__(
        self,
        session: Session,
        config: RecordConfig,
        rig: RigSpec,
        watch: Stopwatch,
        rest_between: bool = False,
        saved_ticks: frozenset[int] = frozenset(),
        cockpit: Cockpit | None = None,
    ) -> None:
        self._session = session
        self._config = config
        self._watch = watch
        self._rest_between = rest_between and config.every > 1 and cockpit is None
        self._cockpit = cockpit
        self._saved_ticks = saved_ticks
        self.dropped: list[DroppedRecord] = []
        self.tick_count = 0
        self.settling_ticks = 0
        self.standing = 0
        self.restarts = 0
        self.ended_by: str | None = None
        self._due_count = 0
        self._drops_in_a_row = 0
        self._restarts_in_a_row = 0
        self._not_before_tick = 0
        self._own_events: list[dict[str, Any]] = []
        self._resting = True
        self._watched_tick_s: deque[float] = deque(maxlen=TICKS_TIMED)
        self._resting_tick_s: deque[float] = deque(maxlen=TICKS_TIMED)
        weather = weather_preset(session.carla, config.weather)
        if config.sun_altitude is not None:
            weather.sun_altitude_angle = config.sun_altitude
        session.world.set_weather(weather)
        self.weather = weather_numbers(weather)
        self._traffic = Traffic(session, config.seed, config.traffic_port)
        replayed = None if config.replay is None else ReplayedEgo(session, config.replay, config.replay_ego)
        if replayed is not None:
            # The log may have brought its own.
            session.world.set_weather(weather)
        self.ego = self._traffic.spawn_ego() if replayed is None else replayed.ego
        self.rig = Rig(session, self.ego, rig)
        self._events = EgoEvents(session, self.ego)
        self.vehicles = self._traffic.spawn_vehicles(config.traffic) if replayed is None else replayed.vehicles
        self.walkers = self._traffic.spawn_walkers(config.walkers) if replayed is None else replayed.walkers
        if float(weather.sun_altitude_angle) < 0.0:
            self._traffic.switch_lights_on([int(self.ego.id)])
        # A log does not wait until pictures have settled: its first ticks are the warm-up's.
        self.settled = replayed is not None or self._settle()
        self.driver: Driver = replayed or cast_driver(config, session, self._traffic, self.ego, cockpit)
        self._standing = StandingWatch(
            session.time_step_s, config.min_distance, config.max_standing, config.stuck_after
        )
        self._rules = DriveRules(config)
        # Spawning and settling took ticks of their own; the drive begins after them.
        snapshot = session.world.get_snapshot()
        self.first_simulator_frame = int(snapshot.frame)
        self._began_at_s = float(snapshot.timestamp.elapsed_seconds)

    def begin(self, first_slot: int, keep_going: Callable[[], bool]) -> Mapping[str, SensorFrame] | None:
        """Drive up to just before a slot: unseen while it is far, then with the sensors warming up.

        Args:
            first_slot: the first one that is wanted.
            keep_going: asked before each tick; the drive breaks off when it says no.

        Returns:
            Data of the last warm-up tick, by sensor name; None when `keep_going` said no or a rule ended the drive.

        Raises:
            SimulatorError: a sensor does not deliver, or the server does not answer.
        """
        last_before = tick_of_slot(self._config, first_slot) - 1
        # However far the slot: what remembers begins at the drive's first tick, as it did the first time.
        self.rig.rest()
        going = self._until_ended(keep_going)
        watched = warmup_ticks(self._config)
        if self._rest_between:
            watched = min(watched, TICKS_TIMED)
        while going() and self.tick_count < last_before - watched:
            self._tick()
        self._wake()
        seen: Mapping[str, SensorFrame] | None = None
        drops = 0
        while going() and (self.tick_count < last_before or seen is None):
            frame = self._tick()
            try:
                with self._watch.stage("wait"):
                    seen = self.rig.collect(frame, self._elapsed_s())
            except MissingFrame as error:
                seen, drops = None, drops + 1
                if drops >= DROPS_BEFORE_GIVING_UP:
                    raise SimulatorError(
                        f"warm-up: expected pictures of every sensor, received none in {drops} ticks: {error.reason}. "
                        "Nothing was written."
                    ) from error
            else:
                self._show(seen)
        return seen

    def next_frame(self, open_slots: Iterator[int], keep_going: Callable[[], bool]) -> DriveFrame | None:
        """Drive until a slot can be saved.

        Args:
            open_slots: the slots still empty, in order, without an end; those passed by are taken from it.
            keep_going: asked before each tick.

        Returns:
            The frame, or None when `keep_going` said no or a rule ended the drive.

        Raises:
            SimulatorError: the sensors stay silent tick after tick, or the server does not answer.
        """
        going = self._until_ended(keep_going)
        slot = next(open_slots)
        while going():
            upcoming = self.tick_count + 1
            while upcoming >= tick_of_slot(self._config, slot + 1):
                slot = next(open_slots)
            if upcoming < tick_of_slot(self._config, slot):
                self._unsaved_tick()
                continue
            if upcoming < self._not_before_tick or not self._standing.is_worth_saving:
                self.standing += upcoming >= self._not_before_tick
                self._unsaved_tick()
                slot = next(open_slots)
                continue
            if self._resting:
                self._wake()
            simulator_frame = self._tick()
            if self.tick_count < self._not_before_tick:
                continue
            self._due_count += 1
            try:
                with self._watch.stage("wait"):
                    frame = self._frame(simulator_frame)
            except MissingFrame as error:
                self._drop(error)
                continue
            self._drops_in_a_row = self._restarts_in_a_row = 0
            self._standing.saved()
            if self._rest_between:
                self.rig.rest()
                self._resting = True
            return frame
        return None

    @property
    def seconds_between_frames(self) -> float | None:
        """Seconds from one saved frame to the next, by the last ticks; None where too few were driven to tell."""
        if len(self._watched_tick_s) < TICKS_TIMED:
            return None
        watched_s = median(self._watched_tick_s)
        between_s = watched_s
        if self._rest_between and self._resting_tick_s:
            between_s = median(self._resting_tick_s)
        return watched_s + (self._config.every - 1) * between_s

    def _until_ended(self, keep_going: Callable[[], bool]) -> Callable[[], bool]:
        def going() -> bool:
            self.ended_by = self.ended_by or self.driver.finished
            return self.ended_by is None and keep_going()

        return going

    def _settle(self) -> bool:
        """Let the pictures settle while the ego still stands; gives whether they did within the ticks allowed."""
        if self._config.settle == 0:
            return True
        settling = Settling()
        camera = self.rig.spec.pair[0].name
        self.rig.listen()
        settled = False
        for _ in range(self._config.settle):
            frame = self._session.tick()
            self.settling_ticks += 1
            try:
                settled = settling.look(self.rig.collect(frame, self._elapsed_s())[camera].data)
            except (MissingFrame, ValueError):
                continue
            if settled:
                break
        self.rig.rest()
        return settled

    def _elapsed_s(self) -> float:
        return float(self._session.snapshot.timestamp.elapsed_seconds)

    def _wake(self) -> None:
        with self._watch.stage("simulator"):
            self.rig.listen()
        self._resting = False

    def _tick(self) -> int:
        began_s = time.perf_counter()
        with self._watch.stage("simulator"):
            restarts = self.driver.restarts
            self.driver.before_tick()
            frame = self._session.tick()
        (self._resting_tick_s if self._resting else self._watched_tick_s).append(time.perf_counter() - began_s)
        self.tick_count = frame - self.first_simulator_frame
        ego = self._session.snapshot.find(self.ego.id)
        if ego is None:
            raise SimulatorError(
                "the ego vehicle: expected it in the world, received none. Has another client destroyed it?"
            )
        place = ego.get_transform().location
        if self.driver.restarts != restarts:
            self._note_restart("dead end")
        self._standing.look(self.tick_count, (float(place.x), float(place.y), float(place.z)))
        if self.tick_count in self._saved_ticks:
            self._standing.saved()
        # Of the tick before: what it caused has arrived by now, whatever the order of the client's threads.
        broken = self._rules.broken(self._standing, self._events.noticed(frame))
        if broken is not None:
            self._act_on(broken.reason, broken.action)
        if self.tick_count in self._saved_ticks:
            # What its frame on disk says has been said.
            self._events.let_go_before(frame)
            self._own_events = []
            self._restarts_in_a_row = 0
        return frame

    def _unsaved_tick(self) -> None:
        frame = self._tick()
        if self._cockpit is None:
            self.rig.let_go_before(frame)
            return
        with suppress(MissingFrame):
            self._show(self.rig.collect(frame, self._elapsed_s()))

    def _show(self, sensors: Mapping[str, SensorFrame]) -> None:
        if self._cockpit is not None:
            self._cockpit.show(sensors)

    def _act_on(self, reason: str, action: str) -> None:
        if action == "end":
            self.ended_by = reason
            return
        self._restarts_in_a_row += 1
        if self._restarts_in_a_row > RESTARTS_BEFORE_GIVING_UP:
            raise SimulatorError(
                f"frame {self.tick_count}: expected an ego that drives, received one that was put elsewhere "
                f"{RESTARTS_BEFORE_GIVING_UP} times in a row, the last time because of: {reason}."
            )
        if self.driver.begin_anew(self._traffic.another_place(self._session.snapshot)):
            self._note_restart(reason)
        else:
            self.ended_by = reason

    def _note_restart(self, reason: str) -> None:
        self.restarts += 1
        self._own_events.append({"kind": "restart", "frame": self.tick_count, "because": reason})
        self._standing.begin_anew()
        self._not_before_tick = self.tick_count + 1 + warmup_ticks(self._config)

    def _frame(self, simulator_frame: int) -> DriveFrame:
        snapshot = self._session.snapshot
        if int(snapshot.frame) != simulator_frame:
            raise MissingFrame(simulator_frame, f"the snapshot is of frame {snapshot.frame}", ())
        collected = self.rig.collect(simulator_frame, self._elapsed_s())
        for sensor in self.rig.spec.sensors:
            if wrong := sensor.wrong_length(collected[sensor.name].data):
                raise MissingFrame(simulator_frame, wrong, ())
        for sensor in self.rig.spec.pair:
            if is_blank(collected[sensor.name].data):
                raise MissingFrame(simulator_frame, f"{sensor.name}: a black picture", ())
        # Never actor.get_transform(): that may be of another tick.
        ego = snapshot.find(self.ego.id)
        elapsed_s = float(snapshot.timestamp.elapsed_seconds) - self._began_at_s
        line = frame_line(
            self.tick_count,
            elapsed_s,
            ego,
            self.driver.velocity_mps(ego),
            self.rig.spec,
            collected,
            self.weather,
            self._take_events(simulator_frame),
        )
        return DriveFrame(line, collected)

    def _take_events(self, simulator_frame: int) -> tuple[dict[str, Any], ...]:
        happened = [
            {"kind": event.kind, "frame": event.simulator_frame - self.first_simulator_frame, **dict(event.details)}
            for event in self._events.take(simulator_frame)
            if event.simulator_frame > self.first_simulator_frame
        ]
        happened += self._own_events
        self._own_events = []
        return tuple(sorted(happened, key=lambda event: int(event["frame"])))

    def _drop(self, error: MissingFrame) -> None:
        # A lost frame cannot be asked for again: the world has moved on. The next tick takes its place. Two in a row
        # mean that a connection is lost rather than a frame.
        self.dropped.append(DroppedRecord(self.tick_count, error.reason, error.names))
        self._drops_in_a_row += 1
        where = f"frame {self.tick_count}: expected data of every sensor, received"
        if self._drops_in_a_row >= self._config.max_drops_in_a_row:
            raise SimulatorError(
                f"{where} {self._drops_in_a_row} incomplete ticks in a row: {error.reason}."
            ) from error
        allowed = self._config.max_drop_share * self._due_count
        if self._due_count >= FEWEST_DUE_TO_JUDGE and len(self.dropped) > allowed:
            raise SimulatorError(
                f"{where} {len(self.dropped)} incomplete ticks of {self._due_count}, more than --max-drop-share "
                f"{self._config.max_drop_share:g} allows; the last one: {error.reason}."
            ) from error
        if self._drops_in_a_row == DROPS_BEFORE_LISTENING_AGAIN and error.names:
            self.rig.listen_again(error.names)
