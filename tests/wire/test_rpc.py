"""Requests and replies against the bytes that the 0.9.16 client sends and takes."""

from __future__ import annotations

import random
import struct
import tracemalloc

import msgpack
import pytest
from feeding import portions

from carlaseg.errors import ProtocolError
from carlaseg.wire import rpc
from carlaseg.wire.rpc import CommandResult, Request, RequestParser

# As captured from the client: [0, msgid, method, [[is_async], argument...]].
GOLDEN = [
    (bytes.fromhex("94 00 00 a7 76657273696f6e 91 91 c2"), Request(0, "version", True, [])),
    (bytes.fromhex("94 00 ce 000186a0 a8 7469636b5f637565 91 91 c2"), Request(100000, "tick_cue", True, [])),
    (
        bytes.fromhex("94 00 07 b0 6765745f73656e736f725f746f6b656e 92 91 c2 01"),
        Request(7, "get_sensor_token", True, [1]),
    ),
    (
        bytes.fromhex(
            "94 00 08 b2 7365745f6163746f725f6c6f636174696f6e 93 91 c3 05 93 ca3f800000 ca40000000 ca00000000"
        ),
        Request(8, "set_actor_location", False, [5, [1.0, 2.0, 0.0]]),
    ),
    (bytes.fromhex("94 00 09 a1 78 92 91 c2 c4 02 00ff"), Request(9, "x", True, [b"\x00\xff"])),
]


def read_all(parser, chunks):
    requests = []
    for chunk in chunks:
        parser.feed(chunk)
        while (request := parser.next_request()) is not None:
            requests.append(request)
    return requests


@pytest.mark.parametrize(("data", "request_"), GOLDEN, ids=[request.method for _, request in GOLDEN])
def test_request_is_read_however_its_bytes_arrive_and_not_before_the_last(data, request_):
    for chunks in portions(data):
        assert read_all(RequestParser(), chunks) == [request_]
    parser = RequestParser()
    assert read_all(parser, [data[:-1]]) == []
    assert read_all(parser, [data[-1:]]) == [request_]


@pytest.mark.parametrize(("data", "request_"), GOLDEN, ids=[request.method for _, request in GOLDEN])
def test_bytes_after_a_request_wait_for_the_rest_of_theirs(data, request_):
    following, expected = GOLDEN[0]
    parser = RequestParser()
    assert read_all(parser, [data + following[:4]]) == [request_]
    assert read_all(parser, [following[4:]]) == [expected]


def test_pipelined_requests_keep_their_order():
    data = b"".join(data for data, _ in GOLDEN) * 3
    for chunks in portions(data):
        assert read_all(RequestParser(), chunks) == [request for _, request in GOLDEN] * 3


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ([0, 1, "version"], "an array of 4"),
        ({}, "an array of 4"),
        ({"a": 1}, "not one"),
        ([2, 1, "version", [[False]]], "item 0"),
        ([False, 1, "version", [[False]]], "item 0"),
        ([0, -1, "version", [[False]]], "item 1"),
        ([0, 1 << 32, "version", [[False]]], "item 1"),
        ([0, 1, 5, [[False]]], "item 2"),
        ([0, 1, "", [[False]]], "item 2"),
        ([0, 1, "x" * 129, [[False]]], "item 2"),
        ([0, 1, "version", []], "item 3"),
        ([0, 1, "version", [0]], "metadata"),
        ([0, 1, "version", [[0]]], "metadata"),
        ("hello", "an array of 4"),
    ],
)
def test_what_is_no_request_is_refused_and_says_where(message, named):
    parser = RequestParser()
    parser.feed(msgpack.packb(message))
    with pytest.raises(ProtocolError, match="rpc message at byte 0") as caught:
        parser.next_request()
    assert named in caught.value.message


def test_good_requests_before_garbage_are_still_answered_and_nothing_after_it():
    data, request = GOLDEN[0]
    parser = RequestParser()
    parser.feed(data + b"\xc1" + data)
    assert parser.next_request() == request
    for _ in range(2):
        with pytest.raises(ProtocolError, match=f"byte {len(data)}"):
            parser.next_request()


