"""A folder of pictures: rgb_*.png with or without seg_raw_*.png or seg_*.png beside them, or just pictures.

Where there are rgb_* pictures, those that are neither rgb_* nor seg_* are left out, and the layout's name says so.
"""

from __future__ import annotations

from pathlib import Path

from carlaseg.dataset.layouts.listing import Listing, chosen_splits, frame_of, key_of, pictures_in
from carlaseg.dataset.samples import Sample

_MASK_PREFIXES = ("seg_raw_", "seg_")


def find(folder: Path, split: str | None) -> Listing | None:
    """The samples when pictures lie in `folder` itself."""
    names = pictures_in(folder)
    if not names:
        return None
    chosen_splits(folder, (), split) if split is not None else None
    prefixed = any(name.startswith("rgb_") for name in names)
    images = [name for name in names if name.startswith("rgb_")] if prefixed else names
    masks: dict[str, str] = {}
    if prefixed:
        # seg_raw_ comes last and wins: ids are exact where colours may have gone through JPEG.
        for prefix in reversed(_MASK_PREFIXES):
            masks |= {key_of(name, (prefix,)): name for name in names if _has_prefix(name, prefix)}
    samples = []
    used: set[str] = set()
    for image in images:
        key = key_of(image, ("rgb_",) if prefixed else ())
        mask = masks.pop(key, None)
        # a.png and a.jpg in one folder must not write to the same result.
        name = key if key not in used else f"{key}_{image.rpartition('.')[2]}"
        used.add(name)
        samples.append(
            Sample(
                image_path=folder / image,
                mask_path=folder / mask if mask else None,
                mask_encoding=None,
                scheme=None,
                drive=folder.resolve().name,
                frame=frame_of(key),
                town=None,
                weather=None,
                name=name,
            )
        )
    layout = "rgb_* beside seg_*" if any(sample.mask_path for sample in samples) else "pictures"
    if others := sum(not name.startswith(("rgb_", *_MASK_PREFIXES)) for name in names) if prefixed else 0:
        layout += f", {others} named otherwise than rgb_* left out"
    return Listing(layout, samples, orphans=tuple(folder / mask for mask in masks.values()))


def _has_prefix(name: str, prefix: str) -> bool:
    return name.startswith(prefix) and not (prefix == "seg_" and name.startswith("seg_raw_"))
