"""Lidar and semantic lidar: lasers above each other that turn.

Source: CARLA, RayCastSemanticLidar.cpp and RayCastLidar.cpp: the lasers' angles, points a tick, drop-off and noise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from carlaseg.errors import SimulatorError
from carlaseg.simulator.actors import Sensor
from carlaseg.simulator.instruments.beams import Beams, Hits
from carlaseg.simulator.instruments.instrument import Instrument, Surroundings, View
from carlaseg.simulator.scene import ByteArray
from carlaseg.wire.sensor_payloads import SEMANTIC_POINT, lidar_parts
from carlaseg.wire.stream import Buffer

MAX_CHANNELS = 1024
MAX_POINTS = 2_000_000
_FINE_DEG = 0.35
_COARSE_PX, _FINE_PX = 384, 512


class SemanticLidar(Instrument):
    """Points with the tag and the actor they are on; no drop-off, no noise."""

    def __init__(self, sensor: Sensor, surroundings: Surroundings) -> None:
        super().__init__(sensor, surroundings)
        self._channels = int(self.number("channels", 32))
        if not 1 <= self._channels <= MAX_CHANNELS:
            raise SimulatorError(
                f"{sensor.type_id}, attribute 'channels': expected 1 to {MAX_CHANNELS}, received {self._channels}"
            )
        upper, lower = self.number("upper_fov", 10.0), self.number("lower_fov", -30.0)
        self._elevation = np.radians(np.linspace(upper, lower, self._channels))
        self._fov_deg = self.number("horizontal_fov", 360.0)
        self._angle_deg = 0.0
        spacing = (upper - lower) / max(self._channels - 1, 1)
        self._beams = Beams(_FINE_PX if abs(spacing) < _FINE_DEG else _COARSE_PX)

    def views(self, elapsed_s: float) -> Sequence[View]:
        """Return the pictures that the lasers of this measurement pass."""
        points = self.number("points_per_second", 56000.0) * elapsed_s / self._channels
        each = math.floor(points + 0.5)
        if each * self._channels > MAX_POINTS:
            raise SimulatorError(
                f"{self.sensor.type_id}: expected at most {MAX_POINTS} points a measurement, "
                f"received {each * self._channels}"
            )
        sweep_deg = self.number("rotation_frequency", 10.0) * self._fov_deg * elapsed_s
        steps = self._angle_deg + sweep_deg * np.arange(each) / max(each, 1)
        azimuth = np.radians(np.fmod(steps, self._fov_deg) - self._fov_deg / 2)
        self._angle_deg = math.fmod(self._angle_deg + sweep_deg, self._fov_deg)
        self._each = each
        flat = np.cos(self._elevation)[:, None]
        directions = np.stack(
            np.broadcast_arrays(
                flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(self._elevation)[:, None] + 0 * azimuth
            ),
            axis=-1,
        ).reshape(-1, 3)
        self._directions = directions
        return self._beams.aim(directions, self.sensor.pose)

    def messages(self, pictures: Sequence[ByteArray]) -> Iterator[tuple[Buffer, ...]]:
        """Return one message with the points of this measurement, channel after channel."""
        hits = self._beams.hits(pictures, self.surroundings, self.number("range", 10.0))
        points = self._directions * np.where(np.isfinite(hits.distance_m), hits.distance_m, 0.0)[:, None]
        kept, body = self._detections(points, hits)
        counts = kept.reshape(self._channels, self._each).sum(axis=1)
        yield lidar_parts(math.radians(self._angle_deg), counts.tolist(), body)

    def _detections(self, points: NDArray[np.float64], hits: Hits) -> tuple[NDArray[np.bool_], NDArray[np.generic]]:
        """Return which beams are reported, and their points."""
        met = np.isfinite(hits.distance_m)
        body = np.zeros(int(met.sum()), SEMANTIC_POINT)
        body["x"], body["y"], body["z"] = points[met].T
        body["cos_angle"], body["actor"], body["tag"] = hits.cos_angle[met], hits.actor_id[met], hits.tag[met]
        return met, body


class Lidar(SemanticLidar):
    """Points with an intensity; some are lost, all may be noisy."""

    def _detections(self, points: NDArray[np.float64], hits: Hits) -> tuple[NDArray[np.bool_], NDArray[np.generic]]:
        random = self.random()
        met = np.isfinite(hits.distance_m)
        lost = random.random(len(met)) < self.number("dropoff_general_rate", 0.45)
        distance = np.where(met, hits.distance_m, 0.0)
        intensity = np.exp(-self.number("atmosphere_attenuation_rate", 0.004) * distance)
        limit, at_zero = self.number("dropoff_intensity_limit", 0.8), self.number("dropoff_zero_intensity", 0.4)
        chance = at_zero / limit * intensity + (1.0 - at_zero) if limit > 0.0 else np.ones_like(intensity)
        kept = met & ~lost & ((intensity > limit) | (random.random(len(met)) < chance))
        spread = self.number("noise_stddev")
        if spread > 0.0:
            points = points + self._directions * (random.standard_normal(len(met)) * spread)[:, None]
        body = np.column_stack([points[kept], intensity[kept]]).astype("<f4")
        return kept, body
