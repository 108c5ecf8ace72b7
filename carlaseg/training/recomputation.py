"""How each backend makes what a layer needs again in the backward pass, for `carlaseg.models.recomputation`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from carlaseg.errors import ConfigError
from carlaseg.models.recomputation import Recompute


def backend_recomputation() -> Recompute:
    """The backend's way.

    Raises:
        ConfigError: it has none: on JAX nothing was saved (docs/decisions/0016).
    """
    import keras

    backend = keras.backend.backend()
    if backend not in BACKENDS:
        raise ConfigError(
            f"--recompute: expected with TensorFlow or PyTorch, received with {backend}, where it was measured to save "
            "no memory."
        )
    return BACKENDS[backend]


def in_tensorflow(function: Callable[..., Any], maps: Sequence[Any], others: Sequence[Any]) -> Sequence[Any]:
    """By a custom gradient; see `carlaseg.models.recomputation.Recompute`."""
    import tensorflow as tf

    def recomputed(*values: Any) -> Any:
        def gradients(upstream: Any, *of_maps: Any) -> list[Any]:
            # Not before the backward pass has come here: all that it takes is there long before.
            with tf.control_dependencies([upstream]):
                again = [tf.identity(value) for value in values]
            with tf.GradientTape() as tape:
                tape.watch(again)
                y = function(*again)
            own = tape.gradient(y, again, upstream)
            count = len(of_maps)
            return [*(one + other for one, other in zip(own[:count], of_maps, strict=True)), *own[count:]]

        return (function(*values), *(tf.identity(value) for value in values[: len(maps)])), gradients

    outputs: Sequence[Any] = tf.custom_gradient(recomputed)(*maps, *others)
    return outputs


def in_torch(function: Callable[..., Any], maps: Sequence[Any], others: Sequence[Any]) -> Sequence[Any]:
    """By PyTorch's checkpoint; see `carlaseg.models.recomputation.Recompute`."""
    from torch.utils.checkpoint import checkpoint

    return (checkpoint(function, *maps, *others, use_reentrant=False, preserve_rng_state=False), *maps)


BACKENDS: dict[str, Recompute] = {"tensorflow": in_tensorflow, "torch": in_torch}
