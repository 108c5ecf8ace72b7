"""How much memory a training step takes, what would fit, and what running out of it looks like."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from carlaseg.config import Size, TrainConfig

BACKEND_BYTES = 990 * 2**20
"""Interpreter, backend, and what tracing a step leaves behind (measured: TensorFlow 2.21 on a CPU)."""
BYTES_A_PARAMETER = 24
"""Float32 value, gradient, two moments of Adam, and what the update makes in between (measured: U-Net's 31 million)."""
KEPT_SHARE = 1.15
"""Growth of a step's peak over the growth of the sum of all layers' outputs (measured there: `carlaseg fit` does)."""

REMADE_STACKS = 7
"""With --recompute, times the largest stack that the backward pass makes: stack, ReLU, their gradients, slices, sums
(measured there: `benchmarks/recompute.py`)."""


def largest_pictures(config: TrainConfig) -> tuple[str, Size]:
    """The largest pictures that a step trains on, and the flag that says so: crops where no epoch has whole frames."""
    if config.crop is not None and not config.full_size_epochs:
        return "--crop", config.crop
    return "--size", config.size


def step_bytes(model: Any, size: tuple[int, int], batch_size: int) -> int:
    """Expected peak memory of a training step, in bytes; mostly within 15 % on a CPU with TensorFlow.

    Args:
        model: Keras model, input of free height and width.
        size: (height, width) of the images.
        batch_size: images a step.
    """
    return int(fixed_bytes(model) + KEPT_SHARE * activation_bytes(model, size, batch_size))


def fixed_bytes(model: Any) -> int:
    """What a training takes whatever the size and the batch: the backend, the weights and the optimiser's copies."""
    return int(BACKEND_BYTES + BYTES_A_PARAMETER * model.count_params())


def activation_bytes(model: Any, size: tuple[int, int], batch_size: int) -> int:
    """Sum of the outputs of all layers, in bytes, each in its layer's own precision.

    A recomputed layer's is its convolution's alone; what the backward pass makes again for the largest comes on top.
    """
    import keras

    from carlaseg.models.recomputation import RecomputedNormReluConv

    again = [layer for layer in model.layers if isinstance(layer, RecomputedNormReluConv)]
    # A pooling layer that keeps its indices has two outputs.
    kept = [layer.output[:1] if layer in again else layer.output for layer in model.layers[1:]]
    outputs = keras.Function(model.inputs, [kept, [layer.input[: layer.parts] for layer in again]])
    image = keras.KerasTensor((batch_size, *size, 3), dtype="uint8")
    kept_specs, stacks = outputs.compute_output_spec([image])
    largest = max((_bytes_of(stack) for stack in stacks), default=0)
    return _bytes_of(kept_specs) + REMADE_STACKS * largest


def _bytes_of(specs: Any) -> int:
    import keras

    width_bytes = {"float16": 2, "bfloat16": 2, "uint8": 1}
    return sum(width_bytes.get(spec.dtype, 4) * math.prod(spec.shape) for spec in keras.tree.flatten(specs))


def what_would_fit(
    model: Any,
    size: tuple[int, int],
    batch_size: int,
    available_bytes: int,
    flag: str = "--size",
    processes: int = 1,
) -> str:
    """A smaller batch, or a smaller size at batch 1, that is expected to fit: flags to type.

    Args:
        model: Keras model, input of free height and width.
        size: (height, width) that does not fit.
        batch_size: images a step of one process that do not fit.
        available_bytes: memory there is for it.
        flag: what sets the size.
        processes: how many share a batch.
    """
    one, two = (step_bytes(model, size, count) for count in (1, 2))
    fitting = 1 + (available_bytes - one) // (two - one)
    if fitting >= 1:
        return f"--batch-size {processes * min(fitting, batch_size - 1)}" if batch_size > 1 else f"a smaller {flag}"
    for percent in range(90, 5, -10):
        height, width = (max(32, side * percent // 100 // 32 * 32) for side in size)
        if step_bytes(model, (height, width), 1) <= available_bytes:
            return f"--batch-size {processes} {flag} {Size(height, width)}"
    return "a smaller --model"


def by_recomputing(config: TrainConfig) -> tuple[tuple[str, str], ...]:
    """What to try where memory is short, for a network that can do with less."""
    import keras

    from carlaseg import models
    from carlaseg.training.recomputation import BACKENDS

    if config.recompute or "recompute" not in models.network(config.model).options:
        return ()
    return (("less memory", "--recompute"),) if keras.backend.backend() in BACKENDS else ()


def at_a_smaller_batch(config: TrainConfig) -> TrainConfig | None:
    """The settings with the largest smaller batch that divides this one, and more batches an update to make up for it.

    None when the batch is 1.
    """
    smaller = next((count for count in range(config.batch_size // 2, 0, -1) if config.batch_size % count == 0), None)
    if smaller is None:
        return None
    accumulate = config.accumulate * config.batch_size // smaller
    return dataclasses.replace(config, batch_size=smaller, accumulate=accumulate)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception of Python or of a backend means that memory ran out."""
    if isinstance(error, MemoryError):
        return True
    name, text = type(error).__name__, str(error)
    return (
        name in ("ResourceExhaustedError", "OutOfMemoryError")
        or "RESOURCE_EXHAUSTED" in text
        or "out of memory" in text.lower()
        or "can't allocate memory" in text.lower()
    )


def gib(count: int) -> str:
    """Bytes as GiB with one digit."""
    return f"{count / 2**30:.1f} GiB"
