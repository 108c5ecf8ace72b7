"""What a CARLA 0.9.16 server answers to the client's less travelled calls.

Sources: CARLA's Python API reference; its smoke tests of the 0.9.15/0.9.16 era (actor introspection, vehicle physics,
telemetry, wheels, recorder).
"""

from __future__ import annotations

import pytest


def test_actors_tell_their_components_bones_and_sockets(play):
    seen = play("anatomy")
    for name in ("vehicle", "walker"):
        one = seen[name]
        assert any("Mesh" in component for component in one["components"])
        assert one["at"] == pytest.approx(one["pose"], abs=0.01)
        assert one["relative"][2] == pytest.approx(0.0, abs=2.0), "metres"
        assert "NoSuchThing" in one["refusal"] or "component" in one["refusal"]
        assert len(set(one["bones"])) == 1
        assert len(set(one["sockets"])) == 1
    assert seen["walker"]["bones"][0] > 30
    head, foot = seen["walker_bones"]["crl_Head__C"], seen["walker_bones"]["crl_foot__L"]
    assert head[2] - foot[2] > 1.2
    assert len(seen["wheels"]) >= 4


def test_vehicle_tells_telemetry_gains_wheels_and_lamps(play):
    seen = play("vehicle_details")
    assert seen["speed"][0] == pytest.approx(seen["speed"][1], rel=0.1)
    assert seen["controls"] == pytest.approx([0.8, 0.5], abs=1e-3)
    assert seen["wheels"] == 4
    assert seen["rpm"] > 0
    assert seen["spin"] > 1.0
    assert seen["load"] > 1000.0
    assert seen["gain"] == pytest.approx(0.25)
    assert seen["steering"][0] > 1.0
    assert seen["steering"][1] == pytest.approx(12.0)
    assert 0.0 <= seen["pitch"] <= 360.0
    assert seen["pitch_set"] == pytest.approx(45.0)
    assert seen["lights"] == 2
    assert seen["all_lights"] == 1
    assert seen["ackermann"] == pytest.approx(3.0, abs=0.2)


def test_friction_trigger_rules_inside_itself_alone(play):
    seen = play("friction_trigger")
    before, inside, outside = seen["frictions"]
    assert inside == pytest.approx(0.5)
    assert before == outside != pytest.approx(0.5)
    assert seen["alive"]


def test_vehicle_without_gravity_floats_and_one_without_collisions_is_passed_through(play):
    seen = play("floating")
    assert seen["height"] == pytest.approx(0.0, abs=0.05)
    assert 4.5 < seen["speed"] <= 5.001, "the air slows it, no wheel does"
    assert seen["refused"]
    assert seen["through"]


def test_rays_meet_road_and_cars_where_they_are(play):
    seen = play("rays")
    length, height = seen["half"]
    assert seen["road"][0] == pytest.approx(0.0, abs=0.1)
    assert seen["road"][1] in ("Roads", "RoadLines")
    assert seen["top"][0] == pytest.approx(height, abs=0.3)
    assert seen["top"][1] == "Car"
    assert seen["toward"][0] == pytest.approx(length, abs=0.8)
    assert seen["toward"][1] == "Car"
    assert seen["nothing"]
    assert len(seen["hits"]) >= 1
    assert seen["hits"][0][1] == "Car"


def test_street_lamps_are_listed_and_switched(play):
    seen = play("lamps")
    assert seen["count"] == seen["street"]
    if not seen["count"]:
        pytest.skip("this map has no street lamps")
    assert seen["on"] == 0, "at noon"
    assert seen["turned_on"] == 2
    assert seen["height"] > 2.0


def test_recording_is_described_and_replayed(play):
    seen = play("recorder")
    assert "contract.log" in seen["begun"]
    assert "vehicle.tesla.model3" in seen["told"]
    assert "Frames: 4" in seen["told"]
    assert seen["blocked"] == [True, False]
    assert "Collisions: 0" in seen["collisions"]
    assert "contract.log" in seen["replay"]
    assert set(seen["vehicles"]) == {2}
    assert seen["closest"] < 0.1
    assert seen["left"] == 0
    assert "not found" in seen["missing"]


def test_calls_without_effect_are_taken_and_the_world_goes_on(play):
    seen = play("accepted")
    assert seen["objects"][0] == seen["objects"][1] > 0
    assert seen["gravity"] == pytest.approx(1.62)
    assert seen["goes_on"]
