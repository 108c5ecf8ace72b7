"""Scenarios of the client's less travelled calls; see `client_session`."""

from __future__ import annotations

import math

import carla
from client_session import car, place, synchronous


def anatomy(client):
    world = client.get_world()
    with synchronous(world):
        ego = car(world)
        walker = world.spawn_actor(
            world.get_blueprint_library().find("walker.pedestrian.0007"), world.get_map().get_spawn_points()[3]
        )
        world.tick()
        seen = {}
        for name, actor in (("vehicle", ego), ("walker", walker)):
            components = actor.get_component_names()
            try:
                actor.get_component_world_transform("NoSuchThing")
                refusal = ""
            except RuntimeError as error:
                refusal = str(error)
            seen[name] = {
                "components": list(components),
                "at": place(actor.get_component_world_transform(components[0])),
                "relative": place(actor.get_component_relative_transform(components[0])),
                "pose": place(actor.get_transform()),
                "refusal": refusal,
                "bones": [
                    len(actor.get_bone_names()),
                    len(actor.get_bone_world_transforms()),
                    len(actor.get_bone_relative_transforms()),
                ],
                "sockets": [
                    len(actor.get_socket_names()),
                    len(actor.get_socket_world_transforms()),
                    len(actor.get_socket_relative_transforms()),
                ],
            }
        seen["walker_bones"] = {bone.name: place(bone.world) for bone in walker.get_bones().bone_transforms}
        seen["wheels"] = [place(one) for one in ego.get_vehicle_bone_world_transforms()]
        walker.blend_pose(0.5)
        walker.get_pose_from_animation()
        walker.set_bones(carla.WalkerBoneControlIn())
        world.tick()
    return seen


def vehicle_details(client):
    world = client.get_world()
    with synchronous(world):
        ego = car(world)
        world.tick()
        ego.apply_control(carla.VehicleControl(throttle=0.8, steer=0.5))
        for _ in range(30):
            world.tick()
        telemetry = ego.get_telemetry_data()
        gains = ego.get_ackermann_controller_settings()
        gains.speed_kp = 0.25
        ego.apply_ackermann_controller_settings(gains)
        front = carla.VehicleWheelLocation.FL_Wheel
        steering = ego.get_wheel_steer_angle(front)
        ego.set_wheel_steer_direction(front, 12.0)
        ego.open_door(carla.VehicleDoor.All)
        ego.close_door(carla.VehicleDoor.All)
        ego.set_light_state(carla.VehicleLightState(carla.VehicleLightState.LowBeam))
        world.tick()
        result = {
            "speed": [telemetry.speed, ego.get_velocity().length()],
            "controls": [telemetry.throttle, telemetry.steer],
            "wheels": len(telemetry.wheels),
            "rpm": telemetry.engine_rpm,
            "spin": telemetry.wheels[0].omega,
            "load": telemetry.wheels[0].tire_load,
            "gain": ego.get_ackermann_controller_settings().speed_kp,
            "steering": [steering, ego.get_wheel_steer_angle(front)],
            "pitch": ego.get_wheel_pitch_angle(front),
            "lights": int(ego.get_light_state()),
            "all_lights": len(world.get_vehicles_light_states()),
        }
        ego.set_wheel_pitch_angle(front, 45.0)
        world.tick()
        result["pitch_set"] = ego.get_wheel_pitch_angle(front)
        ego.apply_ackermann_control(carla.VehicleAckermannControl(speed=3.0, acceleration=2.0))
        for _ in range(100):
            world.tick()
        result["ackermann"] = ego.get_velocity().length()
    return result


def friction_trigger(client):
    world = client.get_world()
    with synchronous(world):
        ego = car(world)
        world.tick()
        trigger = world.get_blueprint_library().find("static.trigger.friction")
        trigger.set_attribute("friction", "0.5")
        for axis in "xyz":
            trigger.set_attribute(f"extent_{axis}", "300.0")
        there = ego.get_transform()
        before = ego.get_physics_control().wheels[0].tire_friction
        actor = world.spawn_actor(trigger, there)
        world.tick()
        inside = ego.get_physics_control().wheels[0].tire_friction
        forward = there.get_forward_vector()
        ego.set_location(carla.Location(there.location.x + 8 * forward.x, there.location.y + 8 * forward.y, 0.5))
        world.tick()
        outside = ego.get_physics_control().wheels[0].tire_friction
        alive = actor.is_alive
    return {"frictions": [before, inside, outside], "alive": alive}


def floating(client):
    world = client.get_world()
    with synchronous(world):
        point = world.get_map().get_spawn_points()[0]
        point.location.z += 3.0
        ego = world.spawn_actor(world.get_blueprint_library().find("vehicle.audi.tt"), point)
        ego.set_enable_gravity(False)
        world.tick()
        forward = point.get_forward_vector()
        ego.set_target_velocity(carla.Vector3D(forward.x * 5, forward.y * 5, 0))
        for _ in range(20):
            world.tick()
        ghost = world.try_spawn_actor(world.get_blueprint_library().find("vehicle.audi.tt"), ego.get_transform())
        ego.set_collisions(False)
        world.tick()
        through = world.try_spawn_actor(world.get_blueprint_library().find("vehicle.audi.tt"), ego.get_transform())
        return {
            "height": ego.get_location().z - point.location.z,
            "speed": ego.get_velocity().length(),
            "refused": ghost is None,
            "through": through is not None,
        }


