"""The world of one server: its clock, its episode, its actors.

Rule 1: frame numbers, actor ids and stream ids only ever rise, over all episodes: clients keep old ones.
Rule 2: a destroyed actor is remembered: the client's TrafficManager asks about it from another thread, and an error
there would end the client's process.
Rule 3: nothing here depends on wall time or on the order of a set or a hash: the same calls give the same world.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Iterator
from typing import TypeVar

from carlaseg.errors import SimulatorError
from carlaseg.simulator import blueprints
from carlaseg.simulator.actors import Actor, FrictionTrigger, Sensor, TrafficLight, Vehicle, Visible, Walker
from carlaseg.simulator.elevation import Elevation
from carlaseg.simulator.lamps import StreetLamps
from carlaseg.simulator.poses import compose, footprint, normalize_deg, overlaps, transform_of
from carlaseg.simulator.scene import Frame, Pose, Town, Weather
from carlaseg.simulator.traffic_lights import TrafficLights
from carlaseg.simulator.vehicles import reported_control, step_vehicle
from carlaseg.simulator.walkers import stand, step_walker
from carlaseg.wire import episode_state
from carlaseg.wire.stream import WORLD_STREAM_ID
from carlaseg.wire.values import ActorDescription, AttributeType, AttributeValue, MapDescription

A = TypeVar("A", bound=Actor)

COLLISION_AT_SPAWN = "Spawn failed because of collision at spawn position"
"""CARLA's own words: scripts compare them."""
MAX_TOMBSTONES = 4096
MAX_DESCRIPTION_CHARACTERS = 1 << 16
"""Of an actor's attributes: they are kept as long as it is remembered, and told to whoever asks."""
TRAFFIC_LIGHT_TAG = 7
GRAVITY_MPS2 = 9.81
_SPAWN_MARGIN_M = 0.05


