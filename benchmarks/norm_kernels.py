"""Ways to compute relu(x * scale + shift) and its gradients on TensorFlow: what decision 12 rests on.

    python benchmarks/norm_kernels.py

Two 160x160 pictures of 84, 96 and 132 maps, one thread, the least processor time of nine runs in turns, ms: forward
with all gradients as three operations, as a 1x1 depthwise convolution with a bias (ours), as TensorFlow's fused batch
norm, and the three operations compiled by XLA. A minute.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from carlaseg.backend import prepare_backend  # noqa: E402

RUNS = 9


def main() -> int:
    """Measure, print a table."""
    prepare_backend()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)

    def operations(x: Any, scale: Any, shift: Any) -> Any:
        return tf.nn.relu(x * scale + shift)

    def depthwise(x: Any, scale: Any, shift: Any) -> Any:
        kernel = tf.reshape(scale, (1, 1, -1, 1))
        return tf.nn.relu(tf.nn.bias_add(tf.nn.depthwise_conv2d(x, kernel, [1, 1, 1, 1], "SAME"), shift))

    def fused_norm(x: Any, scale: Any, shift: Any) -> Any:
        zeros, ones = tf.zeros_like(scale), tf.ones_like(scale)
        return tf.nn.relu(tf.compat.v1.nn.fused_batch_norm(x, scale, shift, zeros, ones, is_training=False)[0])

    ways = {
        "operations": operations,
        "depthwise": depthwise,
        "fused norm": fused_norm,
        "XLA": tf.function(operations, jit_compile=True),
    }
    print(f"{'maps':>4} " + " ".join(f"{name:>12}" for name in ways))
    for maps in (84, 96, 132):
        x, gradient = (tf.random.normal((2, 160, 160, maps)) for _ in range(2))
        scale, shift = tf.random.uniform((maps,)), tf.random.normal((maps,))

        def with_gradients(way: Any, given: tuple[Any, ...] = (x, scale, shift), outer: Any = gradient) -> Any:
            @tf.function
            def both() -> Any:
                with tf.GradientTape() as tape:
                    tape.watch(given)
                    answer = way(*given)
                return answer, tape.gradient(answer, given, output_gradients=outer)

            return both

        taken = least_s([with_gradients(way) for way in ways.values()])
        print(f"{maps:>4} " + " ".join(f"{seconds * 1e3:>12.2f}" for seconds in taken), flush=True)
    return 0


def least_s(sides: list[Callable[[], Any]]) -> list[float]:
    """The least processor time of each side, the sides taking turns."""
    for work in sides:
        work()
    least = [float("inf")] * len(sides)
    for _ in range(RUNS):
        for index, work in enumerate(sides):
            began_s = time.process_time()
            work()
            least[index] = min(least[index], time.process_time() - began_s)
    return least


if __name__ == "__main__":
    sys.exit(main())
