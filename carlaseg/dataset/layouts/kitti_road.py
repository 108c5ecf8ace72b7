"""KITTI Road: [data_road/]training/image_2/um_000000.png with gt_image_2/um_road_000000.png, and testing/image_2.

Only `*_road_*` masks are the whole road; `*_lane_*` masks mark the ego lane alone and are another task.
Source: the KITTI Road development kit. Names begin with the kind of road (um, umm, uu), the only grouping there is.
"""

from __future__ import annotations

from pathlib import Path

from carlaseg.dataset.layouts.listing import Listing, chosen_splits, frame_of, pictures_in
from carlaseg.dataset.samples import Sample

_FOLDER_OF_SPLIT = {"train": "training", "test": "testing"}


def find(folder: Path, split: str | None) -> Listing | None:
    """The samples when `folder` is laid out like KITTI Road. Without a split: all training images, labelled or not."""
    root = next((path for path in (folder / "data_road", folder) if (path / "training" / "image_2").is_dir()), None)
    if root is None:
        return None
    available = tuple(name for name, place in _FOLDER_OF_SPLIT.items() if (root / place / "image_2").is_dir())
    samples: list[Sample] = []
    orphans: list[Path] = []
    for name in chosen_splits(folder, available, split or "train"):
        place = root / _FOLDER_OF_SPLIT[name]
        masks = {mask.replace("_road_", "_"): mask for mask in pictures_in(place / "gt_image_2") if "_road_" in mask}
        for image in pictures_in(place / "image_2"):
            mask = masks.pop(image, None)
            key = image.rpartition(".")[0]
            samples.append(
                Sample(
                    image_path=place / "image_2" / image,
                    mask_path=place / "gt_image_2" / mask if mask else None,
                    mask_encoding="colors" if mask else None,
                    scheme="kitti-road" if mask else None,
                    drive=key.partition("_")[0],
                    frame=frame_of(key),
                    town=None,
                    weather=None,
                    name=key,
                )
            )
        orphans += [place / "gt_image_2" / mask for mask in masks.values()]
    evidence = ("its layout is KITTI Road's",)
    return Listing("kitti-road", samples, "kitti-road", evidence, available, tuple(orphans), some_unlabelled=True)
