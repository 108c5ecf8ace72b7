"""Memory and time of a training step with and without `--recompute`, on every backend that has it.

    python benchmarks/recompute.py [--models fc_densenet56 ...] [--size 160x160] [--batch-size 4] [--quick]

Each figure comes from a process of its own that trains a few steps on made-up pictures (`carlaseg.training.trial`, what
`carlaseg fit` measures with); kept and recomputed take turns. JAX has no such network; the last line is why: one dense
block under `jax.checkpoint`, the memory that its compiled program says it will take. A quarter of an hour on two cores.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
from typing import Any

import numpy as np
from measuring import write_results

from carlaseg.config import Size

CLASSES = 11
BACKENDS = ("tensorflow", "torch")
LAYERS, GROWTH, MAPS, BATCH, SIDE = 8, 12, 36, 4, 160


def main() -> int:
    """Measure, print a table, write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["fc_densenet56", "fc_densenet67", "fc_densenet103"])
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--size", type=Size.parse, default=Size(160, 160))
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--quick", action="store_true", help="one turn, the first network; shows that it runs")
    given = parser.parse_args()
    turns = 1 if given.quick else 2
    rows = []
    print(f"{'':<26} {'kept MiB':>9} {'recomputed':>10} {'saved':>6} {'expected':>9} {'kept s':>7} {'recomputed':>10}")
    for backend in given.backends:
        for model in given.models[: 1 if given.quick else None]:
            settings = {
                "model": model, "size": str(given.size), "batch_size": given.batch_size, "num_classes": CLASSES
            }  # fmt: skip
            trials: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
            for _ in range(turns):
                for recompute, made in trials.items():
                    made.append(trial(backend, settings | {"recompute": recompute}))
            mib = {key: statistics.median(one["peak_bytes"] for one in made) / 2**20 for key, made in trials.items()}
            step = {key: statistics.median(one["step_s"] for one in made) for key, made in trials.items()}
            expected = expected_mib(settings)
            rows.append(
                {"backend": backend, **settings, "kept_mib": mib[False], "recomputed_mib": mib[True],
                 "expected_mib": expected, "kept_step_s": step[False], "recomputed_step_s": step[True]}
            )  # fmt: skip
            print(
                f"{backend + ' ' + model:<26} {mib[False]:>9.0f} {mib[True]:>10.0f} {1 - mib[True] / mib[False]:>6.0%} "
                f"{expected:>9.0f} {step[False]:>7.2f} {step[True]:>10.2f}",
                flush=True,
            )
    block: dict[str, float] = {}
    if importlib.util.find_spec("jax") is not None:
        block = {"kept_mib": jax_block_mib(False), "recomputed_mib": jax_block_mib(True)}
        print(f"{'jax, one dense block':<26} {block['kept_mib']:>9.0f} {block['recomputed_mib']:>10.0f}")
    if not given.quick:
        write_results("recompute", ("tensorflow", "torch", "jax", "keras", "numpy"), rows=rows, jax_block=block)
    return 0


def trial(backend: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Peak bytes and seconds a step, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "carlaseg.training.trial", json.dumps(settings)],
        capture_output=True, text=True, check=True, env=os.environ | {"KERAS_BACKEND": backend},
    )  # fmt: skip
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def expected_mib(settings: dict[str, Any]) -> float:
    """What `carlaseg train --recompute` says before the first step."""
    from carlaseg.backend import prepare_backend

    prepare_backend()
    from carlaseg import models
    from carlaseg.training import memory
    from carlaseg.training.recomputation import backend_recomputation

    model = models.build(settings["model"], CLASSES, recompute=backend_recomputation())
    size = Size.parse(settings["size"])
    return memory.step_bytes(model, (size.height, size.width), settings["batch_size"]) / 2**20


def jax_block_mib(recomputed: bool) -> float:
    """Layers of concatenation, scale, ReLU and convolution, forward and backward: MiB of the compiled program's own."""
    import jax
    from jax import numpy as jnp

    rng = np.random.default_rng(0)
    widths = [MAPS + index * GROWTH for index in range(LAYERS)]
    kernels = [rng.normal(scale=0.05, size=(3, 3, width, GROWTH)).astype(np.float32) for width in widths]
    scales = [np.ones(width, np.float32) for width in widths]

    def layer(kernel: Any, scale: Any, *parts: Any) -> Any:
        x = jax.nn.relu(jnp.concatenate(parts, -1) * scale)
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    def loss(values: Any, picture: Any) -> Any:
        parts = [picture]
        for kernel, scale in zip(*values, strict=True):
            parts.append((jax.checkpoint(layer) if recomputed else layer)(kernel, scale, *parts))
        return jnp.mean(jnp.concatenate(parts, -1) ** 2)

    lowered = jax.jit(jax.grad(loss)).lower((kernels, scales), np.zeros((BATCH, SIDE, SIDE, MAPS), np.float32))
    return float(lowered.compile().memory_analysis().temp_size_in_bytes) / 2**20


if __name__ == "__main__":
    sys.exit(main())
