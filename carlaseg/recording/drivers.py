"""Who moves the ego: one small interface, and the two ways of it that need nothing but CARLA's client.

`Autopilot` leaves it to the TrafficManager. `LaneFollower` puts the ego along lane waypoints without physics: a seeded
walk over `carla.Map` whose speed never jumps, and which starts anew elsewhere where a road ends. The other ways are
CARLA's behaviour agent (`agent`), somebody at the keyboard (`manual`) and a log of CARLA's recorder (`replay`).
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

CRUISE_MPS = 30.0 / 3.6
"""30 km/h, the speed limit of CARLA's town streets."""
CORNER_MPS = 15.0 / 3.6
ACCELERATION_MPS2 = 2.0
LOOK_AHEAD_M = 12.0
"""Curves are looked for so far ahead; braking from cruise to corner speed takes 13 m at 2 m/s2."""
CORNER_DEG = 20.0


class Driver(Protocol):
    """Moves the ego before each tick."""

    def before_tick(self) -> None:
        """Do whatever makes the next tick move the ego."""

    def velocity_mps(self, ego_snapshot: Any) -> tuple[float, float, float]:
        """The ego's velocity in the world, in the tick of this actor snapshot: x, y, z in metres a second."""

    def begin_anew(self, place: Any) -> bool:
        """Put the ego to another place (`carla.Transform`) and drive on from there; False where that cannot be."""

    @property
    def restarts(self) -> int:
        """How often the driver itself broke the drive off and began again elsewhere."""

    @property
    def finished(self) -> str | None:
        """Why it will drive no further; None while it does."""


class Autopilot:
    """The TrafficManager drives: physics, other cars and traffic lights are minded.

    Args:
        ego: the vehicle.
        traffic_port: the TrafficManager's port.
    """

    restarts = 0
    finished = None

    def __init__(self, ego: Any, traffic_port: int) -> None:
        ego.set_autopilot(True, traffic_port)
        self._ego = ego

    def begin_anew(self, place: Any) -> bool:
        """Put the ego there, at rest; the TrafficManager finds its way from any place."""
        put_at_rest(self._ego, place)
        return True

    def before_tick(self) -> None:
        """Nothing: the TrafficManager acts inside the tick."""

    def velocity_mps(self, ego_snapshot: Any) -> tuple[float, float, float]:
        """As the simulator reports it."""
        return reported_velocity_mps(ego_snapshot)


@dataclass(frozen=True, slots=True)
class Step:
    """Where one tick of a lane walk leads.

    Attributes:
        waypoint: the `carla.Waypoint` reached.
        speed_mps: with which it was reached.
        restarted: the walk ended at a dead end and begins here anew; the place is not connected to the last one.
    """

    waypoint: Any
    speed_mps: float
    restarted: bool


class LaneWalk:
    """A seeded walk along the lanes of a map; needs no server.

    Args:
        town_map: a `carla.Map`.
        starts: places to begin at (`carla.Transform`), and to begin at again after a dead end; at least one.
        seed: decides the turns and the new beginnings.
        time_step_s: of one tick.
    """

    def __init__(self, town_map: Any, starts: Sequence[Any], seed: int, time_step_s: float) -> None:
        if not starts:
            raise ValueError("a lane walk needs at least one place to start")
        self._map = town_map
        self._starts = tuple(starts)
        self._random = random.Random(seed)
        self._time_step_s = time_step_s
        self._waypoint = town_map.get_waypoint(self._starts[0].location)
        self._speed_mps = 0.0

    def step(self) -> Step:
        """Advance by one tick."""
        self._speed_mps = self._next_speed()
        left_m = self._speed_mps * self._time_step_s
        restarted = False
        # `next` refuses steps of no length, and the first ticks of a start are shorter than its own tolerance.
        if left_m >= 1e-3:
            reached = self._choose(self._waypoint, left_m)
            if reached is None:
                restarted = True
                self.begin_anew(self._random.choice(self._starts))
            else:
                self._waypoint = reached
        return Step(self._waypoint, self._speed_mps, restarted)

    def begin_anew(self, place: Any) -> None:
        """Go on from another place (`carla.Transform`), from standing."""
        self._speed_mps = 0.0
        self._waypoint = self._map.get_waypoint(place.location)

    def _choose(self, waypoint: Any, distance_m: float) -> Any | None:
        choices = sorted(waypoint.next(distance_m), key=_place)
        return self._random.choice(choices) if len(choices) > 1 else (choices[0] if choices else None)

    def _next_speed(self) -> float:
        # Speeds change by the acceleration alone, so that neighbouring frames are a drive and not a slide show.
        target = CORNER_MPS if self._bend_ahead_deg() > CORNER_DEG else CRUISE_MPS
        change = ACCELERATION_MPS2 * self._time_step_s
        return min(max(target, self._speed_mps - change), self._speed_mps + change)

    def _bend_ahead_deg(self) -> float:
        here = float(self._waypoint.transform.rotation.yaw)
        bends = (abs(_turn_deg(float(w.transform.rotation.yaw) - here)) for w in self._waypoint.next(LOOK_AHEAD_M))
        return max(bends, default=0.0)


class LaneFollower:
    """The ego follows a `LaneWalk`, without physics.

    Args:
        ego: the vehicle; its physics are switched off.
        walk: where it goes.
    """

    finished = None

    def __init__(self, ego: Any, walk: LaneWalk) -> None:
        ego.set_simulate_physics(False)
        self._ego = ego
        self._walk = walk
        self._speed_mps = 0.0
        self._restarts = 0

    def before_tick(self) -> None:
        """Put the ego where the walk is next; before the tick, so that this tick's frame shows it there."""
        step = self._walk.step()
        self._restarts += step.restarted
        self._speed_mps = step.speed_mps
        self._ego.set_transform(step.waypoint.transform)

    def begin_anew(self, place: Any) -> bool:
        """Let the walk go on from there."""
        self._walk.begin_anew(place)
        return True

    def velocity_mps(self, ego_snapshot: Any) -> tuple[float, float, float]:
        """The walk's own, along the ego's heading: the simulator reports none for a vehicle that is put."""
        ahead = ego_snapshot.get_transform().get_forward_vector()
        speed = self._speed_mps
        return float(ahead.x) * speed, float(ahead.y) * speed, float(ahead.z) * speed

    @property
    def restarts(self) -> int:
        """Dead ends met."""
        return self._restarts


def put_at_rest(ego: Any, place: Any) -> None:
    """Put a vehicle to a place (`carla.Transform`) without the speed it had."""
    ego.set_transform(place)
    ego.set_target_velocity(type(place.location)())


def reported_velocity_mps(ego_snapshot: Any) -> tuple[float, float, float]:
    """The velocity in the world that the simulator reports for an actor: x, y, z in metres a second."""
    velocity = ego_snapshot.get_velocity()
    return float(velocity.x), float(velocity.y), float(velocity.z)


def _place(waypoint: Any) -> tuple[int, int, int, float]:
    # The order in which the client lists the branches of a junction is not promised; this one is.
    return int(waypoint.road_id), int(waypoint.section_id), int(waypoint.lane_id), float(waypoint.s)


def _turn_deg(difference_deg: float) -> float:
    return math.remainder(difference_deg, 360.0)
