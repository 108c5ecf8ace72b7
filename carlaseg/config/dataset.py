"""Settings of what looks at datasets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from carlaseg.config.values import Size, check_range, check_seed


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
        check_seed(self.seed)
        check_range("--val", self.val, 0, 0.9)
        check_range("--test", self.test, 0, 0.9)
        check_range("--val and --test together", self.val + self.test, 0, 0.95)
        check_range("--shard-mb", self.shard_mb, 0.01)


@dataclass(frozen=True, kw_only=True)
class ViewConfig:
    """Look at a dataset: a contact sheet, a video, or a file for the Rerun viewer."""

    input: Path = Path("dataset")
    """Dataset to look at, in any layout that is read."""
    output: Path = Path("contact_sheet.jpg")
    """Contact sheet to write: each image beside itself with its labels over it, spread over the dataset."""
    video: Path | None = None
    """Write this .mp4 instead, of frames in a row."""
    rerun: Path | None = None
    """Write this .rrd instead, for the Rerun viewer (optional extra: rerun)."""
    show: Literal["rgb", "colours", "overlay"] = "overlay"
    """What the video shows."""
    fps: float = 10.0
    """Pictures a second of the video."""
    columns: int = 4
    """Pairs a row of the contact sheet."""
    frames: int | None = None
    """How many images: 24 of a contact sheet when not given, all of a video."""
    height: int = 160
    """Height of one picture of the contact sheet, in pixels."""
    scheme: str | None = None
    """Label scheme of the masks, where the dataset does not say."""
    split: str | None = None
    """Split to look at (train, val, test), where its layout has splits."""
    overwrite: bool = False
    """Replace the file when it is there."""

    def __post_init__(self) -> None:
        """Refuse sheets and videos that cannot be."""
        check_range("--columns", self.columns, 1, 50)
        check_range("--height", self.height, 16, 2160)
        check_range("--fps", self.fps, 0.1, 1000)
        if self.frames is not None:
            check_range("--frames", self.frames, 1)


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Show what an augmentation preset does to a dataset (--show), or what each preset costs."""

    dataset: Path = Path("dataset")
    """Dataset to augment, in any layout that is read."""
    show: bool = False
    """Draw a contact sheet of --augment, rather than time all presets."""
    augment: Literal["none", "flip", "scale", "road", "strong"] = "road"
    """Preset to draw."""
    output: Path = Path("augmentation.png")
    """Contact sheet to write with --show: each row a frame as it is, then as several epochs see it."""
    size: Size = Size(160, 240)
    """Height x width at which frames are augmented, as `carlaseg train --size` does."""
    frames: int = 6
    """How many frames, spread over the dataset."""
    draws: int = 4
    """Augmented copies a row."""
    scheme: str | None = None
    """Label scheme of the masks, where the dataset does not say."""
    classes: str | None = None
    """Label scheme to show the masks in."""
    seed: int = 0
    """Seed of the augmentation; the same as a run's shows what that run sees of these frames."""
    json: bool = False
    """Print the costs as one JSON object on standard output."""

    def __post_init__(self) -> None:
        """Refuse sheets that cannot be."""
        check_range("--frames", self.frames, 1, 100)
        check_range("--draws", self.draws, 1, 50)
        check_seed(self.seed)
