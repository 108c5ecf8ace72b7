"""Streams: tokens, subscriptions, headers, payloads and episode states against literal bytes."""

from __future__ import annotations

import random
import struct

import msgpack
import numpy as np
import pytest
from feeding import portions

from carlaseg.errors import ProtocolError
from carlaseg.wire import episode_state, sensor_payloads, stream, values
from carlaseg.wire.stream import SensorType, SubscriptionParser


class Somewhere:
    x, y, z, pitch, yaw, roll = 1.0, -2.0, 3.0, 4.0, 5.0, 6.0


POSE_BYTES = bytes.fromhex("0000803f 000000c0 00004040 00008040 0000a040 0000c040")
ZERO = (0.0, 0.0, 0.0)
MOTION = (Somewhere, (1.0, 0.0, 0.0), (0.0, 2.0, 0.0), (0.0, 0.0, 3.0))
MOTION_BYTES = POSE_BYTES + struct.pack("<9f", 1, 0, 0, 0, 2, 0, 0, 0, 3)


def test_token_is_24_bytes_and_leaves_the_host_to_the_client():
    token = stream.serialize_token(11, 2001)
    assert token == bytes.fromhex("0b000000 d107 01 00") + bytes(16)
    assert stream.parse_token(token) == (11, 2001)


@pytest.mark.parametrize(
    "token", [b"", bytes(23), bytes(25), bytes(24), b"\x01\x00\x00\x00\xd1\x07\x02\x00" + bytes(16)]
)
def test_other_tokens_are_refused(token):
    with pytest.raises(ProtocolError, match="stream token"):
        stream.parse_token(token)


def test_sensor_header_is_48_bytes():
    header = stream.serialize_sensor_header(SensorType.RGB_CAMERA, 258, 1.5, Somewhere)
    assert header == bytes.fromhex("0d00000000000000 0201000000000000 000000000000f83f") + POSE_BYTES
    assert len(header) == 48


def test_length_counts_the_bytes_of_all_parts():
    assert stream.serialize_length((b"abc", memoryview(bytes(254)))) == bytes.fromhex("01010000")


def test_subscription_is_four_bytes_however_they_arrive():
    for chunks in portions(b"\x0b\x01\x00\x00"):
        parser = SubscriptionParser()
        results = [parser.receive(chunk) for chunk in chunks]
        assert results == [None] * (len(chunks) - 1) + [267]


def test_bytes_after_the_subscription_are_refused():
    with pytest.raises(ProtocolError, match="4 bytes"):
        SubscriptionParser().receive(b"12345")
    parser = SubscriptionParser()
    parser.receive(b"1234")
    with pytest.raises(ProtocolError, match="received 5"):
        parser.receive(b"5")


def test_only_protocol_errors_leave_the_subscription_parser():
    rng = random.Random(1)
    refused = 0
    for _ in range(500):
        parser = SubscriptionParser()
        try:
            for _ in range(rng.randrange(4)):
                parser.receive(rng.randbytes(rng.randrange(6)))
        except ProtocolError:
            refused += 1
    assert 0 < refused < 500


def test_image_is_sent_from_the_memory_it_is_in():
    image = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    header, pixels = sensor_payloads.image_parts(image, 90.0)
    assert header == bytes.fromhex("03000000 02000000 0000b442")
    assert bytes(pixels) == bytes(range(24))
    assert np.shares_memory(np.frombuffer(pixels, np.uint8), image)


def test_measurements_are_msgpack():
    assert msgpack.unpackb(sensor_payloads.gnss_part(49.0, 8.0, 1.5)) == [49.0, 8.0, 1.5]
    imu = sensor_payloads.imu_part(values.Vector3(0, 0, 9.81), values.Vector3(0.1, 0, 0), 1.5)
    assert msgpack.unpackb(imu) == [[0, 0, 9.81], [0.1, 0, 0], 1.5]
    actor = values.ActorRecord(
        7,
        0,
        values.ActorDescription(1, "vehicle.audi.tt"),
        values.BoundingBox(values.Vector3(), values.Vector3()),
        b"\x0e",
        b"",
    )
    wire = msgpack.unpackb(sensor_payloads.collision_part(actor, actor, values.Vector3(1, 2, 3)))
    assert wire[0] == [7, 0, [1, "vehicle.audi.tt", []], [[0.0] * 3, [0.0] * 3, [0.0] * 3, 0], b"\x0e", b""]
    assert wire[2] == [1, 2, 3]


def test_episode_opening_is_84_bytes():
    opening = episode_state.serialize_opening(5, 258, 1.5, 2.5, 0.05, map_changed=True)
    assert opening == (
        bytes.fromhex("1100000000000000 0201000000000000 000000000000f83f")
        + bytes(24)
        + bytes.fromhex("0500000000000000 0000000000000440 cdcc4c3d")
        + bytes(12)
        + bytes.fromhex("01000000")
    )


@pytest.mark.parametrize(
    ("entry", "tail"),
    [
        (episode_state.serialize_plain(9, *MOTION), b""),
        (
            episode_state.serialize_vehicle(
                9, *MOTION, values.VehicleControl(1.0, -1.0, 0.5, True, False, True, -1), 30.0, None
            ),
            struct.pack("<3f", 1.0, -1.0, 0.5)
            + b"\x01\x00\x01"
            + b"\xff\xff\xff\xff"
            + struct.pack("<f", 30.0)
            + b"\x02\x00"
            + bytes(4)
            + b"\x00",
        ),
        (
            episode_state.serialize_vehicle(9, *MOTION, values.VehicleControl(), 30.0, (0, 77)),
            bytes(12) + bytes(3) + bytes(4) + struct.pack("<f", 30.0) + b"\x00\x01" + struct.pack("<I", 77) + b"\x00",
        ),
        (
            episode_state.serialize_walker(9, *MOTION, values.WalkerControl(values.Vector3(0, 1, 0), 1.5, True)),
            struct.pack("<4f", 0, 1, 0, 1.5) + b"\x01",
        ),
    ],
    ids=["plain", "vehicle", "vehicle at a light", "walker"],
)
def test_actor_entry_is_119_bytes(entry, tail):
    assert entry == (struct.pack("<IB", 9, 1) + MOTION_BYTES + tail).ljust(119, b"\0")


def test_traffic_light_entry_is_119_bytes_and_cuts_long_names():
    entry = episode_state.serialize_traffic_light(9, Somewhere, "955", (10.0, 3.0, 2.0), 0.5, 1, True, 2)
    tail = b"955".ljust(32, b"\0") + struct.pack("<4f", 10, 3, 2, 0.5) + struct.pack("<I", 1) + b"\x01\x02"
    assert entry == struct.pack("<IB", 9, 1) + POSE_BYTES + bytes(36) + tail
    assert len(entry) == 119
    long_name = episode_state.serialize_traffic_light(9, Somewhere, "x" * 99, ZERO, 0.0, 0, False, 0)
    assert len(long_name) == 119


def test_absurd_gear_does_not_stop_the_world():
    entry = episode_state.serialize_vehicle(9, *MOTION, values.VehicleControl(gear=1 << 40), 30.0, None)
    assert len(entry) == 119
