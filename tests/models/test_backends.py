"""The same file under TensorFlow, JAX and PyTorch: equal logits, equal losses."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).with_name("backend_step.py")


def run_under(backend: str, folder: Path) -> dict[str, np.ndarray]:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed; `make test` installs it")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(folder / f"{backend}.npz")],
        env={**os.environ, "KERAS_BACKEND": backend, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    with np.load(folder / f"{backend}.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def tensorflow_run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    return run_under("tensorflow", tmp_path_factory.mktemp("tensorflow"))


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_another_backend_gives_the_logits_and_losses_of_tensorflow(
    backend: str, tensorflow_run: dict[str, np.ndarray], tmp_path: Path
) -> None:
    other = run_under(backend, tmp_path)
    assert str(other["backend"]) == backend
    assert np.abs(other["logits"] - tensorflow_run["logits"]).max() < 1e-4
    # The second loss is that of weights after a whole step: forward, backward, optimiser.
    assert np.abs(other["losses"] - tensorflow_run["losses"]).max() < 1e-3
    assert other["losses"][1] < other["losses"][0]
