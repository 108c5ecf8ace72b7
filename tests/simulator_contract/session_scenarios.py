"""Scenarios of a session: versions, settings, ticks, batches, episodes; see `client_session`.

A scenario takes a connected client and returns what it saw as plain values.
"""

from __future__ import annotations

import hashlib
import time

import carla
import client_session
from client_session import DT_S, WAIT_S, car, listen, place, synchronous

from carlaseg.recording.traffic_watch import TrafficWatch


def greeting(client):
    world = client.get_world()
    carla_map = world.get_map()
    return {
        "server": client.get_server_version(),
        "client": client.get_client_version(),
        "maps": client.get_available_maps(),
        "map": carla_map.name,
        "spawn_points": [place(point) for point in carla_map.get_spawn_points()],
        "on_lane": [
            carla_map.get_waypoint(point.location, project_to_road=False) is not None
            for point in carla_map.get_spawn_points()
        ],
        "topology": len(carla_map.get_topology()),
    }


def blueprints(client):
    library = client.get_world().get_blueprint_library()
    return {
        blueprint.id: {
            attribute.id: [str(attribute.type), attribute.is_modifiable, len(attribute.recommended_values)]
            for attribute in blueprint
        }
        for blueprint in library
    } | {"tags": [blueprint.id for name in ("tt", "lincoln", "vehicle") for blueprint in library.filter(name)]}


def ticks(client):
    world = client.get_world()
    with synchronous(world):
        frames, clocks = [], []
        for _ in range(5):
            frames.append(world.tick())
            snapshot = world.get_snapshot()
            clocks.append([snapshot.frame, snapshot.timestamp.elapsed_seconds, snapshot.timestamp.delta_seconds])
        time.sleep(0.2)
        still = world.get_snapshot().frame
    return {"frames": frames, "clocks": clocks, "still": still}


def free_run(client):
    world = client.get_world()
    first, second = world.wait_for_tick(WAIT_S), world.wait_for_tick(WAIT_S)
    settings = world.get_settings()
    settings.fixed_delta_seconds = 0.011112
    world.apply_settings(settings)
    delta = world.wait_for_tick(WAIT_S).timestamp.delta_seconds
    settings.fixed_delta_seconds = None
    world.apply_settings(settings)
    return {"frames": [first.frame, second.frame], "delta": delta}


def batch_ticks(client):
    world = client.get_world()
    with synchronous(world):
        before = world.tick()
        client.apply_batch_sync([], False)
        unmoved = world.get_snapshot().frame
        client.apply_batch_sync([], True)
        after = world.get_snapshot().frame
    return {"before": before, "unmoved": unmoved, "after": after}


def weather(client):
    world = client.get_world()
    world.set_weather(carla.WeatherParameters.HardRainSunset)
    read = world.get_weather()
    world.set_weather(carla.WeatherParameters.ClearNoon)
    return {
        "precipitation": read.precipitation,
        "sun": read.sun_altitude_angle,
        "noon": world.get_weather().sun_altitude_angle,
    }


def spectator(client):
    world = client.get_world()
    with synchronous(world):
        world.get_spectator().set_transform(carla.Transform(carla.Location(1, 2, 30), carla.Rotation(-90, 15, 0)))
        world.tick()
        pose = place(world.get_spectator().get_transform())
    return {"pose": pose}


def reload(client):
    world = client.get_world()
    before = world.wait_for_tick(WAIT_S).frame
    old = car(world)
    old_id = old.id
    world = client.reload_world()
    snapshot = world.wait_for_tick(WAIT_S)
    result = {
        "frames": [before, snapshot.frame],
        "left": sorted({actor.type_id for actor in world.get_actors()}),
        "sync": world.get_settings().synchronous_mode,
        "spectator": world.get_spectator() is not None,
        "new_id": car(world).id > old_id,
    }
    time.sleep(0.5)
    settings = world.get_settings()
    settings.synchronous_mode = True
    settings.fixed_delta_seconds = DT_S
    world.apply_settings(settings)
    world = client.reload_world(False)
    kept = world.get_settings()
    result["kept"] = [kept.synchronous_mode, kept.fixed_delta_seconds]
    frame = world.tick()
    result["tick"] = [frame, world.get_snapshot().frame]
    settings.synchronous_mode = False
    settings.fixed_delta_seconds = None
    world.apply_settings(settings)
    time.sleep(0.5)
    try:
        client.load_world("no_such_town")
        result["refusal"] = ""
    except RuntimeError as error:
        result["refusal"] = str(error)
    result["alive"] = client.get_world().wait_for_tick(WAIT_S).frame > frame
    return result


def refusals(client):
    world = client.get_world()
    texts = {}
    with synchronous(world):
        ego = car(world)
        world.tick()
        tries = {
            "enable_gbuffers": lambda: listen(world, "sensor.camera.rgb", ego)[0].enable_gbuffers(True),
            "image_size": lambda: listen(world, "sensor.camera.rgb", ego, image_size_x="0"),
        }
        for name, attempt in tries.items():
            try:
                attempt()
                texts[name] = ""
            except RuntimeError as error:
                texts[name] = str(error)
        after = world.tick() > 0
    return {"texts": texts, "after": after}


def repeatable(client):
    """A digest of every camera byte and every pose of a short drive in a freshly loaded world."""
    world = client.reload_world()
    library = world.get_blueprint_library()
    digest = hashlib.sha256()
    manager = client.get_trafficmanager(client_session.TM_PORT)
    with synchronous(world):
        manager.set_synchronous_mode(True)
        manager.set_random_device_seed(3)
        points = world.get_map().get_spawn_points()
        ego = world.spawn_actor(library.find("vehicle.lincoln.mkz_2020"), points[0])
        cars = [world.spawn_actor(library.find("vehicle.audi.tt"), point) for point in points[1:6]]
        world.tick()
        for one in (ego, *cars):
            one.set_autopilot(True, client_session.TM_PORT)
        sensors = [
            listen(world, f"sensor.camera.{kind}", ego, image_size_x="64", image_size_y="48")
            for kind in ("rgb", "semantic_segmentation")
        ]
        # Woken when it sleeps through a tick, docs/decisions/0032.
        watch = TrafficWatch(world, client_session.TM_PORT)
        for _ in range(40):
            watch.tick()
            for _, received in sensors:
                digest.update(bytes(received.get(timeout=WAIT_S).raw_data))
            digest.update(repr([place(one.get_transform()) for one in (ego, *cars)]).encode())
        for sensor, _ in sensors:
            sensor.stop()
        watch.close()
        manager.set_synchronous_mode(False)
        manager.shut_down()
    return {"digest": digest.hexdigest(), "moved": ego.get_location().distance(points[0].location)}


def tick_speed(client):
    world = client.get_world()
    with synchronous(world):
        for point in world.get_map().get_spawn_points()[:10]:
            world.spawn_actor(world.get_blueprint_library().find("vehicle.audi.tt"), point)
        for _ in range(50):
            world.tick()
        times = []
        for _ in range(300):
            start = time.perf_counter()
            world.tick()
            times.append(time.perf_counter() - start)
    return {"median_ms": sorted(times)[len(times) // 2] * 1000}
