"""From a runtime to predictions of the wished quality: the quick way to ids alone, or by logits where more is wanted.

Everything composes on logits: the mean over mirror images and scales is a logits function like the network's own, and
tiles blend whatever logits function they are given. Cleaning comes last, on ids.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from carlaseg.config import InferConfig
from carlaseg.errors import ConfigError
from carlaseg.inference.cleaning import guided_filtered, median_filtered
from carlaseg.inference.predictor import KerasPredictor, Runtime
from carlaseg.inference.tiles import Logits, blended
from carlaseg.pipeline import InferenceBatch

Scalar = TypeVar("Scalar", np.float32, np.uint8)

SCALES = (0.75, 1.0, 1.25)
"""Of --tta flip-scales: the middle of DeepLab's 0.5 to 1.75 (tensorflow/models, research/deeplab, --eval_scales)."""


@dataclass(frozen=True)
class Prediction:
    """What the network says of one image; what was not asked for is None.

    Attributes:
        ids: uint8, (H, W), class ids, cleaned where that was wished.
        confidence: float32, (H, W), 0 to 1: the probability of the id at each pixel.
        probabilities: float16, (H, W, C), 0 to 1.
        entropy: float32, (H, W), 0 to 1: of the mean over dropout passes, in parts of its maximum, ln C.
        mutual_information: float32, (H, W), 0 to 1: the part of the entropy that comes from the weights, not from the
            picture, in the same parts.
    """

    ids: NDArray[np.uint8]
    confidence: NDArray[np.float32] | None = None
    probabilities: NDArray[np.float16] | None = None
    entropy: NDArray[np.float32] | None = None
    mutual_information: NDArray[np.float32] | None = None


class Segmenter:
    """A runtime, used as the settings say.

    Args:
        runtime: what predicts.
        config: of the command.
        wanted: what is written ("confidence", "probabilities").

    Raises:
        ConfigError: uncertainty is asked of a network without dropout.
    """

    def __init__(self, runtime: Runtime, config: InferConfig, wanted: frozenset[str]) -> None:
        self._runtime = runtime
        self._config = config
        self._logits = averaged(runtime.logits, config.tta)
        self._confidence = "confidence" in wanted
        self._probabilities = "probabilities" in wanted
        self._sampled = _with_dropout(runtime) if config.uncertainty else None

    @property
    def batch_size(self) -> int:
        """How many pictures, or tiles of one, to give it at a time."""
        return self._config.batch_size or self._runtime.at_once

    @property
    def _ids_are_enough(self) -> bool:
        config = self._config
        more = self._confidence or self._probabilities or self._sampled is not None
        return config.tta == "none" and config.tiles is None and not more

    def try_out(self, size: tuple[int, int]) -> None:
        """Go an artefact's way of the settings once, before anybody's files are touched; a run's network can do all.

        Args:
            size: (height, width) the network sees.

        Raises:
            ConfigError: an exported file cannot do it: it takes one size alone, or gives no logits.
        """
        if not self._ids_are_enough and not isinstance(self._runtime, KerasPredictor):
            self._by_logits(np.zeros((1, *size, 3), np.uint8))

    def warm(self, images: NDArray[np.uint8], size: tuple[int, int]) -> float:
        """Compile for such a batch, and return the seconds it took.

        Args:
            images: uint8, (B, H, W, 3).
            size: (height, width) of the answer.
        """
        if self._ids_are_enough:
            return self._runtime.warm(images.shape, size)
        began_s = time.perf_counter()
        tile = self._config.tiles
        self._by_logits(images if tile is None else images[:1, : tile.height, : tile.width])
        return time.perf_counter() - began_s

    def _by_logits(self, images: NDArray[np.uint8]) -> None:
        (self._sampled or self._logits)(images)

    def __call__(self, batch: InferenceBatch) -> list[Prediction]:
        """A prediction for each frame of a batch, at the size of its image."""
        images = [frame.image for frame in batch.frames if frame.image is not None]
        height, width = images[0].shape[:2]
        if self._ids_are_enough:
            found = [Prediction(ids) for ids in self._runtime(batch.images, (height, width))]
        elif self._sampled is not None:
            found = self._by_dropout(batch.images, (height, width), self._sampled)
        elif self._config.tiles is not None:
            found = [self._by_tiles(image, (self._config.tiles.height, self._config.tiles.width)) for image in images]
        else:
            found = [
                self._of_probabilities(softmax(resized(logits, (height, width))))
                for logits in self._logits(batch.images)
            ]
        return [self._cleaned(prediction, image) for prediction, image in zip(found, images, strict=True)]

    def _by_tiles(self, image: NDArray[np.uint8], tile: tuple[int, int]) -> Prediction:
        ids = np.empty(image.shape[:2], np.uint8)
        confidence = np.empty(image.shape[:2], np.float32) if self._confidence else None
        whole: NDArray[np.float16] | None = None
        for rows, columns, logits in blended(image, self._logits, tile, self._config.overlap, self.batch_size):
            ids[rows, columns] = logits.argmax(axis=-1)
            if confidence is None and not self._probabilities:
                continue
            probabilities = softmax(logits)
            if confidence is not None:
                confidence[rows, columns] = probabilities.max(axis=-1)
            if self._probabilities:
                if whole is None:
                    whole = np.empty((*ids.shape, logits.shape[-1]), np.float16)
                whole[rows, columns] = probabilities
        return Prediction(ids, confidence, whole)

    def _of_probabilities(self, probabilities: NDArray[np.float32]) -> Prediction:
        return Prediction(
            probabilities.argmax(axis=-1).astype(np.uint8),
            probabilities.max(axis=-1) if self._confidence else None,
            probabilities.astype(np.float16) if self._probabilities else None,
        )

    def _by_dropout(self, images: NDArray[np.uint8], size: tuple[int, int], sampled: Logits) -> list[Prediction]:
        passes = self._config.uncertainty
        probabilities = softmax(sampled(images))
        summed, entropies = probabilities, entropy(probabilities)
        for _ in range(passes - 1):
            probabilities = softmax(sampled(images))
            summed += probabilities
            entropies += entropy(probabilities)
        mean, expected = summed / np.float32(passes), entropies / np.float32(passes)
        total, most = entropy(mean), np.float32(np.log(mean.shape[-1]))
        found = []
        for index in range(len(images)):
            prediction = self._of_probabilities(resized(mean[index], size))
            found.append(
                replace(
                    prediction,
                    entropy=resized(total[index] / most, size),
                    mutual_information=resized(np.maximum(total[index] - expected[index], np.float32(0)) / most, size),
                )
            )
        return found

    def _cleaned(self, prediction: Prediction, image: NDArray[np.uint8]) -> Prediction:
        if self._config.clean == "none":
            return prediction
        median = self._config.clean == "median"
        ids = median_filtered(prediction.ids) if median else guided_filtered(prediction.ids, image)
        confidence = prediction.confidence
        if confidence is not None and prediction.probabilities is not None:
            confidence = np.take_along_axis(prediction.probabilities, ids[..., None], axis=-1)[..., 0].astype(
                np.float32
            )
        elif confidence is not None:
            # What the network gave to an id it did not choose is at most what its choice left over.
            confidence = np.where(ids == prediction.ids, confidence, np.minimum(confidence, 1 - confidence))
        return replace(prediction, ids=ids, confidence=confidence)


