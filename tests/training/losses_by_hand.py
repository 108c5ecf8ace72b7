"""The losses written with NumPy loops from their papers, and a case; run as a script it prints Keras's numbers."""

from __future__ import annotations

import sys

import numpy as np

NAMES = ("ce", "smooth", "focal", "dice", "lovasz", "ohem", "sum")
CLASS_WEIGHTS = [1.0, 2.0, 0.5, 3.0]


def case() -> tuple[np.ndarray, np.ndarray]:
    """Masks (2, 3, 5) with void and without class 3, and logits of four classes."""
    rng = np.random.default_rng(3)
    masks = rng.integers(0, 3, (2, 3, 5)).astype(np.uint8)
    masks[0, 0, :2] = 255
    masks[1, 2, 4] = 255
    return masks, rng.normal(0, 2, (2, 3, 5, 4)).astype(np.float32)


def by_hand() -> dict[str, float]:
    """Each loss of the case, a pixel and a class at a time, in float64."""
    masks, logits = case()
    rows = [
        (int(m), z.astype(np.float64)) for m, z in zip(masks.ravel(), logits.reshape(-1, 4), strict=True) if m != 255
    ]
    truth = np.array([m for m, _ in rows])
    p = np.array([np.exp(z) / np.exp(z).sum() for _, z in rows])
    own = np.array([p[i, m] for i, m in enumerate(truth)])
    w = np.array([CLASS_WEIGHTS[m] for m in truth])
    values = {"ce": float((w * -np.log(own)).sum() / w.sum())}
    smoothed = 0.9 * -np.log(own) + 0.1 * -np.log(p).mean(1)
    values["smooth"] = float(smoothed.mean())
    values["focal"] = float(((1 - own) ** 2 * -np.log(own)).mean())
    dices, lovasz = [], []
    for c in range(3):
        t = (truth == c).astype(float)
        dices.append(1 - (2 * (t * p[:, c]).sum() + 1) / (t.sum() + p[:, c].sum() + 1))
        errors = np.abs(t - p[:, c])
        order = np.argsort(-errors)
        previous, total = 0.0, 0.0
        for k in range(1, len(order) + 1):
            # IoU when the k pixels with the largest errors are wrong and all others right.
            wrong = np.zeros(len(t), bool)
            wrong[order[:k]] = True
            predicted = np.where(wrong, 1 - t, t)
            jaccard = 1 - (t * predicted).sum() / np.maximum(t, predicted).sum()
            total += errors[order[k - 1]] * (jaccard - previous)
            previous = jaccard
        lovasz.append(total)
    values["dice"], values["lovasz"] = float(np.mean(dices)), float(np.mean(lovasz))
    hardest = np.sort(-np.log(own))[::-1][: int(np.ceil(len(own) / 4))]
    values["ohem"] = float(hardest.mean())
    values["sum"] = float((-np.log(own)).mean() + 0.5 * values["dice"])
    return values


def by_keras() -> dict[str, float]:
    """The same of `carlaseg.training.losses`; and every one of a batch of void alone must be 0."""
    from carlaseg.training.losses import segmentation_loss

    masks, logits = case()
    losses = {
        "ce": segmentation_loss(("ce",), class_weights=CLASS_WEIGHTS),
        "smooth": segmentation_loss(("ce",), label_smoothing=0.1),
        **{name: segmentation_loss((name,)) for name in ("focal", "dice", "lovasz", "ohem")},
        "sum": segmentation_loss(("ce", "dice"), (1.0, 0.5)),
    }
    void = np.full_like(masks, 255)
    return {name: float(loss(masks, logits)) + 1000 * abs(float(loss(void, logits))) for name, loss in losses.items()}


if __name__ == "__main__":
    from carlaseg.backend import prepare_backend

    prepare_backend()
    import json

    import keras

    json.dump({"backend": keras.backend.backend(), **by_keras()}, sys.stdout)
