"""What a CARLA 0.9.16 server does, seen through the real client. The embedded simulator must; CARLA does.

Sources: CARLA's documentation (Synchrony and time-step, Actors and blueprints, Sensors reference, Traffic Manager,
Maps and navigation) and its client's smoke tests of the 0.9.15/0.9.16 era.
"""

from __future__ import annotations

import math
from itertools import pairwise

import pytest


def test_client_and_server_agree_on_version_and_map(play):
    seen = play("greeting")
    assert seen["server"] == seen["client"] == "0.9.16"
    assert seen["map"].rsplit("/", 1)[-1] in [name.rsplit("/", 1)[-1] for name in seen["maps"]]
    assert len(seen["spawn_points"]) >= 20
    assert all(seen["on_lane"])
    assert seen["topology"] > 0
    assert "WARNING: Version mismatch" not in seen["stderr"]


def test_blueprints_offer_what_scripts_ask_for(play):
    seen = play("blueprints")
    tags = seen.pop("tags")
    seen.pop("stderr")
    vehicles = {name: attributes for name, attributes in seen.items() if name.startswith("vehicle.")}
    assert len(vehicles) >= 20
    for name in ("ford.mustang", "lincoln.mkz_2017", "lincoln.mkz_2020", "audi.tt", "toyota.prius", "tesla.model3"):
        assert f"vehicle.{name}" in vehicles
    for attributes in vehicles.values():
        assert {"number_of_wheels", "base_type", "generation", "role_name", "sticky_control"} <= set(attributes)
    for name, attributes in seen.items():
        for attribute, (_, modifiable, recommended) in attributes.items():
            assert not modifiable or recommended > 0, f"{name}.{attribute} has no recommended value"
    assert "walker.pedestrian.0007" in seen
    assert {"vehicle.audi.tt", "vehicle.lincoln.mkz_2020"} <= set(tags)
    assert "sensor_tick" not in seen["sensor.other.collision"]


def test_synchronous_world_moves_only_when_told_and_by_the_fixed_step(play):
    seen = play("ticks")
    first = seen["frames"][0]
    assert seen["frames"] == list(range(first, first + 5))
    assert [clock[0] for clock in seen["clocks"]] == seen["frames"]
    times = [clock[1] for clock in seen["clocks"]]
    assert all(later - earlier == pytest.approx(0.05, abs=1e-6) for earlier, later in pairwise(times))
    assert all(clock[2] == pytest.approx(0.05, abs=1e-6) for clock in seen["clocks"])
    assert seen["still"] == seen["frames"][-1]


def test_free_running_world_moves_by_itself_with_the_step_that_was_set(play):
    seen = play("free_run")
    assert seen["frames"][1] > seen["frames"][0]
    assert seen["delta"] == pytest.approx(0.011112, abs=1e-7)


def test_every_camera_delivers_every_tick_from_the_first_with_its_frame_time_and_pose(play):
    seen = play("cameras")
    for one in seen["rounds"]:
        assert one["frames"] == [one["frame"]] * 4
        assert max(one["times"]) < 1e-6
        assert one["sizes"] == [[96, 64, 100.0, 96 * 64 * 4]] * 4
        assert all(one["poses"])
    assert max(seen["tags"]) <= 28
    assert 1 in seen["tags"], "a camera on a car on a road sees road"
    assert seen["instance_agrees"]


def test_sensor_tick_of_a_second_measures_at_the_first_and_every_twentieth_tick(play):
    assert play("sensor_tick")["heard"] == [0, 20, 40]


def test_a_sensor_tick_that_is_no_multiple_of_the_step_keeps_its_mean_rate(play):
    # 50 steps of 0.05 s hold 41 periods of 0.06 s after the first measurement.
    assert 41 <= play("sensor_tick")["uneven"] <= 42


def test_second_client_of_a_sensor_has_the_next_frame_and_leaves_without_harm(play):
    seen = play("second_listener")
    assert seen["seen"][1:] == [seen["frame"], seen["frame"]]
    assert seen["after"] == seen["last"]


def test_spawning_is_refused_on_others_and_possible_beside_and_after_them(play):
    seen = play("spawning")
    assert seen["refusal"] == "Spawn failed because of collision at spawn position"
    assert seen["again"]
    assert seen["errors"] == ["", ""]
    x, y, _, pitch, yaw, roll = seen["pose"]
    assert [x, y, pitch, roll] == pytest.approx([*seen["point"][:2], seen["point"][3], seen["point"][5]], abs=0.005)
    assert abs(math.remainder(yaw - seen["point"][4], 360.0)) < 0.005
    assert seen["neighbour"]
    assert seen["ghost"] == {"find": True}
    assert "parent" in seen["orphan"]


def test_attached_sensor_outlives_its_vehicle_until_it_is_destroyed(play):
    seen = play("children_outlive_parents")
    assert seen["alive"]
    assert seen["destroyed"]
    assert "ERROR" not in seen["stderr"]


def test_batch_ticks_once_when_asked_to_and_else_not(play):
    seen = play("batch_ticks")
    assert seen["unmoved"] == seen["before"]
    assert seen["after"] == seen["before"] + 1


