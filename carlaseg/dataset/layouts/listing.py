"""What a layout finds, and what the layouts share: listing pictures and pairing them by key."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from carlaseg.dataset.pictures import is_picture
from carlaseg.dataset.samples import MaskEncoding, Sample
from carlaseg.errors import DatasetError

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Listing:
    """Samples of one layout, before anybody opened a picture.

    Attributes:
        layout: its name.
        samples: in order; `mask_encoding` and `scheme` may still be None.
        scheme: name of the label scheme the layout itself promises, None when it promises none.
        evidence: why that scheme.
        splits: splits the layout has.
        orphans: masks without an image.
        some_unlabelled: images without a mask are usual in this layout; who needs masks goes without those images.
    """

    layout: str
    samples: Sequence[Sample]
    scheme: str | None = None
    evidence: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    orphans: tuple[Path, ...] = ()
    some_unlabelled: bool = False


Layout = Callable[[Path, str | None], Listing | None]


def in_reading_order(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key under which frame 9 comes before frame 10, zero-padded or not."""
    return tuple((0, int(part), part) if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name) if part)


def pictures_in(folder: Path) -> list[str]:
    """Names of the pictures in a folder, in reading order; empty when there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if is_picture(entry.name)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(names, key=in_reading_order)


def folders_in(folder: Path) -> list[str]:
    """Names of the folders in a folder, hidden ones apart, in reading order."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(names, key=in_reading_order)


def key_of(name: str, prefixes: Iterable[str] = (), suffixes: Iterable[str] = ()) -> str:
    """What an image's and its mask's names have in common: the stem without its prefix and suffix."""
    stem = name.rpartition(".")[0]
    for prefix in prefixes:
        if stem.startswith(prefix):
            stem = stem[len(prefix) :]
            break
    for suffix in suffixes:
        if stem.endswith(suffix):
            stem = stem[: -len(suffix)]
            break
    return stem


def frame_of(key: str) -> int | None:
    """The frame number a key ends with, None when it has none."""
    match = re.search(r"(\d{1,18})$", key)
    return int(match[1]) if match else None


def pair(
    images: Path,
    masks: Path | None,
    *,
    drive: str | Callable[[str], str],
    name: Callable[[str], str] = lambda key: key,
    image_prefixes: Sequence[str] = (),
    mask_prefixes: Sequence[str] = (),
    encoding: MaskEncoding | None = None,
    scheme: str | None = None,
) -> tuple[list[Sample], list[Path]]:
    """Samples of an image folder and its mask folder, paired by key, and the masks left over.

    Args:
        images: folder of images.
        masks: folder of masks, None when there is none.
        drive: the drive of all of them, or of a key.
        name: the sample's name from its key.
        image_prefixes: what image names may begin with.
        mask_prefixes: what mask names may begin with.
        encoding: how masks hold their ids, where the layout fixes it.
        scheme: label scheme of the masks, where the layout fixes it.
    """
    mask_of = {} if masks is None else {key_of(mask, mask_prefixes): mask for mask in pictures_in(masks)}
    samples = []
    for image in pictures_in(images):
        key = key_of(image, image_prefixes)
        mask = mask_of.pop(key, None)
        samples.append(
            Sample(
                image_path=images / image,
                mask_path=None if mask is None or masks is None else masks / mask,
                mask_encoding=encoding if mask else None,
                scheme=scheme if mask else None,
                drive=drive if isinstance(drive, str) else drive(key),
                frame=frame_of(key),
                town=None,
                weather=None,
                name=name(key),
            )
        )
    return samples, [masks / mask for mask in mask_of.values() if masks is not None]


def chosen_splits(folder: Path, available: Sequence[str], split: str | None) -> tuple[str, ...]:
    """The splits to read: the one asked for, or all.

    Raises:
        DatasetError: there is no such split; names those there are.
    """
    if split is None:
        return tuple(available)
    if split not in available:
        there_are = ", ".join(available) if available else "no splits"
        raise DatasetError(f"{folder}: expected a split {split!r}, received a dataset with {there_are}.")
    return (split,)
