"""One ego's drive through one town: who is cast, and what every saved tick showed.

Frames are numbered by the ticks of the drive, from its first, and times count from there: the server's own counter
depends on how long it stood before we came, and the same command must give the same names again. Slot `k` of a drive is
saved at tick `warmup + 1 + k * every`, or, where a sensor failed to deliver that one, at the next tick it can.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from carlaseg.config import RecordConfig, nearest
from carlaseg.dataset.records import FrameRecord, Pose
from carlaseg.errors import ConfigError, SimulatorError
from carlaseg.recording.drivers import Autopilot, Driver, LaneFollower, LaneWalk
from carlaseg.recording.rig import Rig, RigSpec
from carlaseg.recording.session import Session
from carlaseg.recording.stopwatch import Stopwatch
from carlaseg.recording.streams import MissingFrame, SensorFrame
from carlaseg.recording.traffic import Traffic

DROPS_BEFORE_LISTENING_AGAIN = 2
DROPS_BEFORE_GIVING_UP = 5
DECIMALS = 6
"""Micrometres and microseconds; beyond them are only the rounding errors of 32-bit floats and of time differences."""


@dataclass(frozen=True)
class DriveFrame:
    """A tick that every sensor delivered.

    Attributes:
        line: what is written about it.
        sensors: their data, by sensor name.
    """

    line: FrameRecord
    sensors: Mapping[str, SensorFrame]


@dataclass(frozen=True)
class DroppedFrame:
    """A tick that was due and could not be saved, and why."""

    frame: int
    reason: str


class Drive:
    """Casts ego, driver, rig, traffic and weather on a session, and drives.

    Args:
        session: in synchronous mode; all that is spawned ends with it.
        config: of the recording.
        rig: the sensors to mount on the ego.
        watch: gets the seconds of the stages "simulator" and "wait".
        rest_between: let the sensors rest in ticks that are not saved, so that nothing is drawn for them. For the
            embedded simulator; a real camera's exposure and textures settle by drawing.

    Attributes:
        vehicles: how many other vehicles found a place.
        walkers: how many pedestrians did.
        dropped: ticks that were due and could not be saved.

    Raises:
        ConfigError: an unknown weather, a camera the server refuses, a port that is taken.
        SimulatorError: no place for the ego.
    """

    def __init__(
        self, session: Session, config: RecordConfig, rig: RigSpec, watch: Stopwatch, rest_between: bool = False
    ) -> None:
        self._session = session
        self._config = config
        self._watch = watch
        self._rest_between = rest_between and config.every > 1
        self.dropped: list[DroppedFrame] = []
        self.tick_count = 0
        self._drops_in_a_row = 0
        self._resting = False
        weather = weather_preset(session.carla, config.weather)
        session.world.set_weather(weather)
        self.weather = {
            name: round(float(getattr(weather, name)), DECIMALS) for name in dir(weather) if _is_number(weather, name)
        }
        traffic = Traffic(session, config.seed, config.traffic_port)
        self.ego = traffic.spawn_ego()
        self.rig = Rig(session, self.ego, rig)
        self.vehicles = traffic.spawn_vehicles(config.traffic)
        self.walkers = traffic.spawn_walkers(config.walkers)
        if float(weather.sun_altitude_angle) < 0.0:
            traffic.switch_lights_on([int(self.ego.id)])
        self.driver = self._cast_driver(traffic)
        # Spawning took ticks of its own; the drive begins after them.
        snapshot = session.world.get_snapshot()
        self.first_simulator_frame = int(snapshot.frame)
        self._began_at_s = float(snapshot.timestamp.elapsed_seconds)

    def begin(self, first_slot: int, keep_going: Callable[[], bool]) -> Mapping[str, SensorFrame] | None:
        """Drive up to just before a slot: unseen while it is far, then with the sensors warming up.

        Args:
            first_slot: the first one that is wanted.
            keep_going: asked before each tick; the drive breaks off when it says no.

        Returns:
            Data of the last warm-up tick, by sensor name; None when `keep_going` said no.

        Raises:
            SimulatorError: a sensor does not deliver, or the server does not answer.
        """
        last_before = tick_of_slot(self._config, first_slot) - 1
        while keep_going() and self.tick_count < last_before - warmup_ticks(self._config):
            self._tick()
        self.rig.listen()
        seen: Mapping[str, SensorFrame] | None = None
        drops = 0
        while keep_going() and (self.tick_count < last_before or seen is None):
            frame = self._tick()
            try:
                with self._watch.stage("wait"):
                    seen = self.rig.collect(frame)
            except MissingFrame as error:
                seen, drops = None, drops + 1
                if drops >= DROPS_BEFORE_GIVING_UP:
                    raise SimulatorError(
                        f"warm-up: expected pictures of every sensor, received none in {drops} ticks: {error.reason}. "
                        "Nothing was written."
                    ) from error
        return seen

    def next_frame(self, slot: int, keep_going: Callable[[], bool]) -> DriveFrame | None:
        """Drive until a slot can be saved.

        Returns:
            The frame, or None when `keep_going` said no.

        Raises:
            SimulatorError: the sensors stay silent tick after tick, or the server does not answer.
        """
        while keep_going():
            due = self.tick_count + 1 >= tick_of_slot(self._config, slot)
            if due and self._resting:
                self._wake()
            simulator_frame = self._tick()
            if not due:
                continue
            try:
                with self._watch.stage("wait"):
                    frame = self._frame(simulator_frame)
            except MissingFrame as error:
                self._drop(error)
                continue
            self._drops_in_a_row = 0
            if self._rest_between:
                self.rig.rest()
                self._resting = True
            return frame
        return None

    def _wake(self) -> None:
        with self._watch.stage("simulator"):
            self.rig.listen()
        self._resting = False

    def _tick(self) -> int:
        with self._watch.stage("simulator"):
            self.driver.before_tick()
            frame = self._session.tick()
        self.tick_count += 1
        return frame

    def _frame(self, simulator_frame: int) -> DriveFrame:
        collected = self.rig.collect(simulator_frame)
        snapshot = self._session.snapshot
        if int(snapshot.frame) != simulator_frame:
            raise MissingFrame(simulator_frame, f"the snapshot is of frame {snapshot.frame}", ())
        for sensor in self.rig.spec.sensors:
            if wrong := sensor.wrong_length(collected[sensor.name].data):
                raise MissingFrame(simulator_frame, wrong, ())
        # Never actor.get_transform(): that may be of another tick.
        ego = snapshot.find(self.ego.id)
        if ego is None:
            raise SimulatorError(
                "the ego vehicle: expected it in the world, received none. Has another client destroyed it?"
            )
        velocity = self.driver.velocity_mps(ego)
        line = FrameRecord(
            frame=self.tick_count,
            timestamp_s=round(float(snapshot.timestamp.elapsed_seconds) - self._began_at_s, DECIMALS),
            ego=pose_of(ego.get_transform()),
            sensors={name: pose_of(sensor_frame.data.transform) for name, sensor_frame in collected.items()},
            velocity_mps=(round(velocity[0], DECIMALS), round(velocity[1], DECIMALS), round(velocity[2], DECIMALS)),
            speed_kmh=round(3.6 * sum(component**2 for component in velocity) ** 0.5, DECIMALS),
            weather=self.weather,
            measurements={
                sensor.name: values
                for sensor in self.rig.spec.sensors
                if (values := sensor.values(collected[sensor.name].data)) is not None
            },
        )
        return DriveFrame(line, collected)

    def _drop(self, error: MissingFrame) -> None:
        # A lost frame cannot be asked for again: the world has moved on. The next tick takes its place. Two in a row
        # mean that a connection is lost rather than a frame.
        self.dropped.append(DroppedFrame(self.tick_count, error.reason))
        self._drops_in_a_row += 1
        if self._drops_in_a_row >= DROPS_BEFORE_GIVING_UP:
            raise SimulatorError(
                f"frame {self.tick_count}: expected data of every sensor, received {self._drops_in_a_row} incomplete "
                f"ticks in a row: {error.reason}."
            ) from error
        if self._drops_in_a_row == DROPS_BEFORE_LISTENING_AGAIN and error.names:
            self.rig.listen_again(error.names)

    def _cast_driver(self, traffic: Traffic) -> Driver:
        if self._config.driver == "waypoints":
            starts = [self.ego.get_transform(), *traffic.places]
            walk = LaneWalk(self._session.map, starts, self._config.seed, self._session.time_step_s)
            return LaneFollower(self.ego, walk)
        self._session.before_leaving(lambda: self.ego.set_autopilot(False, traffic.port))
        return Autopilot(self.ego, traffic.port)


def warmup_ticks(config: RecordConfig) -> int:
    """Ticks before slot 0; one at least, so that every sensor has delivered once."""
    return max(1, config.warmup)


def tick_of_slot(config: RecordConfig, slot: int) -> int:
    """The tick of the drive at which a slot is due."""
    return warmup_ticks(config) + 1 + slot * config.every


def slot_of_tick(config: RecordConfig, tick: int) -> int:
    """The slot that a saved tick filled."""
    return (tick - warmup_ticks(config) - 1) // config.every


def weather_preset(carla: Any, name: str) -> Any:
    """The weather of that name.

    Raises:
        ConfigError: the client has none of that name; the nearest is named.
    """
    presets = {
        preset: value
        for preset, value in vars(carla.WeatherParameters).items()
        if isinstance(value, carla.WeatherParameters)
    }
    if name not in presets:
        near = nearest(name, presets)
        raise ConfigError(
            f"--weather: expected one of {', '.join(sorted(presets))}, received {name!r}."
            + (f" Nearest: {near}." if near else "")
        )
    return presets[name]


def pose_of(transform: Any) -> Pose:
    """A `carla.Transform` as it is written down."""
    place, turn = transform.location, transform.rotation
    return Pose(
        (round(float(place.x), DECIMALS), round(float(place.y), DECIMALS), round(float(place.z), DECIMALS)),
        (round(float(turn.pitch), DECIMALS), round(float(turn.yaw), DECIMALS), round(float(turn.roll), DECIMALS)),
    )


def _is_number(weather: Any, name: str) -> bool:
    return not name.startswith("_") and isinstance(getattr(weather, name), float)
