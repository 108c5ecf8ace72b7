"""What a killed recording leaves, found and removed by the doctor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from recordings_made import SMALL, UNTOUCHED, wait_for_frames

from carlaseg.simulator.testing import Address, running_simulator


def doctor(address: Address, *words: str) -> subprocess.CompletedProcess[str]:
    program = (
        "import sys; from carlaseg import doctor; doctor.CHECKS = (doctor.check_server,); "
        "from carlaseg.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", program, "doctor", "--port", str(address.port), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=90)


def test_the_doctor_finds_a_frozen_server_and_clears_what_is_ours(
    tmp_path: Path, world_state: Callable[[Address], dict[str, Any]]
) -> None:
    pytest.importorskip("carla", reason="no carla client for this Python or platform")
    with running_simulator(seed=5) as address:
        command = [sys.executable, "-m", "carlaseg", "record", *SMALL, "--port", str(address.port), "--name", "drive"]
        command += ["--output", str(tmp_path), "--frames", "1000", "--every", "1"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_for_frames(tmp_path / "drive", 3, process)
        busy = doctor(address, "--clear")
        assert "ticks of another client. Nothing was changed." in busy.stdout
        (recorder,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(recorder), signal.SIGKILL)
        process.communicate(timeout=60)

        frozen = doctor(address)
        assert "frozen: it waits for ticks and no client gives any" in frozen.stdout
        assert f"fix   carlaseg doctor --clear --host 127.0.0.1 --port {address.port}" in frozen.stdout
        cleared = doctor(address, "--clear")
        assert cleared.returncode == 0, cleared.stdout
        assert "it was frozen and runs again" in cleared.stdout
        assert world_state(address) == UNTOUCHED
