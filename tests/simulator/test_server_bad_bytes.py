"""Bytes that are not the protocol, on both ports: refused, and the next client is served."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import time

import msgpack
import pytest
from small_world import served, set_synchronous

from carlaseg.errors import SimulatorError
from carlaseg.simulator import server, stream_server
from carlaseg.simulator.server import listen
from carlaseg.simulator.simulation import Simulation


@pytest.fixture(scope="module")
def town():
    with served() as town:
        yield town


def ends(connection: socket.socket) -> bool:
    """Whether the server closes the connection (and does not just wait for more)."""
    connection.settimeout(5)
    try:
        while connection.recv(65536):
            continue
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


def throw(port: int, data: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=5)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused before the last byte was sent
        connection.sendall(data)
    return connection


def assert_serves(town):
    with town.client() as client:
        assert client.value("version") == "0.9.16"
        frame = client.value("tick_cue")
        with town.stream(1) as stream:
            assert stream.frame() >= frame


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\xc1",
        b"\xdd\xff\xff\xff\xff",
        b"\x94\x00\x01\xa7version\xdd\xff\xff\xff\xff",
        msgpack.packb([0, 1, "version", []]),
        msgpack.packb([1, 1, None, None]),
        msgpack.packb({"hello": 1}),
        b"\x91" * 100_000,
    ],
    ids=["http", "not msgpack", "huge array", "huge arguments", "no metadata", "a reply", "a map", "deep"],
)
def test_rpc_port_refuses_what_is_no_request(town, data):
    with throw(town.port, data) as connection:
        assert ends(connection)
    assert_serves(town)


def test_rpc_port_survives_random_and_truncated_bytes(town):
    rng = random.Random(3)
    request = msgpack.packb([0, 1, "spawn_actor", [[False], [1, "vehicle.audi.tt", []], [[0.0] * 3, [0.0] * 3]]])
    for _ in range(100):
        data = rng.randbytes(rng.randrange(1, 2000)) if rng.random() < 0.5 else request[: rng.randrange(len(request))]
        throw(town.port, data).close()
    assert_serves(town)


def test_rpc_port_serves_others_while_one_client_says_half_a_word(town):
    with throw(town.port, b"\x94\x00\x01\xa7ver"), throw(town.port, b""):
        assert_serves(town)


@pytest.mark.parametrize(
    "args",
    [
        [],
        [None, None],
        [[1, "vehicle.audi.tt", []], [[float("nan"), 0.0, 0.0], [0.0, 0.0, 0.0]]],
        [[1, "vehicle.audi.tt", []], [[1e300, 0.0, 0.0], [0.0, 0.0, 0.0]]],
        [[1, "vehicle.no.such", []], [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]],
        [[1, "sensor.camera.rgb", [["fov", 3, "wide"]]], [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]],
        [[1, "sensor.camera.rgb", [["image_size_x", 2, "100000000"]]], [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]],
        [[1, "vehicle.audi.tt", [["role_name", 4, "x" * 100_000]]], [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]],
    ],
    ids=["none", "nils", "not a number", "too far", "no blueprint", "no angle", "too wide", "too long"],
)
def test_wrong_arguments_are_an_error_of_that_call_alone(town, args):
    with town.client() as client:
        assert len(client.error("spawn_actor", *args)) > 10
        assert client.value("version") == "0.9.16"


def test_world_ticks_on_after_numbers_at_the_edge_of_what_is_accepted(town):
    with town.client() as client:
        actor = client.value("spawn_actor", [1, "vehicle.audi.tt", []], [[9e11, -9e11, 9e11], [9e11, -9e11, 9e11]])[0]
        client.send(
            "apply_control_to_vehicle", actor, [1e12, -1e12, 1e12, True, True, True, 1 << 60], wants_reply=False
        )
        client.send("set_actor_target_velocity", actor, [1e12, 1e12, 1e12], wants_reply=False)
        frames = [client.value("tick_cue") for _ in range(5)]
        assert frames == sorted(set(frames))
        assert client.value("destroy_actor", actor) is True


def test_client_that_asks_for_more_than_it_reads_is_cut_off_before_all_is_answered(town, monkeypatch, caplog):
    answered = []
    monkeypatch.setattr(server, "MAX_UNREAD_REPLY_BYTES", 4 << 20)
    with town.client() as client:
        mesh = property(lambda _: answered.append(1) or bytes(1 << 20))
        monkeypatch.setattr(Simulation, "navigation_mesh", mesh, raising=False)
        request = msgpack.packb([0, 1, "get_navigation_mesh", [[False]]])
        with contextlib.suppress(ConnectionError):
            client.socket.sendall(request * 500)
        deadline_s = time.monotonic() + 5
        while "bytes unread" not in caplog.text and time.monotonic() < deadline_s:
            time.sleep(0.01)
        assert ends(client.socket)
    assert 4 < len(answered) < 100, "what lies in the kernel's buffers, and no more than was allowed"
    assert_serves(town)


def test_streaming_port_refuses_more_than_a_number(town):
    with throw(town.streams.port, b"GET / HTTP/1.1\r\n\r\n") as connection:
        assert ends(connection)
    assert_serves(town)


def test_streaming_port_refuses_streams_that_are_not_there(town):
    with throw(town.streams.port, struct.pack("<I", 0xFFFFFFFF)) as connection:
        assert ends(connection)
    assert_serves(town)


def test_streaming_port_survives_random_and_truncated_bytes(town):
    rng = random.Random(4)
    for _ in range(100):
        throw(town.streams.port, rng.randbytes(rng.randrange(0, 40))).close()
    assert_serves(town)


def test_streaming_port_survives_a_connection_that_is_gone_when_it_is_accepted(town, monkeypatch):
    set_option = socket.socket.setsockopt
    refused = []

    def refuse(connection, level, option, value):
        if option == socket.SO_SNDBUF and not refused:
            refused.append(connection)
            raise OSError(22, "Invalid argument")
        set_option(connection, level, option, value)

    monkeypatch.setattr(socket.socket, "setsockopt", refuse)
    with throw(town.streams.port, b"") as connection:
        assert ends(connection)
    assert len(refused) == 1
    assert_serves(town)


def test_subscriber_that_talks_is_cut_off_and_others_hear_on(town):
    with town.client() as client, town.stream(1) as quiet:
        quiet.frame()
        with town.stream(1) as talker:
            talker.frame()
            talker.socket.sendall(b"hello")
            assert ends(talker.socket)
        assert quiet.frame() < quiet.frame()
        assert client.value("version") == "0.9.16"


def test_silent_connections_to_the_streaming_port_are_let_go(monkeypatch):
    monkeypatch.setattr(stream_server, "HANDSHAKE_S", 0.2)
    with served() as town, throw(town.streams.port, b"\x01\x00") as connection:
        assert ends(connection)


def test_subscriber_that_never_reads_is_given_up_and_the_world_goes_on(monkeypatch):
    monkeypatch.setattr(stream_server, "STALL_S", 0.3)
    with served() as town, town.client() as client:
        set_synchronous(client)
        _, stream_id = town.spawn_camera(client, size="2000")
        with town.stream(stream_id):
            while not town.streams.has_subscriber(stream_id):
                continue
            first = client.value("tick_cue")
            for _ in range(8):
                last = client.value("tick_cue")
            assert last == first + 8


def test_stopping_does_not_wait_for_a_subscriber_that_never_reads():
    with served() as town, town.client() as client:
        set_synchronous(client)
        _, stream_id = town.spawn_camera(client, size="2000")
        with town.stream(stream_id):
            while not town.streams.has_subscriber(stream_id):
                continue
            for _ in range(8):
                client.send("tick_cue")
            time.sleep(0.5)
            start = time.monotonic()
            town.server.stop()
            assert ends(client.socket)
            assert time.monotonic() - start < 3


def test_port_in_use_says_which_and_what_to_do(town):
    with pytest.raises(SimulatorError, match=f":{town.port}: expected a free port.*in use") as caught:
        listen(town.port)
    assert ("any free port", "carlaseg simulate --port 0") in caught.value.next_steps
    assert caught.value.exit_code == 3
