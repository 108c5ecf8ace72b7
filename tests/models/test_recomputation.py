"""FC-DenseNet with `recompute`: the same weights, names and numbers in less memory."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from recomputed_training import difference

from carlaseg import models
from carlaseg.models.cost import multiply_adds
from carlaseg.training import memory
from carlaseg.training.recomputation import backend_recomputation


def in_a_process(backend: str, *words: str) -> subprocess.CompletedProcess[str]:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed; `make test` installs it")
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=280,
        env={**os.environ, "KERAS_BACKEND": backend, "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("mixed_bfloat16", 0.05)])
def test_recomputing_changes_neither_the_names_nor_what_is_learned(precision: str, tolerance: float) -> None:
    found = difference(precision)
    assert found["logits"] == 0
    assert max(found.values()) < tolerance, found


def test_pytorch_recomputes_too() -> None:
    done = in_a_process("torch", str(Path(__file__).with_name("recomputed_training.py")))
    assert done.stdout == "same\n", done.stderr[-2000:]


def test_jax_is_refused_since_nothing_is_saved_there() -> None:
    done = in_a_process("jax", "-c", "from carlaseg.training.recomputation import *; backend_recomputation()")
    assert "--recompute: expected with TensorFlow or PyTorch, received with jax" in done.stderr


def test_less_is_reckoned_to_be_kept_and_as_much_to_be_multiplied() -> None:
    plain, recomputed = (models.build("fc_densenet67", 3, recompute=again) for again in (None, backend_recomputation()))
    kept = [memory.activation_bytes(model, (64, 64), 2) for model in (plain, recomputed)]
    assert kept[1] < 0.7 * kept[0]
    assert multiply_adds(recomputed, 64, 64) == multiply_adds(plain, 64, 64)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("backend", ["tensorflow", "torch"])
def test_a_step_takes_a_third_less_memory_and_what_was_reckoned(backend: str) -> None:
    wanted: dict[str, Any] = {"model": "fc_densenet67", "size": "224x224", "batch_size": 4, "num_classes": 11}
    peaks = []
    for again in (False, True):
        done = in_a_process(backend, "-m", "carlaseg.training.trial", json.dumps({**wanted, "recompute": again}))
        assert done.returncode == 0, done.stderr[-2000:]
        peaks.append(json.loads(done.stdout.splitlines()[-1])["peak_bytes"])
    assert peaks[1] < 0.72 * peaks[0]
    if backend == "tensorflow":
        model = models.build("fc_densenet67", 11, recompute=backend_recomputation())
        assert memory.step_bytes(model, (224, 224), 4) == pytest.approx(peaks[1], rel=0.15)
