"""Small datasets made on the spot: scenes that look enough like a road to be told apart, in any scheme and layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from carlaseg.dataset import FrameRecord, Pose, RecordingMetadata, RecordingWriter, SensorRecord
from carlaseg.labels import LabelScheme, remap, scheme

SCHEME = scheme("carla-0.9.14")
ORIGIN = Pose((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))


def road_scene(label_scheme: LabelScheme, seed: int = 0, size: tuple[int, int] = (48, 64)) -> NDArray[np.uint8]:
    """A mask of a road under sky and trees, with a car and a few specks, in the ids of a scheme."""
    height, width = size
    rng = np.random.default_rng(seed)
    tags = np.full(size, 11, np.uint8)
    tags[height // 4 : height // 2] = rng.choice([3, 9], width).astype(np.uint8)
    tags[height // 2 :] = 1
    tags[height // 2 :, : width // 8] = 2
    tags[height // 2 : height * 5 // 8, width // 2 : width * 3 // 4] = 14
    tags[height * 3 // 4 :, width // 2] = 24
    return remap(scheme("carla-0.9.14"), label_scheme).table[tags]


def road_image(seed: int = 0, size: tuple[int, int] = (48, 64)) -> NDArray[np.uint8]:
    """Noise: uint8 (H, W, 3) RGB."""
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def write_picture(path: Path, pixels: NDArray[Any]) -> Path:
    """A picture file; pixels in RGB, or RGBA, or one channel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR)
    arguments = [cv2.IMWRITE_WEBP_QUALITY, 101] if path.suffix == ".webp" else []
    path.write_bytes(cv2.imencode(path.suffix, pixels, arguments)[1].tobytes())
    return path


def metadata(label_scheme: LabelScheme = SCHEME, town: str = "carlaseg_grid") -> RecordingMetadata:
    """What a recorder would say of itself."""
    return RecordingMetadata(
        carlaseg_version="0.1.0",
        client_version="0.9.16",
        server_version="0.9.16",
        simulator="embedded",
        town=town,
        weather="ClearNoon",
        seeds={"town": 1, "traffic": 2},
        rig=(SensorRecord("rgb", "sensor.camera.rgb", (48, 64), (96, 128), 90.0, ORIGIN, {"gamma": "2.2"}, "rgb"),),
        label_scheme=label_scheme,
        configuration={"frames": 5, "size": "48x64"},
        command=("carlaseg", "record", "--frames", "5"),
        started="2026-11-20T12:00:00+00:00",
    )


def line(frame: int) -> FrameRecord:
    """What a recorder would know of a frame."""
    pose = Pose((frame * 0.5, 1.0, 0.25), (0.0, 90.0, 0.0))
    return FrameRecord(frame, frame * 0.05, pose, {"rgb": pose}, (10.0, 0.0, 0.0), 36.0, {"cloudiness": 5.0})


def write_recording(folder: Path, frames: int = 5, label_scheme: LabelScheme = SCHEME) -> Path:
    """A recording of road scenes."""
    with RecordingWriter(folder, metadata(label_scheme), label_scheme) as writer:
        for frame in range(100, 100 + frames):
            writer.write_frame(frame, road_image(frame), road_scene(label_scheme, frame), line(frame))
    return folder


def write_pairs(
    folder: Path, images: str = "rgb/{:06d}.png", masks: str = "seg_raw/{:06d}.png", count: int = 4, **encoding: Any
) -> Path:
    """A plain folder of pairs."""
    label_scheme = scheme(encoding.get("label_scheme", "carla-0.9.14"))
    encode: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] = encoding.get("encode", lambda mask: mask)
    for number in range(count):
        write_picture(folder / images.format(number), road_image(number))
        write_picture(folder / masks.format(number), encode(road_scene(label_scheme, number)))
    return folder


def in_red(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """As CARLA's raw pictures have it: id in red, nothing in green and blue, alpha full."""
    picture = np.zeros((*mask.shape, 4), np.uint8)
    picture[..., 0], picture[..., 3] = mask, 255
    return picture
