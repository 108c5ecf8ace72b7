"""A town from above: one picture stitched from many narrow views, so that houses hardly lean."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from carlaseg.errors import ConfigError
from carlaseg.files import disk_fault
from carlaseg.simulator.scene import ByteArray, CameraSpec, Frame, Pose, Town, Weather
from carlaseg.simulator.sensors import CameraRenderer

LONGER_SIDE_PX = 2048
_FINEST_PX_PER_M = 5.0
_TILE_M = 50.0
_HEIGHT_M = 120.0
"""Near enough for the renderer to draw small things."""


def picture_from_above(town: Town, renderer: CameraRenderer, longer_side_px: int = LONGER_SIDE_PX) -> ByteArray:
    """Return the town from above: uint8 (H, W, 3) BGR, north up."""
    x_min, y_min, x_max, y_max = town.bounds_town
    px_per_m = min(longer_side_px / max(x_max - x_min, y_max - y_min), _FINEST_PX_PER_M)
    tile_px = max(int(_TILE_M * px_per_m), 8)
    tile_m = tile_px / px_per_m
    columns, rows = math.ceil((x_max - x_min) / tile_m), math.ceil((y_max - y_min) / tile_m)
    ground_m = float(np.median(town.road_height_grid)) if town.road_height_grid.size else 0.0
    fov_deg = 2 * math.degrees(math.atan(tile_m / 2 / _HEIGHT_M))
    key = renderer.add_camera(CameraSpec("rgb", tile_px, tile_px, fov_deg))
    whole = np.zeros((rows * tile_px, columns * tile_px, 3), np.uint8)
    for row in range(rows):
        for column in range(columns):
            x, y = x_min + (column + 0.5) * tile_m, y_max - (row + 0.5) * tile_m
            # Looking down with the top of the picture to the north, which is -y in CARLA's frame.
            pose = Pose(x, -y, ground_m + _HEIGHT_M, pitch=-90.0, yaw=-90.0)
            tile = renderer.render([(key, pose)], Frame((), weather=Weather(fog_density=0.0)))[key]
            place = np.s_[row * tile_px : (row + 1) * tile_px, column * tile_px : (column + 1) * tile_px]
            whole[place] = tile[..., :3]
    renderer.remove_camera(key)
    return whole[: math.ceil((y_max - y_min) * px_per_m), : math.ceil((x_max - x_min) * px_per_m)]


def check_name(path: Path) -> None:
    """See whether a picture can be written under a name.

    Raises:
        ConfigError: the name ends with something else than .png or .jpg.
    """
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise ConfigError(f"--picture {path}: expected a name that ends with .png or .jpg.")


def write_picture(path: Path, picture: ByteArray) -> None:
    """Write a picture as its name says (.png, .jpg).

    Raises:
        ConfigError: the file cannot be written.
    """
    import cv2

    written, content = cv2.imencode(path.suffix.lower(), picture)
    try:
        if not written:
            raise OSError("the picture cannot be encoded")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.tobytes())
    except OSError as error:
        raise ConfigError(f"--picture {path}: expected to be able to write, received {disk_fault(error)}.") from error