def test_traffic_manager_drives_along_the_lanes_and_stops_at_red_lights(play):
    seen = play("driving", timeout_s=240.0)
    assert seen["cars"] == 10
    assert seen["travelled"][5] > 30.0, "half of the cars got somewhere in 30 s"
    assert seen["worst_offset"] < 0.6, "nobody left the lane"
    if seen["lights"]:
        assert seen["stood_at_red"] > 0
        assert seen["ran_red"] <= 1


def test_walkers_with_controllers_walk_on_the_navigation_mesh(play):
    seen = play("walking")
    assert seen["places"] is not None
    assert max(math.dist(a, b) for a in seen["places"] for b in seen["places"]) > 10.0
    assert min(seen["moved"]) > 0.3
    assert sorted(seen["moved"])[len(seen["moved"]) // 2] > 3.0


def test_walker_follows_its_control(play):
    assert play("walker_control")["moved"] == pytest.approx([0.0, 2.0, 0.0], abs=0.15)


def test_traffic_lights_can_be_set_timed_and_found(play):
    seen = play("traffic_lights")
    if not seen["count"]:
        pytest.skip("this map has no traffic lights")
    assert seen["seen"] == [True, True, True]
    assert seen["green_time"] == pytest.approx(1.0)
    assert {"Red", "Yellow", "Green"} <= set(seen["states"])
    assert seen["in_group"]
    assert seen["found"]
    assert seen["landmarks"] >= seen["count"]


def test_vehicle_obeys_pedals_and_keeps_its_physics(play):
    seen = play("physics")
    assert seen["mass"] == pytest.approx(1234.5)
    assert len(seen["friction"]) == 4
    assert seen["friction"][1] == pytest.approx(2.25)
    assert 3.0 < seen["speed"] < 20.0
    assert seen["stopped"] < 0.05
    assert seen["reversed"] < -0.5
    assert seen["extent"] == pytest.approx([2.4, 1.08, 0.74], abs=0.05)


def test_target_velocity_holds_without_friction_and_drag(play):
    assert play("pushing")["speeds"] == pytest.approx([20.0, 20.0], abs=1e-3)


def test_weather_is_what_was_set(play):
    seen = play("weather")
    assert seen["precipitation"] == pytest.approx(100.0)
    assert seen["noon"] > seen["sun"]


def test_spectator_goes_where_it_is_put(play):
    assert play("spectator")["pose"] == pytest.approx([1.0, 2.0, 30.0, -90.0, 15.0, 0.0], abs=1e-3)


def test_gnss_imu_and_collision_measure_what_happens(play):
    seen = play("measurements")
    assert seen["geo"] == pytest.approx(seen["expected"], abs=1e-6)
    assert seen["gravity"] == pytest.approx(9.81, abs=0.2)
    assert seen["quiet"] == 0
    assert seen["other"] == seen["ids"]


def test_reloading_starts_an_episode_and_frames_go_on_rising(play):
    seen = play("reload")
    assert seen["frames"][1] > seen["frames"][0]
    assert not any(name.startswith(("vehicle.", "sensor.", "walker.")) for name in seen["left"])
    assert seen["sync"] is False
    assert seen["spectator"]
    assert seen["new_id"]
    assert seen["kept"] == [True, pytest.approx(0.05, abs=1e-6)]
    assert seen["tick"][0] == seen["tick"][1]
    assert "no_such_town" in seen["refusal"]
    assert seen["alive"]


def test_same_seeds_give_the_same_bytes_in_two_runs(play):
    first, second = play("repeatable"), play("repeatable")
    assert first["moved"] > 1.0
    assert first["digest"] == second["digest"]


def test_what_is_not_supported_says_its_name_and_harms_nothing(play, server, request):
    if "carla" in request.node.callspec.id:
        pytest.skip("a real server has G-buffers")
    seen = play("refusals")
    assert "enable_gbuffers" in seen["texts"]["enable_gbuffers"]
    assert "image_size_x" in seen["texts"]["image_size"]
    assert seen["after"]


def test_tick_without_cameras_is_quick(play):
    # A quarter of a millisecond on an idle machine (docs/simulator.md); the bound leaves room for a loaded one.
    assert play("tick_speed")["median_ms"] < 5.0


def test_a_light_s_trigger_volume_leads_to_the_lanes_that_stop_for_it(play):
    lights = play("stop_waypoints")["lights"]
    assert len(lights) >= 3
    for light in lights:
        assert list(light["before"]) in [list(lane) for lane in light["lanes"]]
        assert all(light["junction_ahead"])
        assert abs(light["yaw"]) <= 180.0


def test_a_car_s_physics_say_where_its_wheels_are_and_how_far_they_turn(play):
    seen = play("wheels_and_parents")
    assert 2.0 < seen["wheelbase_m"] < 3.5
    assert all(1.0 < distance < 2.5 for distance in seen["from_middle_m"])
    assert min(seen["steer_deg"][:2]) > 30.0
    assert max(seen["steer_deg"][2:]) < 1.0


def test_a_batch_does_not_fix_an_actor_to_one_that_there_is_not(play):
    seen = play("wheels_and_parents")
    assert "unable to attach actor" in seen["error"]
    assert seen["born"] == 0
