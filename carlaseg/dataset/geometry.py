"""CARLA's poses in the coordinates that other formats use.

CARLA: left-handed, x forward, y right, z up; degrees. nuScenes, Cityscapes: right-handed, x forward, y left, z up, for
world and vehicle. A camera, everywhere: x right, y down, z forward.

Source: the rotation matrix is that of CARLA's `Transform.get_matrix`, checked against the client of 0.9.16; the rest
    follows from mirroring y.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from carlaseg.dataset.rig_records import Pose

Matrix = NDArray[np.float64]

_MIRROR_Y = np.diag([1.0, -1.0, 1.0])
CAMERA_TO_BODY: Matrix = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""A camera's axes (x right, y down, z forward) in a right-handed body's (x forward, y left, z up)."""


def rotation_matrix(pose: Pose) -> Matrix:
    """The pose's rotation in CARLA's left-handed coordinates: float64 (3, 3)."""
    pitch, yaw, roll = (math.radians(angle) for angle in pose.rotation_deg)
    cp, sp, cy, sy, cr, sr = (f(a) for a in (pitch, yaw, roll) for f in (math.cos, math.sin))
    return np.array(
        [
            [cp * cy, cy * sp * sr - sy * cr, -cy * sp * cr - sy * sr],
            [cp * sy, sy * sp * sr + cy * cr, -sy * sp * cr + cy * sr],
            [sp, -cp * sr, cp * cr],
        ]
    )


def right_handed_location(pose: Pose) -> tuple[float, float, float]:
    """The pose's place with y to the left, in metres."""
    x, y, z = pose.location_m
    return x, -y + 0.0, z


def right_handed_rotation(pose: Pose) -> Matrix:
    """The pose's rotation of a body with y to the left: float64 (3, 3)."""
    return _MIRROR_Y @ rotation_matrix(pose) @ _MIRROR_Y


def right_handed_angles(pose: Pose) -> tuple[float, float, float]:
    """Yaw, pitch and roll in radians about z up, y left, x forward (ISO 8855): a positive pitch looks down."""
    pitch, yaw, roll = (math.radians(angle) for angle in pose.rotation_deg)
    return -yaw + 0.0, -pitch + 0.0, roll


def quaternion(rotation: Matrix) -> tuple[float, float, float, float]:
    """A rotation matrix as unit quaternion w, x, y, z, with w at least 0."""
    # The eigenvector form has no branch that loses precision near half a turn.
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rotation
    form = np.array(
        [
            [xx + yy + zz, 0, 0, 0],
            [zy - yz, xx - yy - zz, 0, 0],
            [xz - zx, yx + xy, yy - xx - zz, 0],
            [yx - xy, zx + xz, zy + yz, zz - xx - yy],
        ]
    )
    _, vectors = np.linalg.eigh(form / 3, "L")
    w, x, y, z = (float(value) for value in vectors[:, -1])
    sign = -1.0 if w < 0 else 1.0
    return sign * w + 0.0, sign * x + 0.0, sign * y + 0.0, sign * z + 0.0
