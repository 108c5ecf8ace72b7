"""Run by test_backends.py in a process of its own: logits of a tiny FC-DenseNet and the loss of its first two steps."""

from __future__ import annotations

import sys

from carlaseg.backend import prepare_backend

prepare_backend()

import keras  # noqa: E402
import numpy as np  # noqa: E402

from carlaseg import models  # noqa: E402
from carlaseg.training.losses import segmentation_loss  # noqa: E402

model = models.build(
    "fc_densenet", 4, groups=1, layers_per_block=1, growth_rate=4, first_filters=8, first_kernel=3, dropout_rate=0.0
)
rng = np.random.default_rng(0)
images = rng.integers(0, 256, (2, 19, 16, 3), np.uint8)
masks = rng.integers(0, 4, (2, 19, 16)).astype(np.uint8)
masks[:, :2] = 255
logits = keras.ops.convert_to_numpy(model(images, training=False))
model.compile(
    optimizer=keras.optimizers.AdamW(1e-2),
    loss=segmentation_loss(class_weights=[1.0, 2.0, 0.5, 1.0]),
    jit_compile="auto",
)
model.optimizer.build(model.trainable_variables)
losses = []
for _ in range(2):
    model.reset_metrics()
    losses.append(float(model.train_on_batch(images, masks)))
np.savez(sys.argv[1], logits=logits, losses=np.array(losses), backend=keras.backend.backend())
