"""The first words with a server: is there a client for it, is there one, is it CARLA, and of which version?"""

from __future__ import annotations

import importlib
import socket
from types import ModuleType
from typing import Any

from carlaseg.errors import SimulatorError


def is_time_out(error: RuntimeError) -> bool:
    """Whether an error of the client's says that nothing came, rather than what is wrong. It has one kind for both."""
    return "time-out" in str(error)


def import_carla() -> ModuleType:
    """CARLA's Python client.

    Raises:
        SimulatorError: it is not installed, with the Pythons it exists for.
    """
    try:
        return importlib.import_module("carla")
    except ImportError as error:
        raise SimulatorError(
            "recording: expected CARLA's Python client, received none: the package `carla` is not installed. It exists "
            "for Python 3.10 to 3.12 on Linux and Windows (x86-64); training and inference work without it.",
            (("with Python 3.10, 3.11 or 3.12", "pip install carla==0.9.16"),),
        ) from error


class Lifeline:
    """An idle connection to a server that ends when the server does, even where another one has its port by now.

    The client itself cannot tell: it waits for answers that a dead server owes it, and the one that took its place
    knows nothing of them.

    Args:
        host: of the server.
        port: its RPC port.
        timeout_s: how long a server may take to accept a connection.
    """

    def __init__(self, host: str, port: int, timeout_s: float) -> None:
        self._address = (host, port)
        self._timeout_s = timeout_s
        self._line = socket.create_connection(self._address, timeout_s)
        self._line.setblocking(False)

    def holds(self) -> bool:
        """Whether the server that this was tied to is still there, and listens."""
        try:
            if self._line.recv(1, socket.MSG_PEEK) == b"":
                return False
        except BlockingIOError:
            pass  # nothing was said, as it should be
        except OSError:
            return False
        try:
            socket.create_connection(self._address, self._timeout_s).close()
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Let go."""
        self._line.close()


def connect(
    carla: ModuleType, host: str, port: int, timeout_s: float, allow_version_mismatch: bool
) -> tuple[Any, Lifeline, str, str]:
    """A `carla.Client` that has had an answer, what tells when its server dies, its version and the server's.

    Raises:
        SimulatorError: nothing listens, it is no CARLA server, or one of another version.
    """
    # The client reports a refused connection only after its whole timeout, and in the words of a slow server.
    try:
        lifeline = Lifeline(host, port, timeout_s)
    except OSError as error:
        reason = "connection refused" if isinstance(error, ConnectionRefusedError) else str(error)
        raise _no_server(host, port, f'"{reason}"') from error
    try:
        client = carla.Client(host, port)
        client.set_timeout(timeout_s)
        return client, lifeline, *_versions(client, host, port, timeout_s, allow_version_mismatch)
    except BaseException:
        lifeline.close()
        raise


def _versions(client: Any, host: str, port: int, timeout_s: float, allow_version_mismatch: bool) -> tuple[str, str]:
    try:
        ours, servers = str(client.get_client_version()), str(client.get_server_version())
    except RuntimeError as error:
        what = f"a port that is open but gives no CARLA answer within {timeout_s:g} s"
        raise _no_server(host, port, what) from error
    if ours != servers and not allow_version_mismatch:
        raise SimulatorError(
            f"{host}:{port}: expected a CARLA server of client version {ours}, received {servers}. "
            "Different versions crash or mislabel without a word; nothing was written.",
            (
                ("right client", f"pip install carla=={servers}"),
                ("on your own risk", "carlaseg record --allow-version-mismatch"),
            ),
        )
    return ours, servers


def _no_server(host: str, port: int, received: str) -> SimulatorError:
    return SimulatorError(
        f"{host}:{port}: expected a CARLA server, received {received}. Nothing was written.",
        (
            ("start CARLA", "./CarlaUE4.sh -RenderOffScreen   (in its folder; wait until it is up)"),
            ("or without it", "carlaseg record --simulator embedded"),
            ("still stuck", "carlaseg doctor"),
        ),
    )
