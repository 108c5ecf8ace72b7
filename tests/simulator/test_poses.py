"""Poses and boxes against CARLA's own geometry and by hand."""

from __future__ import annotations

import random

import pytest

from carlaseg.simulator.poses import compose, footprint, normalize_deg, overlaps, rotate, rotation_matrix, unrotate
from carlaseg.simulator.scene import Pose


def random_pose(rng):
    angles = rng.uniform(-80, 80), rng.uniform(-180, 180), rng.uniform(-170, 170)
    return Pose(rng.uniform(-50, 50), rng.uniform(-50, 50), rng.uniform(-5, 5), *angles)


def test_rotation_is_that_of_carla_s_transform():
    carla = pytest.importorskip("carla", reason="no carla client for this Python or platform")
    rng = random.Random(5)
    for _ in range(50):
        pose = random_pose(rng)
        transform = carla.Transform(
            carla.Location(pose.x, pose.y, pose.z), carla.Rotation(pose.pitch, pose.yaw, pose.roll)
        )
        vector = (rng.uniform(-1, 1), rng.uniform(-1, 1), rng.uniform(-1, 1))
        expected = transform.transform_vector(carla.Vector3D(*vector))
        assert rotate(rotation_matrix(pose), vector) == pytest.approx((expected.x, expected.y, expected.z), abs=1e-4)


def test_composed_pose_sends_points_where_both_poses_in_turn_do():
    rng = random.Random(6)
    for _ in range(50):
        parent, child = random_pose(rng), random_pose(rng)
        point = (1.0, -2.0, 0.5)
        inner = rotate(rotation_matrix(child), point)
        inner = (inner[0] + child.x, inner[1] + child.y, inner[2] + child.z)
        outer = rotate(rotation_matrix(parent), inner)
        both = compose(parent, child)
        once = rotate(rotation_matrix(both), point)
        assert (once[0] + both.x, once[1] + both.y, once[2] + both.z) == pytest.approx(
            (outer[0] + parent.x, outer[1] + parent.y, outer[2] + parent.z), abs=1e-6
        )


def test_level_poses_compose_without_rounding():
    assert compose(Pose(1, 2, 0, 0, 90, 0), Pose(0, 0, 1.7, -15, 0, 0)) == Pose(1, 2, 1.7, -15, 90, 0)


def test_unrotate_undoes_rotate():
    matrix = rotation_matrix(Pose(pitch=10, yaw=200, roll=-30))
    assert unrotate(matrix, rotate(matrix, (1.0, 2.0, 3.0))) == pytest.approx((1.0, 2.0, 3.0))


@pytest.mark.parametrize(("angle", "expected"), [(0, 0), (180, 180), (-180, -180), (270, -90), (-190, 170), (725, 5)])
def test_angles_are_reported_within_half_a_turn(angle, expected):
    assert normalize_deg(angle) == pytest.approx(expected)


CAR = (0.0, 0.0, 0.75), (2.4, 1.05, 0.75)


@pytest.mark.parametrize(
    ("other", "touches"),
    [
        (Pose(0, 0, 0), True),
        (Pose(4.7, 0, 0), True),
        (Pose(4.9, 0, 0), False),
        (Pose(0, 2.0, 0), True),
        (Pose(0, 2.2, 0), False),
        (Pose(3.3, 0, 0, yaw=90), True),
        (Pose(3.6, 0, 0, yaw=90), False),
        (Pose(3.7, 1.9, 0, yaw=45), True),
        (Pose(3.9, 3.3, 0, yaw=45), False),
        (Pose(0, 0, 100), False),
    ],
)
def test_boxes_touch_by_their_heading_and_height(other, touches):
    one, two = footprint(Pose(), *CAR), footprint(other, *CAR)
    assert overlaps(one, two) is touches
    assert overlaps(two, one) is touches
