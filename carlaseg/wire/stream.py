"""Sensor streams: tokens, the four bytes that subscribe, the header of each message.

A subscriber sends the stream's number as four bytes and nothing else, ever. The server sends messages, each a
little-endian 32-bit length and that many bytes, which begin with the 48-byte sensor header.

Source: carla 0.9.16 client, token_data and SensorHeaderSerializer::Header; sensor numbers from its SensorRegistry.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Protocol

from carlaseg.errors import ProtocolError

WORLD_STREAM_ID = 1
"""The stream of episode states."""
TOKEN_BYTES = 24
SUBSCRIPTION_BYTES = 4
_TOKEN = struct.Struct("<IHBB16s")
_PROTOCOL_TCP = 1
_ADDRESS_OF_CLIENT = 0
_HEADER = struct.Struct("<QQd6f")
_LENGTH = struct.Struct("<I")

Buffer = bytes | memoryview


class PoseLike(Protocol):
    """A place in metres and an attitude in degrees, CARLA's world frame."""

    @property
    def x(self) -> float: ...  # noqa: D102
    @property
    def y(self) -> float: ...  # noqa: D102
    @property
    def z(self) -> float: ...  # noqa: D102
    @property
    def pitch(self) -> float: ...  # noqa: D102
    @property
    def yaw(self) -> float: ...  # noqa: D102
    @property
    def roll(self) -> float: ...  # noqa: D102


class SensorType(IntEnum):
    """Number of each sensor in the 0.9.16 client's registry. It changes between releases."""

    COLLISION = 0
    DEPTH_CAMERA = 1
    NORMALS_CAMERA = 2
    EVENT_CAMERA = 3
    GNSS = 4
    IMU = 5
    OBSTACLE = 7
    OPTICAL_FLOW_CAMERA = 8
    RADAR = 9
    SEMANTIC_LIDAR = 10
    LIDAR = 11
    RGB_CAMERA = 13
    SEMANTIC_CAMERA = 14
    INSTANCE_CAMERA = 15
    COSMOS_CAMERA = 16
    WORLD_OBSERVER = 17


def serialize_token(stream_id: int, port: int) -> bytes:
    """Return the 24-byte token of a stream on `port` of whatever host the client already talks to."""
    return _TOKEN.pack(stream_id, port, _PROTOCOL_TCP, _ADDRESS_OF_CLIENT, bytes(16))


def parse_token(token: bytes) -> tuple[int, int]:
    """Return (stream id, port) of a token.

    Raises:
        ProtocolError: it has not 24 bytes or is not a TCP token.
    """
    if len(token) != TOKEN_BYTES:
        raise ProtocolError(f"stream token: expected {TOKEN_BYTES} bytes, received {len(token)}")
    stream_id, port, protocol, _, _ = _TOKEN.unpack(token)
    if protocol != _PROTOCOL_TCP:
        raise ProtocolError(f"stream token: expected protocol {_PROTOCOL_TCP} (TCP), received {protocol}")
    return stream_id, port


def serialize_sensor_header(sensor_type: SensorType, frame: int, timestamp_s: float, pose: PoseLike) -> bytes:
    """Return the 48 bytes that begin every stream message."""
    return _HEADER.pack(sensor_type, frame, timestamp_s, pose.x, pose.y, pose.z, pose.pitch, pose.yaw, pose.roll)


def serialize_length(parts: Sequence[Buffer]) -> bytes:
    """Return the four bytes that go before a message made of `parts`."""
    return _LENGTH.pack(sum(part.nbytes if isinstance(part, memoryview) else len(part) for part in parts))


class SubscriptionParser:
    """The stream number a new connection asks for, out of bytes that arrive in any portions."""

    def __init__(self) -> None:
        """Start at the beginning of a connection."""
        self._received = b""

    def receive(self, chunk: bytes) -> int | None:
        """Return the stream number once its four bytes are here, else None.

        Raises:
            ProtocolError: the connection sent more than the four bytes; no CARLA client does.
        """
        if len(self._received) + len(chunk) > SUBSCRIPTION_BYTES:
            raise ProtocolError(
                f"stream subscription: expected {SUBSCRIPTION_BYTES} bytes and then silence, "
                f"received {len(self._received) + len(chunk)}"
            )
        self._received += chunk
        if len(self._received) < SUBSCRIPTION_BYTES:
            return None
        return int.from_bytes(self._received, "little")
