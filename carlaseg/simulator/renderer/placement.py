"""From CARLA's poses to Panda3D's matrices. The one place where the renderer turns the left-handed frame over."""

from __future__ import annotations

from math import cos, radians, sin
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
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


class Sight(NamedTuple):
    """Where a camera is, by what it scales distances, and half its picture's width and height one metre away."""

    pose: Pose
    lod_scale: float
    half_width: float
    half_height: float

    def distances(self, places: NDArray[np.float64], reach_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scaled distances (N,) of things, infinite for those outside the picture.

        Args:
            places: float64 (N, 3), town frame.
            reach_m: float64 (N,), how far each thing reaches from its place.
        """
        offsets = places - (self.pose.x, -self.pose.y, self.pose.z)
        ahead, across, above = (offsets @ np.array(axis) for axis in axes_in_town(self.pose))
        slant = np.hypot(1.0, (self.half_width, self.half_height))
        outside = ahead < -reach_m
        outside |= np.abs(across) > self.half_width * ahead + slant[0] * reach_m
        outside |= np.abs(above) > self.half_height * ahead + slant[1] * reach_m
        distances: NDArray[np.float64] = self.lod_scale * np.sqrt((offsets**2).sum(axis=1))
        distances[outside] = np.inf
        return distances
