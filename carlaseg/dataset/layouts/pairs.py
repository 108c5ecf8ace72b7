"""Plain folders of pairs: an image folder beside a mask folder, as older recording scripts leave them.

rgb/ with seg_raw/ (or, in colours, seg/), CameraRGB/ with CameraSeg/ or CameraMask/; files are paired by equal names or
by the prefixes rgb_, seg_raw_, seg_. Splits come from train.txt, val.txt, test.txt (a stem a line), or from folders
train/, val/, test/ that hold such pairs. A folder of such folders is read too, each one a drive.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from carlaseg.dataset.layouts.listing import SPLITS, Listing, chosen_splits, folders_in, pair
from carlaseg.dataset.samples import Sample
from carlaseg.errors import DatasetError

_PAIRS = (("rgb", "seg_raw"), ("rgb", "seg"), ("CameraRGB", "CameraSeg"), ("CameraRGB", "CameraMask"))
_IMAGE_PREFIXES = ("rgb_",)
_MASK_PREFIXES = ("seg_raw_", "seg_")


def find(folder: Path, split: str | None) -> Listing | None:
    """The samples when `folder`, or the folders in it, hold an image folder beside a mask folder."""
    names = _pair_names(folder)
    if names is not None:
        return _one_folder(folder, names, split)
    parts = {child: names for child in folders_in(folder) if (names := _pair_names(folder / child)) is not None}
    if not parts:
        return None
    by_split = set(parts) <= set(SPLITS)
    available = tuple(name for name in SPLITS if name in parts) if by_split else ()
    chosen = chosen_splits(folder, available, split) if by_split else chosen_splits(folder, (), split) or tuple(parts)
    samples: list[Sample] = []
    orphans: list[Path] = []
    for child in chosen:
        images, masks = parts[child]
        found, left = _pair(folder / child, images, masks, child, f"{child}_")
        samples += found
        orphans += left
    kinds = {"/".join(parts[child]) for child in chosen}
    return Listing(f"folders of {' and '.join(sorted(kinds))}", samples, splits=available, orphans=tuple(orphans))


def _pair_names(folder: Path) -> tuple[str, str] | None:
    return next((names for names in _PAIRS if all((folder / name).is_dir() for name in names)), None)


def _pair(folder: Path, images: str, masks: str, drive: str, before: str) -> tuple[list[Sample], list[Path]]:
    return pair(
        folder / images,
        folder / masks,
        drive=drive,
        name=lambda key: before + key,
        image_prefixes=_IMAGE_PREFIXES,
        mask_prefixes=_MASK_PREFIXES,
    )


def _one_folder(folder: Path, names: tuple[str, str], split: str | None) -> Listing:
    images, masks = names
    available = tuple(name for name in SPLITS if (folder / f"{name}.txt").is_file())
    samples, orphans = _pair(folder, images, masks, folder.resolve().name, "")
    if available:
        by_stem: dict[str, Sample] = {}
        for sample in samples:
            by_stem[sample.name] = sample
            by_stem[sample.image_path.stem] = sample
        chosen: list[Sample] = []
        for name in chosen_splits(folder, available, split):
            chosen += _listed(folder / f"{name}.txt", by_stem, name)
        samples = chosen
    else:
        chosen_splits(folder, available, split)
    return Listing(f"{images}/{masks}", samples, splits=available, orphans=tuple(orphans))


def _listed(file: Path, by_stem: dict[str, Sample], split: str) -> list[Sample]:
    """The samples a split file names. Whoever wrote it knew the drives, so each split is a drive of its own."""
    chosen = []
    for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        stem = line.strip()
        if not stem:
            continue
        sample = by_stem.get(stem) or by_stem.get(Path(stem).stem)
        if sample is None:
            raise DatasetError(
                f"{file}, line {number}: expected the stem of an image, received {stem!r}, which is not there."
            )
        chosen.append(replace(sample, drive=f"{sample.drive}/{split}"))
    return chosen
