"""Several processes that share every batch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from tiny_training import settings, stored

from carlaseg.config import TrainConfig, to_json
from carlaseg.errors import CarlasegError, ConfigError
from carlaseg.training import processes
from carlaseg.training.train import train

LIMIT_S = 400


def start(folder: Path, *flags: str) -> subprocess.Popen[str]:
    """`carlaseg train` under JAX with the settings in `folder`, which also have averaged weights."""
    (folder / "config.json").write_text(json.dumps(to_json(settings(folder, epochs=6, ema=0.9))))
    return subprocess.Popen(
        [sys.executable, "-m", "carlaseg", "train", "--config", str(folder / "config.json"), *flags],
        env={**os.environ, "KERAS_BACKEND": "jax"}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_that_were_stopped_and_continued_end_with_the_weights_of_one(folder: Path) -> None:
    one = start(folder, "--run", "one")
    _, said = one.communicate(timeout=LIMIT_S)
    assert one.returncode == 0, said

    two = start(folder, "--run", "two", "--processes", "2")
    assert two.stderr is not None
    for line in two.stderr:
        if " 1/6 " in line:
            two.send_signal(signal.SIGINT)
            break
    _, said = two.communicate(timeout=LIMIT_S)
    assert two.returncode == 130, said
    assert "are safe in" in said

    again = start(folder, "--resume", str(folder / "runs" / "two"), "--processes", "2")
    _, said = again.communicate(timeout=LIMIT_S)
    assert again.returncode == 0, said
    assert "resume  after" in said
    whole, shared = (stored(folder / "runs" / name / "last.weights.h5") for name in ("one", "two"))
    assert sorted(whole) == sorted(shared)
    for name in whole:
        if name.startswith("weights/"):
            assert np.allclose(whole[name], shared[name], rtol=1e-3, atol=1e-4), name
    kept = json.loads((folder / "runs" / "two" / "config.json").read_text())
    assert (kept["processes"], kept["coordinator"], kept["process"]) == (2, None, None)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_ends_one_process_ends_all_of_them_with_its_error(folder: Path) -> None:
    two = start(folder, "--run", "two", "--processes", "2", "--init-from", str(folder / "nowhere"))
    _, said = two.communicate(timeout=LIMIT_S)
    assert two.returncode == 6
    assert "nowhere" in said
    assert "Traceback" not in said


def test_a_process_that_dies_alone_is_named_and_the_one_that_waits_for_it_is_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def stand_in(settings: Path, coordinator: str, rank: int, config: TrainConfig, log: IO[bytes]) -> Any:
        does = "import time; time.sleep(60)" if rank == 0 else "import sys; sys.exit('the disk is gone')"
        started.append(subprocess.Popen([sys.executable, "-S", "-c", does], stderr=log))
        return started[-1]

    monkeypatch.setattr(processes, "_start", stand_in)
    monkeypatch.setattr(processes, "LEFT_TO_END_S", 0.1)
    with pytest.raises(CarlasegError, match=r"process 1 of 2: .* received exit code 1: the disk is gone"):
        processes.start_all(TrainConfig(processes=2))
    assert [process.returncode for process in started] == [-signal.SIGKILL, 1]


def test_a_process_of_several_needs_to_know_which_it_is() -> None:
    with pytest.raises(ConfigError, match="expected with --coordinator and --process"):
        train(TrainConfig(processes=2))
    with pytest.raises(ConfigError, match="expected together with --process"):
        TrainConfig(processes=2, coordinator="127.0.0.1:1")
    with pytest.raises(ConfigError, match=r"--processes 3: expected a --batch-size that it divides, received 4"):
        TrainConfig(processes=3)
