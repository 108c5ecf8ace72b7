"""Run by test_recipe.py in a process of its own: averaged weights put in place and back, between two training steps."""

from __future__ import annotations

import sys
from pathlib import Path

from tiny_training import settings

from carlaseg.training.prepare import prepare

ready = prepare(settings(Path(sys.argv[1]), ema=0.9, accumulate=2, clip_norm=1.0, loss=("ce", "lovasz")))

import numpy as np  # noqa: E402
from keras import ops  # noqa: E402

assert ready.averaged is not None
for step in range(4):
    ready.model.train_on_batch(*ready.train.batch(0, step % len(ready.train)))
    before = [np.array(ops.convert_to_numpy(v)) for v in (*ready.model.weights, *ready.model.optimizer.variables)]
    seen = []
    for _ in range(2):
        with ready.averaged.in_place(ready.train, 0):
            seen.append(np.array(ops.convert_to_numpy(ready.model.get_layer("down1_dense1_norm").moving_mean)))
    assert np.array_equal(*seen), "statistics taken twice differ"
    assert not np.array_equal(seen[0], np.zeros_like(seen[0]))
    after = [ops.convert_to_numpy(v) for v in (*ready.model.weights, *ready.model.optimizer.variables)]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True)), "a weight or an average was changed"
print("same")