def rays(client):
    world = client.get_world()
    with synchronous(world):
        ego = car(world)
        world.tick()
        there = ego.get_location()
        forward = ego.get_transform().get_forward_vector()
        side = carla.Location(there.x - 6 * forward.x, there.y - 6 * forward.y, there.z + 4.0)
        above = carla.Location(there.x, there.y, there.z + 20.0)
        down = carla.Vector3D(0, 0, -1)
        road = world.ground_projection(side, 50.0)
        top = world.project_point(above, down, 50.0)
        toward = world.project_point(
            carla.Location(there.x - 6 * forward.x, there.y - 6 * forward.y, there.z + 0.7),
            carla.Vector3D(forward.x, forward.y, 0),
            20.0,
        )
        nothing = world.project_point(above, carla.Vector3D(0, 0, 1), 100.0)
        hits = world.cast_ray(above, carla.Location(there.x, there.y, there.z - 2.0))
        return {
            "road": [road.location.z - there.z, str(road.label)],
            "top": [top.location.z - there.z, str(top.label)],
            "toward": [toward.location.distance(ego.get_location()), str(toward.label)],
            "nothing": nothing is None,
            "hits": [[one.location.z - there.z, str(one.label)] for one in hits],
            "half": [ego.bounding_box.extent.x, 2 * ego.bounding_box.extent.z],
        }


def lamps(client):
    world = client.get_world()
    manager = world.get_lightmanager()
    lights = manager.get_all_lights()
    world.wait_for_tick(10.0)
    result = {
        "count": len(lights),
        "street": len(manager.get_all_lights(carla.LightGroup.Street)),
        "on": len(manager.get_turned_on_lights(carla.LightGroup.Street)),
    }
    if lights:
        manager.turn_on(lights[:2])
        lights[0].set_intensity(1234.0)
        lights[0].set_color(carla.Color(10, 20, 30))
        for _ in range(3):
            world.wait_for_tick(10.0)
        again = client.get_world().get_lightmanager()
        result["turned_on"] = len(again.get_turned_on_lights(carla.LightGroup.Street))
        result["height"] = lights[0].location.z
    return result


def recorder(client):
    world = client.get_world()
    with synchronous(world):
        begun = client.start_recorder("/some/where/contract.log", True)
        ego = car(world)
        other = car(world, 1)
        world.tick()
        ego.apply_control(carla.VehicleControl(throttle=0.8))
        path = []
        for _ in range(40):
            world.tick()
            path.append(place(ego.get_transform())[:2])
        client.stop_recorder()
        first = [ego.id, other.id]
        for actor in (ego, other):
            actor.destroy()
        world.tick()
        told = client.show_recorder_file_info("contract.log", False)
        blocked = client.show_recorder_actors_blocked("contract.log", 1.0, 10.0)
        collisions = client.show_recorder_collisions("contract.log", "a", "a")
        replay = client.replay_file("contract.log", 0.0, 0.0, 0, False)
        world.tick()
        played = []
        for _ in range(38):
            world.tick()
            vehicles = world.get_actors().filter("vehicle.tesla.model3")
            played.append(sorted(place(one.get_transform())[:2] for one in vehicles))
        client.stop_replayer(False)
        world.tick()
        try:
            client.replay_file("nothing.log", 0, 0, 0, False)
            missing = ""
        except RuntimeError as error:
            missing = str(error)
        closest = [min(math.dist(spot, p) for pair in played for p in pair) for spot in path[5:30]]
        return {
            "begun": begun,
            "told": told,
            "blocked": [str(first[1]) in blocked, str(first[0]) in blocked],
            "collisions": collisions,
            "replay": replay,
            "vehicles": [len(pair) for pair in played],
            "closest": max(closest),
            "left": len(world.get_actors().filter("vehicle.*")),
            "missing": missing,
        }


def accepted(client):
    """Calls that have no effect here, and one that is refused; the world must go on after them."""
    world = client.get_world()
    with synchronous(world):
        ego = car(world)
        world.tick()
        debug = world.debug
        here = ego.get_location()
        debug.draw_point(here, 0.1, carla.Color(255, 0, 0), 1.0)
        debug.draw_line(here, here + carla.Location(x=1))
        debug.draw_arrow(here, here + carla.Location(x=1))
        debug.draw_box(ego.bounding_box, carla.Rotation())
        debug.draw_string(here, "here")
        world.unload_map_layer(carla.MapLayer.Buildings)
        world.load_map_layer(carla.MapLayer.Buildings)
        objects = world.get_environment_objects(carla.CityObjectLabel.Buildings)
        world.enable_environment_objects({one.id for one in objects[:1]}, False)
        texture = carla.TextureColor(4, 4)
        world.apply_color_texture_to_object(
            world.get_names_of_all_objects()[0], carla.MaterialParameter.Diffuse, texture
        )
        ego.show_debug_telemetry(True)
        ego.add_impulse(carla.Vector3D(0, 0, 0))
        ego.add_force(carla.Vector3D(0, 0, 0))
        ego.add_angular_impulse(carla.Vector3D(0, 0, 1))
        ego.add_torque(carla.Vector3D(0, 0, 1))
        world.set_imui_sensor_gravity(1.62)
        gravity = world.get_imui_sensor_gravity()
        world.set_imui_sensor_gravity(9.81)
        boxes = world.get_level_bbs(carla.CityObjectLabel.Buildings)
        return {
            "objects": [len(objects), len(boxes)],
            "gravity": gravity,
            "goes_on": world.tick() > 0,
        }
