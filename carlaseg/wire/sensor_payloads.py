"""What follows the sensor header in a stream message, one function a kind of sensor.

Source: carla 0.9.16 client: ImageSerializer::ImageHeader; GnssMeasurement, IMUMeasurement, CollisionEvent (msgpack).
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from carlaseg.wire.rpc import pack
from carlaseg.wire.structs import to_wire
from carlaseg.wire.values import ActorRecord, Vector3

_IMAGE_HEADER = struct.Struct("<IIf")


def image_parts(image_bgra: NDArray[np.uint8], fov_deg: float) -> tuple[bytes, memoryview]:
    """Return an image's own header and its pixels, the pixels without a copy when the array is contiguous.

    Args:
        image_bgra: uint8 (H, W, 4), top row first.
        fov_deg: horizontal field of view.
    """
    height, width, _ = image_bgra.shape
    return _IMAGE_HEADER.pack(width, height, fov_deg), np.ascontiguousarray(image_bgra).data.cast("B")


def gnss_part(latitude_deg: float, longitude_deg: float, altitude_m: float) -> bytes:
    """Return a GNSS measurement."""
    return pack([latitude_deg, longitude_deg, altitude_m])


def imu_part(acceleration_mps2: Vector3, angular_velocity_rad_s: Vector3, compass_rad: float) -> bytes:
    """Return an IMU measurement, in the sensor's own frame; the compass is 0 to the north."""
    return pack([to_wire(acceleration_mps2), to_wire(angular_velocity_rad_s), compass_rad])


def collision_part(sensed: ActorRecord, other: ActorRecord, impulse_ns: Vector3) -> bytes:
    """Return a collision of `sensed` with `other` (id 0 stands for the map's own geometry)."""
    return pack([to_wire(sensed), to_wire(other), to_wire(impulse_ns)])
