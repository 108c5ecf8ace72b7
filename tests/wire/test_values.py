"""Positional structs: both directions against literal msgpack values, and what is refused."""

from __future__ import annotations

import random

import msgpack
import pytest

from carlaseg.errors import ProtocolError
from carlaseg.wire import commands, values
from carlaseg.wire.commands import COMMANDS, parse_command
from carlaseg.wire.rpc import pack
from carlaseg.wire.structs import parse, to_wire

TRANSFORM = [[1.0, 2.0, 3.0], [-15.0, 90.0, 0.0]]
GOLDEN = [
    (values.Transform(values.Vector3(1, 2, 3), values.Rotation(-15, 90, 0)), TRANSFORM),
    (values.EpisodeSettings(), [False, False, [False], True, 0.01, 10, 0.0, False, 3000.0, 2000.0, True]),
    (
        values.EpisodeSettings(synchronous_mode=True, fixed_delta_seconds=0.05),
        [True, False, [True, 0.05], True, 0.01, 10, 0.0, False, 3000.0, 2000.0, True],
    ),
    (
        values.ActorDescription(3, "sensor.camera.rgb", (values.AttributeValue("fov", 3, "90.0"),)),
        [3, "sensor.camera.rgb", [["fov", 3, "90.0"]]],
    ),
    (values.VehicleControl(0.5, -0.25, 0.0, gear=1), [0.5, -0.25, 0.0, False, False, False, 1]),
    (values.WalkerControl(values.Vector3(1, 0, 0), 1.4), [[1.0, 0.0, 0.0], 1.4, False]),
    (values.LightState(24), [24]),
    (values.TrafficManagerAddress("127.0.0.1", 8000), ["127.0.0.1", 8000]),
    (values.WeatherParameters(*map(float, range(14))), [float(i) for i in range(14)]),
]


@pytest.mark.parametrize(("value", "wire"), GOLDEN, ids=[type(value).__name__ for value, _ in GOLDEN])
def test_struct_goes_onto_the_wire_and_back(value, wire):
    assert to_wire(value) == wire
    assert parse(type(value), msgpack.unpackb(pack(wire)), "here") == value


def test_physics_survives_the_wire():
    physics = values.VehiclePhysics(mass=1234.0)
    assert parse(values.VehiclePhysics, msgpack.unpackb(pack(to_wire(physics))), "here") == physics


def test_surplus_fields_are_ignored_and_missing_ones_named_by_number():
    assert parse(values.Vector3, [1, 2, 3, "surplus"], "here") == values.Vector3(1, 2, 3)
    with pytest.raises(ProtocolError, match="here: expected 3 fields, received 2"):
        parse(values.Vector3, [1, 2], "here")


@pytest.mark.parametrize(
    ("kind", "value", "named"),
    [
        (values.Vector3, [1.0, float("nan"), 0.0], r"here\.y.*not a number"),
        (values.Vector3, [1.0, 0.0, float("inf")], r"here\.z"),
        (values.Vector3, [1.0, 0.0, 1e300], r"here\.z"),
        (values.Vector3, [True, 0.0, 0.0], r"here\.x.*bool"),
        (values.Vector3, "abc", "here"),
        (values.VehicleControl, [0.0, 0.0, 0.0, 1, False, False, 0], r"here\.hand_brake"),
        (values.VehicleControl, [0.0, 0.0, 0.0, False, False, False, 1.5], r"here\.gear"),
        (values.EpisodeSettings, [False, False, None, True, 0.01, 10, 0.0, False, 0.0, 0.0, True], "optional"),
        (values.EpisodeSettings, [False, False, [True], True, 0.01, 10, 0.0, False, 0.0, 0.0, True], "optional"),
        (values.ActorDescription, [1, b"bytes", []], r"here\.id"),
    ],
)
def test_wrong_values_are_refused_by_field(kind, value, named):
    with pytest.raises(ProtocolError, match=named):
        parse(kind, value, "here")


def test_commands_have_the_numbers_of_the_0_9_16_client():
    assert len(COMMANDS) == 22
    assert COMMANDS[0] is commands.SpawnActor
    assert COMMANDS[2] is commands.ApplyVehicleControl
    assert COMMANDS[7] is commands.ApplyWalkerState
    assert COMMANDS[18] is commands.SetVehicleLightState
    assert COMMANDS[21] is commands.SetTrafficLightState


def test_spawn_command_ignores_the_noise_where_the_attachment_would_be():
    description = [1, "vehicle.audi.tt", []]
    command = parse_command([[0, [description, TRANSFORM, [False], 160, "", []]]], "here")
    assert command.parent is None
    assert command.description.id == "vehicle.audi.tt"


def test_command_after_a_spawn_is_about_the_new_actor():
    assert parse_command([[16, [0, True]]], "here", for_actor=42) == commands.SetAutopilot(42, True)
    assert parse_command([[16, [7, True]]], "here", for_actor=42) == commands.SetAutopilot(7, True)


@pytest.mark.parametrize(
    "value", [None, [], [[]], [[0]], [[99, []]], [[-1, []]], [[True, [1]]], [[2, [1]]], [[2, 5]], "x"]
)
def test_what_is_no_command_is_refused(value):
    with pytest.raises(ProtocolError, match="here"):
        parse_command(value, "here")


def test_only_protocol_errors_leave_the_parsers_whatever_the_value():
    rng = random.Random(7)
    kinds = [type(value) for value, _ in GOLDEN] + [values.VehiclePhysics, values.ActorRecord, values.BoundingBox]

    def anything(depth=0):
        kind = rng.randrange(8 if depth < 4 else 6)
        if kind < 6:
            return [None, True, rng.randrange(-5, 1 << 40), rng.uniform(-1e13, 1e13), "text", b"bytes"][kind]
        return [anything(depth + 1) for _ in range(rng.randrange(5))]

    refused = 0
    for _ in range(2000):
        value = anything()
        for kind in kinds:
            try:
                parse(kind, value, "x")
            except ProtocolError:
                refused += 1
        try:
            parse_command(value, "x")
        except ProtocolError:
            refused += 1
    assert refused > 10_000
