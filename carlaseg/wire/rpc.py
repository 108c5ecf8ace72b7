"""msgpack-rpc as CARLA's client speaks it: requests out of bytes, replies into bytes.

A request is `[0, msgid, method, [[is_async], argument...]]`, a reply `[1, msgid, error, result]`; messages follow each
other on the connection without any length. Results are wrapped: `[[1, value]]` or `[[0, [text]]]` where the call has a
value, `[[False]]` or `[[True, [text]]]` where it has none.

Source: carla 0.9.16 client (rpclib), reproduced from its bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgpack

from carlaseg.errors import ProtocolError
from carlaseg.wire.structs import wrong

MAX_MESSAGE_BYTES = 32 << 20
"""Longest request: an OpenDRIVE file of a large town is about 10 MB; nothing else comes near."""
MAX_ARRAY_ITEMS = 1 << 13
"""Longest array, checked before the array is allocated; arrays nest no deeper than msgpack's 1,024 levels."""
MAX_MESSAGE_ITEMS = 1 << 20
"""Items of all arrays of one request together: one byte of an empty array costs 56 bytes of memory."""
MAX_METHOD_CHARACTERS = 128
_FEED_BYTES = 1 << 16
_MAX_MSGID = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Request:
    """A call from a client.

    Attributes:
        msgid: what the reply must carry.
        method: name of the call.
        wants_reply: false for calls whose reply the client ignores.
        args: arguments as msgpack decodes them, not yet checked.
    """

    msgid: int
    method: str
    wants_reply: bool
    args: list[Any]


class RequestParser:
    """Requests of one connection, in order, out of bytes that arrive in any portions.

    Call `feed` with each portion, then `next_request` until it returns None. After a `ProtocolError` nothing more can
    be read from the connection: every further call raises again.
    """

    def __init__(self) -> None:
        """Start at the beginning of a connection."""
        self._items = 0
        self._fed = 0
        self._pending: list[bytes] = []
        self._broken = ""
        self._unpacker = msgpack.Unpacker(
            raw=False,
            list_hook=self._count_items,
            max_buffer_size=MAX_MESSAGE_BYTES + _FEED_BYTES,
            max_str_len=MAX_MESSAGE_BYTES,
            max_bin_len=MAX_MESSAGE_BYTES,
            max_array_len=MAX_ARRAY_ITEMS,
            max_map_len=0,
            max_ext_len=0,
        )
        self._message_start = 0

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the connection."""
        view = memoryview(chunk)
        self._pending += [bytes(view[i : i + _FEED_BYTES]) for i in range(0, len(view), _FEED_BYTES)]

    def next_request(self) -> Request | None:
        """Return the next complete request, or None when more bytes are needed.

        Raises:
            ProtocolError: the bytes are not msgpack, not a request, or larger than the caps allow.
        """
        if self._broken:
            raise ProtocolError(self._broken)
        try:
            return self._next_request()
        except ProtocolError as error:
            self._broken = error.message
            self._pending.clear()
            raise

    def _next_request(self) -> Request | None:
        while True:
            try:
                message = self._unpacker.unpack()
            except msgpack.OutOfData:
                if self._fed - self._message_start > MAX_MESSAGE_BYTES:
                    raise ProtocolError(
                        f"rpc message at byte {self._message_start}: expected at most {MAX_MESSAGE_BYTES} bytes, "
                        f"received {self._fed - self._message_start} and no end"
                    ) from None
                if not self._pending:
                    return None
                chunk = self._pending.pop(0)
                self._fed += len(chunk)
                self._unpacker.feed(chunk)
            except ProtocolError:
                raise
            except (ValueError, msgpack.UnpackException) as error:
                raise ProtocolError(
                    f"rpc message at byte {self._message_start}: expected a msgpack request, received bytes that are "
                    f"not one ({type(error).__name__}: {error})"
                ) from error
            else:
                start, self._message_start = self._message_start, self._unpacker.tell()
                self._items = 0
                return _request(message, f"rpc message at byte {start}")

    def _count_items(self, items: list[Any]) -> list[Any]:
        self._items += len(items) + 1
        if self._items > MAX_MESSAGE_ITEMS:
            raise ProtocolError(
                f"rpc message at byte {self._message_start}: expected at most {MAX_MESSAGE_ITEMS} items, received more"
            )
        return items


def _request(message: Any, where: str) -> Request:
    if type(message) is not list or len(message) != 4:
        raise wrong(where, "an array of 4 (a request)", message)
    kind, msgid, method, params = message
    if type(kind) is not int or kind != 0:
        raise wrong(f"{where}, item 0", "0 (a request)", kind)
    if type(msgid) is not int or not 0 <= msgid <= _MAX_MSGID:
        raise wrong(f"{where}, item 1", "a message number", msgid)
    if type(method) is not str or not 0 < len(method) <= MAX_METHOD_CHARACTERS:
        raise wrong(f"{where}, item 2", f"a method name of up to {MAX_METHOD_CHARACTERS} characters", method)
    if type(params) is not list or not params:
        raise wrong(f"{where}, item 3", "an array of call metadata and arguments", params)
    metadata = params[0]
    if type(metadata) is not list or not metadata or type(metadata[0]) is not bool:
        raise wrong(f"{where}, item 3, metadata", "[is_async]", metadata)
    return Request(msgid, method, not metadata[0], params[1:])


class Packed(bytes):
    """A value that is msgpack already: answers that are asked for often are packed once."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """Outcome of one command of a batch: the actor it was about, or the error's text."""

    actor_id: int
    error: str | None = None


def pack(value: object) -> Packed:
    """Return `value` (see `structs.to_wire`) as msgpack, byte vectors as bin."""
    return Packed(msgpack.packb(value, use_bin_type=True, unicode_errors="replace"))


def _reply(msgid: int, result: bytes) -> bytes:
    return b"".join((b"\x94\x01", msgpack.packb(msgid), b"\xc0", result))


def reply_value(msgid: int, value: object) -> bytes:
    """Return the reply to a call that has a value; `value` may be `Packed`."""
    return _reply(msgid, b"\x91\x92\x01" + (value if isinstance(value, Packed) else pack(value)))


def reply_void(msgid: int) -> bytes:
    """Return the reply to a call that has no value."""
    return _reply(msgid, b"\x91\x91\xc2")


def reply_value_error(msgid: int, text: str) -> bytes:
    """Return the reply that raises `RuntimeError(text)` at the client, for a call that has a value."""
    return _reply(msgid, pack([[0, [text]]]))


def reply_void_error(msgid: int, text: str) -> bytes:
    """Return the reply that raises `RuntimeError(text)` at the client, for a call that has no value."""
    return _reply(msgid, pack([[True, [text]]]))


def reply_batch(msgid: int, results: Sequence[CommandResult]) -> bytes:
    """Return the reply to `apply_batch`. The client crashes when it has fewer entries than the batch had commands."""
    entries = [[[1, one.actor_id]] if one.error is None else [[0, [one.error]]] for one in results]
    return _reply(msgid, pack(entries))


def reply_unknown_method(msgid: int, method: str) -> bytes:
    """Return the reply to a call that no CARLA server knows; the client's error names the call."""
    return pack([1, msgid, f"rpclib: server could not find function '{method}'", None])
