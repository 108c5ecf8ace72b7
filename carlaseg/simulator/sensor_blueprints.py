"""Sensors under CARLA's names, with CARLA's attributes and defaults.

Source: CARLA documentation, sensors reference, 0.9.16.
"""

from __future__ import annotations

from collections.abc import Iterator

from carlaseg.simulator.blueprint_attributes import choice
from carlaseg.simulator.scene import CameraKind
from carlaseg.wire.stream import SensorType
from carlaseg.wire.values import ActorAttribute, AttributeType

# Unreal's post-processing attributes of rgb cameras. Scripts set them; here they change nothing but what is read back.
_POST_PROCESSING: tuple[tuple[str, AttributeType, str], ...] = (
    ("enable_postprocess_effects", AttributeType.BOOL, "True"),
    ("gamma", AttributeType.FLOAT, "2.2"),
    ("bloom_intensity", AttributeType.FLOAT, "0.675"),
    ("lens_flare_intensity", AttributeType.FLOAT, "0.1"),
    ("motion_blur_intensity", AttributeType.FLOAT, "0.45"),
    ("motion_blur_max_distortion", AttributeType.FLOAT, "0.35"),
    ("motion_blur_min_object_screen_size", AttributeType.FLOAT, "0.1"),
    ("exposure_mode", AttributeType.STRING, "histogram"),
    ("exposure_compensation", AttributeType.FLOAT, "0.0"),
    ("exposure_min_bright", AttributeType.FLOAT, "10.0"),
    ("exposure_max_bright", AttributeType.FLOAT, "12.0"),
    ("exposure_speed_up", AttributeType.FLOAT, "3.0"),
    ("exposure_speed_down", AttributeType.FLOAT, "1.0"),
    ("calibration_constant", AttributeType.FLOAT, "16.0"),
    ("shutter_speed", AttributeType.FLOAT, "200.0"),
    ("iso", AttributeType.FLOAT, "100.0"),
    ("fstop", AttributeType.FLOAT, "1.4"),
    ("min_fstop", AttributeType.FLOAT, "1.2"),
    ("blade_count", AttributeType.INT, "5"),
    ("focal_distance", AttributeType.FLOAT, "1000.0"),
    ("blur_amount", AttributeType.FLOAT, "1.0"),
    ("blur_radius", AttributeType.FLOAT, "0.0"),
    ("slope", AttributeType.FLOAT, "0.88"),
    ("toe", AttributeType.FLOAT, "0.55"),
    ("shoulder", AttributeType.FLOAT, "0.26"),
    ("black_clip", AttributeType.FLOAT, "0.0"),
    ("white_clip", AttributeType.FLOAT, "0.04"),
    ("temp", AttributeType.FLOAT, "6500.0"),
    ("tint", AttributeType.FLOAT, "0.0"),
    ("chromatic_aberration_intensity", AttributeType.FLOAT, "0.0"),
    ("chromatic_aberration_offset", AttributeType.FLOAT, "0.0"),
)
_LENS: tuple[tuple[str, str], ...] = (
    ("lens_circle_falloff", "5.0"),
    ("lens_circle_multiplier", "0.0"),
    ("lens_k", "-1.0"),
    ("lens_kcube", "0.0"),
    ("lens_x_size", "0.08"),
    ("lens_y_size", "0.08"),
)


def _camera(with_post_processing: bool) -> list[ActorAttribute]:
    attributes = [
        choice("role_name", AttributeType.STRING, "front"),
        choice("image_size_x", AttributeType.INT, "800"),
        choice("image_size_y", AttributeType.INT, "600"),
        choice("fov", AttributeType.FLOAT, "90.0"),
        choice("sensor_tick", AttributeType.FLOAT, "0.0"),
        *(choice(name, AttributeType.FLOAT, value) for name, value in _LENS),
    ]
    if with_post_processing:
        attributes += [choice(name, kind, value) for name, kind, value in _POST_PROCESSING]
    return attributes


def _ticking(attributes: tuple[tuple[str, AttributeType, str], ...]) -> list[ActorAttribute]:
    return [
        choice("role_name", AttributeType.STRING, "default"),
        choice("sensor_tick", AttributeType.FLOAT, "0.0"),
        *(choice(*one) for one in attributes),
    ]


def _noisy(*names: str) -> list[ActorAttribute]:
    noise = tuple((name, AttributeType.FLOAT, "0.0") for name in names)
    return _ticking((("noise_seed", AttributeType.INT, "0"), *noise))


