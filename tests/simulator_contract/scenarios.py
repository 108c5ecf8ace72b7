"""What a CARLA client does, one function a scenario: takes a connected client, returns what it saw as plain values.

`perform.py` plays one in a process of its own: a client that a server's mistake aborts then ends that process and not
the tests'.
"""

from __future__ import annotations

import contextlib
import hashlib
import queue
import time

import carla

from carlaseg.recording.traffic_watch import TrafficWatch

DT_S = 0.05
WAIT_S = 20.0


@contextlib.contextmanager
def synchronous(world, delta_s=DT_S):
    before = world.get_settings()
    settings = world.get_settings()
    settings.synchronous_mode = True
    settings.fixed_delta_seconds = delta_s
    world.apply_settings(settings)
    ours_from = {actor.id for actor in world.get_actors()}
    try:
        yield
    finally:
        ours = [actor.id for actor in world.get_actors() if actor.id not in ours_from]
        world.tick()
        ours = sorted({*ours, *(actor.id for actor in world.get_actors() if actor.id not in ours_from)})
        before.synchronous_mode = False
        before.fixed_delta_seconds = None
        CLIENT.apply_batch_sync([carla.command.DestroyActor(i) for i in ours], True)
        world.apply_settings(before)


class WatchedTicks:
    """Ticks of a world with a TrafficManager, which is woken when it sleeps through one (docs/decisions/0032)."""

    def __init__(self, world):
        self.world, self.frame_before_tick = world, None
        self._watch = TrafficWatch(self, TM_PORT)

    def tick(self):
        self.frame_before_tick = self.world.get_snapshot().frame
        self.world.tick()
        self.frame_before_tick = None

    def close(self):
        self._watch.close()


CLIENT: carla.Client = None
HOST, PORT, TM_PORT = "", 0, 0


def place(pose):
    return [
        pose.location.x,
        pose.location.y,
        pose.location.z,
        pose.rotation.pitch,
        pose.rotation.yaw,
        pose.rotation.roll,
    ]


def listen(world, blueprint_id, parent=None, at=None, **attributes):
    blueprint = world.get_blueprint_library().find(blueprint_id)
    for name, value in attributes.items():
        blueprint.set_attribute(name, value)
    sensor = world.spawn_actor(blueprint, at or carla.Transform(carla.Location(x=1.6, z=1.7)), attach_to=parent)
    received = queue.Queue()
    sensor.listen(received.put)
    return sensor, received


def car(world, spawn_point=0, blueprint_id="vehicle.tesla.model3"):
    blueprint = world.get_blueprint_library().find(blueprint_id)
    return world.spawn_actor(blueprint, world.get_map().get_spawn_points()[spawn_point])


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


def cameras(client):
    world = client.get_world()
    kinds = ("rgb", "semantic_segmentation", "instance_segmentation", "depth")
    with synchronous(world):
        ego = car(world)
        sensors = [
            listen(world, f"sensor.camera.{kind}", ego, image_size_x="96", image_size_y="64", fov="100")
            for kind in kinds
        ]
        rounds = []
        for _ in range(5):
            frame = world.tick()
            images = [received.get(timeout=WAIT_S) for _, received in sensors]
            snapshot = world.get_snapshot()
            rounds.append(
                {
                    "frame": frame,
                    "frames": [image.frame for image in images],
                    "times": [abs(image.timestamp - snapshot.timestamp.elapsed_seconds) for image in images],
                    "sizes": [[image.width, image.height, image.fov, len(image.raw_data)] for image in images],
                    "poses": [
                        place(image.transform) == place(snapshot.find(sensor.id).get_transform())
                        for image, (sensor, _) in zip(images, sensors, strict=True)
                    ],
                }
            )
        tags = sorted(set(bytes(images[1].raw_data)[2::4]))
        same_tags = bytes(images[1].raw_data)[2::4] == bytes(images[2].raw_data)[2::4]
        for sensor, _ in sensors:
            sensor.stop()
    return {"rounds": rounds, "tags": tags, "instance_agrees": same_tags}


def sensor_tick(client):
    world = client.get_world()
    with synchronous(world):
        ego = car(world)
        sensor, received = listen(world, "sensor.other.gnss", ego, sensor_tick="1.0")
        frames = [world.tick() for _ in range(50)]
        deadline_s = time.monotonic() + WAIT_S
        while received.qsize() < 3 and time.monotonic() < deadline_s:
            time.sleep(0.01)
        time.sleep(0.2)  # for a fourth, which must not come
        heard = [received.get().frame - frames[0] for _ in range(received.qsize())]
        sensor.stop()
    return {"heard": heard}


