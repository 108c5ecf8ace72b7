"""Calls about traffic lights, and the register of the clients' TrafficManagers."""

from __future__ import annotations

from carlaseg.errors import SimulatorError
from carlaseg.simulator.actors import OFF, TrafficLight
from carlaseg.simulator.calls_session import Caller
from carlaseg.wire.values import BoundingBox, Rotation, TrafficManagerAddress, Vector3

_UNKNOWN_STATE = OFF + 1
_MAX_HOST_CHARACTERS, _MAX_PORT = 255, 65535


def _light(caller: Caller, actor_id: int) -> TrafficLight:
    return caller.simulation.world.find(actor_id, TrafficLight)


def set_traffic_light_state(caller: Caller, actor_id: int, state: int) -> None:
    """Switch a light; it stays so until its junction's cycle next changes it, for ever while lights are frozen."""
    if not 0 <= state <= _UNKNOWN_STATE:
        raise SimulatorError(f"traffic light state: expected 0 to {_UNKNOWN_STATE}, received {state}")
    light = _light(caller, actor_id)
    light.state = state
    light.elapsed_s = 0.0


def set_traffic_light_green_time(caller: Caller, actor_id: int, seconds: float) -> None:
    """Set how long a light is green."""
    _light(caller, actor_id).green_s = seconds


def set_traffic_light_yellow_time(caller: Caller, actor_id: int, seconds: float) -> None:
    """Set how long a light is yellow."""
    _light(caller, actor_id).yellow_s = seconds


def set_traffic_light_red_time(caller: Caller, actor_id: int, seconds: float) -> None:
    """Set how long all lights are red after this one was yellow."""
    _light(caller, actor_id).red_s = seconds


def freeze_traffic_light(caller: Caller, actor_id: int, frozen: bool) -> None:
    """Stop or start the cycles: CARLA freezes all lights with one."""
    _light(caller, actor_id)
    caller.simulation.world.traffic_lights.frozen = frozen


def freeze_all_traffic_lights(caller: Caller, frozen: bool) -> None:
    """Stop or start the cycles."""
    caller.simulation.world.traffic_lights.frozen = frozen


def reset_traffic_light_group(caller: Caller, actor_id: int) -> None:
    """Begin the cycle of a light's junction again."""
    caller.simulation.world.traffic_lights.group_of(_light(caller, actor_id)).reset()


def reset_all_traffic_lights(caller: Caller) -> None:
    """Begin all cycles again."""
    caller.simulation.world.traffic_lights.reset()


def get_group_traffic_lights(caller: Caller, actor_id: int) -> list[int]:
    """Ids of the lights of the same junction."""
    group = caller.simulation.world.traffic_lights.group_of(_light(caller, actor_id))
    return [light.actor_id for light in group.lights]


def get_light_boxes(caller: Caller, actor_id: int) -> list[BoundingBox]:
    """Boxes around a light's lamp heads."""
    heads = _light(caller, actor_id).site.head_center_town
    rotation = Rotation(yaw=_light(caller, actor_id).pose.yaw)
    return [
        BoundingBox(Vector3(float(x), -float(y), float(z)), Vector3(0.2, 0.2, 0.5), rotation, actor_id)
        for x, y, z in heads
    ]


def is_traffic_manager_running(caller: Caller, port: int) -> bool:
    """Whether a client has announced a TrafficManager on that port."""
    return port in caller.simulation.traffic_managers


def get_traffic_manager_running(caller: Caller, port: int) -> TrafficManagerAddress:
    """Where that TrafficManager is."""
    address, _ = caller.simulation.traffic_managers.get(port, (TrafficManagerAddress(), 0))
    return address


def add_traffic_manager_running(caller: Caller, address: TrafficManagerAddress) -> bool:
    """Announce a TrafficManager; false when its port is announced already."""
    managers = caller.simulation.traffic_managers
    if not (0 < address.port <= _MAX_PORT and len(address.host) <= _MAX_HOST_CHARACTERS):
        raise SimulatorError(
            f"TrafficManager: expected a host of at most {_MAX_HOST_CHARACTERS} characters and a port from 1 to "
            f"{_MAX_PORT}, received {len(address.host)} characters and {address.port}"
        )
    if address.port in managers:
        return False
    managers[address.port] = (address, caller.connection_id)
    return True


def destroy_traffic_manager(caller: Caller, port: int) -> bool:
    """Take a TrafficManager out of the register."""
    return caller.simulation.traffic_managers.pop(port, None) is not None


CALLS = (
    set_traffic_light_state,
    set_traffic_light_green_time,
    set_traffic_light_yellow_time,
    set_traffic_light_red_time,
    freeze_traffic_light,
    freeze_all_traffic_lights,
    reset_traffic_light_group,
    reset_all_traffic_lights,
    get_group_traffic_lights,
    get_light_boxes,
    is_traffic_manager_running,
    get_traffic_manager_running,
    add_traffic_manager_running,
    destroy_traffic_manager,
)