def averaged(logits_of: Logits, tta: str) -> Logits:
    """The mean of the logits over changed images, each changed back; the function itself for "none".

    Args:
        logits_of: the network.
        tta: "none", "flip" or "flip-scales".
    """

    def flipped(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return (logits_of(images) + logits_of(images[:, :, ::-1].copy())[:, :, ::-1]) / np.float32(2)

    def scaled(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        height, width = images.shape[1:3]
        total: NDArray[np.float32] | None = None
        for scale in SCALES:
            size = (max(1, round(height * scale)), max(1, round(width * scale)))
            logits = flipped(np.stack([resized(image, size) for image in images]))
            back = np.stack([resized(one, (height, width)) for one in logits])
            total = back if total is None else total + back
        return np.asarray(total, np.float32) / np.float32(len(SCALES))

    return {"none": logits_of, "flip": flipped, "flip-scales": scaled}[tta]


def resized(values: NDArray[Scalar], size: tuple[int, int]) -> NDArray[Scalar]:
    """Values at another (height, width), interpolated; (H, W) or (H, W, C)."""
    if values.shape[:2] == tuple(size):
        return values
    larger: Any = cv2.resize(values, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(larger, values.dtype)


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities over the last axis, float32."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float32)


def entropy(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Entropy over the last axis, in nats."""
    return np.asarray(-(probabilities * np.log(np.maximum(probabilities, 1e-12))).sum(axis=-1), np.float32)


def _with_dropout(runtime: Runtime) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    if not isinstance(runtime, KerasPredictor):
        raise ConfigError(
            "--uncertainty: expected a training run, received an exported file: exporting takes the dropout out.",
            (("use the run", "carlaseg infer --run RUN --uncertainty 20"),),
        )
    sampled = runtime.with_dropout()
    if sampled is None:
        raise ConfigError(
            "--uncertainty: expected a network with dropout, received one that was built without; every pass of it "
            "would give the same answer. Nothing was predicted.",
            (("train one with it", "carlaseg train --dropout-rate 0.2 ..."),),
        )
    return sampled
