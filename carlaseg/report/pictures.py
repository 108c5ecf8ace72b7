"""Pictures as bytes inside the page. A picture that cannot be read gives nothing, never an error."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from carlaseg.dataset import Sample, read_image, read_mask
from carlaseg.errors import DatasetError
from carlaseg.labels import LabelScheme

QUALITY = 82
TILE_HEIGHT = 200


def spread(count: int, wanted: int) -> list[int]:
    """`wanted` numbers below `count`, evenly spread, first and last among them."""
    if count == 0:
        return []
    return sorted({round(i) for i in np.linspace(0, count - 1, min(count, wanted)).tolist()})


def image_tag(path: Path, max_width: int, caption: str) -> str:
    """An <img> with a picture file inside it, made no wider than `max_width`; empty when it cannot be read."""
    try:
        picture = read_image(path)
    except DatasetError:
        return ""
    return pixels_tag(picture, caption, max_width)


def pixels_tag(picture: NDArray[np.uint8], caption: str, max_width: int = 100_000) -> str:
    """An <img> with a picture inside it; uint8, (H, W, 3), RGB."""
    height, width = picture.shape[:2]
    if width > max_width:
        height, width = round(height * max_width / width), max_width
        picture = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    done, content = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        return ""
    encoded = base64.b64encode(content.tobytes()).decode("ascii")
    # Width and height keep the page still while pictures are decoded.
    return (
        f'<img loading="lazy" decoding="async" width="{width}" height="{height}" alt="{escape(caption)}" '
        f'src="data:image/jpeg;base64,{encoded}">'
    )


def sample_tag(sample: Sample, scheme: LabelScheme | None) -> str:
    """An <img> of a frame beside its labels laid over it; the frame alone without labels."""
    try:
        image = _tile(read_image(sample.image_path), cv2.INTER_LINEAR)
        if sample.mask_path is None or scheme is None:
            return pixels_tag(image, sample.name)
        labels = _tile(scheme.colorize(read_mask(sample)), cv2.INTER_NEAREST)
    except DatasetError:
        return ""
    if labels.shape != image.shape:
        return pixels_tag(image, sample.name)
    mixed = np.asarray(cv2.addWeighted(image, 0.35, labels, 0.65, 0.0), np.uint8)
    return pixels_tag(np.concatenate([image, mixed], axis=1), f"{sample.name}: image, and its labels over it")


def class_shares(samples: Sequence[Sample], num_classes: int, looked_at: int) -> tuple[NDArray[np.float64], int]:
    """Shares of the labelled pixels a class, float64 (C,), counted on a few frames evenly spread, and their number."""
    counts = np.zeros(256, np.int64)
    frames = 0
    for index in spread(len(samples), looked_at):
        try:
            counts += np.bincount(read_mask(samples[index]).ravel(), minlength=256)
        except DatasetError:
            continue
        frames += 1
    known = counts[:num_classes]
    return known / max(1, int(known.sum())), frames


def _tile(picture: NDArray[np.uint8], how: int) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    if height > TILE_HEIGHT:
        how = cv2.INTER_AREA if how == cv2.INTER_LINEAR else how
    size_wh = (max(1, round(width * TILE_HEIGHT / height)), TILE_HEIGHT)
    return np.asarray(cv2.resize(picture, size_wh, interpolation=how), np.uint8)
