"""The RPC port and the one thread that does everything that must happen in order: calls and ticks.

Loopback only. A connection that sends what is not the protocol is closed, with one line on the log; the others do not
notice. In synchronous mode the world ticks when a client says so; otherwise it ticks here, at its own pace, after the
calls that have arrived.
"""

from __future__ import annotations

import errno
import logging
import selectors
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from typing import Protocol

from carlaseg.errors import ProtocolError, SimulatorError
from carlaseg.simulator.rpc_methods import answer
from carlaseg.simulator.simulation import Simulation
from carlaseg.wire.rpc import Request, RequestParser

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
RECEIVE_BYTES = 1 << 16
MAX_UNREAD_REPLY_BYTES = 256 << 20
"""A client that asks and asks and never reads is cut off before it fills the memory."""
MAX_CONNECTIONS = 256
_LONGEST_PACE_S = 0.05
"""A free run shows a state at least this often, however long its time step is: clients wait for the next one."""
_SHARE_FOR_CALLS = 0.2
"""Part of a slow free run's time that is kept for calls."""


Answer = Callable[[Simulation, Request, int], bytes | None]
"""How a request of a connection becomes a reply; `rpc_methods.answer`, or something in front of it."""


class Conversation(Protocol):
    """What is said on one connection."""

    def hear(self, chunk: bytes) -> Iterable[bytes]:
        """Take the next bytes and return what to send back.

        Raises:
            ProtocolError: the bytes make no sense; the connection is then closed.
        """
        ...


class _RpcConversation:
    """Requests and their replies."""

    def __init__(self, simulation: Simulation, respond: Answer, number: int) -> None:
        self._simulation = simulation
        self._respond = respond
        self._number = number
        self._parser = RequestParser()

    def hear(self, chunk: bytes) -> Iterator[bytes]:
        self._parser.feed(chunk)
        while (request := self._parser.next_request()) is not None:
            reply = self._respond(self._simulation, request, self._number)
            if reply is not None:
                yield reply


class _Connection:
    """A connection with what is said on it and what the other side has not read yet."""

    def __init__(self, connection: socket.socket, number: int, conversation: Conversation) -> None:
        self.socket = connection
        self.number = number
        self.peer = "{}:{}".format(*connection.getpeername()[:2])
        self.conversation = conversation
        self.unread: list[memoryview] = []

    def send(self, reply: bytes) -> None:
        """Send a reply, or as much of it as the kernel takes.

        Raises:
            ProtocolError: too much lies unread.
        """
        self.unread.append(memoryview(reply))
        self.flush()
        if sum(map(len, self.unread)) > MAX_UNREAD_REPLY_BYTES:
            raise ProtocolError(
                f"replies: expected a client that reads them, received {MAX_UNREAD_REPLY_BYTES} bytes unread"
            )

    def flush(self) -> None:
        """Send what the kernel takes."""
        while self.unread:
            try:
                sent = self.socket.send(self.unread[0])
            except BlockingIOError:
                return
            if sent == len(self.unread[0]):
                self.unread.pop(0)
            else:
                self.unread[0] = self.unread[0][sent:]


