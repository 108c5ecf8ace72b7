"""The streaming port: who listens to which stream, and bytes on their way to them.

The tick and the drawing thread publish. What the kernel takes at once they send themselves; the rest goes, without a
copy, through a bounded queue to the subscriber's own thread. One more thread accepts connections, reads the four bytes
that subscribe, and notices who has gone.

Rule 1: in synchronous mode a full queue makes the publisher wait: no frame is ever dropped for a subscriber that reads.
Rule 2: in a free run nobody is waited for: a full queue drops the new message.
Rule 3: a subscriber that has taken nothing for STALL_S is given up; the world goes on.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from carlaseg.errors import ProtocolError
from carlaseg.wire.stream import Buffer, SubscriptionParser, serialize_length

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
QUEUED_MESSAGES = 4
STALL_S = 30.0
HANDSHAKE_S = 10.0
REFUSAL_DELAY_S = 1.0
"""CARLA's client connects again at once when it is cut off; a stream that is gone must not make it spin."""
MAX_CONNECTIONS = 512
SEND_BUFFER_BYTES = 8 << 20
_MAX_SENDMSG_PARTS = 64
_LOOK_UP_S = 0.2
"""How often a publisher that waits looks whether it should still."""


class _Subscriber:
    """One connection that listens to one stream."""

    def __init__(self, connection: socket.socket, stream_id: int) -> None:
        self.connection = connection
        self.stream_id = stream_id
        self._queue: deque[list[memoryview]] = deque()
        self._changed = threading.Condition()
        self._sending = False
        self._closed = False
        self._thread = threading.Thread(target=self._send_queued, name=f"stream {stream_id}", daemon=True)
        self._thread.start()

    def offer(self, parts: Sequence[Buffer], may_wait: Callable[[], bool]) -> None:
        """Take a message: send it now if the line is free, else queue it, as long as `may_wait` says so."""
        views = [memoryview(serialize_length(parts)), *(memoryview(part) for part in parts)]
        with self._changed:
            if self._closed:
                return
            if not self._queue and not self._sending:
                try:
                    _advance(views, self.connection.sendmsg(views, (), socket.MSG_DONTWAIT))
                except BlockingIOError:
                    pass
                except OSError:
                    self._closed = True  # the accepting thread sees the end of the connection and clears it away
                    return
                if not views:
                    return
                # The rest of a message that has begun must follow, whatever the mode.
                self._queue.append(views)
                self._changed.notify_all()
                return
            if len(self._queue) >= QUEUED_MESSAGES:
                deadline_s = time.monotonic() + STALL_S
                while not self._closed and len(self._queue) >= QUEUED_MESSAGES and time.monotonic() < deadline_s:
                    if not may_wait():
                        return
                    self._changed.wait(_LOOK_UP_S)
                if not self._closed and len(self._queue) >= QUEUED_MESSAGES:
                    logger.warning(
                        "stream %d: a subscriber has read nothing for %g s and was cut off", self.stream_id, STALL_S
                    )
                    self._closed = True
                    self._shut_down()
            if not self._closed:
                self._queue.append(views)
                self._changed.notify_all()

    def _send_queued(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or bool(self._queue))
                if self._closed:
                    return
                views = self._queue.popleft()
                self._sending = True
                self._changed.notify_all()
            try:
                while views:
                    _advance(views, self.connection.sendmsg(views[:_MAX_SENDMSG_PARTS]))
            except OSError:
                self._shut_down()
                with self._changed:
                    self._closed = True
                    self._changed.notify_all()
                return
            with self._changed:
                self._sending = False

    def _shut_down(self) -> None:
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def hang_up(self) -> None:
        """End the connection; the accepting thread sees its end and clears it away."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._shut_down()

    def close(self) -> None:
        """End the connection and its thread; safe to call from any thread but its own."""
        self.hang_up()
        self._thread.join(5.0)
        self.connection.close()


def _advance(views: list[memoryview], sent: int) -> None:
    """Take `sent` bytes off the front of `views`."""
    while views and sent >= len(views[0]):
        sent -= len(views.pop(0))
    if sent:
        views[0] = views[0][sent:]


class _Newcomer:
    """A connection that has not yet said which stream it wants, or that asked for one that does not exist."""

    def __init__(self, deadline_s: float) -> None:
        self.parser = SubscriptionParser()
        self.deadline_s = deadline_s


class StreamServer:
    """Sensor streams on a loopback port."""

    def __init__(self, preferred_port: int) -> None:
        """Listen on `preferred_port`, or on any free one when it is taken: tokens tell clients where."""
        self._listener = _listen(preferred_port)
        self.port: int = self._listener.getsockname()[1]
        self._stopping = False
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self._known: set[int] = set()
        self._subscribers: dict[int, list[_Subscriber]] = {}
        self._accepted: dict[int, int] = {}
        self._expected: dict[int, int] = {}
        self._selector = selectors.DefaultSelector()
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._selector.register(self._listener, selectors.EVENT_READ, "listener")
        self._selector.register(self._wake_receiver, selectors.EVENT_READ, "wake")
        self._thread = threading.Thread(target=self._serve, name="stream subscriptions", daemon=True)
        self._thread.start()

    # For the tick and the drawing thread

    def open(self, stream_id: int) -> None:
        """Let clients subscribe to a stream."""
        with self._lock:
            self._known.add(stream_id)

    def close_stream(self, stream_id: int) -> None:
        """Refuse new subscribers. Those that are there hear nothing more and leave by themselves."""
        with self._lock:
            self._known.discard(stream_id)
            self._expected.pop(stream_id, None)

    def has_subscriber(self, stream_id: int) -> bool:
        """Return whether somebody listens."""
        return bool(self._subscribers.get(stream_id))

    def publish(self, stream_id: int, parts: Sequence[Buffer], may_wait: bool) -> None:
        """Send a message to everyone who listens to a stream; the parts must not change afterwards."""
        for subscriber in tuple(self._subscribers.get(stream_id, ())):
            subscriber.offer(parts, lambda: may_wait and not self._stopping)

    def hang_up(self, stream_id: int) -> None:
        """Cut off everyone who listens to a stream; CARLA's client connects again at once."""
        for subscriber in tuple(self._subscribers.get(stream_id, ())):
            subscriber.hang_up()

    def stop_waiting(self) -> None:
        """Let nobody be waited for any more; only sets a flag, so that a signal handler may call it."""
        self._stopping = True

    def expect_subscriber(self, stream_id: int) -> None:
        """Note that a client has asked for a stream's token: it will connect, once more than have connected so far."""
        with self._lock:
            accepted = self._accepted.get(stream_id, 0)
            self._expected[stream_id] = max(self._expected.get(stream_id, 0), accepted) + 1

    def await_expected(self, timeout_s: float) -> None:
        """Wait until everyone noted by `expect_subscriber` has connected, once and no longer than this."""
        if not self._expected:
            return
        with self._arrived:
            self._arrived.wait_for(self._all_arrived, timeout_s)
            self._expected.clear()

    def _all_arrived(self) -> bool:
        return all(self._accepted.get(stream_id, 0) >= count for stream_id, count in self._expected.items())

    def close(self) -> None:
        """End every connection and thread, and free the port."""
        self._wake_sender.send(b"x")
        self._thread.join(10.0)
        for subscribers in self._subscribers.values():
            for subscriber in subscribers:
                subscriber.close()
        self._subscribers.clear()
        self._wake_sender.close()

    # The accepting thread

    def _serve(self) -> None:
        newcomers: dict[socket.socket, _Newcomer] = {}
        running = True
        while running:
            timeout_s = None
            if newcomers:
                next_deadline = min(newcomer.deadline_s for newcomer in newcomers.values())
                timeout_s = max(next_deadline - time.monotonic(), 0.0)
            for key, _ in self._selector.select(timeout_s):
                connection = key.fileobj
                assert isinstance(connection, socket.socket)  # nothing else is registered
                if key.data == "wake":
                    running = False
                elif key.data == "listener":
                    self._accept(newcomers)
                elif isinstance(key.data, _Subscriber):
                    self._watch(key.data)
                else:
                    self._greet(connection, newcomers)
            now_s = time.monotonic()
            for connection in [one for one, newcomer in newcomers.items() if newcomer.deadline_s <= now_s]:
                self._drop(connection, newcomers)
        for connection in list(newcomers):
            self._drop(connection, newcomers)
        self._selector.close()
        self._listener.close()
        self._wake_receiver.close()

    def _accept(self, newcomers: dict[socket.socket, _Newcomer]) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return  # gone again before it was accepted
        subscribers = sum(map(len, self._subscribers.values()))
        if len(newcomers) + subscribers >= MAX_CONNECTIONS:
            connection.close()
            return
        try:
            connection.setblocking(True)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        except OSError:
            connection.close()  # gone since: macOS refuses to set anything then
            return
        newcomers[connection] = _Newcomer(time.monotonic() + HANDSHAKE_S)
        self._selector.register(connection, selectors.EVENT_READ, "newcomer")

    def _greet(self, connection: socket.socket, newcomers: dict[socket.socket, _Newcomer]) -> None:
        try:
            chunk = connection.recv(64, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        newcomer = newcomers[connection]
        try:
            stream_id = newcomer.parser.receive(chunk)
        except ProtocolError as error:
            logger.warning("%s. Connection closed.", error.message)
            stream_id, chunk = None, b""
        if not chunk:
            self._drop(connection, newcomers)
            return
        if stream_id is None:
            return
        with self._arrived:
            if stream_id not in self._known:
                newcomer.deadline_s = time.monotonic() + REFUSAL_DELAY_S
                return
            del newcomers[connection]
            subscriber = _Subscriber(connection, stream_id)
            self._selector.modify(connection, selectors.EVENT_READ, subscriber)
            self._subscribers[stream_id] = [*self._subscribers.get(stream_id, ()), subscriber]
            self._accepted[stream_id] = self._accepted.get(stream_id, 0) + 1
            self._arrived.notify_all()

    def _watch(self, subscriber: _Subscriber) -> None:
        try:
            chunk = subscriber.connection.recv(64, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if chunk:
            logger.warning("stream %d: expected silence after the subscription, received bytes", subscriber.stream_id)
        self._selector.unregister(subscriber.connection)
        with self._lock:
            remaining = [one for one in self._subscribers.get(subscriber.stream_id, ()) if one is not subscriber]
            if remaining:
                self._subscribers[subscriber.stream_id] = remaining
            else:
                self._subscribers.pop(subscriber.stream_id, None)
        subscriber.close()

    def _drop(self, connection: socket.socket, newcomers: dict[socket.socket, _Newcomer]) -> None:
        del newcomers[connection]
        self._selector.unregister(connection)
        connection.close()


def _listen(preferred_port: int) -> socket.socket:
    for port in (preferred_port, 0):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError:
            listener.close()
            if port == 0:
                raise
        else:
            break
    listener.listen(64)
    listener.setblocking(False)
    return listener
