"""From CARLA's poses to Panda3D's matrices. The one place where the renderer turns the left-handed frame over."""

from __future__ import annotations

from math import cos, radians, sin
from typing import Any

from panda3d import core

from carlaseg.simulator.scene import Pose

Vector = tuple[float, float, float]


def axes_in_town(pose: Pose) -> tuple[Vector, Vector, Vector]:
    """Forward, right and up of a pose as unit vectors in the town frame.

    Source: the columns of `carla.Transform.get_matrix()` (CARLA 0.9.16), y negated.
    """
    pitch, yaw, roll = radians(pose.pitch), radians(pose.yaw), radians(pose.roll)
    cp, sp, cy, sy, cr, sr = cos(pitch), sin(pitch), cos(yaw), sin(yaw), cos(roll), sin(roll)
    forward = (cp * cy, -cp * sy, sp)
    right = (cy * sp * sr - sy * cr, -(sy * sp * sr + cy * cr), -cp * sr)
    up = (-cy * sp * cr - sy * sr, sy * sp * cr - cy * sr, cp * cr)
    return forward, right, up


def camera_matrix(pose: Pose) -> Any:
    """For a camera node: Panda3D's cameras look along +y with +x to the right."""
    forward, right, up = axes_in_town(pose)
    return core.LMatrix4f(*right, 0, *forward, 0, *up, 0, pose.x, -pose.y, pose.z, 1)


def body_matrix(pose: Pose) -> Any:
    """For a body modelled with x forward, y left, z up."""
    forward, right, up = axes_in_town(pose)
    left = (-right[0], -right[1], -right[2])
    return core.LMatrix4f(*forward, 0, *left, 0, *up, 0, pose.x, -pose.y, pose.z, 1)
