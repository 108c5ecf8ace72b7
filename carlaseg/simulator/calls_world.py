"""Calls about the world as a whole: blueprints, weather, static things, points on the ground."""

from __future__ import annotations

import functools
from dataclasses import astuple

from carlaseg.errors import SimulatorError
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
    Vector3,
    WeatherParameters,
)

ANY_TAG = 255
GROUND_TAG = 25
GRAVITY_MPS2 = 9.81


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


def get_weather_parameters(caller: Caller) -> WeatherParameters:
    """The weather in force."""
    return WeatherParameters(*astuple(caller.simulation.world.weather))


def set_weather_parameters(caller: Caller, weather: WeatherParameters) -> None:
    """Change the weather."""
    caller.simulation.set_weather(Weather(*astuple(weather)))


def get_imui_gravity(caller: Caller) -> float:
    """Gravity, m/s2."""
    return GRAVITY_MPS2


def query_lights_state(caller: Caller, client: str) -> list[int]:
    """Street lamps that can be switched: none."""
    return []


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
    """The ground below a point, as (found, labelled point); only straight down is answered."""
    if direction.z > -0.99:
        raise SimulatorError("project_point: not supported by carlaseg's embedded simulator but straight down")
    level = caller.simulation.world.elevation.height(location.x, location.y)
    found = 0.0 <= location.z - level <= distance
    return [found, LabelledPoint(Vector3(location.x, location.y, level if found else location.z), GROUND_TAG)]


def cast_ray(caller: Caller, start: Vector3, end: Vector3) -> list[LabelledPoint]:
    """Where a straight-down ray meets the ground."""
    if abs(start.x - end.x) > 1e-3 or abs(start.y - end.y) > 1e-3:
        raise SimulatorError("cast_ray: not supported by carlaseg's embedded simulator but straight down")
    level = caller.simulation.world.elevation.height(start.x, start.y)
    if not min(start.z, end.z) <= level <= max(start.z, end.z):
        return []
    return [LabelledPoint(Vector3(start.x, start.y, level), GROUND_TAG)]


def get_vehicle_light_states(caller: Caller) -> list[list[int]]:
    """Lamps of every vehicle: (actor id, bit mask)."""
    return [[vehicle.actor_id, vehicle.light_bits] for vehicle in caller.simulation.world.of_kind(Vehicle)]


CALLS = (
    get_actor_definitions,
    get_spectator,
    get_weather_parameters,
    set_weather_parameters,
    get_imui_gravity,
    query_lights_state,
    get_all_level_BBs,
    get_environment_objects,
    get_names_of_all_objects,
    project_point,
    cast_ray,
    get_vehicle_light_states,
)
