"""What sensors send after a tick: which of them are due, and their messages.

A sensor that fails is reported once and skipped; the tick goes on.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from carlaseg.simulator.actors import Sensor
from carlaseg.simulator.collisions import SolidBoxes
from carlaseg.simulator.geography import read_geo_reference
from carlaseg.simulator.instruments import Instrument, Surroundings, make_instrument
from carlaseg.simulator.instruments.beams import Beams
from carlaseg.simulator.poses import Triple
from carlaseg.simulator.scene import ByteArray, CameraSpec, Frame, Pose, Weather
from carlaseg.simulator.world import World
from carlaseg.wire.stream import Buffer, serialize_sensor_header

logger = logging.getLogger(__name__)

_TICK_TOLERANCE_S = 1e-6
"""sensor_tick and the time step arrive as 32-bit floats: twenty steps of 0.05 s must make 1.0 s."""

_RUN_UP_M = 0.3
_RAY_PX = 512

Message = tuple[int, tuple[Buffer, ...]]
"""Stream id and the parts of a message."""
Drawing = Callable[[], Iterator[Message]]


class CameraRenderer(Protocol):
    """What draws: `carlaseg.simulator.renderer.Renderer`, or a stand-in in tests. One thread at a time calls it.

    Arrays that `render` returns belong to the caller: they are sent without a copy, some time later.
    """

    def set_weather(self, weather: Weather) -> None: ...  # noqa: D102
    def add_camera(self, spec: CameraSpec) -> int: ...  # noqa: D102
    def remove_camera(self, key: int) -> None: ...  # noqa: D102
    def render(self, views: Sequence[tuple[int, Pose]], frame: Frame) -> Mapping[int, ByteArray]: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


@dataclass(frozen=True)
class _Due:
    """A sensor whose pictures have to be drawn: renderer keys with poses, and the header of its messages."""

    sensor: Sensor
    instrument: Instrument
    header: bytes
    views: list[tuple[int, Pose]]


@dataclass
class _Kept:
    """What is kept for a sensor between its measurements: its instrument, and renderer keys by what they draw."""

    instrument: Instrument
    keys: dict[CameraSpec, list[int]]


class SensorSuite:
    """All sensors of an episode, with the cameras the renderer keeps for them."""

    def __init__(self, world: World, renderer: CameraRenderer, stream_port: int) -> None:
        self._world = world
        self._renderer = renderer
        self._kept: dict[int, _Kept] = {}
        self._rays: dict[CameraSpec, list[int]] = {}
        self._failed: set[int] = set()
        self._surroundings = Surroundings(
            world, SolidBoxes(world.town), read_geo_reference(world.town.opendrive), stream_port
        )

    def measure(self, is_heard: Callable[[int], bool], draws: bool) -> tuple[list[Message], Drawing | None]:
        """Return the messages of every sensor that is due and has a listener, in two portions.

        The second one has yet to be drawn, None where there is nothing to draw. What it needs of the world it has taken
        with it: the world may go on before and meanwhile, but nothing else of this suite or its renderer may be used.

        Args:
            is_heard: whether a stream has a subscriber.
            draws: false when the world is not rendered: cameras then stay silent.
        """
        self._forget_destroyed()
        messages: list[Message] = []
        waiting: list[_Due] = []
        for sensor in self._world.of_kind(Sensor):
            elapsed_s = self._elapsed_when_due(sensor)
            if elapsed_s is None or not is_heard(sensor.stream_id):
                continue
            try:
                kept = self._keep(sensor)
                if kept.instrument.is_camera and not draws:
                    continue
                views = kept.instrument.views(elapsed_s)
                header = self._header(sensor)
                if views:
                    keys = self._camera_keys(kept.keys, views)
                    poses = [pose for _, pose in views]
                    waiting.append(_Due(sensor, kept.instrument, header, list(zip(keys, poses, strict=True))))
                    continue
                messages.extend((sensor.stream_id, (header, *parts)) for parts in kept.instrument.messages(()))
            except Exception as error:  # one sensor's fault must not end the world
                self._report(sensor, error)
        if not waiting:
            return messages, None
        frame = self._world.drawn_frame()
        if all(due.instrument.needs_only_pictures for due in waiting):
            return messages, lambda: self._draw(waiting, frame)
        messages.extend(self._draw(waiting, frame))
        return messages, None

    def first_hit(self, origin: Triple, direction: Triple, range_m: float) -> tuple[float, int] | None:
        """Return (metres, semantic tag) of what a ray meets first, None if nothing; `direction` is a unit vector.

        Faces that look away from the ray are not met, and nothing is within the first decimetres of a drawing: so the
        ray begins a little before its origin, and what it meets there is not reported.
        """
        for before_m in (_RUN_UP_M, 0.0):
            start = Pose(*(o - before_m * d for o, d in zip(origin, direction, strict=True)))
            beams = Beams(_RAY_PX)
            views = beams.aim(np.array([direction]), start)
            pictures = self._renderer.render(
                list(zip(self._camera_keys(self._rays, views), (pose for _, pose in views), strict=True)),
                self._world.drawn_frame(),
            )
            keys = self._camera_keys(self._rays, views)
            hits = beams.hits([pictures[key] for key in keys], self._surroundings, range_m + before_m)
            distance_m = float(hits.distance_m[0]) - before_m
            if distance_m > -0.02:
                return (max(distance_m, 0.0), int(hits.tag[0])) if math.isfinite(distance_m) else None
        return None

    def close(self) -> None:
        """Give back the renderer's cameras."""
        for keys in self._rays.values():
            for key in keys:
                self._renderer.remove_camera(key)
        self._rays.clear()
        for actor_id in list(self._kept):
            self._forget(actor_id)

    def _elapsed_when_due(self, sensor: Sensor) -> float | None:
        """Simulation time since the sensor's last measurement, None while it has to wait for its next."""
        elapsed_s = self._world.delta_s
        if sensor.since_last_s is not None and sensor.period_s > 0.0:
            sensor.since_last_s += self._world.delta_s
            waited_s = sensor.since_last_s + sensor.credit_s
            if waited_s + _TICK_TOLERANCE_S < sensor.period_s:
                return None
            # As Unreal's ticks do: a period that is no multiple of the time step keeps its mean rate.
            overrun_s = waited_s - sensor.period_s
            sensor.credit_s = min(overrun_s, sensor.period_s) if overrun_s > _TICK_TOLERANCE_S else 0.0
            elapsed_s = sensor.since_last_s
        sensor.since_last_s = 0.0
        sensor.measurements += 1
        return elapsed_s

    def _header(self, sensor: Sensor) -> bytes:
        sensor_type = sensor.blueprint.sensor_type
        assert sensor_type is not None  # by construction: only blueprints with one make a Sensor
        return serialize_sensor_header(sensor_type, self._world.frame, self._world.elapsed_s, sensor.pose)

    def _report(self, sensor: Sensor, error: Exception) -> None:
        if sensor.actor_id not in self._failed:
            self._failed.add(sensor.actor_id)
            logger.warning(
                "sensor %d (%s): no data in frame %d and perhaps later, %s: %s",
                sensor.actor_id,
                sensor.type_id,
                self._world.frame,
                type(error).__name__,
                error,
            )
            logger.debug("trace", exc_info=error)

    def _keep(self, sensor: Sensor) -> _Kept:
        kept = self._kept.get(sensor.actor_id)
        if kept is None:
            kept = self._kept[sensor.actor_id] = _Kept(make_instrument(sensor, self._surroundings), {})
        return kept

    def _camera_keys(self, keys_of: dict[CameraSpec, list[int]], views: Sequence[tuple[CameraSpec, Pose]]) -> list[int]:
        """A renderer's key for each view; views that draw alike need different ones."""
        used: dict[CameraSpec, int] = {}
        keys = []
        for spec, _ in views:
            index = used.get(spec, 0)
            used[spec] = index + 1
            pool = keys_of.setdefault(spec, [])
            if index == len(pool):
                pool.append(self._renderer.add_camera(spec))
            keys.append(pool[index])
        return keys

    def _draw(self, waiting: Sequence[_Due], frame: Frame) -> Iterator[Message]:
        """Draw everything for everybody at once, then make the messages."""
        try:
            images = self._renderer.render([view for due in waiting for view in due.views], frame)
        except Exception as error:
            if len(waiting) == 1:
                self._report(waiting[0].sensor, error)
                return
            # Somebody among them fails: each for itself, so that the others go on.
            for one in waiting:
                yield from self._draw([one], frame)
            return
        for due in waiting:
            try:
                for parts in due.instrument.messages([images[key] for key, _ in due.views]):
                    yield due.sensor.stream_id, (due.header, *parts)
            except Exception as error:
                self._report(due.sensor, error)

    def _forget_destroyed(self) -> None:
        for actor_id in [actor_id for actor_id in self._kept if actor_id not in self._world.actors]:
            self._forget(actor_id)

    def _forget(self, actor_id: int) -> None:
        for keys in self._kept.pop(actor_id).keys.values():
            for key in keys:
                self._renderer.remove_camera(key)
