"""The same tiny scenes in every layout that can be trained on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tiny_run import frame

from carlaseg.dataset import FrameRecord, Pose, RecordingMetadata, RecordingWriter, SensorRecord
from carlaseg.labels import remap, scheme

SIZE = (64, 64)
FRAMES = 4
TAGS = scheme("carla-0.9.14")


def our_recording(folder: Path) -> Path:
    """A recording of ours."""
    at = Pose((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    camera = SensorRecord("rgb", "sensor.camera.rgb", SIZE, SIZE, 90.0, at, {}, "rgb")
    metadata = RecordingMetadata(
        carlaseg_version="0.1.0", client_version="0.9.16", server_version="0.9.16", simulator="embedded",
        town="carlaseg_grid", weather="ClearNoon", seeds={"town": 1}, rig=(camera,), label_scheme=TAGS,
        configuration={}, command=("carlaseg", "record"), started="2026-11-20T12:00:00+00:00",
    )  # fmt: skip
    with RecordingWriter(folder, metadata, TAGS) as writer:
        for number in range(FRAMES):
            image, mask = frame(number, SIZE)
            line = FrameRecord(number, number * 0.05, at, {"rgb": at}, (0.0, 0.0, 0.0), 0.0, {})
            writer.write_frame(number, image, mask, line)
    return folder


def plain_carla(folder: Path) -> Path:
    """rgb/ beside seg_raw/, ids in the red channel."""
    for number in range(FRAMES):
        image, mask = frame(number, SIZE)
        red = np.zeros((*SIZE, 3), np.uint8)
        red[..., 0] = mask
        _write(folder / "rgb" / f"{number:06d}.png", image)
        _write(folder / "seg_raw" / f"{number:06d}.png", red)
    return folder


def camvid(folder: Path) -> Path:
    """train/ and val/ with their annotations."""
    for number in range(FRAMES):
        image, mask = frame(number, SIZE)
        split = "val" if number % 2 else "train"
        _write(folder / split / f"0001TP_{number:06d}.png", image)
        _write(folder / f"{split}annot" / f"0001TP_{number:06d}.png", _in("camvid", mask))
    return folder


def cityscapes(folder: Path) -> Path:
    """leftImg8bit/ and gtFine/, train ids."""
    for number in range(FRAMES):
        image, mask = frame(number, SIZE)
        split, name = "val" if number % 2 else "train", f"aachen_{number:06d}_000019"
        _write(folder / "leftImg8bit" / split / "aachen" / f"{name}_leftImg8bit.png", image)
        truth = folder / "gtFine" / split / "aachen" / f"{name}_gtFine_labelTrainIds.png"
        _write(truth, _in("cityscapes-train", mask))
    return folder


def kitti_road(folder: Path) -> Path:
    """training/image_2 with whole-road labels in colours."""
    road = scheme("kitti-road")
    for number in range(FRAMES):
        image, mask = frame(number, SIZE)
        kind = "um" if number % 2 else "uu"
        _write(folder / "training" / "image_2" / f"{kind}_{number:06d}.png", image)
        label = road.colorize(_in("kitti-road", mask))
        _write(folder / "training" / "gt_image_2" / f"{kind}_road_{number:06d}.png", label)
    return folder


KINDS: dict[str, tuple[Callable[[Path], Path], int]] = {
    "recording": (our_recording, 29),
    "plain": (plain_carla, 29),
    "camvid": (camvid, 11),
    "cityscapes": (cityscapes, 19),
    "kitti-road": (kitti_road, 2),
}
"""What writes it, and the classes that a network of it has."""


def _in(name: str, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return remap(TAGS, scheme(name)).table[mask]


def _write(path: Path, pixels: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    bgr = pixels[..., ::-1] if pixels.ndim == 3 else pixels
    assert cv2.imwrite(str(path), np.ascontiguousarray(bgr))
