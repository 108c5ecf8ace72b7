"""Calls about the world as a whole: blueprints, weather, static things, points on the ground."""

from __future__ import annotations

import functools
import math
from dataclasses import astuple

from carlaseg.simulator.actors import Vehicle
from carlaseg.simulator.blueprints import LIBRARY
from carlaseg.simulator.calls_session import Caller
from carlaseg.simulator.poses import transform_of
from carlaseg.simulator.scene import LevelBox, Weather
from carlaseg.wire.rpc import Packed, pack
from carlaseg.wire.structs import to_wire
from carlaseg.wire.values import (
    ActorRecord,
    BoundingBox,
    EnvironmentObject,
    LabelledPoint,
    StreetLamp,
    Vector3,
    WeatherParameters,
)

ANY_TAG = 255
_MAX_RAY_POINTS = 16
_STEP_OVER_M = 0.35
"""How far behind what it has met a ray goes on: the renderer sees nothing nearer, see `SensorSuite.first_hit`."""


@functools.cache
def _packed_definitions() -> Packed:
    """The library is asked for often and never changes."""
    return pack([to_wire(blueprint.definition) for blueprint in LIBRARY.values()])


def get_actor_definitions(caller: Caller) -> Packed:
    """The blueprint library."""
    return _packed_definitions()


def get_spectator(caller: Caller) -> ActorRecord:
    """The spectator."""
    return caller.simulation.world.spectator.record(b"")


@functools.lru_cache(maxsize=1)
def _packed_weather(weather: Weather) -> Packed:
    """The weather as the client is told of it: its TrafficManager asks in every tick."""
    return pack(to_wire(WeatherParameters(*astuple(weather))))


def get_weather_parameters(caller: Caller) -> Packed:
    """The weather in force."""
    return _packed_weather(caller.simulation.world.weather)


def set_weather_parameters(caller: Caller, weather: WeatherParameters) -> None:
    """Change the weather."""
    caller.simulation.set_weather(Weather(*astuple(weather)))


def get_imui_gravity(caller: Caller) -> float:
    """Gravity that IMUs feel, m/s2."""
    return caller.simulation.world.gravity_mps2


def set_imui_gravity(caller: Caller, gravity: float) -> None:
    """Set the gravity that IMUs feel, m/s2; nothing falls by it."""
    caller.simulation.world.gravity_mps2 = gravity


def query_lights_state(caller: Caller, client: str) -> list[StreetLamp]:
    """The town's street lamps."""
    world = caller.simulation.world
    return world.lamps.states(world.weather)


def update_lights_state(caller: Caller, client: str, lamps: tuple[StreetLamp, ...], discard_client: bool) -> None:
    """Keep what a client has set of street lamps; the drawn ones follow the sun."""
    caller.simulation.world.lamps.update(lamps)


def update_day_night_cycle(caller: Caller, client: str, active: bool) -> None:
    """Let the sun decide about all street lamps again."""
    if active:
        caller.simulation.world.lamps.follow_sun()


def _box(box: LevelBox) -> BoundingBox:
    transform = transform_of(box.pose)
    return BoundingBox(transform.location, Vector3(*box.extent), transform.rotation)


def get_all_level_BBs(caller: Caller, tag: int) -> list[BoundingBox]:
    """Bounding boxes of the town's static things of one semantic tag."""
    return [_box(box) for box in caller.simulation.world.town.level_boxes if tag in (ANY_TAG, box.tag)]


def get_environment_objects(caller: Caller, tag: int) -> list[EnvironmentObject]:
    """The town's static things of one semantic tag, numbered in the town's order."""
    town = caller.simulation.world.town
    return [
        EnvironmentObject(transform_of(box.pose), _box(box), number, f"{town.name}_{number}", box.tag)
        for number, box in enumerate(town.level_boxes, start=1)
        if tag in (ANY_TAG, box.tag)
    ]


def get_names_of_all_objects(caller: Caller) -> list[str]:
    """Names of the town's static things."""
    town = caller.simulation.world.town
    return [f"{town.name}_{number}" for number in range(1, len(town.level_boxes) + 1)]


def project_point(caller: Caller, location: Vector3, direction: Vector3, distance: float) -> list[object]:
    """What is first met from a point in a direction, as (found, labelled point)."""
    met = _first_on_ray(caller, location, direction, distance)
    return [met is not None, met or LabelledPoint(location, 0)]


def cast_ray(caller: Caller, start: Vector3, end: Vector3) -> list[LabelledPoint]:
    """Everything met on the way from a point to another, in order."""
    met: list[LabelledPoint] = []
    along = Vector3(end.x - start.x, end.y - start.y, end.z - start.z)
    length = math.sqrt(along.x**2 + along.y**2 + along.z**2)
    gone = 0.0
    while length > 0.0 and gone < length and len(met) < _MAX_RAY_POINTS:
        share = gone / length
        here = Vector3(start.x + along.x * share, start.y + along.y * share, start.z + along.z * share)
        point = _first_on_ray(caller, here, along, length - gone)
        if point is None:
            break
        met.append(point)
        place = point.location
        gone = math.dist((start.x, start.y, start.z), (place.x, place.y, place.z)) + _STEP_OVER_M
    return met


def _first_on_ray(caller: Caller, start: Vector3, direction: Vector3, length_m: float) -> LabelledPoint | None:
    size = math.sqrt(direction.x**2 + direction.y**2 + direction.z**2)
    if size < 1e-9 or length_m <= 0.0:
        return None
    unit = (direction.x / size, direction.y / size, direction.z / size)
    hit = caller.simulation.first_hit((start.x, start.y, start.z), unit, length_m)
    if hit is None:
        return None
    distance_m, tag = hit
    x, y, z = (o + distance_m * d for o, d in zip((start.x, start.y, start.z), unit, strict=True))
    return LabelledPoint(Vector3(x, y, z), tag)


def get_vehicle_light_states(caller: Caller) -> Packed:
    """Lamps of every vehicle: (actor id, bit mask)."""
    return pack([(vehicle.actor_id, vehicle.light_bits) for vehicle in caller.simulation.world.of_kind(Vehicle)])


CALLS = (
    get_actor_definitions,
    get_spectator,
    get_weather_parameters,
    set_weather_parameters,
    get_imui_gravity,
    set_imui_gravity,
    query_lights_state,
    update_lights_state,
    update_day_night_cycle,
    get_all_level_BBs,
    get_environment_objects,
    get_names_of_all_objects,
    project_point,
    cast_ray,
    get_vehicle_light_states,
)
