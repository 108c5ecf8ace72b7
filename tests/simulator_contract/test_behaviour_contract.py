"""Relations that CARLA's smoke tests hold a server to: physics, listeners, places to spawn at."""

from __future__ import annotations

import pytest


def test_more_friction_brakes_sooner_and_more_stiffness_gets_farther(play):
    seen = play("relations")
    slippery, usual, rough = seen["brake"]
    assert slippery > usual >= rough
    soft, firm, hard = seen["throttle"]
    assert soft < firm <= hard
    assert seen["sticky"] == pytest.approx([0.6, 0.0], abs=1e-3)
    assert seen["repeat"][0] == pytest.approx(seen["repeat"][1], abs=1e-3)
    assert seen["wheels"] == 4


def test_six_listeners_have_every_frame_and_one_leaves_without_harm(play):
    seen = play("many_listeners")
    assert seen["together"] == [seen["frame"]] * 5
    assert seen["after"] == [seen["later"]] * 4
    assert seen["stopped"] == 0
    assert seen["silent"] == [0, 0]


def test_every_spawn_point_takes_the_longest_vehicle_at_once(play):
    seen = play("crowded_points")
    assert seen["points"] >= 20
    assert seen["errors"] == []
    assert seen["destroyed"] == []
    assert seen["off_map"] == ["", "", ""]
    assert seen["walker"] == ""
