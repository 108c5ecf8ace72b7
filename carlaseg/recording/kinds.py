"""The kinds of sensors that can be recorded: what each is called on the server, and what becomes of its data.

Pictures and points become arrays, which the dataset writes without loss (uint8 pictures as PNG, all else as .npy);
GNSS and IMU become values in the frame's line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from carlaseg.recording import pictures, points

Picture = Callable[[Any, tuple[int, int]], NDArray[Any]]


@dataclass(frozen=True)
class SensorKind:
    """One kind of sensor.

    Attributes:
        blueprint: CARLA's name for it.
        unit_bytes: bytes of a pixel, or of a point; 0 where the data has no body.
        picture: for cameras, the array of (data, size).
        points: for lidars and radars, the array of the data.
        values: what of the data goes into the frame's line.
        remembers: whether a measurement depends on those before it: by a pose, a rotation or a count of its noise. Such
            a sensor measures every tick of a drive, saved or not, or its data would depend on who came first, the tick
            or the end of its stream.
    """

    blueprint: str
    unit_bytes: int = 0
    picture: Picture | None = None
    points: Callable[[Any], NDArray[Any]] | None = None
    values: Callable[[Any], dict[str, Any]] | None = None
    remembers: bool = False

    @property
    def is_camera(self) -> bool:
        """Whether it has a size and a field of view."""
        return self.picture is not None

    @property
    def has_files(self) -> bool:
        """Whether a frame of it is a file, rather than a few values in a line."""
        return self.picture is not None or self.points is not None


KINDS: dict[str, SensorKind] = {
    "rgb": SensorKind("sensor.camera.rgb", 4, picture=pictures.rgb),
    "semantic": SensorKind("sensor.camera.semantic_segmentation", 4, picture=pictures.tags),
    "instance": SensorKind("sensor.camera.instance_segmentation", 4, picture=pictures.as_delivered),
    "depth": SensorKind("sensor.camera.depth", 4, picture=pictures.as_delivered),
    "normals": SensorKind("sensor.camera.normals", 4, picture=pictures.as_delivered),
    "optical_flow": SensorKind("sensor.camera.optical_flow", 8, picture=pictures.flow, remembers=True),
    "lidar": SensorKind("sensor.lidar.ray_cast", 16, points=points.lidar, values=points.turn, remembers=True),
    "semantic_lidar": SensorKind(
        "sensor.lidar.ray_cast_semantic", 24, points=points.semantic_lidar, values=points.turn, remembers=True
    ),
    "radar": SensorKind("sensor.other.radar", 16, points=points.radar, remembers=True),
    "gnss": SensorKind("sensor.other.gnss", values=points.place_on_earth, remembers=True),
    "imu": SensorKind("sensor.other.imu", values=points.motion, remembers=True),
}
