"""What every test may count on: only loopback addresses, a fresh CARLA cache, no window, quiet TensorFlow."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Inherited by every process that a test starts.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ["QT_QPA_PLATFORM"] = "offscreen"


@pytest.fixture(scope="session", autouse=True)
def _fresh_carla_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The client keeps maps and navigation meshes for ever by name; tests never read an earlier one's."""
    os.environ["CARLA_CACHE_DIR"] = str(tmp_path_factory.mktemp("carla_cache"))
    # Built towns are kept for one test run, not in the user's own folder.
    os.environ["CARLASEG_CACHE_DIR"] = str(tmp_path_factory.mktemp("carlaseg_cache"))
    yield
    del os.environ["CARLA_CACHE_DIR"], os.environ["CARLASEG_CACHE_DIR"]


@pytest.fixture(scope="session", autouse=True)
def _loopback_only() -> Iterator[None]:
    """No test reaches beyond this machine: a connection elsewhere is an error here, not a slow failure there."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test opened a connection to {address}")
        connect(self, address)

    socket.socket.connect = guarded
    yield
    socket.socket.connect = connect


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real recordings and street scenes beside the checkout, where there are any."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("real data lies in ../shared/data on the project's own machines only")
    return folder
