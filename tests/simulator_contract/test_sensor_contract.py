"""What CARLA's lidars, radar, obstacle detector and computed cameras deliver.

Sources: CARLA's sensors reference; RayCastLidar.cpp, Radar.cpp, ObstacleDetectionSensor.cpp; its lidar smoke tests.
"""

from __future__ import annotations

import math

import pytest


def test_lidar_points_agree_with_their_channels_their_twin_and_the_depth_camera(play):
    seen = play("lidar")
    for one in seen["rounds"]:
        assert len(set(one["frames"])) == 1
        whole, plain, lossy = one["sizes"]
        assert whole == plain == one["counts_sum"]
        assert one["counts_agree"]
        assert one["channels"] == [32, 32]
        assert lossy < 0.75 * whole
        assert one["farthest"] <= 40.01
        assert math.exp(-0.004 * 40) <= one["intensities"][0] <= one["intensities"][1] <= 1.0
        assert one["cosines"][0] >= 0.0
        assert one["cosines"][1] <= 1.0
        assert one["agreement"] > 0.97
    assert 1 in seen["tags"]
    assert 14 in seen["tags"]
    assert seen["cars"][1] in seen["ids"]
    nearest, aside = seen["on_other"]
    assert nearest == pytest.approx(12.0 - 2.4, abs=0.3)
    assert aside < 1.3


def test_lidar_with_one_seed_repeats_itself(play):
    seen = play("lidar_repeats")
    assert seen["points"] > 100
    assert seen["same"]


def test_radar_tells_depth_and_speed_and_obstacle_what_is_ahead(play):
    seen = play("radar_and_obstacle")
    assert 0 < seen["count"] <= 1000
    assert max(seen["cone"]) <= math.radians(15.0) + 1e-3
    assert seen["still"] < 0.05
    assert seen["closing"] == pytest.approx(-seen["speed"], abs=0.3)
    # From the sensor, 2.6 m before the middle of the one car, to the tail of the other.
    assert seen["depth"] == pytest.approx(12.0 - 2.6 - 2.4, abs=0.4)
    assert seen["obstacle"][0] == seen["other"]
    assert seen["obstacle"][1] == pytest.approx(12.0 - 2.6 - 2.4 - 0.2, abs=0.3)
    assert seen["blind"] == 0


def test_normals_point_up_on_the_road_and_flow_is_the_motion_of_its_pixels(play):
    seen = play("computed_cameras")
    assert seen["road_pixels"] > 500
    blue, green, red = seen["up"]
    assert blue > 240
    assert green == pytest.approx(128, abs=6)
    assert red == pytest.approx(128, abs=6)
    assert seen["flow_error"] < 0.1 * seen["flow_size"]
    assert seen["cosmos"] == [160, 120, 160 * 120 * 4]
    assert seen["events"][0] >= 3
    assert seen["polarities"] == [False, True]
