"""Cross-entropy that knows void and class weights, and the score of a batch inside the graph. `keras.ops` alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from carlaseg.labels import IGNORE_ID


def cross_entropy(class_weights: Sequence[float] | None = None) -> Callable[[Any, Any], Any]:
    """Mean cross-entropy of the pixels that are not void, each weighted by its class.

    Args:
        class_weights: one a class; all 1 when not given.

    Returns:
        A function of masks, uint8 (B, H, W) with 255 for void, and logits, float32 (B, H, W, C), that gives the sum of
        weight x cross-entropy over the sum of weights; 0 for a batch of void alone.
    """

    def loss(masks: Any, logits: Any) -> Any:
        losses, weights = _pixel_losses(masks, logits, class_weights)
        return ops.sum(losses) / ops.maximum(ops.sum(weights), 1e-6)

    return loss


class PixelScore(keras.layers.Layer):  # type: ignore[misc]
    """Class ids, loss and weight of a batch in one pass, so that bytes rather than logits leave the device.

    Inputs: logits, float32 (B, H, W, C), and masks, uint8 (B, H, W). Outputs: ids, uint8 (B, H, W), and for each image
    the sum of the weighted losses and of the weights, float32 (B,) each.
    """

    def __init__(self, class_weights: Sequence[float] | None = None, **options: Any) -> None:
        super().__init__(dtype="float32", **options)
        self.class_weights = class_weights

    def call(self, inputs: Any) -> Any:
        """Ids, losses, weights."""
        logits, masks = inputs
        losses, weights = _pixel_losses(masks, logits, self.class_weights)
        return ops.cast(ops.argmax(logits, axis=-1), "uint8"), ops.sum(losses, (1, 2)), ops.sum(weights, (1, 2))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Shapes of the ids, the losses and the weights."""
        logits, masks = input_shape
        return masks, (logits[0],), (logits[0],)

    def compute_output_spec(self, inputs: Any) -> Any:
        """Shapes and kinds of the outputs."""
        ids, losses, weights = self.compute_output_shape([value.shape for value in inputs])
        return (
            keras.KerasTensor(ids, "uint8"),
            keras.KerasTensor(losses, "float32"),
            keras.KerasTensor(weights, "float32"),
        )


def _pixel_losses(masks: Any, logits: Any, class_weights: Sequence[float] | None) -> tuple[Any, Any]:
    """Weighted cross-entropy and weight of every pixel, (B, H, W) each, both 0 where the truth is void."""
    masks = ops.cast(masks, "int32")
    valid = ops.not_equal(masks, IGNORE_ID)
    # Void gets class 0 for the look-up and weight 0 for the sum.
    classes = ops.where(valid, masks, 0)
    weights = ops.cast(valid, "float32")
    if class_weights is not None:
        weights = weights * ops.take(ops.convert_to_tensor(class_weights, "float32"), classes, axis=0)
    losses = ops.sparse_categorical_crossentropy(classes, ops.cast(logits, "float32"), from_logits=True)
    return losses * weights, weights
