"""Where a sensor is and how it moves: GNSS and IMU."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from carlaseg.simulator.instruments.instrument import Instrument
from carlaseg.simulator.poses import Triple, rotation_matrix, unrotate
from carlaseg.simulator.scene import ByteArray
from carlaseg.wire.sensor_payloads import gnss_part, imu_part
from carlaseg.wire.stream import Buffer
from carlaseg.wire.values import Vector3


class Gnss(Instrument):
    """Latitude, longitude and altitude."""

    def messages(self, pictures: Sequence[ByteArray]) -> Iterator[tuple[Buffer, ...]]:
        """Return one measurement."""
        pose, random = self.sensor.pose, self.random()
        latitude, longitude = self.surroundings.reference.locate(pose.x, pose.y)
        place = [
            value + noisy(self, random, f"noise_{name}_bias", f"noise_{name}_stddev")
            for name, value in (("lat", latitude), ("lon", longitude), ("alt", pose.z))
        ]
        yield (gnss_part(*place),)


class Imu(Instrument):
    """Acceleration, rotation and heading, in the sensor's own frame."""

    def messages(self, pictures: Sequence[ByteArray]) -> Iterator[tuple[Buffer, ...]]:
        """Return one measurement."""
        sensor, random = self.sensor, self.random()
        axes = rotation_matrix(sensor.pose)
        ax, ay, az = sensor.acceleration
        felt = unrotate(axes, (ax, ay, az + self.surroundings.world.gravity_mps2))
        turned = unrotate(axes, _radians(sensor.angular_velocity))
        acceleration = [
            value + noisy(self, random, "", f"noise_accel_stddev_{axis}")
            for value, axis in zip(felt, "xyz", strict=True)
        ]
        turning = [
            value + noisy(self, random, f"noise_gyro_bias_{axis}", f"noise_gyro_stddev_{axis}")
            for value, axis in zip(turned, "xyz", strict=True)
        ]
        # North is -y in CARLA's frame.
        compass = (math.radians(sensor.pose.yaw) + math.pi / 2) % (2 * math.pi)
        yield (imu_part(Vector3(*acceleration), Vector3(*turning), compass),)


def noisy(instrument: Instrument, random: np.random.Generator, bias: str, deviation: str) -> float:
    """Return the attribute `bias` plus Gaussian noise of the attribute `deviation`."""
    spread = instrument.number(deviation)
    noise = float(random.standard_normal()) * spread if spread > 0.0 else 0.0
    return instrument.number(bias) + noise


def _radians(degrees: Triple) -> Triple:
    return math.radians(degrees[0]), math.radians(degrees[1]), math.radians(degrees[2])
