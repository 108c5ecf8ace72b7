"""Cityscapes: leftImg8bit/SPLIT/CITY/ with gtFine/SPLIT/CITY/.

NAME_leftImg8bit.png has its mask in NAME_gtFine_labelTrainIds.png or NAME_gtFine_labelIds.png.
Train ids are taken where both are there. NAME is CITY_SEQUENCE_FRAME; a sequence is one drive.
Source: the README of cityscapesScripts.
"""

from __future__ import annotations

from pathlib import Path

from carlaseg.dataset.layouts.listing import Listing, chosen_splits, folders_in, frame_of, key_of, pictures_in
from carlaseg.dataset.samples import Sample

_KINDS = (("_gtFine_labelTrainIds", "cityscapes-train"), ("_gtFine_labelIds", "cityscapes"))


def find(folder: Path, split: str | None) -> Listing | None:
    """The samples when `folder` is laid out like Cityscapes (fine annotations)."""
    images, truth = folder / "leftImg8bit", folder / "gtFine"
    available = [name for name in ("train", "val", "test") if (images / name).is_dir()]
    if not available:
        return None
    suffix, scheme = _kind(truth, available)
    samples: list[Sample] = []
    orphans: list[Path] = []
    for name in chosen_splits(folder, available, split):
        for city in folders_in(images / name):
            place = truth / name / city
            masks = {key_of(mask, (), (suffix,)): mask for mask in pictures_in(place) if suffix in mask}
            for image in pictures_in(images / name / city):
                key = key_of(image, (), ("_leftImg8bit",))
                mask = masks.pop(key, None)
                samples.append(
                    Sample(
                        image_path=images / name / city / image,
                        mask_path=place / mask if mask else None,
                        mask_encoding="ids" if mask else None,
                        scheme=scheme if mask else None,
                        drive=key.rpartition("_")[0] or city,
                        frame=frame_of(key),
                        town=city,
                        weather=None,
                        name=key,
                    )
                )
            orphans += [place / mask for mask in masks.values()]
    evidence = (f"its masks are named {suffix.removeprefix('_gtFine_')}",)
    return Listing("cityscapes", samples, scheme, evidence, tuple(available), tuple(orphans))


def _kind(truth: Path, splits: list[str]) -> tuple[str, str]:
    for suffix, scheme in _KINDS:
        for split in splits:
            for city in folders_in(truth / split):
                if any(suffix in name for name in pictures_in(truth / split / city)):
                    return suffix, scheme
    return _KINDS[0]
