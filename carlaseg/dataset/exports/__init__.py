"""Datasets written in the formats of others, a file a format; each says what it loses.

To add one, write a class with `units`, `losses`, `images_in`, `write` and `finish` (see `job.Export`) and put it in
`build`. It reads a `Source` and writes into one folder; being interrupted, going on, and not overwriting are `job`'s.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from carlaseg import labels
from carlaseg.dataset.exports.cityscapes import Cityscapes
from carlaseg.dataset.exports.coco_panoptic import CocoPanoptic
from carlaseg.dataset.exports.huggingface import HuggingFace
from carlaseg.dataset.exports.job import Export
from carlaseg.dataset.exports.kitti_road import KittiRoad
from carlaseg.dataset.exports.nuscenes import NuScenes
from carlaseg.dataset.exports.source import Source
from carlaseg.dataset.exports.webdataset import WebDataset
from carlaseg.errors import ConfigError

TARGETS = {
    "cityscapes": "Cityscapes (leftImg8bit, gtFine, camera)",
    "coco-panoptic": "COCO panoptic (PNG of segment ids and JSON)",
    "kitti-road": "KITTI Road (image_2, gt_image_2, calib)",
    "nuscenes-calibration": "nuScenes (calibration and poses)",
    "huggingface": "Hugging Face imagefolder",
    "webdataset": "WebDataset (tar shards and index)",
}
"""What people call each format, by what they type."""

_OWN_SCHEME = frozenset({"cityscapes", "kitti-road", "nuscenes-calibration"})


def build(target: str, source: Source, output: Path, classes: str | None, shard_mb: float) -> Export[Any]:
    """The export of a target.

    Args:
        target: one of `TARGETS`.
        source: what is exported.
        output: folder to write into.
        classes: label scheme to translate the ids into, None for the dataset's own.
        shard_mb: about how many megabytes a shard has, where the target has shards.

    Raises:
        ConfigError: `classes` is no scheme, or the target has labels of its own.
        DatasetError: the source lacks what the target needs.
    """
    if classes is not None and target in _OWN_SCHEME:
        raise ConfigError(
            f"--classes {classes}: expected none with --to {target}, which has labels of its own, received one."
        )
    to = labels.remap(source.scheme, source.scheme if classes is None else labels.scheme(classes))
    if target == "cityscapes":
        return Cityscapes(source, output)
    if target == "coco-panoptic":
        return CocoPanoptic(source, output, to)
    if target == "kitti-road":
        return KittiRoad(source, output)
    if target == "nuscenes-calibration":
        return NuScenes(source, output)
    if target == "huggingface":
        return HuggingFace(source, output, to)
    return WebDataset(source, output, to, round(shard_mb * 1_000_000))
