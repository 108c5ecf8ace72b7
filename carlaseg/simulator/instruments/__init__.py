"""What sensors measure, one class a kind: each says which pictures it needs of this frame and makes its message.

instrument   what all have in common, and their random numbers
cameras      pictures: rgb, semantic, instance, depth, normals, optical flow, events
geometry     depth pictures turned into distances, normals and motion
beams        many beams from one place, read out of depth pictures around it
lidar        lidar and semantic lidar
radar        radar
motion       GNSS and IMU
contact      collisions and obstacles
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from carlaseg.simulator.actors import Sensor
from carlaseg.simulator.instruments.cameras import CosmosCamera, EventCamera, FlowCamera, NormalsCamera, PlainCamera
from carlaseg.simulator.instruments.contact import Collisions, Obstacles
from carlaseg.simulator.instruments.instrument import Instrument, Surroundings
from carlaseg.simulator.instruments.lidar import Lidar, SemanticLidar
from carlaseg.simulator.instruments.motion import Gnss, Imu
from carlaseg.simulator.instruments.radar import Radar
from carlaseg.wire.stream import SensorType

__all__ = ["Instrument", "Surroundings", "make_instrument"]

_KINDS: Mapping[SensorType, Callable[[Sensor, Surroundings], Instrument]] = {
    SensorType.RGB_CAMERA: PlainCamera,
    SensorType.SEMANTIC_CAMERA: PlainCamera,
    SensorType.INSTANCE_CAMERA: PlainCamera,
    SensorType.DEPTH_CAMERA: PlainCamera,
    SensorType.NORMALS_CAMERA: NormalsCamera,
    SensorType.OPTICAL_FLOW_CAMERA: FlowCamera,
    SensorType.EVENT_CAMERA: EventCamera,
    SensorType.COSMOS_CAMERA: CosmosCamera,
    SensorType.LIDAR: Lidar,
    SensorType.SEMANTIC_LIDAR: SemanticLidar,
    SensorType.RADAR: Radar,
    SensorType.GNSS: Gnss,
    SensorType.IMU: Imu,
    SensorType.COLLISION: Collisions,
    SensorType.OBSTACLE: Obstacles,
}


def make_instrument(sensor: Sensor, surroundings: Surroundings) -> Instrument:
    """Return what measures for a sensor."""
    sensor_type = sensor.blueprint.sensor_type
    assert sensor_type is not None  # by construction: only blueprints with one make a Sensor
    return _KINDS[sensor_type](sensor, surroundings)
