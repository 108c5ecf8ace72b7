"""What every scenario begins with: the connection, a synchronous block, a car, a sensor with a queue of what it sends.

`perform.py` plays one scenario in a process of its own, on a server of which it sets the address here: a client that a
server's mistake aborts then ends that process and not the tests'.
"""

from __future__ import annotations

import contextlib
import queue

import carla

DT_S = 0.05
WAIT_S = 20.0
CLIENT: carla.Client = None
HOST, PORT, TM_PORT = "", 0, 0


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
