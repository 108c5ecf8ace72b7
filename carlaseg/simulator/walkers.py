"""How pedestrians move: by their own control, or where the client's navigation puts them."""

from __future__ import annotations

import math

from carlaseg.simulator.actors import Walker
from carlaseg.simulator.elevation import Elevation
from carlaseg.simulator.poses import ZERO, pose_of
from carlaseg.simulator.scene import Pose
from carlaseg.wire.values import Transform, Vector3, WalkerControl

KERB_M = 0.4
"""A walker put down this little above the ground stands on something (a kerb) and keeps that height."""


def stand(walker: Walker, ground: Elevation) -> None:
    """Put a walker that has just been placed on its feet; its origin is its middle, as in CARLA."""
    pose, half_height = walker.pose, walker.extent[2]
    level = ground.height(pose.x, pose.y, pose.z)
    above = pose.z - level
    if 0.0 <= above <= KERB_M:
        level = pose.z
    elif half_height <= above <= half_height + KERB_M:
        level = pose.z - half_height
    walker.pose = Pose(pose.x, pose.y, level + half_height, 0.0, pose.yaw, 0.0)


def step_walker(walker: Walker, ground: Elevation, dt_s: float) -> None:
    """Move a walker by one tick of its control, unless the client's navigation has just put it somewhere."""
    if walker.navigated:
        walker.navigated = False
        return
    control, pose = walker.control, walker.pose
    direction = control.direction
    length = math.hypot(direction.x, direction.y)
    if length < 1e-6 or control.speed <= 0.0:
        walker.velocity = walker.acceleration = ZERO
        return
    cos_yaw, sin_yaw = direction.x / length, direction.y / length
    distance = control.speed * dt_s
    x, y = pose.x + cos_yaw * distance, pose.y + sin_yaw * distance
    z = pose.z + ground.height(x, y, pose.z) - ground.height(pose.x, pose.y, pose.z)
    walker.pose = Pose(x, y, z, 0.0, math.degrees(math.atan2(sin_yaw, cos_yaw)), 0.0)
    walker.velocity = (cos_yaw * control.speed, sin_yaw * control.speed, 0.0)
    walker.travelled_m += distance


def follow_navigation(walker: Walker, surface: Transform, speed: float) -> None:
    """Put a walker where the client's navigation moved it; the transform's z is the walking surface's."""
    before = walker.pose
    pose = pose_of(surface)
    yaw = math.radians(pose.yaw)
    walker.navigated = True
    # As CARLA does: a walker that the client no longer navigates goes on the way it went.
    walker.control = WalkerControl(Vector3(math.cos(yaw), math.sin(yaw), 0.0), speed)
    walker.pose = Pose(pose.x, pose.y, pose.z + walker.extent[2], 0.0, pose.yaw, 0.0)
    walker.velocity = (speed * math.cos(yaw), speed * math.sin(yaw), 0.0)
    walker.travelled_m += math.hypot(pose.x - before.x, pose.y - before.y)
