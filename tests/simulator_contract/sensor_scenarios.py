"""Scenarios of sensors: cameras, lidars, radar, what moves and what is met; see `client_session`."""

from __future__ import annotations

import math
import queue
import time

import carla
import client_session
import numpy as np
from client_session import DT_S, WAIT_S, car, listen, place, synchronous

ABOVE = carla.Transform(carla.Location(x=0.0, z=2.4))
WHOLE = {"dropoff_general_rate": "0", "dropoff_intensity_limit": "0", "dropoff_zero_intensity": "0"}


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
        uneven, often = listen(world, "sensor.other.gnss", ego, sensor_tick="0.06")
        frames = [world.tick() for _ in range(50)]
        deadline_s = time.monotonic() + WAIT_S
        while (received.qsize() < 3 or often.qsize() < 40) and time.monotonic() < deadline_s:
            time.sleep(0.01)
        time.sleep(0.2)  # for a fourth, which must not come
        heard = [received.get().frame - frames[0] for _ in range(received.qsize())]
        sensor.stop()
        uneven.stop()
    return {"heard": heard, "uneven": often.qsize()}


def second_listener(client):
    """A second connection to a camera's stream must have the very next frame."""
    world = client.get_world()
    with synchronous(world):
        sensor, received = listen(world, "sensor.other.gnss", None, carla.Transform())
        world.tick()
        other = carla.Client(client_session.HOST, client_session.PORT)
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


def ahead_of(point, metres):
    forward = point.get_forward_vector()
    return carla.Transform(
        carla.Location(point.location.x + metres * forward.x, point.location.y + metres * forward.y, point.location.z),
        point.rotation,
    )


def pair_of_cars(world, apart=12.0):
    point = world.get_map().get_spawn_points()[0]
    blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
    ego, other = world.spawn_actor(blueprint, point), world.spawn_actor(blueprint, ahead_of(point, apart))
    world.tick()
    return ego, other


def lidar(client):
    world = client.get_world()
    laser = {"range": "40", "channels": "32", "points_per_second": "64000", "rotation_frequency": "20"}
    with synchronous(world):
        ego, other = pair_of_cars(world)
        semantic, semantic_points = listen(world, "sensor.lidar.ray_cast_semantic", ego, ABOVE, **laser)
        plain, plain_points = listen(world, "sensor.lidar.ray_cast", ego, ABOVE, **laser, **WHOLE)
        lossy, lossy_points = listen(world, "sensor.lidar.ray_cast", ego, ABOVE, **laser)
        depth, pictures = listen(
            world, "sensor.camera.depth", ego, ABOVE, image_size_x="400", image_size_y="300", fov="90"
        )
        rounds = []
        for _ in range(3):
            frame = world.tick()
            a, b, c = (q.get(timeout=WAIT_S) for q in (semantic_points, plain_points, lossy_points))
            picture = pictures.get(timeout=WAIT_S)
            rounds.append(
                {
                    "frames": [frame, a.frame, b.frame, c.frame],
                    "sizes": [len(a), len(b), len(c)],
                    "channels": [a.channels, b.channels],
                    "counts_agree": all(a.get_point_count(i) == b.get_point_count(i) for i in range(a.channels)),
                    "counts_sum": sum(a.get_point_count(i) for i in range(a.channels)),
                    "farthest": max(math.sqrt(d.point.x**2 + d.point.y**2 + d.point.z**2) for d in a),
                    "intensities": [min(d.intensity for d in b), max(d.intensity for d in b)],
                    "cosines": [min(d.cos_inc_angle for d in a), max(d.cos_inc_angle for d in a)],
                    "agreement": agreement(a, picture),
                }
            )
        points = [[d.point.x, d.point.y, d.point.z] for d in a if d.object_idx == other.id]
        result = {
            "rounds": rounds,
            "tags": sorted({d.object_tag for d in a}),
            "ids": sorted({d.object_idx for d in a}),
            "cars": [ego.id, other.id],
            "on_other": [min(p[0] for p in points), max(abs(p[1]) for p in points)] if points else None,
        }
        for sensor in (semantic, plain, lossy, depth):
            sensor.stop()
    return result


def agreement(points, picture):
    """Share of the points whose depth lies between the depths of the pixels around theirs."""
    raw = np.frombuffer(picture.raw_data, np.uint8).reshape(picture.height, picture.width, 4).astype(np.float64)
    depth = (raw[..., 2] + raw[..., 1] * 256 + raw[..., 0] * 65536) / (2**24 - 1) * 1000
    places = np.array([[d.point.x, d.point.y, d.point.z] for d in points])
    places = places[places[:, 0] > 0.5]
    focal = picture.width / 2
    column = (picture.width / 2 + focal * places[:, 1] / places[:, 0]).astype(int)
    row = (picture.height / 2 - focal * places[:, 2] / places[:, 0]).astype(int)
    inside = (column > 0) & (column < picture.width - 1) & (row > 0) & (row < picture.height - 1)
    column, row, ahead = column[inside], row[inside], places[inside, 0]
    around = np.array([depth[row + i, column + j] for i in (-1, 0, 1) for j in (-1, 0, 1)])
    return float(np.mean((ahead > around.min(axis=0) - 0.05) & (ahead < around.max(axis=0) + 0.05)))


