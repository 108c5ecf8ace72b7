"""What follows the sensor header in a stream message, one function a kind of sensor.

Source: carla 0.9.16 client: ImageSerializer::ImageHeader; LidarData, SemanticLidarData, RadarData, DVSEvent (packed);
GnssMeasurement, IMUMeasurement, CollisionEvent, ObstacleDetectionEvent (msgpack).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from carlaseg.wire.rpc import pack
from carlaseg.wire.structs import to_wire
from carlaseg.wire.values import ActorRecord, Vector3

_IMAGE_HEADER = struct.Struct("<IIf")
SEMANTIC_POINT = np.dtype(
    [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("cos_angle", "<f4"), ("actor", "<u4"), ("tag", "<u4")]
)
"""A semantic lidar's detection: place in the sensor's frame, cosine of the angle of incidence, actor id, tag."""
DVS_EVENT = np.dtype([("x", "<u2"), ("y", "<u2"), ("t_ns", "<i8"), ("polarity", "u1")])
"""An event camera's event: column, row, time, 1 for brighter."""


def image_parts(image_bgra: NDArray[np.uint8], fov_deg: float) -> tuple[bytes, memoryview]:
    """Return an image's own header and its pixels, the pixels without a copy when the array is contiguous.

    Args:
        image_bgra: uint8 (H, W, 4), top row first.
        fov_deg: horizontal field of view.
    """
    height, width, _ = image_bgra.shape
    return _IMAGE_HEADER.pack(width, height, fov_deg), np.ascontiguousarray(image_bgra).data.cast("B")


def flow_parts(flow: NDArray[np.float32], fov_deg: float) -> tuple[bytes, memoryview]:
    """Return an optical flow image's header and its pixels, float32 (H, W, 2)."""
    height, width, _ = flow.shape
    return _IMAGE_HEADER.pack(width, height, fov_deg), np.ascontiguousarray(flow, "<f4").data.cast("B")


def events_parts(events: NDArray[np.void], size: tuple[int, int], fov_deg: float) -> tuple[bytes, bytes]:
    """Return an event camera's header and its events, (N,) of `DVS_EVENT`; `size` is (height, width)."""
    return _IMAGE_HEADER.pack(size[1], size[0], fov_deg), events.astype(DVS_EVENT).tobytes()


def lidar_parts(angle_rad: float, counts: Sequence[int], points: NDArray[np.generic]) -> tuple[bytes, bytes]:
    """Return a lidar's header and its points.

    Args:
        angle_rad: horizontal angle the rotation has reached.
        counts: points of each channel; `points` has them channel after channel.
        points: float32 (N, 4), x, y, z, intensity, for a plain lidar; (N,) of `SEMANTIC_POINT` for a semantic one.
    """
    header = struct.pack(f"<fI{len(counts)}I", angle_rad, len(counts), *counts)
    return header, points.tobytes()


def radar_part(detections: NDArray[np.float32]) -> bytes:
    """Return a radar's detections, float32 (N, 4): velocity m/s, azimuth rad, altitude rad, depth m."""
    return detections.astype("<f4").tobytes()


def obstacle_part(sensed: ActorRecord, other: ActorRecord, distance_m: float) -> bytes:
    """Return an obstacle seen by `sensed`."""
    return pack([to_wire(sensed), to_wire(other), distance_m])


def gnss_part(latitude_deg: float, longitude_deg: float, altitude_m: float) -> bytes:
    """Return a GNSS measurement."""
    return pack([latitude_deg, longitude_deg, altitude_m])


def imu_part(acceleration_mps2: Vector3, angular_velocity_rad_s: Vector3, compass_rad: float) -> bytes:
    """Return an IMU measurement, in the sensor's own frame; the compass is 0 to the north."""
    return pack([to_wire(acceleration_mps2), to_wire(angular_velocity_rad_s), compass_rad])


def collision_part(sensed: ActorRecord, other: ActorRecord, impulse_ns: Vector3) -> bytes:
    """Return a collision of `sensed` with `other` (id 0 stands for the map's own geometry)."""
    return pack([to_wire(sensed), to_wire(other), to_wire(impulse_ns)])
