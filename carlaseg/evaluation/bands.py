"""How far away a pixel is: by the recording's depth where there is any, else by its row, which is not a distance.

Row bands are quarters of the picture from top to bottom. On a level road the road is nearer the lower it stands in the
picture, but a sky, a bridge or a hill breaks that; so they are called rows, never metres.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from carlaseg.dataset import Sample, read_image, read_metadata
from carlaseg.dataset.reader import is_recording, read_frame_files
from carlaseg.dataset.rig_records import beside
from carlaseg.dataset.writer import IMAGES
from carlaseg.errors import DatasetError

ROW_BANDS = ("top quarter of rows", "second quarter", "third quarter", "bottom quarter of rows")
DEPTH_RANGE_M = 1000.0
"""Depth of the largest code. Source: CARLA documentation, "Depth camera"."""


def depth_m(code: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Metres of CARLA's depth pictures.

    Args:
        code: uint8, (H, W, 3), red, green, blue.

    Returns:
        float32, (H, W), 0 to 1000.

    Source:
        CARLA documentation, "Depth camera": (R + 256 G + 65536 B) / (256**3 - 1) of 1000 m.
    """
    red, green, blue = (code[..., channel].astype(np.float32) for channel in range(3))
    return np.asarray((red + 256 * green + 65536 * blue) * np.float32(DEPTH_RANGE_M / (256**3 - 1)), np.float32)


@dataclass
class DepthFiles:
    """Where the depth of a sample lies; recordings are listed once."""

    _of: dict[Path, dict[Path, Path]] = field(default_factory=dict)

    def path(self, sample: Sample) -> Path | None:
        """The depth picture that shows what the image does, pixel by pixel; None when there is none."""
        recording = sample.image_path.parent.parent
        if recording not in self._of:
            self._of[recording] = _depth_of(recording)
        return self._of[recording].get(sample.image_path.absolute())


@dataclass(frozen=True)
class Bands:
    """The bands of an evaluation.

    Attributes:
        names: of the bands, near to far or top to bottom.
        limits_m: between the bands; empty for row bands.
        basis: what they are, a sentence for people.
    """

    names: tuple[str, ...]
    limits_m: tuple[float, ...]
    basis: str

    @property
    def by(self) -> str:
        """What the bands are called: "distance", or "rows" where nobody knows the distance."""
        return "distance" if self.limits_m else "rows"

    def of(self, depth_path: Path | None, shape: tuple[int, int]) -> NDArray[np.uint8]:
        """The band of each pixel, uint8 (H, W).

        Raises:
            DatasetError: the depth is damaged, or of another size than the image.
        """
        if not self.limits_m:
            rows = np.minimum(np.arange(shape[0]) * len(ROW_BANDS) // max(1, shape[0]), len(ROW_BANDS) - 1)
            return np.broadcast_to(rows[:, None], shape).astype(np.uint8)
        if depth_path is None:
            raise DatasetError("expected depth beside the image, received none.")
        metres = depth_m(read_image(depth_path))
        if metres.shape != shape:
            metres = np.asarray(cv2.resize(metres, (shape[1], shape[0]), interpolation=cv2.INTER_NEAREST), np.float32)
        return np.asarray(np.digitize(metres, self.limits_m), np.uint8)


def choose_bands(depths: Sequence[Path | None], limits_m: Sequence[float]) -> Bands:
    """Distance bands where every image has depth, row bands where one has not, or without limits.

    Args:
        depths: depth picture of each image.
        limits_m: rising distances; none for row bands in any case.
    """
    found = sum(path is not None for path in depths)
    if found == len(depths) and limits_m:
        edges = [f"{limit:g}" for limit in limits_m]
        names = [f"0 to {edges[0]} m", *(f"{a} to {b} m" for a, b in pairwise(edges))]
        return Bands((*names, f"beyond {edges[-1]} m"), tuple(limits_m), "distance in metres, from the depth camera")
    if not limits_m:
        why = "no limits of distance were given"
    else:
        why = f"only {found} of {len(depths)} images have depth" if found else "the images have no depth"
    return Bands(ROW_BANDS, (), f"rows of the picture, not distance: {why}")


def _depth_of(recording: Path) -> dict[Path, Path]:
    """Depth pictures of a recording by the absolute path of their image."""
    if not is_recording(recording):
        return {}
    found: dict[Path, Path] = {}
    try:
        metadata = read_metadata(recording)
        camera = next((sensor for sensor in metadata.rig if sensor.folder == IMAGES), None)
        # Another camera's depth, of a rig with several, would be that of other pixels.
        depth = None if camera is None else beside(metadata.rig, camera, "sensor.camera.depth")
        if depth is None:
            return {}
        for _, files in read_frame_files(recording, metadata):
            if IMAGES in files and depth.folder in files:
                found[(recording / files[IMAGES].path).absolute()] = recording / files[depth.folder].path
    except DatasetError:
        return {}
    return found
