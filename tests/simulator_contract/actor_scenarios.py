"""Scenarios of single actors: spawning, destroying, pedals, physics, walking by control; see `client_session`."""

from __future__ import annotations

import carla
from client_session import car, listen, place, synchronous


def spawning(client):
    world = client.get_world()
    points = world.get_map().get_spawn_points()
    library = world.get_blueprint_library()
    with synchronous(world):
        bus = library.find("vehicle.mitsubishi.fusorosa")
        first = world.spawn_actor(bus, points[0])
        try:
            world.spawn_actor(bus, points[0])
            refusal = ""
        except RuntimeError as error:
            refusal = str(error)
        again = world.try_spawn_actor(bus, points[0]) is None
        results = client.apply_batch_sync(
            [carla.command.DestroyActor(first.id), carla.command.SpawnActor(bus, points[0])], False
        )
        world.tick()
        pose = place(world.get_snapshot().find(results[1].actor_id).get_transform())
        beside = carla.Transform(points[0].location, points[0].rotation)
        right = points[0].get_right_vector()
        beside.location += carla.Location(right.x * 4.0, right.y * 4.0, 0.0)
        neighbour = world.try_spawn_actor(library.find("vehicle.audi.tt"), beside) is not None
        ghost = {"find": world.get_actor(999_999) is None}
        try:
            world.spawn_actor(library.find("sensor.camera.rgb"), carla.Transform(), attach_to=first)
            orphan = ""
        except RuntimeError as error:
            orphan = str(error)
    return {
        "refusal": refusal,
        "again": again,
        "errors": [result.error for result in results],
        "pose": pose,
        "point": place(points[0]),
        "neighbour": neighbour,
        "ghost": ghost,
        "orphan": orphan,
    }


def children_outlive_parents(client):
    world = client.get_world()
    with synchronous(world):
        ego = car(world)
        sensor, _ = listen(world, "sensor.other.gnss", ego)
        world.tick()
        ego.destroy()
        world.tick()
        alive = world.get_actor(sensor.id) is not None
        destroyed = sensor.destroy()
    return {"alive": alive, "destroyed": destroyed}


def physics(client):
    world = client.get_world()
    with synchronous(world):
        ego = car(world)
        world.tick()
        control = ego.get_physics_control()
        control.mass = 1234.5
        wheels = control.wheels
        wheels[1].tire_friction = 2.25
        control.wheels = wheels
        ego.apply_physics_control(control)
        world.tick()
        read = ego.get_physics_control()
        ego.apply_control(carla.VehicleControl(throttle=1.0))
        for _ in range(40):
            world.tick()
        speed = ego.get_velocity().length()
        ego.apply_control(carla.VehicleControl(brake=1.0))
        for _ in range(60):
            world.tick()
        stopped = ego.get_velocity().length()
        ego.apply_control(carla.VehicleControl(throttle=0.5, reverse=True))
        start = ego.get_location()
        forward = ego.get_transform().get_forward_vector()
        for _ in range(20):
            world.tick()
        moved = ego.get_location() - start
        box = ego.bounding_box
    return {
        "mass": read.mass,
        "friction": [wheel.tire_friction for wheel in read.wheels],
        "speed": speed,
        "stopped": stopped,
        "reversed": moved.x * forward.x + moved.y * forward.y,
        "extent": [box.extent.x, box.extent.y, box.extent.z],
    }


def pushing(client):
    world = client.get_world()
    with synchronous(world):
        ego = car(world)
        world.tick()
        forward = ego.get_transform().get_forward_vector()
        control = ego.get_physics_control()
        control.drag_coefficient = 0.0
        wheels = control.wheels
        for wheel in wheels:
            wheel.tire_friction = 0.0
        control.wheels = wheels
        ego.apply_physics_control(control)
        ego.set_target_velocity(carla.Vector3D(forward.x * 20.0, forward.y * 20.0, 0.0))
        world.tick()
        first = ego.get_velocity().length()
        for _ in range(50):
            world.tick()
        return {"speeds": [first, ego.get_velocity().length()]}


def walker_control(client):
    world = client.get_world()
    with synchronous(world):
        point = world.get_map().get_spawn_points()[3]
        walker = world.spawn_actor(world.get_blueprint_library().find("walker.pedestrian.0007"), point)
        world.tick()
        start = walker.get_location()
        walker.apply_control(carla.WalkerControl(carla.Vector3D(0.0, 1.0, 0.0), 2.0, False))
        for _ in range(20):
            world.tick()
        end = walker.get_location()
    return {"moved": [end.x - start.x, end.y - start.y, end.z - start.z]}