class World:
    """Everything that moves, ticks or has an id."""

    def __init__(self, town: Town) -> None:
        self.frame = 0
        self.episode_id = 0
        self._last_actor_id = 0
        self._last_stream_id = WORLD_STREAM_ID
        self._tombstones: OrderedDict[int, Actor] = OrderedDict()
        self.actors: dict[int, Actor] = {}
        self.begin_episode(town)

    def begin_episode(self, town: Town) -> None:
        """Leave every actor behind and start again in `town`: new episode id, time 0, the town's own lights."""
        for actor_id in list(self.actors):
            self.destroy(actor_id)
        self.town = town
        self.elevation = Elevation(town)
        self.episode_id += 1
        self.elapsed_s = 0.0
        self.delta_s = 0.0
        self.weather = Weather()
        self.map_changed = True
        self.gravity_mps2 = GRAVITY_MPS2
        self._had_triggers = False
        self.lamps = StreetLamps(town)
        self.spectator = Actor(
            actor_id=self._next_actor_id(),
            description=ActorDescription(0, "spectator"),
            pose=town.spawn_points[0] if town.spawn_points else Pose(z=10.0),
        )
        self.actors[self.spectator.actor_id] = self.spectator
        lights = [
            TrafficLight(
                actor_id=self._next_actor_id(),
                description=ActorDescription(
                    0, "traffic.traffic_light", (AttributeValue("role_name", AttributeType.STRING, ""),)
                ),
                pose=site.pose,
                # What the client calls its trigger volume, and finds the stop waypoints of its lanes by.
                extent=site.trigger_extent,
                center=site.trigger_center,
                tag=TRAFFIC_LIGHT_TAG,
                site=site,
            )
            for site in town.traffic_lights
        ]
        self.actors.update((light.actor_id, light) for light in lights)
        self.traffic_lights = TrafficLights(lights)

    def _next_actor_id(self) -> int:
        self._last_actor_id += 1
        return self._last_actor_id

    # Finding

    def of_kind(self, kind: type[A]) -> Iterator[A]:
        """Return the actors of a class, oldest first."""
        return (actor for actor in self.actors.values() if isinstance(actor, kind))

    def find(self, actor_id: int, kind: type[A]) -> A:
        """Return a living actor.

        Raises:
            SimulatorError: there is none of that id and class.
        """
        actor = self.actors.get(actor_id)
        if actor is None:
            raise SimulatorError(f"actor {actor_id}: expected a living actor, received an id that is not in the world")
        if not isinstance(actor, kind):
            raise SimulatorError(f"actor {actor_id}: expected a {kind.__name__.lower()}, received '{actor.type_id}'")
        return actor

    def remembered(self, actor_id: int) -> Actor | None:
        """Return an actor, living or destroyed a while ago."""
        return self.actors.get(actor_id) or self._tombstones.get(actor_id)

    def map_description(self) -> MapDescription:
        """Return the map as the client is told of it."""
        points = tuple(transform_of(pose) for pose in self.town.spawn_points)
        return MapDescription(f"Carla/Maps/{self.town.name}", points)

    # Coming and going

    def spawn(self, description: ActorDescription, pose: Pose, parent_id: int = 0, *, anywhere: bool = False) -> Actor:
        """Return a new actor.

        Args:
            description: blueprint and attributes.
            pose: in the parent's frame when there is a parent, else in the world's.
            parent_id: 0 for none.
            anywhere: whether it may stand where something stands already.

        Raises:
            SimulatorError: no such blueprint or parent, an attribute out of range, or something stands there already.
        """
        blueprint = blueprints.find_blueprint(description.id)
        characters = sum(len(one.id) + len(one.value) for one in description.attributes)
        if characters > MAX_DESCRIPTION_CHARACTERS:
            raise SimulatorError(
                f"{blueprint.id}: expected attributes of at most {MAX_DESCRIPTION_CHARACTERS} characters, "
                f"received {characters}"
            )
        relative = None
        if parent_id:
            if parent_id not in self.actors:
                raise SimulatorError(f"unable to attach actor: parent actor {parent_id} not found")
            relative, pose = pose, compose(self.actors[parent_id].pose, pose)
        common = {
            "actor_id": 0,
            "description": description,
            "pose": pose,
            "parent_id": parent_id,
            "relative_pose": relative,
            "extent": blueprint.extent,
            "tag": blueprint.tag,
        }
        actor = self._made(blueprint, common)
        if isinstance(actor, Walker) and not parent_id and not anywhere:
            stand(actor, self.elevation)
        if isinstance(actor, Visible) and not parent_id and not anywhere:
            self._refuse_collision(actor)
        actor.actor_id = self._next_actor_id()
        if isinstance(actor, Sensor):
            self._last_stream_id += 1
            actor.stream_id = self._last_stream_id
        self.actors[actor.actor_id] = actor
        return actor

    def _made(self, blueprint: blueprints.Blueprint, common: dict[str, object]) -> Actor:
        actor: Actor
        if blueprint.sensor_type is not None:
            actor = Sensor(blueprint=blueprint, **common)  # type: ignore[arg-type]
            _check_sensor(actor)
            actor.period_s = max(blueprints.number_of(actor.attributes, "sensor_tick"), 0.0)
            return actor
        if blueprint.id == blueprints.FRICTION_TRIGGER:
            trigger = FrictionTrigger(**common)  # type: ignore[arg-type]
            trigger.friction = blueprints.number_of(trigger.attributes, "friction", 3.5)
            # Half sizes in centimetres, as Unreal counts.
            x, y, z = (blueprints.number_of(trigger.attributes, f"extent_{axis}", 500.0) / 100.0 for axis in "xyz")
            trigger.extent = (x, y, z)
            self._had_triggers = True
            return trigger
        if blueprint.body is None:
            return Actor(**common)  # type: ignore[arg-type]
        if blueprint.body == "pedestrian":
            actor = Walker(blueprint=blueprint, **common)  # type: ignore[arg-type]
        elif blueprint.body == "prop":
            actor = Visible(blueprint=blueprint, center=(0.0, 0.0, blueprint.extent[2]), **common)  # type: ignore[arg-type]
        else:
            actor = Vehicle(blueprint=blueprint, center=(0.0, 0.0, blueprint.extent[2]), **common)  # type: ignore[arg-type]
            actor.sticky_control = blueprints.is_true(actor.attributes, "sticky_control", True)
        actor.color = blueprints.color_of(actor.attributes) or _own_color(blueprint.id)
        return actor

    def _refuse_collision(self, newcomer: Visible) -> None:
        place = newcomer.footprint
        grown = footprint(
            newcomer.pose,
            newcomer.center,
            (newcomer.extent[0] + _SPAWN_MARGIN_M, newcomer.extent[1] + _SPAWN_MARGIN_M, newcomer.extent[2]),
        )
        for other in self.of_kind(Visible):
            if not other.collides:
                continue
            reach = grown.radius + other.extent[0] + other.extent[1]
            near = abs(other.pose.x - place.x) < reach and abs(other.pose.y - place.y) < reach
            if near and overlaps(grown, other.footprint):
                raise SimulatorError(COLLISION_AT_SPAWN)

    def destroy(self, actor_id: int) -> bool:
        """Take an actor out of the world, its children stay; return whether there was one."""
        actor = self.actors.pop(actor_id, None)
        if actor is None:
            return False
        self._tombstones[actor_id] = actor
        while len(self._tombstones) > MAX_TOMBSTONES:
            self._tombstones.popitem(last=False)
        return True

    def place(self, actor: Actor, pose: Pose) -> None:
        """Put an actor somewhere: in its parent's frame when it is attached, else in the world's."""
        pose = Pose(pose.x, pose.y, pose.z, pose.pitch, normalize_deg(pose.yaw), normalize_deg(pose.roll))
        parent = self.actors.get(actor.parent_id)
        if parent is not None:
            actor.relative_pose = pose
            actor.pose = compose(parent.pose, pose)
        else:
            actor.pose = pose

    # Time

    def step(self, delta_s: float) -> None:
        """Let `delta_s` pass: one frame."""
        self.frame += 1
        self.elapsed_s += delta_s
        self.delta_s = delta_s
        self.traffic_lights.step(delta_s)
        self._apply_friction_triggers()
        vehicles = []
        for actor in self.actors.values():
            if isinstance(actor, Vehicle):
                step_vehicle(actor, self.elevation, delta_s)
                vehicles.append(actor)
            elif isinstance(actor, Walker):
                step_walker(actor, self.elevation, delta_s)
            elif actor.relative_pose is not None:
                parent = self.actors.get(actor.parent_id)
                if parent is not None:
                    actor.pose = compose(parent.pose, actor.relative_pose)
                    actor.velocity, actor.acceleration = parent.velocity, parent.acceleration
                    actor.angular_velocity = parent.angular_velocity
        self.traffic_lights.govern(vehicles)

    def _apply_friction_triggers(self) -> None:
        """Tell vehicles the friction of the trigger they are in; costs nothing where there never was a trigger."""
        if not self._had_triggers:
            return
        triggers = list(self.of_kind(FrictionTrigger))
        self._had_triggers = bool(triggers)
        for vehicle in self.of_kind(Vehicle):
            around = [trigger.friction for trigger in triggers if trigger.holds(vehicle)]
            vehicle.ground_friction = around[-1] if around else None

    # Showing

    def state_message(self, platform_s: float) -> bytes:
        """Return the world observer's message for the current frame."""
        opening = episode_state.serialize_opening(
            self.episode_id, self.frame, self.elapsed_s, platform_s, self.delta_s, self.map_changed
        )
        self.map_changed = False
        return episode_state.join_states(opening, map(self._actor_state, self.actors.values()))

    def _actor_state(self, actor: Actor) -> bytes:
        motion = (actor.actor_id, actor.pose, actor.velocity, actor.angular_velocity, actor.acceleration)
        if isinstance(actor, Vehicle):
            light = self.actors.get(actor.traffic_light_id)
            governing = (light.state, light.actor_id) if isinstance(light, TrafficLight) else None
            return episode_state.serialize_vehicle(*motion, reported_control(actor), actor.speed_limit_kmh, governing)
        if isinstance(actor, Walker):
            return episode_state.serialize_walker(*motion, actor.control)
        if isinstance(actor, TrafficLight):
            return episode_state.serialize_traffic_light(
                actor.actor_id,
                actor.pose,
                actor.site.signal_id,
                (actor.green_s, actor.yellow_s, actor.red_s),
                actor.elapsed_s,
                actor.pole_index,
                self.traffic_lights.frozen,
                actor.state,
            )
        return episode_state.serialize_plain(*motion)

    def drawn_frame(self) -> Frame:
        """Return what the renderer needs of the current frame."""
        return Frame(
            tuple(actor.drawn() for actor in self.of_kind(Visible)),
            self.traffic_lights.states(),
            self.weather,
            self.elapsed_s,
        )


def _own_color(blueprint_id: str) -> tuple[int, int, int]:
    """Return a colour for a blueprint that offers none: always the same for the same blueprint."""
    mixed = zlib.crc32(blueprint_id.encode())
    return 60 + mixed % 160, 60 + (mixed >> 8) % 160, 60 + (mixed >> 16) % 160


def _check_sensor(sensor: Sensor) -> None:
    if sensor.blueprint.camera is None:
        return
    for name in ("image_size_x", "image_size_y"):
        side = blueprints.number_of(sensor.attributes, name, blueprints.MIN_IMAGE_SIDE)
        if not blueprints.MIN_IMAGE_SIDE <= int(side) <= blueprints.MAX_IMAGE_SIDE:
            raise SimulatorError(
                f"{sensor.type_id}, attribute '{name}': expected {blueprints.MIN_IMAGE_SIDE} to "
                f"{blueprints.MAX_IMAGE_SIDE} pixels, received {sensor.attributes[name]}"
            )
    fov_deg = blueprints.number_of(sensor.attributes, "fov", 90.0)
    if not 1.0 <= fov_deg <= 175.0:
        raise SimulatorError(f"{sensor.type_id}, attribute 'fov': expected 1 to 175 degrees, received {fov_deg:g}")
