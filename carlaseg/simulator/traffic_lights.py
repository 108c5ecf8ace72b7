"""Traffic lights: the cycle of each junction and which vehicles a light governs.

A junction's phases follow each other: green, yellow, then red for all, then the next phase. Times are those of the
phase's first light, which the client can set. A state the client sets holds until the cycle next changes that light.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from carlaseg.simulator.actors import GREEN, RED, YELLOW, TrafficLight, Vehicle


class LightGroup:
    """The lights of one junction, in cycle."""

    def __init__(self, lights: list[TrafficLight]) -> None:
        phases = sorted({light.site.phase for light in lights})
        self.lights = lights
        self._phases = [[light for light in lights if light.site.phase == phase] for phase in phases]
        for index, light in enumerate(lights):
            light.pole_index = index
        self.reset()

    def reset(self) -> None:
        """Begin the cycle again: the first phase is green."""
        self._phase = 0
        self._stage = GREEN
        self._elapsed_s = 0.0
        for light in self.lights:
            self._switch(light, RED)
        for light in self._phases[0]:
            self._switch(light, GREEN)

    def step(self, dt_s: float) -> None:
        """Let time pass."""
        for light in self.lights:
            light.elapsed_s += dt_s
        self._elapsed_s += dt_s
        leader = self._phases[self._phase][0]
        length_s = {GREEN: leader.green_s, YELLOW: leader.yellow_s, RED: leader.red_s}[self._stage]
        # Half a nanosecond of tolerance: the sum of many time steps falls short of the time it means.
        if self._elapsed_s + 5e-10 < length_s:
            return
        self._elapsed_s = 0.0
        if self._stage == RED:
            self._phase = (self._phase + 1) % len(self._phases)
        self._stage = {GREEN: YELLOW, YELLOW: RED, RED: GREEN}[self._stage]
        for light in self._phases[self._phase]:
            self._switch(light, self._stage)

    def _switch(self, light: TrafficLight, state: int) -> None:
        light.state = state
        light.elapsed_s = 0.0


class TrafficLights:
    """All lights of a town."""

    def __init__(self, lights: Iterable[TrafficLight]) -> None:
        self._lights = list(lights)
        groups: dict[int, list[TrafficLight]] = {}
        for light in self._lights:
            groups.setdefault(light.site.junction_id, []).append(light)
        self._groups = {junction: LightGroup(members) for junction, members in groups.items()}
        self.frozen = False
        self._zones = [
            (light, [(float(x), float(y)) for x, y in zone]) for light in self._lights for zone in light.site.stop_zones
        ]
        empty = np.zeros((0, 2))
        self._low = np.array([np.min(zone, axis=0) for _, zone in self._zones]) if self._zones else empty
        self._high = np.array([np.max(zone, axis=0) for _, zone in self._zones]) if self._zones else empty

    def step(self, dt_s: float) -> None:
        """Let time pass, unless all lights are frozen."""
        if not self.frozen:
            for group in self._groups.values():
                group.step(dt_s)

    def reset(self) -> None:
        """Begin every junction's cycle again."""
        for group in self._groups.values():
            group.reset()

    def group_of(self, light: TrafficLight) -> LightGroup:
        """Return the lights that alternate with this one, itself included."""
        return self._groups[light.site.junction_id]

    def states(self) -> dict[str, int]:
        """Return signal id to state."""
        return {light.site.signal_id: light.state for light in self._lights}

    def govern(self, vehicles: list[Vehicle]) -> None:
        """Note for each vehicle the light whose stop zone its front is in: CARLA's TrafficManager obeys that one."""
        if not self._zones or not vehicles:
            for vehicle in vehicles:
                vehicle.traffic_light_id = 0
            return
        fronts = [_front(vehicle) for vehicle in vehicles]
        places = np.array(fronts)[:, None]
        inside = np.all((places >= self._low) & (places <= self._high), axis=2)
        for vehicle in vehicles:
            vehicle.traffic_light_id = 0
        for row, column in np.argwhere(inside):
            light, zone = self._zones[column]
            if contains(zone, fronts[row]):
                vehicles[row].traffic_light_id = light.actor_id


def _front(vehicle: Vehicle) -> tuple[float, float]:
    yaw = math.radians(vehicle.pose.yaw)
    reach = vehicle.extent[0]
    return vehicle.pose.x + reach * math.cos(yaw), vehicle.pose.y + reach * math.sin(yaw)


def contains(polygon: Sequence[tuple[float, float]], point: tuple[float, float]) -> bool:
    """Return whether a point lies in a polygon, by the even-odd rule."""
    # Plain numbers: zones have four corners, and some ten are asked about in every tick.
    x, y = point
    inside = False
    x0, y0 = polygon[-1]
    for x1, y1 in polygon:
        if (y0 > y) != (y1 > y) and x < x0 + (y - y0) / (y1 - y0) * (x1 - x0):
            inside = not inside
        x0, y0 = x1, y1
    return inside
