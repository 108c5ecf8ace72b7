"""Settings of what looks at datasets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from carlaseg.config.values import check_range


@dataclass(frozen=True, kw_only=True)
class VerifyConfig:
    """Check a dataset: pairs, files, sizes, ids. Exit code 5 when something is wrong."""

    folder: Path = Path("dataset")
    """Folder to check."""
    deep: bool = False
    """Decode every file and compare its checksum, rather than look at its header."""
    alignment: bool = False
    """With --deep: also name the pairs whose mask seems to belong to another image, each with a score."""
    repair: bool = False
    """Move what is broken in recordings aside into .removed/ (nothing is deleted), then check."""
    scheme: str | None = None
    """Label scheme of the masks, where the dataset does not say."""
    json: bool = False
    """Print the report as one JSON object on standard output."""


@dataclass(frozen=True, kw_only=True)
class StatsConfig:
    """Count classes by drive, town and weather, loss weights, brightness, near-copies; write tables and pictures."""

    folder: Path = Path("dataset")
    """Folder to count."""
    scheme: str | None = None
    """Label scheme of the masks, where the dataset does not say."""
    images: bool = True
    """Also read the pictures, not the masks alone: brightness, near-copies, files twice. Takes about twice as long."""
    output: Path | None = None
    """Folder for stats.json, CSV tables and pictures; printed only when not given."""
    json: bool = False
    """Print the result as one JSON object on standard output."""


@dataclass(frozen=True, kw_only=True)
class ConvertConfig:
    """Write a dataset in another format: Cityscapes, COCO panoptic, KITTI Road, nuScenes, Hugging Face, WebDataset."""

    input: Path = Path("dataset")
    """Dataset to convert: recordings, or any layout that is read."""
    to: Literal["cityscapes", "coco-panoptic", "kitti-road", "nuscenes-calibration", "huggingface", "webdataset"] = (
        "cityscapes"
    )
    """Format to write."""
    output: Path = Path("dataset_converted")
    """New folder that gets it; the same command again goes on with one that was interrupted."""
    scheme: str | None = None
    """Label scheme of the masks, where the dataset does not say."""
    classes: str | None = None
    """Label scheme to translate the ids into, for the formats that have none of their own."""
    split_by: Literal["drive", "town"] = "drive"
    """What is never on two sides, where the dataset has no splits of its own."""
    val: float = 0.2
    """Wished-for share of images in val; whole drives or towns decide how near it comes."""
    test: float = 0.0
    """Wished-for share of images in test."""
    seed: int = 0
    """Decides which drives or towns are held out."""
    shard_mb: float = 256.0
    """About how many megabytes a WebDataset shard has."""
    json: bool = False
    """Print the result as one JSON object on standard output."""

    def __post_init__(self) -> None:
        """Refuse shares that leave nothing to train on."""
        check_range("--val", self.val, 0, 0.9)
        check_range("--test", self.test, 0, 0.9)
        check_range("--val and --test together", self.val + self.test, 0, 0.95)
        check_range("--shard-mb", self.shard_mb, 0.01)
