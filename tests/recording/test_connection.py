"""A server is told from the one that has taken its port."""

from __future__ import annotations

import socket

from carlaseg.recording.connection import Lifeline


def listener(port: int = 0) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    made.listen()
    return made


def test_a_lifeline_holds_while_its_server_lives_and_not_with_another_on_its_port() -> None:
    with listener() as first:
        port = first.getsockname()[1]
        lifeline = Lifeline("127.0.0.1", port, 2.0)
        tied, _ = first.accept()
        assert lifeline.holds()
    assert not lifeline.holds(), "nobody listens"
    # Closed with the process in truth; and in this order, so that the port can be had again.
    tied.close()
    with listener(port):
        assert not lifeline.holds(), "another one listens"
    lifeline.close()
