"""Poses one relative to another, boxes on the ground plane: the geometry the world needs, CARLA's frame throughout."""

from __future__ import annotations

import math
from dataclasses import dataclass

from carlaseg.simulator.scene import Pose
from carlaseg.wire.values import Rotation, Transform, Vector3

Triple = tuple[float, float, float]
Matrix = tuple[Triple, Triple, Triple]

ZERO: Triple = (0.0, 0.0, 0.0)


def pose_of(transform: Transform) -> Pose:
    """Return a transform from the wire as a pose."""
    place, attitude = transform.location, transform.rotation
    return Pose(place.x, place.y, place.z, attitude.pitch, attitude.yaw, attitude.roll)


def transform_of(pose: Pose) -> Transform:
    """Return a pose as the wire's transform."""
    return Transform(Vector3(pose.x, pose.y, pose.z), Rotation(pose.pitch, pose.yaw, pose.roll))


def rotation_matrix(pose: Pose) -> Matrix:
    """Return the rows of the rotation from the pose's own axes to the world's.

    Source: carla 0.9.16, carla::geom::Transform::GetMatrix.
    """
    pitch, yaw, roll = math.radians(pose.pitch), math.radians(pose.yaw), math.radians(pose.roll)
    cp, sp = math.cos(pitch), math.sin(pitch)
    cy, sy = math.cos(yaw), math.sin(yaw)
    cr, sr = math.cos(roll), math.sin(roll)
    return (
        (cp * cy, cy * sp * sr - sy * cr, -cy * sp * cr - sy * sr),
        (cp * sy, sy * sp * sr + cy * cr, -sy * sp * cr + cy * sr),
        (sp, -cp * sr, cp * cr),
    )


def rotate(matrix: Matrix, vector: Triple) -> Triple:
    """Return `vector` of the own axes in the world's."""
    x, y, z = vector
    first, second, third = matrix
    return (
        first[0] * x + first[1] * y + first[2] * z,
        second[0] * x + second[1] * y + second[2] * z,
        third[0] * x + third[1] * y + third[2] * z,
    )


def unrotate(matrix: Matrix, vector: Triple) -> Triple:
    """Return `vector` of the world's axes in the own ones."""
    x, y, z = vector
    first, second, third = matrix
    return (
        first[0] * x + second[0] * y + third[0] * z,
        first[1] * x + second[1] * y + third[1] * z,
        first[2] * x + second[2] * y + third[2] * z,
    )


def compose(parent: Pose, relative: Pose) -> Pose:
    """Return the world pose of something that is at `relative` in the frame of `parent`."""
    outer = rotation_matrix(parent)
    dx, dy, dz = rotate(outer, (relative.x, relative.y, relative.z))
    x, y, z = parent.x + dx, parent.y + dy, parent.z + dz
    if not (parent.pitch or parent.roll):
        # Exact for the common case, where angles simply add; asin and atan2 would cost the last digits.
        if not (relative.pitch or relative.roll):
            return Pose(x, y, z, 0.0, normalize_deg(parent.yaw + relative.yaw), 0.0)
        return Pose(x, y, z, relative.pitch, normalize_deg(parent.yaw + relative.yaw), relative.roll)
    inner = rotation_matrix(relative)
    columns = [rotate(outer, (inner[0][i], inner[1][i], inner[2][i])) for i in range(3)]
    forward, right, up = columns
    pitch = math.degrees(math.asin(max(-1.0, min(1.0, forward[2]))))
    yaw = math.degrees(math.atan2(forward[1], forward[0]))
    roll = math.degrees(math.atan2(-right[2], up[2]))
    return Pose(x, y, z, pitch, yaw, roll)


def normalize_deg(angle_deg: float) -> float:
    """Return an angle as CARLA reports it, between -180 and 180; angles inside stay as they are to the last bit."""
    if -180.0 <= angle_deg <= 180.0:
        return angle_deg
    return math.remainder(angle_deg, 360.0)


@dataclass(frozen=True, slots=True)
class Footprint:
    """A box's shadow on the ground plane, with the heights between which it stands."""

    x: float
    y: float
    half_length: float
    half_width: float
    cos_yaw: float
    sin_yaw: float
    bottom: float
    top: float

    @property
    def radius(self) -> float:
        """Radius of the circle around it."""
        return math.hypot(self.half_length, self.half_width)


def footprint(pose: Pose, center: Triple, extent: Triple) -> Footprint:
    """Return the footprint of a box at `center` in the frame of `pose`; pitch and roll are left out."""
    cos_yaw, sin_yaw = math.cos(math.radians(pose.yaw)), math.sin(math.radians(pose.yaw))
    return Footprint(
        pose.x + cos_yaw * center[0] - sin_yaw * center[1],
        pose.y + sin_yaw * center[0] + cos_yaw * center[1],
        extent[0],
        extent[1],
        cos_yaw,
        sin_yaw,
        pose.z + center[2] - extent[2],
        pose.z + center[2] + extent[2],
    )


def overlaps(one: Footprint, other: Footprint) -> bool:
    """Return whether two boxes touch: circles first, then the axes of both boxes."""
    dx, dy = other.x - one.x, other.y - one.y
    reach = one.radius + other.radius
    if dx * dx + dy * dy > reach * reach or one.bottom > other.top or other.bottom > one.top:
        return False
    cos_between = abs(one.cos_yaw * other.cos_yaw + one.sin_yaw * other.sin_yaw)
    sin_between = abs(one.cos_yaw * other.sin_yaw - one.sin_yaw * other.cos_yaw)
    for a, b in ((one, other), (other, one)):
        along = abs(dx * a.cos_yaw + dy * a.sin_yaw)
        across = abs(-dx * a.sin_yaw + dy * a.cos_yaw)
        if along > a.half_length + b.half_length * cos_between + b.half_width * sin_between:
            return False
        if across > a.half_width + b.half_length * sin_between + b.half_width * cos_between:
            return False
    return True
