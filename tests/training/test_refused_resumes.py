"""What `--resume` refuses, so that a run and what it says of itself stay one."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from carlaseg.checkpoint import RunFolder
from carlaseg.config import TrainConfig
from carlaseg.errors import CarlasegError, CheckpointError, ConfigError
from carlaseg.training.train import TrainResult, train

Finished = tuple[Path, TrainResult]


def content(run: Path) -> dict[str, bytes]:
    """Every file of a run."""
    return {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*") if path.is_file()}


def without_weights(run: Path) -> None:
    """Leave its history alone."""
    for path in run.glob("*.h5"):
        path.unlink()


def damaged(name: str) -> Callable[[Path], object]:
    """Cut a file of it short."""
    return lambda run: (run / name).write_text("{")


@pytest.mark.parametrize(
    ("change", "settings", "kind", "message"),
    [
        (without_weights, {}, CheckpointError, "expected the weights of its 3 epochs, received no last.weights.h5"),
        (damaged("model.json"), {}, CheckpointError, "model.json"),
        (damaged("config.json"), {}, CheckpointError, r"config\.json: expected TOML or JSON"),
        (None, {"epochs": 2}, ConfigError, "--epochs 2: expected at least the 3 that .* has done"),
        (None, {"run": "other"}, ConfigError, "received --run other where the run has whole"),
    ],
    ids=["without weights", "without a card", "without settings", "fewer epochs", "another name"],
)
def test_a_run_that_cannot_go_on_is_left_as_it_is(
    change: Callable[[Path], object] | None,
    settings: dict[str, Any],
    kind: type[CarlasegError],
    message: str,
    finished: Finished,
    tmp_path: Path,
) -> None:
    run = tmp_path / "copy"
    shutil.copytree(finished[1].run, run)
    if change is not None:
        change(run)
    before = content(run)
    with pytest.raises(kind, match=message) as caught:
        train(TrainConfig(resume=run, **settings))
    assert content(run) == before
    assert caught.value.message.endswith("Nothing was changed.") or "model.json" in caught.value.message


@pytest.mark.skipif(sys.platform == "win32", reason="a folder cannot be locked on Windows")
def test_a_run_is_trained_by_one_process_at_a_time(finished: Finished, tmp_path: Path) -> None:
    run = tmp_path / "copy"
    shutil.copytree(finished[1].run, run)
    before = content(run)
    with (
        RunFolder(run).ours(),
        pytest.raises(CheckpointError, match=r"received one that another process is training\. Nothing was changed"),
    ):
        train(TrainConfig(resume=run, epochs=4))
    assert content(run) == before
    again = train(TrainConfig(resume=run))
    assert again is not None
    assert again.epochs == 3
