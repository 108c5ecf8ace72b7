"""The layouts a dataset may have on disk, one module a family, each of which knows nothing of the others.

A layout is a function `find(folder, split)` that gives a `Listing`, or None when the folder is not laid out its way. To
add one, write such a module and put it in `LAYOUTS`; the first that answers wins, so the narrow ones come first.
"""

from __future__ import annotations

from carlaseg.dataset.layouts import camvid, cityscapes, kitti_road, pairs, pictures_only, recordings
from carlaseg.dataset.layouts.listing import Layout, Listing

LAYOUTS: tuple[Layout, ...] = (
    recordings.find,
    cityscapes.find,
    kitti_road.find,
    camvid.find,
    pairs.find,
    pictures_only.find,
)

LOOKED_FOR = (
    "a recording (recording.json, frames.jsonl) or a folder of recordings, in train, val and test or not; rgb/ with "
    "seg_raw/; CameraRGB/ with CameraSeg/ or CameraMask/; CamVid (train/, trainannot/); KITTI Road (training/image_2, "
    "gt_image_2); Cityscapes (leftImg8bit/, gtFine/); or a folder of pictures"
)

__all__ = ["LAYOUTS", "LOOKED_FOR", "Layout", "Listing"]