@pytest.mark.parametrize(
    "header",
    [
        b"\xdd\xff\xff\xff\xff",  # an array of 4 thousand million
        b"\xdf\xff\xff\xff\xff",  # a map
        b"\xc9\xff\xff\xff\xff\x01",  # an extension
        b"\x94\x00\x01\xa1x\xdd\x7f\xff\xff\xff",  # the same inside a request
        b"\x91" * 5000,  # arrays in arrays in arrays
        b"\xdd\x00\x00\x20\x00" * 1200,  # long arrays, one in another
    ],
)
def test_huge_lengths_are_refused_before_memory_is_taken(header):
    parser = RequestParser()
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError):
            read_all(parser, [header, b"\xc0" * 100_000])
        assert tracemalloc.get_traced_memory()[1] < 100 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("header", [b"\xdb\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff"], ids=["text", "bytes"])
def test_text_of_four_gigabytes_is_refused_at_the_cap(header, monkeypatch):
    monkeypatch.setattr(rpc, "MAX_MESSAGE_BYTES", 1 << 20)
    parser = RequestParser()
    assert read_all(parser, [header, bytes(1 << 19)]) == []
    with pytest.raises(ProtocolError):
        read_all(parser, [bytes(1 << 20)])


@pytest.mark.parametrize(
    "message",
    [b"\x91" * 1020 + b"\x90", b"\xdb\x01\x00\x00\x00" + bytes(1 << 24), b"\xc6\x01\x00\x00\x00" + bytes(1 << 24)],
    ids=["arrays in arrays", "long text", "long bytes"],
)
def test_an_error_shows_the_beginning_of_what_came_and_looks_at_no_more(message):
    parser = RequestParser()
    parser.feed(message)
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError, match="an array of 4") as caught:
            parser.next_request()
        assert tracemalloc.get_traced_memory()[1] < 3 * len(message) + (1 << 20), "not also the whole of it in words"
    finally:
        tracemalloc.stop()
    assert len(caught.value.message) < 200


def test_endless_message_and_swarm_of_tiny_items_are_refused(monkeypatch):
    monkeypatch.setattr(rpc, "MAX_MESSAGE_BYTES", 1 << 20)
    with pytest.raises(ProtocolError, match="no end"):
        read_all(RequestParser(), [b"\xdd\x00\x00\x1f\xff", *[b"\xd9\xff" + b"a" * 255] * 5000])
    monkeypatch.setattr(rpc, "MAX_MESSAGE_ITEMS", 1000)
    with pytest.raises(ProtocolError, match="1000 items"):
        read_all(RequestParser(), [b"\x94\x00\x01\xa1x\xdc\x1f\xff" + b"\x90" * 2000])


def test_only_protocol_errors_leave_the_parser_whatever_comes_in():
    rng = random.Random(20260)
    samples = [data for data, _ in GOLDEN]
    refused = 0
    for _ in range(3000):
        kind = rng.randrange(3)
        if kind == 0:
            data = rng.randbytes(rng.randrange(1, 200))
        else:
            data = bytearray(b"".join(rng.choices(samples, k=rng.randrange(1, 4))))
            for _ in range(rng.randrange(1, 6)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            if kind == 2:
                data = data[: rng.randrange(len(data))]
        try:
            read_all(RequestParser(), [bytes(data)])
        except ProtocolError:
            refused += 1
    assert refused > 1000


def test_replies_are_wrapped_as_the_client_unwraps_them():
    assert rpc.reply_value(0, "0.9.16") == bytes.fromhex("94 01 00 c0 91 92 01 a6") + b"0.9.16"
    assert rpc.reply_value(300, rpc.pack([1, b"\x02"])) == bytes.fromhex("94 01 cd012c c0 91 92 01 92 01 c4 01 02")
    assert rpc.reply_void(5) == bytes.fromhex("94 01 05 c0 91 91 c2")
    assert rpc.reply_value_error(5, "no") == bytes.fromhex("94 01 05 c0 91 92 00 91 a2 6e6f")
    assert rpc.reply_void_error(5, "no") == bytes.fromhex("94 01 05 c0 91 92 c3 91 a2 6e6f")
    unknown = rpc.reply_unknown_method(5, "f")
    assert unknown == b"\x94\x01\x05\xd9*rpclib: server could not find function 'f'\xc0"


def test_batch_reply_has_one_entry_a_command():
    reply = rpc.reply_batch(1, [CommandResult(7), CommandResult(0, "no")])
    assert reply == bytes.fromhex("94 01 01 c0 92 91 92 01 07 91 92 00 91 a2 6e6f")
    assert rpc.reply_batch(1, []) == bytes.fromhex("94 01 01 c0 90")


def test_floats_of_single_precision_arrive_as_they_are():
    parser = RequestParser()
    parser.feed(b"\x94\x00\x01\xa1x\x92\x91\xc2\xca" + struct.pack(">f", 0.1))
    assert parser.next_request().args == [0.10000000149011612]
