"""What moves: vehicles, walkers and traffic lights, tick by tick and without a socket."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from small_world import light_site, street

from carlaseg.errors import SimulatorError
from carlaseg.simulator.actors import GREEN, MAX_STEER_DEG, RED, YELLOW, TrafficLight, Vehicle, Walker
from carlaseg.simulator.blueprints import LIBRARY
from carlaseg.simulator.collisions import Contact, SolidBoxes, contacts_of
from carlaseg.simulator.scene import Pose
from carlaseg.simulator.vehicles import reported_control, set_velocity
from carlaseg.simulator.walkers import follow_navigation
from carlaseg.simulator.world import MAX_TOMBSTONES, World
from carlaseg.wire.values import (
    AckermannControl,
    ActorDescription,
    AttributeValue,
    Rotation,
    Transform,
    Vector3,
    VehicleControl,
    WalkerControl,
)

DT_S = 0.05


def spawn(world, blueprint_id, pose=None, parent=0, **attributes):
    values = tuple(AttributeValue(name, 4, value) for name, value in attributes.items())
    return world.spawn(ActorDescription(1, blueprint_id, values), pose or Pose(20.0, 1.75, 0.5), parent)


@pytest.fixture
def world():
    return World(street())


def run(world, ticks):
    for _ in range(ticks):
        world.step(DT_S)


@pytest.mark.parametrize(
    "blueprint_id", [name for name in LIBRARY if name.startswith(("vehicle.", "walker.", "static.prop."))]
)
def test_every_body_spawns_stands_still_on_the_ground_and_can_be_drawn(world, blueprint_id):
    actor = spawn(world, blueprint_id)
    run(world, 3)
    (drawn,) = world.drawn_frame().actors
    assert (actor.pose.x, actor.pose.y, actor.pose.yaw) == (20.0, 1.75, 0.0)
    assert drawn.actor_id == actor.actor_id
    assert min(drawn.extent) > 0
    assert 0 < drawn.tag <= 28
    if isinstance(actor, Vehicle):
        assert actor.pose.z == 0.0
    if isinstance(actor, Walker):
        assert actor.pose.z == pytest.approx(actor.extent[2])


def test_full_steering_drives_a_closed_circle_whatever_the_time_step():
    radii = []
    for dt_s in (0.01, 0.05, 0.1):
        world = World(street())
        car = spawn(world, "vehicle.tesla.model3", Pose(100.0, 0.0))
        set_velocity(car, Vector3(5.0, 0.0, 0.0))
        car.constant_velocity = Vector3(5.0, 0.0, 0.0)
        car.control = VehicleControl(steer=1.0)
        ys = []
        for _ in range(round(10 / dt_s)):
            world.step(dt_s)
            ys.append(car.pose.y)
        assert min(ys) > -0.6, "steering to the right goes to +y"
        radii.append((max(ys) - min(ys)) / 2)
    assert max(radii) - min(radii) < 0.05


def test_vehicle_climbs_with_the_ground_and_tilts():
    # Ground that rises by a tenth towards larger x.
    heights = np.tile(np.arange(51, dtype=np.float32) * 0.4, (26, 1))
    world = World(street(heights=heights))
    car = spawn(world, "vehicle.audi.tt", Pose(50.0, 0.0, 5.5))
    set_velocity(car, Vector3(10.0, 0.0, 0.0))
    run(world, 20)
    assert car.pose.z == pytest.approx(car.pose.x / 10, abs=0.01)
    assert car.pose.pitch == pytest.approx(math.degrees(math.atan(0.1)), abs=0.1)
    assert world.elevation.height(1e6, 0.0) == pytest.approx(20.0), "beyond the town its edge goes on"


def test_wheels_in_the_air_neither_drive_nor_brake_nor_steer(world):
    car = spawn(world, "vehicle.audi.tt", Pose(20.0, 1.75, 30.0, yaw=10.0))
    car.has_gravity = False
    set_velocity(car, Vector3(10.0, 0.0, 0.0))
    car.control = VehicleControl(throttle=1.0, steer=1.0)
    run(world, 20)
    assert (car.pose.z, car.pose.yaw) == (30.0, 10.0)
    car.control = VehicleControl(brake=1.0, hand_brake=True)
    run(world, 20)
    assert 9.0 < car.speed < 10.0, "the air alone slows it"


def test_wheels_turned_by_hand_are_seen_as_they_were_turned_straight_ones_too(world):
    car = spawn(world, "vehicle.audi.tt")
    car.control = VehicleControl(steer=0.5)
    run(world, 1)
    assert car.drawn().steer_deg == pytest.approx(25.0)
    car.wheel_angles_deg[0] = (0.0, None)
    assert car.drawn().steer_deg == 0.0


def test_control_that_does_not_stick_lasts_one_tick(world):
    loose = spawn(world, "vehicle.audi.tt", sticky_control="false")
    fixed = spawn(world, "vehicle.audi.tt", Pose(60.0, 1.75), sticky_control="True")
    for car in (loose, fixed):
        car.control = VehicleControl(throttle=1.0)
    run(world, 20)
    assert fixed.speed > 2.0 > 0.3 > loose.speed


def test_vehicle_without_physics_stays_where_it_is_put(world):
    car = spawn(world, "vehicle.audi.tt")
    car.simulates_physics = False
    car.control = VehicleControl(throttle=1.0)
    world.place(car, Pose(50.0, 1.0, 3.0, yaw=400.0))
    run(world, 5)
    assert car.pose == Pose(50.0, 1.0, 3.0, yaw=40.0)


def test_walker_navigated_by_the_client_stands_on_the_surface_it_names(world):
    walker = spawn(world, "walker.pedestrian.0001")
    follow_navigation(walker, Transform(Vector3(30.0, 5.0, 0.15), Rotation(0.0, 90.0, 0.0)), 1.4)
    run(world, 1)
    assert (walker.pose.x, walker.pose.y) == (30.0, 5.0)
    assert walker.pose.z == pytest.approx(0.15 + walker.extent[2])
    assert walker.velocity == pytest.approx((0.0, 1.4, 0.0))
    assert walker.control.speed == pytest.approx(1.4)


def test_walker_that_nobody_navigates_any_more_moves_as_its_velocity_says(world):
    walker = spawn(world, "walker.pedestrian.0001")
    follow_navigation(walker, Transform(Vector3(30.0, 5.0, 0.15), Rotation(0.0, 90.0, 0.0)), 1.4)
    run(world, 11)
    assert (walker.pose.x, walker.pose.y) == pytest.approx((30.0, 5.0 + 10 * 0.05 * 1.4))
    assert walker.velocity == pytest.approx((0.0, 1.4, 0.0))
    walker.control = WalkerControl()
    run(world, 1)
    assert walker.velocity == (0.0, 0.0, 0.0)


def test_an_ackermann_drive_shows_the_pedals_it_would_take(world):
    car = spawn(world, "vehicle.tesla.model3")
    car.ackermann = AckermannControl(math.radians(10.0), 0.0, 5.0, 0.0, 0.0)
    run(world, 1)
    assert reported_control(car).throttle == 1.0
    assert reported_control(car).steer == pytest.approx(10.0 / MAX_STEER_DEG)
    run(world, 100)
    car.ackermann = AckermannControl(0.0, 0.0, 0.0, 0.0, 0.0)
    run(world, 1)
    assert reported_control(car).throttle == 0.0
    assert reported_control(car).brake > 0.5


def test_the_angular_velocity_of_a_climb_is_the_change_of_its_pitch():
    hill = np.zeros((26, 51), np.float32)
    hill[:, 15:] = 0.1 * np.arange(36) ** 1.2
    world = World(street(heights=hill))
    car = spawn(world, "vehicle.audi.tt", Pose(30.0, 1.75, 0.5))
    car.constant_velocity = Vector3(8.0, 0.0, 0.0)
    run(world, 1)
    began_deg, turned_deg = car.pose.pitch, 0.0
    for _ in range(100):
        run(world, 1)
        # Driving along +x the axis to the right is +y, and a nose that rises turns against it.
        turned_deg -= car.angular_velocity[1] * DT_S
    assert car.pose.pitch > began_deg + 1.0
    assert car.pose.pitch - began_deg == pytest.approx(turned_deg)


def test_the_front_wheels_turn_as_far_as_the_physics_say(world):
    car = spawn(world, "vehicle.tesla.model3")
    car.control = VehicleControl(throttle=0.5, steer=1.0)
    run(world, 2)
    assert car.steer_deg == pytest.approx(MAX_STEER_DEG)
    wheels = tuple(replace(wheel, max_steer_angle=20.0) for wheel in car.physics.wheels)
    car.physics = replace(car.physics, wheels=wheels)
    run(world, 1)
    assert car.steer_deg == pytest.approx(20.0)


def test_sensor_follows_its_vehicle_and_stays_when_it_is_gone(world):
    car = spawn(world, "vehicle.audi.tt")
    sensor = spawn(world, "sensor.other.gnss", Pose(1.6, 0.0, 1.7), car.actor_id)
    set_velocity(car, Vector3(10.0, 0.0, 0.0))
    run(world, 10)
    assert sensor.pose.x == pytest.approx(car.pose.x + 1.6)
    assert sensor.pose.z == pytest.approx(1.7)
    left_at = sensor.pose
    world.destroy(car.actor_id)
    run(world, 3)
    assert sensor.pose == left_at


def test_contact_with_cars_and_buildings_is_found_and_a_near_miss_is_not(world):
    solid = SolidBoxes(world.town)
    car = spawn(world, "vehicle.audi.tt", Pose(40.0, 20.0))
    assert list(contacts_of(car, world, solid)) == []
    other = spawn(world, "vehicle.audi.tt", Pose(46.0, 20.0))
    world.place(car, Pose(43.0, 20.0))
    assert [contact.actor for contact in contacts_of(car, world, solid)] == [other]
    world.place(car, Pose(60.0, 13.8))
    assert list(contacts_of(car, world, solid)) == []
    world.place(car, Pose(60.0, 14.5))
    assert list(contacts_of(car, world, solid)) == [Contact(None, 3)]


def test_ids_are_never_used_again_and_the_dead_are_remembered_within_bounds(world):
    seen, streams = set(), set()
    for _ in range(MAX_TOMBSTONES + 10):
        actor = spawn(world, "sensor.other.gnss")
        assert actor.actor_id not in seen
        assert actor.stream_id not in streams
        seen.add(actor.actor_id)
        streams.add(actor.stream_id)
        world.destroy(actor.actor_id)
    assert world.remembered(actor.actor_id) is actor
    assert len(world._tombstones) == MAX_TOMBSTONES
    world.begin_episode(street())
    assert spawn(world, "sensor.other.gnss").actor_id not in seen


@pytest.mark.parametrize(
    ("name", "value"), [("image_size_x", "0"), ("image_size_y", "4097"), ("fov", "180"), ("fov", "x")]
)
def test_camera_that_cannot_be_is_refused_by_attribute(world, name, value):
    with pytest.raises(SimulatorError, match=f"'{name}': expected .*received '?{value}"):
        spawn(world, "sensor.camera.rgb", None, 0, **{name: value})


def test_lights_of_a_junction_take_turns_and_are_never_green_together():
    world = World(street(lights=(light_site("a", 0), light_site("b", 1), light_site("c", 1))))
    first, second, third = world.of_kind(TrafficLight)
    history = []
    for _ in range(round(31 / DT_S)):
        world.step(DT_S)
        history.append((first.state, second.state))
        assert second.state == third.state
        assert RED in (first.state, second.state)
    changes = [history[0], *(now for before, now in pairwise(history) if now != before)]
    assert changes == [(GREEN, RED), (YELLOW, RED), (RED, RED), (RED, GREEN), (RED, YELLOW), (RED, RED), (GREEN, RED)]
    assert sum(state == (GREEN, RED) for state in history[:400]) == pytest.approx(10 / DT_S, abs=1)


def test_frozen_lights_keep_the_state_that_was_set(world):
    light = next(world.of_kind(TrafficLight))
    world.traffic_lights.frozen = True
    light.state = YELLOW
    run(world, 1000)
    assert light.state == YELLOW


def test_light_governs_the_vehicle_whose_front_is_in_its_zone_and_no_other(world):
    before = spawn(world, "vehicle.audi.tt", Pose(86.0, 1.75))
    inside = spawn(world, "vehicle.audi.tt", Pose(94.0, 1.75))
    beside = spawn(world, "vehicle.audi.tt", Pose(94.0, -1.75, yaw=180.0))
    world.step(DT_S)
    light = next(world.of_kind(TrafficLight))
    assert inside.traffic_light_id == light.actor_id
    assert before.traffic_light_id == beside.traffic_light_id == 0


def test_a_vehicle_stays_on_a_bridge_and_another_passes_below():
    decks = np.full((26, 51), np.nan, np.float32)
    decks[10:16, 15:36] = 6.0
    town = replace(street(), deck_height_grid=decks)
    world = World(town)
    above = spawn(world, "vehicle.tesla.model3", Pose(70.0, 1.75, 6.5))
    below = spawn(world, "vehicle.tesla.model3", Pose(90.0, 1.75, 0.5))
    set_velocity(above, Vector3(10.0, 0.0, 0.0))
    set_velocity(below, Vector3(10.0, 0.0, 0.0))
    run(world, 60)
    assert (above.pose.z, below.pose.z) == (6.0, 0.0)
    assert above.pose.x > 90.0


def test_a_vehicle_keeps_the_attitude_it_was_put_in_until_it_moves():
    """As CARLA's test_spawnpoints asks: after a tick, pitch, yaw and roll are those of the spawn point."""
    slope = np.repeat(np.linspace(0.0, 20.0, 51, dtype=np.float32)[None], 26, axis=0)
    world = World(street(heights=slope))
    car = spawn(world, "vehicle.tesla.model3", Pose(100.0, 1.75, 10.5, pitch=1.5))
    run(world, 2)
    assert car.pose.pitch == 1.5
    set_velocity(car, Vector3(5.0, 0.0, 0.0))
    run(world, 1)
    assert car.pose.pitch == pytest.approx(math.degrees(math.atan(0.1)), abs=0.01)
