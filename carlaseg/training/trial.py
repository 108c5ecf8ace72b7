"""A few training steps on made-up pictures in a process of its own: `python -m carlaseg.training.trial SETTINGS`.

Prints one JSON object: peak memory in bytes and seconds a step, or that memory ran out. A process of its own, because
a peak is never given back, and because a trial that is killed for memory must not take the caller with it.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from carlaseg.backend import prepare_backend

STEPS = 3


def main() -> int:
    """Measure, print."""
    given = json.loads(sys.argv[1])
    prepare_backend()
    import numpy as np

    from carlaseg.config import TrainConfig, from_mapping
    from carlaseg.training import memory
    from carlaseg.training.network import build_network, compile_for_training

    num_classes = given.pop("num_classes")
    config = from_mapping(TrainConfig, given, "trial")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (config.batch_size, *config.size, 3), np.uint8)
    masks = rng.integers(0, num_classes, (config.batch_size, *config.size)).astype(np.uint8)
    try:
        model, _ = build_network(config, num_classes)
        compile_for_training(model, config, None)
        times_s = []
        for _ in range(STEPS):
            began_s = time.monotonic()
            model.train_on_batch(images, masks)
            times_s.append(time.monotonic() - began_s)
    except Exception as error:
        if not memory.is_out_of_memory(error):
            raise
        print(json.dumps({"out_of_memory": True}))
        return 0
    print(json.dumps({"peak_bytes": peak_bytes(), "step_s": min(times_s)}))
    return 0


def peak_bytes() -> int:
    """The most memory that this process has held: on a GPU that of the GPU, else resident memory."""
    import keras

    backend = keras.backend.backend()
    if backend == "torch":
        import torch

        if torch.cuda.is_available():
            return int(torch.cuda.max_memory_reserved())
    elif backend == "tensorflow":
        import tensorflow as tf

        if tf.config.list_physical_devices("GPU"):
            return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])
    else:
        import jax

        stats: Any = jax.local_devices()[0].memory_stats()
        if stats and "peak_bytes_in_use" in stats:
            return int(stats["peak_bytes_in_use"])
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    raise SystemExit(main())
