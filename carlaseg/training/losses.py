"""Losses that know void, alone or as weighted sums, and the score of a batch inside the graph. `keras.ops` alone.

Every term takes masks, uint8 (B, H, W) with 255 for void, and logits (B, H, W, C), computes in float32, and gives one
number. A void pixel adds nothing to it and nothing to its gradient; a batch of void alone gives 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from carlaseg.labels import IGNORE_ID

Loss = Callable[[Any, Any], Any]
FOCAL_GAMMA = 2.0
"""Source: Lin et al. 2017, Focal Loss for Dense Object Detection, section 4.1."""
OHEM_SHARE = 0.25
"""Share of the labelled pixels, the hardest ones, that OHEM counts; a sixteenth to a quarter is usual."""
DICE_SMOOTH = 1.0
"""Pixels added above and below the fraction, so that a class of three pixels does not rule the loss."""
TINY = 1e-6


@dataclass(frozen=True)
class _Pixels:
    """What every term looks at.

    Attributes:
        classes: int32 (B, H, W): class ids, 0 where void.
        valid: float32 (B, H, W): 1 where labelled, 0 where void.
        weights: float32 (B, H, W): the class's weight, 0 where void.
        logits: float32 (B, H, W, C).
        smoothing: share of the truth that is spread over all classes.
    """

    classes: Any
    valid: Any
    weights: Any
    logits: Any
    smoothing: float

    def cross_entropies(self) -> Any:
        """Cross-entropy of every pixel, (B, H, W), void pixels included."""
        exact = ops.sparse_categorical_crossentropy(self.classes, self.logits, from_logits=True)
        if not self.smoothing:
            return exact
        uniform = -ops.mean(ops.log_softmax(self.logits, axis=-1), axis=-1)
        return (1 - self.smoothing) * exact + self.smoothing * uniform

    def one_hot(self) -> Any:
        """The truth as 0 and 1, (B, H, W, C); 0 everywhere where void."""
        return ops.one_hot(self.classes, self.logits.shape[-1]) * self.valid[..., None]


def segmentation_loss(
    terms: Sequence[str] = ("ce",),
    weights: Sequence[float] = (),
    class_weights: Sequence[float] | None = None,
    label_smoothing: float = 0.0,
) -> Loss:
    """A weighted sum of named terms.

    Args:
        terms: names in `TERMS`.
        weights: one a term; all 1 when empty.
        class_weights: one a class, for ce, focal and ohem; all 1 when not given. Dice and Lovasz weigh every class the
            same by their nature.
        label_smoothing: share of the truth spread over all classes, in ce and ohem.
    """
    shares = tuple(weights) or (1.0,) * len(terms)

    def loss(masks: Any, logits: Any) -> Any:
        pixels = _look(masks, logits, class_weights, label_smoothing)
        # An explicit sum: the first term's number must not change by adding 0 to it in another precision.
        total = TERMS[terms[0]](pixels) * shares[0]
        for term, share in zip(terms[1:], shares[1:], strict=True):
            total = total + TERMS[term](pixels) * share
        return total

    return loss


# === The terms ===


def _ce(pixels: _Pixels) -> Any:
    """Sum of weight x cross-entropy over the sum of weights."""
    return _weighted_mean(pixels.cross_entropies(), pixels.weights)


def _focal(pixels: _Pixels) -> Any:
    """Cross-entropy, small for pixels that are already right: (1 - p)^gamma x -log p."""
    losses = ops.sparse_categorical_crossentropy(pixels.classes, pixels.logits, from_logits=True)
    wrong = 1 - ops.exp(-losses)
    return _weighted_mean(wrong**FOCAL_GAMMA * losses, pixels.weights)


def _ohem(pixels: _Pixels) -> Any:
    """Cross-entropy of the hardest quarter of the labelled pixels.

    Source: Shrivastava et al. 2016, Training Region-based Object Detectors with Online Hard Example Mining.
    """
    losses = ops.reshape(pixels.cross_entropies() * pixels.weights, (-1,))
    weights = ops.reshape(pixels.weights, (-1,))
    order = ops.argsort(-ops.stop_gradient(losses))
    wanted = ops.ceil(OHEM_SHARE * ops.sum(pixels.valid))
    hardest = ops.cast(ops.arange(ops.shape(order)[0]), "float32") < wanted
    kept = ops.cast(hardest, "float32")
    return _weighted_mean(ops.take(losses, order), kept, ops.take(weights, order) * kept)


def _dice(pixels: _Pixels) -> Any:
    """1 - Dice, over the batch, mean of the classes that the truth shows.

    Source: Milletari et al. 2016, V-Net, section 3, with squares left out.
    """
    truth = pixels.one_hot()
    answer = ops.softmax(pixels.logits, axis=-1) * pixels.valid[..., None]
    axes = (0, 1, 2)
    both, shown = ops.sum(truth * answer, axes), ops.sum(truth, axes)
    dice = (2 * both + DICE_SMOOTH) / (shown + ops.sum(answer, axes) + DICE_SMOOTH)
    return _weighted_mean(1 - dice, ops.cast(shown > 0, "float32"))


def _lovasz(pixels: _Pixels) -> Any:
    """The Lovasz extension of 1 - IoU, over the batch, mean of the classes that the truth shows.

    Source: Berman et al. 2018, The Lovasz-Softmax loss, algorithm 1.
    """
    count = pixels.logits.shape[-1]
    valid = ops.reshape(pixels.valid, (-1, 1))
    truth = ops.reshape(pixels.one_hot(), (-1, count))
    answer = ops.reshape(ops.softmax(pixels.logits, axis=-1), (-1, count))
    # Void pixels have error 0 and are no truth: sorted to the end, they change no intersection and no union before.
    errors = ops.abs(truth - answer) * valid
    order = ops.argsort(-ops.stop_gradient(errors), axis=0)
    errors = ops.take_along_axis(errors, order, axis=0)
    truth = ops.take_along_axis(truth, order, axis=0)
    shown = ops.sum(truth, 0)
    union = shown + ops.cumsum((1 - truth) * ops.take_along_axis(valid * ops.ones_like(answer), order, axis=0), axis=0)
    jaccard = 1 - (shown - ops.cumsum(truth, axis=0)) / ops.maximum(union, TINY)
    gradient = ops.concatenate([jaccard[:1], jaccard[1:] - jaccard[:-1]], axis=0)
    return _weighted_mean(ops.sum(errors * ops.stop_gradient(gradient), 0), ops.cast(shown > 0, "float32"))


TERMS: dict[str, Callable[[_Pixels], Any]] = {
    "ce": _ce,
    "focal": _focal,
    "dice": _dice,
    "lovasz": _lovasz,
    "ohem": _ohem,
}


def _weighted_mean(values: Any, weights: Any, denominators: Any = None) -> Any:
    """Sum of weight x value over the sum of weights (or of the denominators); 0 where that is 0."""
    below = weights if denominators is None else denominators
    return ops.sum(values * weights) / ops.maximum(ops.sum(below), TINY)


def _look(masks: Any, logits: Any, class_weights: Sequence[float] | None, smoothing: float = 0.0) -> _Pixels:
    masks = ops.cast(masks, "int32")
    labelled = ops.not_equal(masks, IGNORE_ID)
    # Void gets class 0 for the look-up and weight 0 for the sum.
    classes = ops.where(labelled, masks, 0)
    valid = ops.cast(labelled, "float32")
    weights = valid
    if class_weights is not None:
        weights = valid * ops.take(ops.convert_to_tensor(class_weights, "float32"), classes, axis=0)
    return _Pixels(classes, valid, weights, ops.cast(logits, "float32"), smoothing)


# === The score of a batch ===


class PixelScore(keras.layers.Layer):  # type: ignore[misc]
    """Class ids, cross-entropy and labelled pixels in one pass, so that bytes rather than logits leave the device.

    Validation counts plain cross-entropy whatever the training's loss and class weights are: runs can then be compared.

    Inputs: logits, float32 (B, H, W, C), and masks, uint8 (B, H, W). Outputs: ids, uint8 (B, H, W), and for each image
    the sum of the losses and the count of labelled pixels, float32 (B,) each.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(dtype="float32", **options)

    def call(self, inputs: Any) -> Any:
        """Ids, losses, labelled pixels."""
        logits, masks = inputs
        pixels = _look(masks, logits, None)
        losses = pixels.cross_entropies() * pixels.valid
        return ops.cast(ops.argmax(logits, axis=-1), "uint8"), ops.sum(losses, (1, 2)), ops.sum(pixels.valid, (1, 2))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Shapes of the ids, the losses and the counts."""
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
