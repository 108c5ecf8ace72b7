"""Whether recomputing a dense block's insides in the backward pass saves memory, on each backend.

    python benchmarks/recompute.py

A block as in FC-DenseNet at full size (8 layers of concatenation, scale, ReLU, 3x3 convolution to 12 maps, on 36 maps
of four 160x160 pictures), forward and backward, each variant in a process of its own: as it is, and with every layer
under the backend's own recomputation (`tf.recompute_grad`, `jax.checkpoint`, `torch.utils.checkpoint`). TensorFlow and
PyTorch say the peak of resident memory over what stood before the block, JAX what its compiled program will take. Half
a minute.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

LAYERS, GROWTH, MAPS, BATCH, SIDE = 8, 12, 36, 4, 160


def main() -> int:
    """Run every variant, print a table."""
    if len(sys.argv) == 3:
        print(BACKENDS[sys.argv[1]](sys.argv[2] == "recomputed"))
        return 0
    print(f"{'MiB':<12} {'kept':>8} {'recomputed':>10}")
    for backend in BACKENDS:
        mib = [measured(backend, variant) for variant in ("kept", "recomputed")]
        print(f"{backend:<12} {mib[0]:>8.0f} {mib[1]:>10.0f}   {1 - mib[1] / mib[0]:>4.0%} saved")
    return 0


def measured(backend: str, variant: str) -> float:
    """MiB of a variant, in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, backend, variant],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )  # fmt: skip
    return float(done.stdout.split()[-1])


def weights() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Kernels and scales of the layers."""
    rng = np.random.default_rng(0)
    widths = [MAPS + index * GROWTH for index in range(LAYERS)]
    kernels = [rng.normal(scale=0.05, size=(3, 3, width, GROWTH)).astype(np.float32) for width in widths]
    return kernels, [np.ones(width, np.float32) for width in widths]


def resident_mib() -> float:
    """The most memory this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_tensorflow(recomputed: bool) -> float:
    """MiB over what the process held before."""
    import tensorflow as tf

    kernels, scales = ([tf.Variable(value) for value in values] for values in weights())
    picture = tf.random.normal((BATCH, SIDE, SIDE, MAPS))

    def layer(index: int, *parts: Any) -> Any:
        return tf.nn.conv2d(tf.nn.relu(tf.concat(parts, -1) * scales[index]), kernels[index], 1, "SAME")

    @tf.function
    def gradients() -> Any:
        with tf.GradientTape() as tape:
            parts = [picture]
            for index in range(LAYERS):

                def one(*seen: Any, index: int = index) -> Any:
                    return layer(index, *seen)

                parts.append((tf.recompute_grad(one) if recomputed else one)(*parts))
            loss = tf.reduce_mean(tf.concat(parts, -1) ** 2)
        return tape.gradient(loss, kernels + scales)

    before = resident_mib()
    gradients()
    return resident_mib() - before


def in_jax(recomputed: bool) -> float:
    """MiB of the compiled program's own."""
    import jax
    from jax import numpy as jnp

    def layer(kernel: Any, scale: Any, *parts: Any) -> Any:
        x = jax.nn.relu(jnp.concatenate(parts, -1) * scale)
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    def loss(values: Any, picture: Any) -> Any:
        parts = [picture]
        for kernel, scale in zip(*values, strict=True):
            parts.append((jax.checkpoint(layer) if recomputed else layer)(kernel, scale, *parts))
        return jnp.mean(jnp.concatenate(parts, -1) ** 2)

    lowered = jax.jit(jax.grad(loss)).lower(weights(), np.zeros((BATCH, SIDE, SIDE, MAPS), np.float32))
    return float(lowered.compile().memory_analysis().temp_size_in_bytes) / 2**20


def in_torch(recomputed: bool) -> float:
    """MiB over what the process held before."""
    import torch
    from torch.utils.checkpoint import checkpoint

    kernels, scales = weights()
    kernel_tensors = [torch.tensor(kernel.transpose(3, 2, 0, 1).copy(), requires_grad=True) for kernel in kernels]
    scale_tensors = [torch.tensor(scale[:, None, None], requires_grad=True) for scale in scales]
    parts = [torch.randn(BATCH, MAPS, SIDE, SIDE)]

    def layer(index: int, *seen: Any) -> Any:
        x = torch.relu(torch.cat(seen, 1) * scale_tensors[index])
        return torch.nn.functional.conv2d(x, kernel_tensors[index], padding=1)

    before = resident_mib()
    for index in range(LAYERS):
        parts.append(checkpoint(layer, index, *parts, use_reentrant=False) if recomputed else layer(index, *parts))
    (torch.cat(parts, 1) ** 2).mean().backward()
    return resident_mib() - before


BACKENDS: dict[str, Callable[[bool], float]] = {"tensorflow": in_tensorflow, "jax": in_jax, "torch": in_torch}


if __name__ == "__main__":
    sys.exit(main())
