"""Trains a small FC-DenseNet with and without recomputation; run by test_recomputation.py, on PyTorch by itself."""

from __future__ import annotations

from carlaseg.backend import prepare_backend

prepare_backend()

import keras  # noqa: E402
import numpy as np  # noqa: E402

from carlaseg import models  # noqa: E402
from carlaseg.training.losses import segmentation_loss  # noqa: E402
from carlaseg.training.recomputation import backend_recomputation  # noqa: E402


def difference(precision: str) -> dict[str, float]:
    """The largest differences between the two after three steps with dropout: losses, weights, predictions.

    Predictions are of the same weights, so that they show the forward pass alone.
    """
    keras.config.set_dtype_policy(precision)
    form = {"groups": 2, "layers_per_block": 3, "growth_rate": 4, "first_filters": 6}
    try:
        pair = [models.build("fc_densenet", 3, **form, recompute=again) for again in (None, backend_recomputation())]
    finally:
        keras.config.set_dtype_policy("float32")
    plain, recomputed = pair
    assert [v.path for v in plain.trainable_variables] == [v.path for v in recomputed.trainable_variables]
    assert {v.path for v in plain.weights} == {v.path for v in recomputed.weights}
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 18, 24, 3)).astype(np.uint8)
    masks = rng.integers(0, 3, (2, 18, 24)).astype(np.uint8)
    losses = []
    for model in pair:
        model.compile(optimizer=keras.optimizers.SGD(0.05), loss=segmentation_loss(), jit_compile=False)
        own = []
        for _ in range(3):
            model.reset_metrics()
            own.append(float(model.train_on_batch(images, masks)))
        losses.append(own)
    assert losses[0][0] != losses[0][2]
    trained = [{v.path: np.array(keras.ops.convert_to_numpy(v)) for v in model.weights} for model in pair]
    apart = max(float(np.abs(trained[0][path] - trained[1][path]).max()) for path in trained[0])
    for variable in recomputed.weights:
        variable.assign(trained[0][variable.path])
    logits = [keras.ops.convert_to_numpy(model(images, training=False)) for model in pair]
    return {
        "losses": float(np.abs(np.subtract(*losses)).max()),
        "weights": apart,
        "logits": float(np.abs(logits[0] - logits[1]).max()),
    }


if __name__ == "__main__":
    found = difference("float32")
    assert max(found.values()) < 1e-4, found
    print("same")