def listen(port: int) -> socket.socket:
    """Return a socket that listens on a loopback port; 0 finds a free one.

    Raises:
        SimulatorError: the port is in use or may not be used.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(64)
    except OSError as error:
        listener.close()
        why = "it is in use" if error.errno == errno.EADDRINUSE else str(error.strerror)
        raise SimulatorError(
            f"{HOST}:{port}: expected a free port to listen on, received: {why}",
            next_steps=(
                ("any free port", "carlaseg simulate --port 0"),
                ("who has it", f"ss -ltnp 'sport = :{port}'"),
            ),
        ) from error
    listener.setblocking(False)
    return listener


class RpcServer:
    """Serves one simulation until told to stop.

    Args:
        listener: of the RPC port; closed with the server.
        simulation: what is served.
        respond: answers requests.
        doors: further listening sockets, each with what makes the conversation of a connection to it.
    """

    def __init__(
        self,
        listener: socket.socket,
        simulation: Simulation,
        respond: Answer = answer,
        doors: Sequence[tuple[socket.socket, Callable[[], Conversation]]] = (),
    ) -> None:
        self._listener = listener
        self._simulation = simulation
        self._respond = respond
        self._doors = dict(doors)
        self._selector = selectors.DefaultSelector()
        self._stop_receiver, self._stop_sender = socket.socketpair()
        self._stop_sender.setblocking(False)
        self._numbers = count(1)
        self._stopping = False
        for one in (listener, *self._doors):
            self._selector.register(one, selectors.EVENT_READ)
        self._selector.register(self._stop_receiver, selectors.EVENT_READ)

    @property
    def port(self) -> int:
        """The port it listens on."""
        port: int = self._listener.getsockname()[1]
        return port

    def stop(self) -> None:
        """Make `serve` return soon; may be called from any thread and from a signal handler."""
        self._stopping = True
        self._simulation.streams.stop_waiting()
        try:
            self._stop_sender.send(b"x")
        except OSError:
            return  # already closed, or full of the same wish

    def serve(self) -> None:
        """Serve until `stop`; then close every connection and the port."""
        try:
            next_tick_s = time.monotonic()
            while not self._stopping:
                if self._simulation.settings.synchronous_mode:
                    self._serve_calls(None)
                    next_tick_s = time.monotonic()
                    continue
                self._serve_calls(max(next_tick_s - time.monotonic(), 0.0))
                now_s = time.monotonic()
                if now_s >= next_tick_s and not self._simulation.settings.synchronous_mode:
                    next_tick_s = self._free_tick(now_s)
        finally:
            self._close()

    def _free_tick(self, started_s: float) -> float:
        """Tick once and return when the next tick of a free run is due."""
        try:
            self._simulation.tick(asked_for=False)
        except Exception as error:  # the free run must outlive whatever one tick meets
            logger.warning("a tick of the free run failed, %s: %s", type(error).__name__, error)
            logger.debug("trace", exc_info=error)
        ended_s = time.monotonic()
        pace_s = min(self._simulation.delta_s, _LONGEST_PACE_S)
        return max(started_s + pace_s, ended_s + _SHARE_FOR_CALLS * (ended_s - started_s))

    def _serve_calls(self, timeout_s: float | None) -> None:
        for key, events in self._selector.select(timeout_s):
            if key.fileobj is self._stop_receiver:
                self._stopping = True
            elif isinstance(key.data, _Connection):
                self._attend(key.data, events)
            else:
                assert isinstance(key.fileobj, socket.socket)  # nothing else is registered
                self._accept(key.fileobj)

    def _accept(self, listener: socket.socket) -> None:
        number = next(self._numbers)
        conversation: Conversation = (
            self._doors[listener]()
            if listener in self._doors
            else _RpcConversation(self._simulation, self._respond, number)
        )
        try:
            accepted, _ = listener.accept()
        except OSError:
            return  # gone again before it was accepted
        try:
            accepted.setblocking(False)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = _Connection(accepted, number, conversation)
        except OSError:
            accepted.close()  # gone since
            return
        if len(self._selector.get_map()) >= MAX_CONNECTIONS:
            accepted.close()
            return
        self._selector.register(accepted, selectors.EVENT_READ, connection)

    def _attend(self, connection: _Connection, events: int) -> None:
        try:
            if events & selectors.EVENT_WRITE:
                connection.flush()
            if events & selectors.EVENT_READ:
                chunk = connection.socket.recv(RECEIVE_BYTES)
                if not chunk:
                    self._drop(connection)
                    return
                for reply in connection.conversation.hear(chunk):
                    connection.send(reply)
            self._listen_for(connection)
        except BlockingIOError:
            return
        except ProtocolError as error:
            logger.warning("connection from %s, %s. Connection closed.", connection.peer, error.message)
            self._drop(connection)
        except OSError:
            self._drop(connection)

    def _listen_for(self, connection: _Connection) -> None:
        """Wait for what a connection can do next: say something, and take what it has not read yet."""
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.unread else 0)
        if self._selector.get_key(connection.socket).events != wanted:
            self._selector.modify(connection.socket, wanted, connection)

    def _drop(self, connection: _Connection) -> None:
        self._selector.unregister(connection.socket)
        connection.socket.close()
        self._simulation.forget_connection(connection.number)

    def _close(self) -> None:
        for key in list(self._selector.get_map().values()):
            if isinstance(key.data, _Connection):
                key.data.socket.close()
        self._selector.close()
        for listener in (self._listener, *self._doors):
            listener.close()
        self._stop_receiver.close()
        self._stop_sender.close()
