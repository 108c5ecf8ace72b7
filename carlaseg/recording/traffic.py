"""Everybody else on the road: other vehicles under the client's TrafficManager, and pedestrians under AI controllers.

Who is spawned where follows from the seed alone: blueprints are sorted by name, places are shuffled by a generator of
our own, and whole batches are spawned in one tick.
"""

from __future__ import annotations

import os
import random
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from carlaseg.errors import ConfigError, SimulatorError
from carlaseg.recording.connection import is_time_out
from carlaseg.recording.orphans import OUR_ROLE
from carlaseg.recording.session import Session

PORT_ATTEMPTS = 5
WALKING_MPS = 1.4
RUNNERS_SHARE = 0.1
RUNNING_MPS = 2.8
CROSSING_SHARE = 0.2
"""Share of pedestrians that may walk on the road when they cross."""
CLEAR_M = 8.0
"""A bus is 10 m long, its place in the middle of it."""
EGO_CHOICES = ("vehicle.tesla.model3", "vehicle.lincoln.mkz_2020", "vehicle.audi.tt")
"""Cars of about the same height; the first one the server has becomes the ego."""


class Traffic:
    """The TrafficManager of one session and all that moves in it.

    Args:
        session: actors are spawned through it and end with it.
        seed: decides places, blueprints, routes and speeds.
        port: of the TrafficManager; a free one when None.

    Raises:
        ConfigError: the port given is taken.
        SimulatorError: no port could be bound, or the town has no place for a vehicle.
    """

    def __init__(self, session: Session, seed: int, port: int | None) -> None:
        self._session = session
        self._random = random.Random(seed)
        self._seed = seed
        self._vehicle_ids: list[int] = []
        self._places = sorted(session.map.get_spawn_points(), key=_where)
        if not self._places:
            raise SimulatorError(f"{session.town}: expected places where a vehicle can stand, received none.")
        self._random.shuffle(self._places)
        self._free = list(self._places)
        self._next_place = 0
        self._manager = self._open_manager(port)
        self.port = int(self._manager.get_port())
        self._manager.set_synchronous_mode(True)
        self._manager.set_random_device_seed(seed % 2**31)
        session.watch_traffic(self.port)
        session.before_leaving(self._release)

    @property
    def places(self) -> Sequence[Any]:
        """Where vehicles can be spawned, in this seed's order."""
        return tuple(self._places)

    def spawn_ego(self) -> Any:
        """The vehicle that carries the rig, at this seed's first free place.

        Raises:
            SimulatorError: every place of the town is taken.
        """
        library = self._session.world.get_blueprint_library()
        names = {str(blueprint.id) for blueprint in library.filter("vehicle.*")}
        chosen = next((name for name in EGO_CHOICES if name in names), None) or min(names)
        blueprint = library.find(chosen)
        # CARLA loads large towns around the actor of this role, and the TrafficManager knows it by it.
        blueprint.set_attribute("role_name", "hero")
        refusal = "no place"
        while self._free:
            place = self._free.pop(0)
            try:
                return self._session.spawn(blueprint, place)
            except RuntimeError as error:
                # A silent server has no free place either, and a town has hundreds of them.
                if is_time_out(error):
                    raise
                refusal = str(error)
        raise SimulatorError(f"{self._session.town}: expected a free place for the ego, received {refusal}.")

    def another_place(self, snapshot: Any) -> Any:
        """A place for the ego to begin anew, the next of this seed's that no vehicle of ours stands on now."""
        found = (snapshot.find(actor_id) for actor_id in self._vehicle_ids)
        others = [actor.get_transform().location for actor in found if actor is not None]
        for _ in self._places:
            self._next_place = (self._next_place + 1) % len(self._places)
            place = self._places[self._next_place]
            if all(place.location.distance_2d(other) > CLEAR_M for other in others):
                break
        return place

    def spawn_vehicles(self, count: int) -> int:
        """Spawn up to so many vehicles on autopilot; gives how many the town had room for."""
        carla = self._session.carla
        library = self._session.world.get_blueprint_library()
        blueprints = sorted(library.filter("vehicle.*"), key=lambda blueprint: str(blueprint.id))
        commands = []
        for place in self._free[:count]:
            blueprint = self._random.choice(blueprints)
            blueprint.set_attribute("role_name", f"{OUR_ROLE}_traffic")
            for key in ("color", "driver_id"):
                if blueprint.has_attribute(key):
                    values = list(blueprint.get_attribute(key).recommended_values)
                    blueprint.set_attribute(key, self._random.choice(values))
            commands.append(
                carla.command.SpawnActor(blueprint, place).then(
                    carla.command.SetAutopilot(carla.command.FutureActor, True, self.port)
                )
            )
        del self._free[:count]
        ids = self._session.spawn_batch(commands)
        self._vehicle_ids.extend(ids)
        return len(ids)

    def spawn_walkers(self, count: int) -> int:
        """Spawn up to so many pedestrians that walk about; gives how many found a place."""
        if count == 0:
            return 0
        carla, world = self._session.carla, self._session.world
        if hasattr(world, "set_pedestrians_seed"):
            world.set_pedestrians_seed(self._seed % 2**31)
        world.set_pedestrians_cross_factor(CROSSING_SHARE)
        library = world.get_blueprint_library()
        blueprints = sorted(library.filter("walker.pedestrian.*"), key=lambda blueprint: str(blueprint.id))
        places = [place for place in (world.get_random_location_from_navigation() for _ in range(count)) if place]
        commands = []
        for place in places:
            blueprint = self._random.choice(blueprints)
            for key, value in (("role_name", f"{OUR_ROLE}_walker"), ("is_invincible", "false")):
                if blueprint.has_attribute(key):
                    blueprint.set_attribute(key, value)
            commands.append(carla.command.SpawnActor(blueprint, carla.Transform(place)))
        walkers = self._session.spawn_batch(commands)
        controller = library.find("controller.ai.walker")
        if controller.has_attribute("role_name"):
            controller.set_attribute("role_name", f"{OUR_ROLE}_controller")
        # A tick lies between a walker's spawn, its controller's, and the start: without, CARLA's walkers freeze.
        controllers = self._session.spawn_batch(
            carla.command.SpawnActor(controller, carla.Transform(), walker) for walker in walkers
        )
        for actor_id in controllers:
            actor = world.get_actor(actor_id)
            actor.start()
            if goal := world.get_random_location_from_navigation():
                actor.go_to_location(goal)
            running = self._random.random() < RUNNERS_SHARE
            actor.set_max_speed(RUNNING_MPS if running else WALKING_MPS)
            self._session.before_leaving(actor.stop)
        return len(walkers)

    def switch_lights_on(self, vehicle_ids: Sequence[int]) -> None:
        """Have the TrafficManager work the vehicles' lamps, as at night."""
        for actor in self._session.world.get_actors([*self._vehicle_ids, *vehicle_ids]):
            self._manager.update_vehicle_lights(actor, True)

    def _open_manager(self, port: int | None) -> Any:
        refusal: RuntimeError | None = None
        for candidate in _free_ports() if port is None else (port,):
            try:
                with _standard_output_to_error():
                    return self._session.client.get_trafficmanager(candidate)
            except RuntimeError as error:
                refusal = error
        if port is not None:
            raise ConfigError(f"--traffic-port: expected a free port, received {port}: {refusal}.") from refusal
        raise SimulatorError(f"traffic: expected a port for the TrafficManager, received {refusal}.") from refusal

    def _release(self) -> None:
        # Out of the TrafficManager's hands before they are destroyed: it asks the server about each vehicle it
        # knows, and an error in that, on its own thread, ends the whole process.
        switch = self._session.carla.command.SetAutopilot
        if self._vehicle_ids:
            self._session.client.apply_batch_sync([switch(i, False, self.port) for i in self._vehicle_ids], False)
        self._manager.shut_down()


def _where(place: Any) -> tuple[float, float, float]:
    return float(place.location.x), float(place.location.y), float(place.rotation.yaw)


def _free_ports() -> Iterator[int]:
    for _ in range(PORT_ATTEMPTS):
        with socket.socket() as probe:
            probe.bind(("", 0))
            port = int(probe.getsockname()[1])
        yield port


@contextmanager
def _standard_output_to_error() -> Iterator[None]:
    """Keep standard output for results: the client's C++ side prints its own remarks there."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