_CAMERAS: tuple[tuple[str, CameraKind, SensorType], ...] = (
    ("rgb", "rgb", SensorType.RGB_CAMERA),
    ("semantic_segmentation", "semantic", SensorType.SEMANTIC_CAMERA),
    ("instance_segmentation", "instance", SensorType.INSTANCE_CAMERA),
    ("depth", "depth", SensorType.DEPTH_CAMERA),
    ("normals", "depth", SensorType.NORMALS_CAMERA),
    ("optical_flow", "depth", SensorType.OPTICAL_FLOW_CAMERA),
    ("dvs", "rgb", SensorType.EVENT_CAMERA),
    ("cosmos_visualization", "instance", SensorType.COSMOS_CAMERA),
)
_EVENTS: tuple[tuple[str, AttributeType, str], ...] = (
    ("positive_threshold", AttributeType.FLOAT, "0.3"),
    ("negative_threshold", AttributeType.FLOAT, "0.3"),
    ("sigma_positive_threshold", AttributeType.FLOAT, "0.0"),
    ("sigma_negative_threshold", AttributeType.FLOAT, "0.0"),
    ("refractory_period_ns", AttributeType.INT, "0"),
    ("use_log", AttributeType.BOOL, "true"),
    ("log_eps", AttributeType.FLOAT, "0.001"),
)
_LASERS: tuple[tuple[str, AttributeType, str], ...] = (
    ("channels", AttributeType.INT, "32"),
    ("range", AttributeType.FLOAT, "10.0"),
    ("points_per_second", AttributeType.INT, "56000"),
    ("rotation_frequency", AttributeType.FLOAT, "10.0"),
    ("upper_fov", AttributeType.FLOAT, "10.0"),
    ("lower_fov", AttributeType.FLOAT, "-30.0"),
    ("horizontal_fov", AttributeType.FLOAT, "360.0"),
)
_LASER_LOSSES: tuple[tuple[str, AttributeType, str], ...] = (
    ("atmosphere_attenuation_rate", AttributeType.FLOAT, "0.004"),
    ("dropoff_general_rate", AttributeType.FLOAT, "0.45"),
    ("dropoff_intensity_limit", AttributeType.FLOAT, "0.8"),
    ("dropoff_zero_intensity", AttributeType.FLOAT, "0.4"),
    ("noise_seed", AttributeType.INT, "0"),
    ("noise_stddev", AttributeType.FLOAT, "0.0"),
)
_RADAR: tuple[tuple[str, AttributeType, str], ...] = (
    ("horizontal_fov", AttributeType.FLOAT, "30.0"),
    ("vertical_fov", AttributeType.FLOAT, "30.0"),
    ("range", AttributeType.FLOAT, "100.0"),
    ("points_per_second", AttributeType.INT, "1500"),
    ("noise_seed", AttributeType.INT, "0"),
)
_OBSTACLE: tuple[tuple[str, AttributeType, str], ...] = (
    ("distance", AttributeType.FLOAT, "5.0"),
    ("hit_radius", AttributeType.FLOAT, "0.5"),
    ("only_dynamics", AttributeType.BOOL, "False"),
    ("debug_linetrace", AttributeType.BOOL, "False"),
)
_AXES = ("x", "y", "z")


def sensor_blueprints() -> Iterator[tuple[str, list[ActorAttribute], SensorType | None, CameraKind | None]]:
    """Return (id, attributes, type of its stream, what it draws) of every sensor."""
    for name, kind, sensor_type in _CAMERAS:
        attributes = _camera(kind == "rgb")
        if sensor_type is SensorType.EVENT_CAMERA:
            attributes += [choice(*one) for one in _EVENTS]
        yield f"sensor.camera.{name}", attributes, sensor_type, kind
    yield "sensor.lidar.ray_cast", _ticking(_LASERS + _LASER_LOSSES), SensorType.LIDAR, None
    yield "sensor.lidar.ray_cast_semantic", _ticking(_LASERS), SensorType.SEMANTIC_LIDAR, None
    yield "sensor.other.radar", _ticking(_RADAR), SensorType.RADAR, None
    yield "sensor.other.obstacle", _ticking(_OBSTACLE), SensorType.OBSTACLE, None
    places = ("lat", "lon", "alt")
    gnss = [f"noise_{place}_{what}" for place in places for what in ("bias", "stddev")]
    yield "sensor.other.gnss", _noisy(*gnss), SensorType.GNSS, None
    imu = [f"noise_accel_stddev_{axis}" for axis in _AXES]
    imu += [f"noise_gyro_{what}_{axis}" for what in ("bias", "stddev") for axis in _AXES]
    yield "sensor.other.imu", _noisy(*imu), SensorType.IMU, None
    role = [choice("role_name", AttributeType.STRING, "default")]
    yield "sensor.other.collision", role, SensorType.COLLISION, None
    # The client computes lane invasions itself; the server only has to know the actor.
    yield "sensor.other.lane_invasion", role, None, None
