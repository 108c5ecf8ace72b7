"""Depth pictures turned into distances, normals and motion. Arrays in, arrays out.

Camera axes here are (forward, right, down): a pixel with offsets (a, b) from the middle, in units of the focal length,
shows the point `depth * (1, a, b)`. On a plane 1 / depth is linear in a and b: everything here rests on that.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carlaseg.simulator.poses import rotation_matrix
from carlaseg.simulator.scene import ByteArray, Pose

Floats = NDArray[np.float64]

MAX_DEPTH_M = 1000.0
NOTHING_M = 999.0
"""Depth from which a pixel shows the sky."""
_CODE_M = MAX_DEPTH_M / (2**24 - 1)
_STRIDES = (1, 2, 4)
_BENT = 0.02
"""How far 1 / depth may be from linear, relative to itself, for a neighbourhood to count as a plane."""


def depth_m(picture: ByteArray) -> NDArray[np.float32]:
    """Return the depth in metres of a depth camera's picture, float32 (H, W)."""
    code = picture[..., 2].astype(np.float32)
    code += picture[..., 1].astype(np.float32) * np.float32(256)
    code += picture[..., 0].astype(np.float32) * np.float32(65536)
    return code * np.float32(_CODE_M)


def offsets(size: tuple[int, int], fov_deg: float) -> tuple[Floats, Floats]:
    """Return the offsets of pixel centres, a (W,) and b (H,), of a picture of `size` (height, width)."""
    height, width = size
    focal = width / (2 * math.tan(math.radians(fov_deg) / 2))
    across: Floats = (np.arange(width, dtype=np.float64) + 0.5 - width / 2) / focal
    down: Floats = (np.arange(height, dtype=np.float64) + 0.5 - height / 2) / focal
    return across, down


def identity(picture: ByteArray) -> NDArray[np.uint32]:
    """Return one number for what each pixel of an instance picture shows, uint32 (H, W): tag and object."""
    return np.ascontiguousarray(picture).view("<u4")[..., 0] & np.uint32(0xFFFFFF)


def normals(depth: NDArray[np.float32], shown: NDArray[np.uint32], fov_deg: float) -> NDArray[np.float32]:
    """Return unit normals in camera axes, float32 (H, W, 3), towards the camera; zero for the sky.

    The widest neighbourhood that shows one thing and is flat decides, since depth is known to millimetres only.
    """
    a, b = offsets((depth.shape[0], depth.shape[1]), fov_deg)
    inverse = 1.0 / np.maximum(depth.astype(np.float64), 1e-3)
    across = _slope(inverse, shown, 1) * (1.0 / (a[1] - a[0]) if len(a) > 1 else 0.0)
    down = _slope(inverse, shown, 0) * (1.0 / (b[1] - b[0]) if len(b) > 1 else 0.0)
    along = inverse - a[None, :] * across - b[:, None] * down
    # The plane's normal points away from the camera in this form.
    found = -np.stack([along, across, down], axis=-1)
    found /= np.maximum(np.linalg.norm(found, axis=-1, keepdims=True), 1e-12)
    found[depth >= NOTHING_M] = 0.0
    return found.astype(np.float32)


def _slope(inverse: Floats, shown: NDArray[np.uint32], axis: int) -> Floats:
    """Change of 1 / depth from one pixel to the next along an axis."""
    slope = np.zeros_like(inverse)
    for stride in _STRIDES:
        if inverse.shape[axis] <= 2 * stride:
            break
        middle = _cut(inverse, axis, stride, 0)
        after, before = _cut(inverse, axis, stride, stride), _cut(inverse, axis, stride, -stride)
        same = _cut(shown, axis, stride, 0)
        forward = same == _cut(shown, axis, stride, stride)
        backward = same == _cut(shown, axis, stride, -stride)
        flat = forward & backward & (np.abs(after + before - 2 * middle) < _BENT * middle)
        target = _cut(slope, axis, stride, 0)
        target[flat] = (after - before)[flat] / (2 * stride)
        if stride == 1:
            # At the rim of a thing, the side that still shows it.
            one_sided = np.where(forward, after - middle, np.where(backward, middle - before, 0.0))
            target[~flat] = one_sided[~flat]
    return slope


def _cut(array: NDArray[Any], axis: int, margin: int, shift: int) -> Any:
    """A view without `margin` at both ends of an axis, shifted."""
    length = array.shape[axis]
    part = slice(margin + shift, length - margin + shift)
    return array[:, part] if axis == 1 else array[part]


def in_world(vectors: NDArray[np.floating], pose: Pose) -> Floats:
    """Return vectors (..., 3) of camera axes in the world's."""
    rows = np.array(rotation_matrix(pose))
    # Columns of the matrix are forward, right and up; the third camera axis is down.
    axes = np.stack([rows[:, 0], rows[:, 1], -rows[:, 2]])
    result: Floats = vectors.astype(np.float64) @ axes
    return result


def seen_from(points: Floats, pose: Pose) -> Floats:
    """Return world points (..., 3) in the camera axes of a pose."""
    rows = np.array(rotation_matrix(pose))
    axes = np.stack([rows[:, 0], rows[:, 1], -rows[:, 2]])
    result: Floats = (points - np.array([pose.x, pose.y, pose.z])) @ axes.T
    return result


def moved_back(points: Floats, now: Pose, before: Pose) -> Floats:
    """Return where points (N, 3) fixed to something that is at `now` were when it was at `before`."""
    here, there = np.array(rotation_matrix(now)), np.array(rotation_matrix(before))
    own = (points - np.array([now.x, now.y, now.z])) @ here
    result: Floats = own @ there.T + np.array([before.x, before.y, before.z])
    return result
