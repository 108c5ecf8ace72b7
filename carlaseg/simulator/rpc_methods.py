"""The table of calls: which there are, which are refused and why, and how a request becomes a reply.

A call is a function whose annotations say what its arguments are on the wire and whether it has a value. To add one,
write it in the `calls_*` module of its subject and put it in that module's CALLS.
"""

from __future__ import annotations

import logging
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from carlaseg.errors import CarlasegError, ProtocolError
from carlaseg.simulator import (
    calls_actors,
    calls_anatomy,
    calls_batch,
    calls_recorder,
    calls_session,
    calls_traffic,
    calls_vehicles,
    calls_world,
)
from carlaseg.simulator.calls_session import Caller
from carlaseg.simulator.simulation import Simulation
from carlaseg.wire import rpc
from carlaseg.wire.rpc import Request
from carlaseg.wire.structs import FieldParser, parser_for, to_wire

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Method:
    """A call this server answers.

    Attributes:
        function: takes a Caller, then the call's arguments.
        arguments: (name, parser) of each.
        required: how many of them a client must send.
        returns: "value", "nothing" or "batch": how the reply is wrapped.
    """

    function: Callable[..., Any]
    arguments: tuple[tuple[str, FieldParser], ...]
    required: int
    returns: str


def _method(function: Callable[..., Any]) -> Method:
    hints = typing.get_type_hints(function)
    result = hints.pop("return")
    _, *parameters = function.__code__.co_varnames[: function.__code__.co_argcount]
    arguments = tuple((name, parser_for(hints[name])) for name in parameters)
    returns = "nothing" if result is type(None) else "batch" if result is calls_batch.BatchOutcome else "value"
    return Method(function, arguments, len(arguments) - len(function.__defaults__ or ()), returns)


_MODULES = (
    calls_session,
    calls_world,
    calls_actors,
    calls_vehicles,
    calls_anatomy,
    calls_traffic,
    calls_recorder,
    calls_batch,
)
METHODS: Mapping[str, Method] = {
    function.__name__: _method(function) for module in _MODULES for function in module.CALLS
}
"""Calls that are answered."""

ACCEPTED: Mapping[str, str] = {
    "add_actor_angular_impulse": "there are no rigid bodies to turn",
    "add_actor_torque": "there are no rigid bodies to turn",
    "apply_color_texture_to_objects": "textures are the town's own",
    "apply_float_color_texture_to_objects": "textures are the town's own",
    "blend_pose": "walkers have one gait",
    "clear_debug_shape": "debug shapes are not drawn",
    "clear_debug_string": "debug shapes are not drawn",
    "close_vehicle_door": "doors do not open",
    "console_command": "there is no Unreal console",
    "disable_sensor_for_ros": "there is no ROS bridge",
    "draw_debug_shape": "debug shapes are not drawn",
    "enable_environment_objects": "the town cannot be taken apart",
    "get_pose_from_animation": "walkers have one gait",
    "load_map_layer": "the town has one layer",
    "open_vehicle_door": "doors do not open",
    "restore_physx_physics": "vehicles have one kind of physics",
    "set_actor_autopilot": "the client's TrafficManager drives",
    "set_actor_dead": "actors live until they are destroyed",
    "set_actor_target_angular_velocity": "vehicles turn by their wheels",
    "set_annotations_traverse_translucency": "nothing is translucent",
    "set_bones_transform": "walkers have one gait",
    "show_vehicle_debug_telemetry": "there is no debug drawing",
    "unload_map_layer": "the town has one layer",
}
"""Calls that are taken and change nothing, with the reason. None has a value."""

_NO_GBUFFERS = "the renderer has no G-buffers"
_ONE_PHYSICS = "vehicles have one kind of physics"
REFUSED: Mapping[str, tuple[str, str]] = {
    "are_gbuffers_enabled": ("value", _NO_GBUFFERS),
    "enable_carsim": ("nothing", _ONE_PHYSICS),
    "enable_chrono_physics": ("nothing", _ONE_PHYSICS),
    "enable_gbuffers": ("nothing", _NO_GBUFFERS),
    "enable_sensor_for_ros": ("nothing", "there is no ROS bridge"),
    "get_gbuffer_token": ("value", _NO_GBUFFERS),
    "set_ignored_vehicles": ("nothing", "there is no V2X sensor"),
    "use_carsim_road": ("nothing", _ONE_PHYSICS),
}
"""Calls that a CARLA server has and this one answers with an error: (how its reply is wrapped, why)."""


def answer(simulation: Simulation, request: Request, connection_id: int) -> bytes | None:
    """Return the reply to a request, None when the client wants none. Nothing a request says raises here."""
    name, msgid = request.method, request.msgid
    method = METHODS.get(name)
    if method is None:
        return _answer_without_method(name, msgid) if request.wants_reply else None
    try:
        result = method.function(Caller(simulation, connection_id), *_arguments(method, request))
    except CarlasegError as error:
        text = error.message if name in error.message else f"{name}: {error.message}"
        if method.returns == "value" and not isinstance(error, ProtocolError):
            text = error.message  # CARLA's own texts, which scripts compare
        return _error(method.returns, msgid, text) if request.wants_reply else None
    except Exception as error:  # a bug in one call must not end the world for everyone
        logger.warning("call %s failed, %s: %s", name, type(error).__name__, error)
        logger.debug("trace", exc_info=error)
        text = f"{name}: failed in the server, {type(error).__name__}: {error}"
        return _error(method.returns, msgid, text) if request.wants_reply else None
    if not request.wants_reply:
        return None
    if method.returns == "batch":
        return rpc.reply_batch(msgid, result.results)
    if method.returns == "nothing":
        return rpc.reply_void(msgid)
    return rpc.reply_value(msgid, result if isinstance(result, rpc.Packed) else to_wire(result))


def _arguments(method: Method, request: Request) -> list[Any]:
    given = request.args
    if len(given) < method.required:
        raise ProtocolError(f"{request.method}: expected {method.required} arguments, received {len(given)}")
    pairs = zip(method.arguments, given, strict=False)
    return [parse(value, f"{request.method}, {name}") for (name, parse), value in pairs]


def _error(returns: str, msgid: int, text: str) -> bytes:
    # A batch has no room for an error of its own; the rpc library's error is the only one that reaches the client.
    if returns == "batch":
        return rpc.reply_unknown_method(msgid, f"apply_batch ({text})")
    return rpc.reply_void_error(msgid, text) if returns == "nothing" else rpc.reply_value_error(msgid, text)


def _answer_without_method(name: str, msgid: int) -> bytes:
    if name in ACCEPTED:
        return rpc.reply_void(msgid)
    if name in REFUSED:
        returns, why = REFUSED[name]
        return _error(returns, msgid, f"{name}: not supported by carlaseg's embedded simulator, {why}")
    logger.warning("unknown call %s", name[:64])
    return rpc.reply_unknown_method(msgid, name)
