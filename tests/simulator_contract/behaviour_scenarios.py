"""Scenarios about physics relations, many listeners and attributes that scripts count on; see `client_session`."""

from __future__ import annotations

import queue
import time

import carla
import client_session
from client_session import WAIT_S, car, listen, synchronous


def settle(world, ticks):
    for _ in range(ticks):
        world.tick()


def with_wheels(vehicle, **changes):
    control = vehicle.get_physics_control()
    wheels = control.wheels
    for wheel in wheels:
        for name, value in changes.items():
            setattr(wheel, name, value)
    control.wheels = wheels
    return control


def relations(client):
    """Braking way by friction, way under throttle by stiffness, sticky control, speed without gravity and drag."""
    world = client.get_world()
    result = {}
    with synchronous(world):
        point = world.get_map().get_spawn_points()[0]
        forward = point.get_forward_vector()
        blueprint = world.get_blueprint_library().find("vehicle.dodge.charger_2020")

        def run(throttle, brake, speed, physics, ticks=60, sticky="true"):
            blueprint.set_attribute("sticky_control", sticky)
            vehicle = world.spawn_actor(blueprint, point)
            world.tick()
            vehicle.apply_physics_control(with_wheels(vehicle, **physics))
            vehicle.set_target_velocity(carla.Vector3D(forward.x * speed, forward.y * speed, 0))
            vehicle.apply_control(carla.VehicleControl(throttle=throttle, brake=brake))
            start = vehicle.get_location()
            settle(world, ticks)
            way, control = vehicle.get_location().distance(start), vehicle.get_control()
            vehicle.destroy()
            world.tick()
            return way, control.throttle

        result["brake"] = [run(0, 1, 15.0, {"tire_friction": value})[0] for value in (0.5, 1.5, 3.5)]
        result["throttle"] = [run(1, 0, 0.0, {"long_stiff_value": value})[0] for value in (100.0, 400.0, 1000.0)]
        result["sticky"] = [run(0.6, 0, 0.0, {}, 5, "True")[1], run(0.6, 0, 0.0, {}, 5, "false")[1]]
        result["repeat"] = [run(0.7, 0, 0.0, {})[0] for _ in range(2)]
        result["wheels"] = len(car(world, 2, "vehicle.gazelle.omafiets").get_physics_control().wheels)
    return result


def many_listeners(client):
    """Six listeners from three connections, one of which stops; event sensors without anybody to watch."""
    world = client.get_world()
    with synchronous(world):
        sensor, first = listen(world, "sensor.other.imu", None, carla.Transform())
        lonely = [
            listen(world, f"sensor.other.{kind}", None, carla.Transform(carla.Location(z=200)))
            for kind in ("collision", "obstacle")
        ]
        world.tick()
        queues, twins = [], []
        for _ in range(5):
            other = carla.Client(client_session.HOST, client_session.PORT)
            other.set_timeout(WAIT_S)
            twin = other.get_world().get_actor(sensor.id)
            received = queue.Queue()
            twin.listen(received.put)
            queues.append(received)
            twins.append((other, twin))
        frame = world.tick()
        together = [received.get(timeout=WAIT_S).frame for received in queues]
        twins[0][1].stop()
        later = world.tick()
        after = [received.get(timeout=WAIT_S).frame for received in queues[1:]]
        while first.get(timeout=WAIT_S).frame < later:
            continue
        time.sleep(0.2)
        result = {
            "frame": frame,
            "together": together,
            "later": later,
            "after": after,
            "stopped": queues[0].qsize(),
            "silent": [received.qsize() for _, received in lonely],
        }
        for _, twin in twins[1:]:
            twin.stop()
        sensor.stop()
        for one, _ in lonely:
            one.stop()
    return result


def crowded_points(client):
    """Every spawn point taken by the longest vehicle at once, and cars side by side off the map."""
    world = client.get_world()
    with synchronous(world):
        library = world.get_blueprint_library()
        points = world.get_map().get_spawn_points()
        bus = library.find("vehicle.mitsubishi.fusorosa")
        responses = client.apply_batch_sync([carla.command.SpawnActor(bus, point) for point in points], False)
        errors = [one.error for one in responses if one.error]
        destroyed = client.apply_batch_sync([carla.command.DestroyActor(one.actor_id) for one in responses], True)
        beside = [
            carla.command.SpawnActor(
                library.find("vehicle.audi.tt"),
                carla.Transform(carla.Location(33.0 + 4.0 * i, -2000.0, 0.2), carla.Rotation(yaw=90)),
            )
            for i in range(3)
        ]
        off_map = [one.error for one in client.apply_batch_sync(beside, True)]
        walker = client.apply_batch_sync(
            [carla.command.SpawnActor(library.find("walker.pedestrian.0007"), points[0])], True
        )[0]
        return {
            "points": len(points),
            "errors": errors,
            "destroyed": [one.error for one in destroyed if one.error],
            "off_map": off_map,
            "walker": walker.error,
        }
