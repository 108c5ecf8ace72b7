"""From the data of lidars, radars, GNSS and IMU to arrays and values that can be written down.

Source of the layouts: CARLA documentation, sensors reference, and the attributes of the client's own objects.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

LIDAR_POINT = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("intensity", "<f4")])
SEMANTIC_LIDAR_POINT = np.dtype(
    [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("cos_incidence", "<f4"), ("object", "<u4"), ("tag", "<u4")]
)
RADAR_POINT = np.dtype(
    [("velocity_mps", "<f4"), ("azimuth_rad", "<f4"), ("altitude_rad", "<f4"), ("distance_m", "<f4")]
)
ANGLE_DECIMALS, DEGREE_DECIMALS, METRE_DECIMALS = 6, 9, 6
"""A billionth of a degree of latitude is a tenth of a millimetre."""


def lidar(measurement: Any) -> NDArray[Any]:
    """Points of a `carla.LidarMeasurement`, [N] records x, y, z (metres, the sensor's frame) and intensity 0 to 1."""
    return np.frombuffer(measurement.raw_data, LIDAR_POINT)


def semantic_lidar(measurement: Any) -> NDArray[Any]:
    """Points of a `carla.SemanticLidarMeasurement`, [N] records.

    x, y, z in metres in the sensor's frame, the cosine of the angle of incidence, the id of the object, its tag.
    """
    return np.frombuffer(measurement.raw_data, SEMANTIC_LIDAR_POINT)


def radar(measurement: Any) -> NDArray[Any]:
    """Detections of a `carla.RadarMeasurement`, [N] records: velocity towards the sensor, azimuth, altitude, distance.

    By the names of the client's own objects: its documentation gives another order of the raw bytes than its source.
    """
    rows = [(point.velocity, point.azimuth, point.altitude, point.depth) for point in measurement]
    return np.array(rows, RADAR_POINT)


def turn(measurement: Any) -> dict[str, Any]:
    """Where a lidar's turn stood when it was measured, and how many of the points each channel has, lowest last."""
    return {
        "horizontal_angle_rad": number(measurement.horizontal_angle, ANGLE_DECIMALS),
        "channel_counts": [int(measurement.get_point_count(channel)) for channel in range(measurement.channels)],
    }


def place_on_earth(measurement: Any) -> dict[str, Any]:
    """What a GNSS receiver says."""
    return {
        "latitude_deg": number(measurement.latitude, DEGREE_DECIMALS),
        "longitude_deg": number(measurement.longitude, DEGREE_DECIMALS),
        "altitude_m": number(measurement.altitude, METRE_DECIMALS),
    }


def motion(measurement: Any) -> dict[str, Any]:
    """What an IMU says: acceleration (gravity included), turning rate, heading clockwise from north."""
    return {
        "acceleration_mps2": _triple(measurement.accelerometer),
        "angular_velocity_radps": _triple(measurement.gyroscope),
        "compass_rad": number(measurement.compass, ANGLE_DECIMALS),
    }


def number(value: float, decimals: int) -> float | None:
    """A rounded number, None for what is none: an IMU's first tick may have no acceleration yet."""
    return round(float(value), decimals) if math.isfinite(value) else None


def _triple(vector: Any) -> list[float | None]:
    return [number(component, METRE_DECIMALS) for component in (vector.x, vector.y, vector.z)]
