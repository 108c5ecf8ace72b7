"""The other families under JAX and PyTorch: the same initial weights, and logits equal to TensorFlow's."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import contract
import keras
import numpy as np
import pytest

SCRIPT = Path(__file__).with_name("backend_logits.py")
# JAX compiles every operation of the others for a minute or more.
QUICK = ("segnet",)
SLOW = tuple(name for name in contract.families() if name not in (*QUICK, "fc_densenet"))


@pytest.mark.parametrize("names", [QUICK, pytest.param(SLOW, marks=pytest.mark.slow)], ids=["quick", "slow"])
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_another_backend_gives_the_logits_of_tensorflow(backend: str, names: tuple[str, ...], tmp_path: Path) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed; `make test` installs it")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path / "logits.npz"), *names],
        env={**os.environ, "KERAS_BACKEND": backend, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    pictures = contract.images(*contract.ODD_SIZE, count=1)
    with np.load(tmp_path / "logits.npz") as file:
        assert str(file["backend"]) == backend
        for name in names:
            expected = keras.ops.convert_to_numpy(contract.shared(name)(pictures, training=False))
            # Fresh batch norms let the logits of deep networks grow to thousands; float32 has seven digits.
            assert np.abs(file[name] - expected).max() < 1e-4 * max(1.0, np.abs(expected).max() / 10), name
