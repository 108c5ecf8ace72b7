"""Radar: random beams in a cone, with the speed of what they meet.

Source: CARLA, Radar.cpp: the beams' distribution, azimuth and altitude, relative velocity.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from carlaseg.errors import SimulatorError
from carlaseg.simulator.actors import Sensor
from carlaseg.simulator.instruments.beams import Beams
from carlaseg.simulator.instruments.instrument import Instrument, Surroundings, View
from carlaseg.simulator.poses import rotation_matrix
from carlaseg.simulator.scene import ByteArray
from carlaseg.wire.sensor_payloads import radar_part
from carlaseg.wire.stream import Buffer

MAX_POINTS = 1_000_000
_FACE_PX = 512


class Radar(Instrument):
    """Velocity towards or away from the sensor, azimuth, altitude and depth of each detection."""

    def __init__(self, sensor: Sensor, surroundings: Surroundings) -> None:
        super().__init__(sensor, surroundings)
        self._beams = Beams(_FACE_PX)
        self._place: np.ndarray[tuple[int], np.dtype[np.float64]] | None = None
        self._velocity = np.zeros(3)
        self._directions = np.zeros((0, 3))

    def views(self, elapsed_s: float) -> Sequence[View]:
        """Return the pictures that the beams of this measurement pass."""
        pose = self.sensor.pose
        place = np.array([pose.x, pose.y, pose.z])
        if self._place is not None and elapsed_s > 0.0:
            self._velocity = (place - self._place) / elapsed_s
        self._place = place
        count = int(self.number("points_per_second", 1500.0) * elapsed_s + 1e-6)
        if count > MAX_POINTS:
            raise SimulatorError(f"{self.sensor.type_id}: expected at most {MAX_POINTS} points a measurement")
        random = self.random()
        radius, angle = random.random(count), random.uniform(0.0, 2 * math.pi, count)
        wide = math.tan(math.radians(self.number("horizontal_fov", 30.0)) / 2)
        high = math.tan(math.radians(self.number("vertical_fov", 30.0)) / 2)
        beams = np.column_stack([np.ones(count), wide * radius * np.cos(angle), high * radius * np.sin(angle)])
        self._directions = beams / np.linalg.norm(beams, axis=1, keepdims=True)
        return self._beams.aim(self._directions, pose)

    def messages(self, pictures: Sequence[ByteArray]) -> Iterator[tuple[Buffer, ...]]:
        """Return one message with the detections of this measurement."""
        hits = self._beams.hits(pictures, self.surroundings, self.number("range", 100.0))
        met = np.isfinite(hits.distance_m)
        directions = self._directions[met]
        rows = np.array(rotation_matrix(self.sensor.pose))
        speed = np.sum((hits.velocity[met] - self._velocity) * (directions @ rows.T), axis=1)
        azimuth = np.arctan2(directions[:, 1], directions[:, 0])
        altitude = np.arcsin(np.clip(directions[:, 2], -1.0, 1.0))
        found = np.column_stack([speed, azimuth, altitude, hits.distance_m[met]])
        yield (radar_part(found.astype(np.float32)),)