def lidar_repeats(client):
    """Points of three lidars with the same seed, spawned one after the other at one place."""
    world = client.get_world()
    heard = []
    with synchronous(world):
        place = world.get_map().get_spawn_points()[0]
        place.location.z += 2.0
        for _ in range(3):
            sensor, points = listen(world, "sensor.lidar.ray_cast", None, place, range="30", noise_stddev="0.1")
            world.tick()
            measurement = points.get(timeout=WAIT_S)
            heard.append(np.frombuffer(measurement.raw_data, np.float32).round(4).tolist())
            sensor.stop()
            sensor.destroy()
            world.tick()
    return {"same": heard[0] == heard[1] == heard[2], "points": len(heard[0]) // 4}


def radar_and_obstacle(client):
    world = client.get_world()
    with synchronous(world):
        ego, other = pair_of_cars(world)
        front = carla.Transform(carla.Location(x=2.6, z=0.8))
        radar, detections = listen(world, "sensor.other.radar", ego, front, points_per_second="20000")
        obstacle, obstacles = listen(world, "sensor.other.obstacle", ego, front, distance="30", hit_radius="0.2")
        blind, nothing = listen(world, "sensor.other.obstacle", ego, front, distance="3")
        world.tick()
        first, seen = detections.get(timeout=WAIT_S), obstacles.get(timeout=WAIT_S)
        forward = ego.get_transform().get_forward_vector()
        ego.set_target_velocity(carla.Vector3D(forward.x * 5.0, forward.y * 5.0, 0.0))
        for _ in range(3):
            world.tick()
            later = detections.get(timeout=WAIT_S)
        ego_speed = ego.get_velocity().length()
        on_other = [d for d in later if abs(d.azimuth) < 0.03 and abs(d.altitude) < 0.03 and d.depth < 20]
        result = {
            "count": len(first),
            "cone": [max(abs(d.azimuth) for d in first), max(abs(d.altitude) for d in first)],
            "still": max(abs(d.velocity) for d in first),
            "closing": sorted(d.velocity for d in on_other)[len(on_other) // 2] if on_other else None,
            "speed": ego_speed,
            "depth": min(d.depth for d in first if abs(d.azimuth) < 0.03 and abs(d.altitude) < 0.03),
            "obstacle": [seen.other_actor.id, seen.distance],
            "other": other.id,
            "blind": nothing.qsize(),
        }
        for sensor in (radar, obstacle, blind):
            sensor.stop()
    return result


def computed_cameras(client):
    """Normals, optical flow and events of a camera that looks ahead while its car drives."""
    world = client.get_world()
    size = {"image_size_x": "160", "image_size_y": "120"}
    with synchronous(world):
        ego, _ = pair_of_cars(world, 40.0)
        place = carla.Transform(carla.Location(x=2.6, z=1.2))
        kinds = ("normals", "optical_flow", "depth", "semantic_segmentation", "cosmos_visualization", "dvs")
        sensors = [listen(world, f"sensor.camera.{kind}", ego, place, **size) for kind in kinds]
        forward = ego.get_transform().get_forward_vector()
        speeds = []
        for _ in range(6):
            ego.set_target_velocity(carla.Vector3D(forward.x * 8.0, forward.y * 8.0, 0.0))
            world.tick()
            got = [received.get(timeout=WAIT_S) for _, received in sensors[:5]]
            speeds.append(ego.get_velocity().length())
        events = []
        while True:
            try:
                events.append(sensors[5][1].get(timeout=0.5))
            except queue.Empty:
                break
        normal, flow, depth, tags, cosmos = got
        shape = (120, 160)
        normal = np.frombuffer(normal.raw_data, np.uint8).reshape(*shape, 4)
        flow = np.frombuffer(flow.raw_data, np.float32).reshape(*shape, 2)
        raw = np.frombuffer(depth.raw_data, np.uint8).reshape(*shape, 4).astype(np.float64)
        metres = (raw[..., 2] + raw[..., 1] * 256 + raw[..., 0] * 65536) / (2**24 - 1) * 1000
        tag = np.frombuffer(tags.raw_data, np.uint8).reshape(*shape, 4)[..., 2]
        road = (tag == 1) & (metres < 8.0)
        rows, columns = np.nonzero(road)
        # A point of the road moves away from the middle of the picture by step / depth of its distance from it.
        step = speeds[-1] * DT_S
        share = step / (metres[road] + step)
        expected = np.stack([(columns + 0.5 - 80) / 80 * share, -(rows + 0.5 - 60) / 60 * share], axis=-1)
        result = {
            "road_pixels": int(road.sum()),
            "up": np.median(normal[road][:, :3], axis=0).tolist(),
            "flow_error": float(np.median(np.abs(flow[road] - expected))),
            "flow_size": float(np.median(np.linalg.norm(expected, axis=1))),
            "cosmos": [cosmos.width, cosmos.height, len(cosmos.raw_data)],
            "events": [len(events), len(events[-1]) if events else 0],
            "polarities": sorted({bool(e.pol) for e in events[-1]}) if events else [],
        }
        for sensor, _ in sensors:
            sensor.stop()
    return result