def second_listener(client):
    """A second connection to a camera's stream must have the very next frame."""
    world = client.get_world()
    with synchronous(world):
        sensor, received = listen(world, "sensor.other.gnss", None, carla.Transform())
        world.tick()
        other = carla.Client(HOST, PORT)
        other.set_timeout(WAIT_S)
        twin = other.get_world().get_actor(sensor.id)
        heard = queue.Queue()
        twin.listen(heard.put)
        frame = world.tick()
        seen = [received.get(timeout=WAIT_S).frame, received.get(timeout=WAIT_S).frame, heard.get(timeout=WAIT_S).frame]
        twin.stop()
        last = world.tick()
        after = received.get(timeout=WAIT_S).frame
        sensor.stop()
    return {"frame": frame, "seen": seen, "last": last, "after": after}


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
        frame = world.tick()
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
        "frame": frame,
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


def batch_ticks(client):
    world = client.get_world()
    with synchronous(world):
        before = world.tick()
        client.apply_batch_sync([], False)
        unmoved = world.get_snapshot().frame
        client.apply_batch_sync([], True)
        after = world.get_snapshot().frame
    return {"before": before, "unmoved": unmoved, "after": after}


def driving(client):
    """The client's own TrafficManager drives ten cars through the town for half a minute."""
    world = client.get_world()
    carla_map = world.get_map()
    library = world.get_blueprint_library()
    manager = client.get_trafficmanager(TM_PORT)
    with synchronous(world):
        manager.set_synchronous_mode(True)
        manager.set_random_device_seed(7)
        lights = world.get_actors().filter("traffic.traffic_light*")
        points = carla_map.get_spawn_points()
        ids = ("vehicle.tesla.model3", "vehicle.mitsubishi.fusorosa", "vehicle.gazelle.omafiets", "vehicle.yamaha.yzf")
        batch = [
            carla.command.SpawnActor(library.find(ids[i % len(ids)]), point).then(
                carla.command.SetAutopilot(carla.command.FutureActor, True, TM_PORT)
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
        ticks = WatchedTicks(world)
        for step in range(600):
            ticks.tick()
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
        ticks.close()
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
        heights = [walker.get_location().z for walker in walkers]
        for controller in controllers:
            controller.stop()
    return {"places": [[one.x, one.y, one.z] for one in places], "moved": moved, "heights": heights}


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


def measurements(client):
    world = client.get_world()
    with synchronous(world):
        ego = car(world)
        gnss, places = listen(world, "sensor.other.gnss", ego)
        imu, feelings = listen(world, "sensor.other.imu", ego, carla.Transform())
        crash, contacts = listen(world, "sensor.other.collision", ego, carla.Transform())
        world.tick()
        place_, feeling = places.get(timeout=WAIT_S), feelings.get(timeout=WAIT_S)
        expected = world.get_map().transform_to_geolocation(place_.transform.location)
        quiet = contacts.qsize()
        ahead = ego.get_transform()
        ahead.location += ahead.get_forward_vector() * 6.0
        other = world.spawn_actor(world.get_blueprint_library().find("vehicle.audi.tt"), ahead)
        ego.apply_control(carla.VehicleControl(throttle=1.0))
        for _ in range(60):
            world.tick()
        contact = contacts.get(timeout=WAIT_S)
        result = {
            "geo": [place_.latitude, place_.longitude, place_.altitude],
            "expected": [expected.latitude, expected.longitude, expected.altitude],
            "gravity": feeling.accelerometer.z,
            "quiet": quiet,
            "other": [contact.other_actor.id, contact.actor.id],
            "ids": [other.id, ego.id],
        }
        for sensor in (gnss, imu, crash):
            sensor.stop()
    return result


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
    manager = client.get_trafficmanager(TM_PORT)
    with synchronous(world):
        manager.set_synchronous_mode(True)
        manager.set_random_device_seed(3)
        points = world.get_map().get_spawn_points()
        ego = world.spawn_actor(library.find("vehicle.lincoln.mkz_2020"), points[0])
        cars = [world.spawn_actor(library.find("vehicle.audi.tt"), point) for point in points[1:6]]
        world.tick()
        for one in (ego, *cars):
            one.set_autopilot(True, TM_PORT)
        sensors = [
            listen(world, f"sensor.camera.{kind}", ego, image_size_x="64", image_size_y="48")
            for kind in ("rgb", "semantic_segmentation")
        ]
        ticks = WatchedTicks(world)
        for _ in range(40):
            ticks.tick()
            for _, received in sensors:
                digest.update(bytes(received.get(timeout=WAIT_S).raw_data))
            digest.update(repr([place(one.get_transform()) for one in (ego, *cars)]).encode())
        for sensor, _ in sensors:
            sensor.stop()
        ticks.close()
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
