"""Scenarios of traffic: the TrafficManager, walkers with AI, traffic lights; see `client_session`."""

from __future__ import annotations

import carla
import client_session
from client_session import synchronous

from carlaseg.recording.traffic_watch import TrafficWatch


def driving(client):
    """The client's own TrafficManager drives ten cars through the town for half a minute."""
    world = client.get_world()
    carla_map = world.get_map()
    library = world.get_blueprint_library()
    manager = client.get_trafficmanager(client_session.TM_PORT)
    with synchronous(world):
        manager.set_synchronous_mode(True)
        manager.set_random_device_seed(7)
        lights = world.get_actors().filter("traffic.traffic_light*")
        points = carla_map.get_spawn_points()
        ids = ("vehicle.tesla.model3", "vehicle.mitsubishi.fusorosa", "vehicle.gazelle.omafiets", "vehicle.yamaha.yzf")
        batch = [
            carla.command.SpawnActor(library.find(ids[i % len(ids)]), point).then(
                carla.command.SetAutopilot(carla.command.FutureActor, True, client_session.TM_PORT)
            )
            for i, point in enumerate(points[:10])
        ]
        cars = world.get_actors(
            [result.actor_id for result in client.apply_batch_sync(batch, True) if not result.error]
        )
        for one in cars:
            manager.auto_lane_change(one, False)
        travelled = {one.id: 0.0 for one in cars}
        stood_at_red, ran_red, worst = 0, 0, 0.0
        last = {one.id: one.get_location() for one in cars}
        was_red = {}
        # Woken when it sleeps through a tick, docs/decisions/0032.
        watch = TrafficWatch(world, client_session.TM_PORT)
        for step in range(600):
            watch.tick()
            for one in cars:
                here = one.get_location()
                travelled[one.id] += here.distance(last[one.id])
                red = one.is_at_traffic_light() and one.get_traffic_light_state() == carla.TrafficLightState.Red
                speed = one.get_velocity().length()
                stood_at_red += red and speed < 0.1
                # Left the zone of a light that was red all the while and still is: drove over the line.
                light = was_red.get(one.id)
                if (
                    light is not None
                    and not one.is_at_traffic_light()
                    and light.get_state() == carla.TrafficLightState.Red
                ):
                    ran_red += 1
                was_red[one.id] = one.get_traffic_light() if red else None
                last[one.id] = here
                if step > 100 and step % 5 == 0:
                    waypoint = carla_map.get_waypoint(here)
                    if not waypoint.is_junction:
                        centre = waypoint.transform
                        dx, dy = here.x - centre.location.x, here.y - centre.location.y
                        right = centre.get_right_vector()
                        worst = max(worst, abs(dx * right.x + dy * right.y))
        watch.close()
        manager.set_synchronous_mode(False)
        manager.shut_down()
    return {
        "cars": len(travelled),
        "lights": len(lights),
        "travelled": sorted(travelled.values()),
        "stood_at_red": stood_at_red,
        "ran_red": ran_red,
        "worst_offset": worst,
    }


def walking(client):
    world = client.get_world()
    library = world.get_blueprint_library()
    with synchronous(world):
        world.set_pedestrians_seed(11)
        places = [world.get_random_location_from_navigation() for _ in range(6)]
        if any(one is None for one in places):
            return {"places": None}
        walkers = [
            world.try_spawn_actor(library.find(f"walker.pedestrian.{i + 15:04d}"), carla.Transform(one))
            for i, one in enumerate(places)
        ]
        walkers = [walker for walker in walkers if walker is not None]
        world.tick()
        brain = library.find("controller.ai.walker")
        controllers = [world.spawn_actor(brain, carla.Transform(), attach_to=walker) for walker in walkers]
        world.tick()
        begun = [walker.get_location() for walker in walkers]
        for controller in controllers:
            controller.start()
            controller.go_to_location(world.get_random_location_from_navigation())
            controller.set_max_speed(1.4)
        for _ in range(120):
            world.tick()
        moved = [walker.get_location().distance(start) for walker, start in zip(walkers, begun, strict=True)]
        for controller in controllers:
            controller.stop()
    return {"places": [[one.x, one.y, one.z] for one in places], "moved": moved}


def traffic_lights(client):
    world = client.get_world()
    with synchronous(world):
        world.tick()
        lights = list(world.get_actors().filter("traffic.traffic_light*"))
        if not lights:
            return {"count": 0}
        light = lights[0]
        light.freeze(True)
        seen = []
        for state in (carla.TrafficLightState.Green, carla.TrafficLightState.Yellow, carla.TrafficLightState.Red):
            light.set_state(state)
            world.tick()
            seen.append(light.get_state() == state)
        light.freeze(False)
        light.set_green_time(1.0)
        world.tick()
        green_time = light.get_green_time()
        states = set()
        for _ in range(800):
            world.tick()
            states.add(str(light.get_state()))
        group = [one.id for one in light.get_group_traffic_lights()]
        found = world.get_traffic_light_from_opendrive_id(light.get_opendrive_id())
        light.set_green_time(10.0)
    return {
        "count": len(lights),
        "seen": seen,
        "green_time": green_time,
        "states": sorted(states),
        "in_group": light.id in group,
        "found": found is not None and found.id == light.id,
        "landmarks": len(world.get_map().get_all_landmarks_of_type("1000001")),
    }


def stop_waypoints(client):
    """Where cars stop for each light, by the client's own walk along the light's trigger volume."""
    world = client.get_world()
    carla_map = world.get_map()
    lights = []
    for light in world.get_actors().filter("traffic.traffic_light*"):
        place = light.get_transform()
        middle = carla_map.get_waypoint(place.transform(light.trigger_volume.location))
        stops = light.get_stop_waypoints()
        lights.append(
            {
                "lanes": sorted({(one.road_id, one.lane_id) for one in stops}),
                "before": (middle.road_id, middle.lane_id),
                "junction_ahead": [any(after.is_junction for after in one.next(6.0)) for one in stops],
                "yaw": place.rotation.yaw,
            }
        )
    return {"lights": lights}


def wheels_and_parents(client):
    """Where a car's wheels are by its physics, and what a batch does with a parent that there is not."""
    world = client.get_world()
    library = world.get_blueprint_library()
    with synchronous(world):
        car = world.spawn_actor(library.find("vehicle.tesla.model3"), world.get_map().get_spawn_points()[0])
        world.tick()
        physics, here = car.get_physics_control(), car.get_location()
        places = [(wheel.position.x / 100, wheel.position.y / 100) for wheel in physics.wheels]
        before = len(world.get_actors())
        gnss = carla.command.SpawnActor(library.find("sensor.other.gnss"), carla.Transform(), 0)
        (answer,) = client.apply_batch_sync([gnss], True)
        after = len(world.get_actors())
        car.destroy()
    return {
        "wheelbase_m": ((places[0][0] - places[2][0]) ** 2 + (places[0][1] - places[2][1]) ** 2) ** 0.5,
        "from_middle_m": [((x - here.x) ** 2 + (y - here.y) ** 2) ** 0.5 for x, y in places],
        "steer_deg": [wheel.max_steer_angle for wheel in physics.wheels],
        "error": answer.error,
        "born": after - before,
    }
