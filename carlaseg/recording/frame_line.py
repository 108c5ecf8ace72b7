"""What one tick showed, as it is written down: the line of a frame, in the words and the precision of the dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from carlaseg.dataset.records import FrameRecord
from carlaseg.dataset.rig_records import Pose
from carlaseg.recording.rig import RigSpec
from carlaseg.recording.streams import SensorFrame

DECIMALS = 6
"""Micrometres and microseconds; beyond them are only the rounding errors of 32-bit floats and of time differences."""


def frame_line(
    tick: int,
    timestamp_s: float,
    ego: Any,
    velocity_mps: tuple[float, float, float],
    rig: RigSpec,
    sensors: Mapping[str, SensorFrame],
    weather: Mapping[str, float],
    events: Sequence[Mapping[str, Any]],
) -> FrameRecord:
    """The line of a frame; its files are filled in when they are written.

    Args:
        tick: of the drive.
        timestamp_s: simulation time since the drive began.
        ego: the ego's `carla.ActorSnapshot` of that very tick.
        velocity_mps: the ego's, in the world.
        rig: its sensors.
        sensors: their data of that tick, by name.
        weather: its numbers.
        events: what happened since the last saved frame.
    """
    return FrameRecord(
        frame=tick,
        timestamp_s=round(timestamp_s, DECIMALS),
        ego=_pose(ego.get_transform()),
        sensors={name: _pose(sensor_frame.data.transform) for name, sensor_frame in sensors.items()},
        velocity_mps=_rounded(*velocity_mps),
        speed_kmh=round(3.6 * sum(component**2 for component in velocity_mps) ** 0.5, DECIMALS),
        weather=weather,
        events=tuple(events),
        measurements={
            sensor.name: values
            for sensor in rig.sensors
            if (values := sensor.values(sensors[sensor.name].data)) is not None
        },
    )


def _pose(transform: Any) -> Pose:
    place, turn = transform.location, transform.rotation
    return Pose(_rounded(place.x, place.y, place.z), _rounded(turn.pitch, turn.yaw, turn.roll))


def _rounded(first: float, second: float, third: float) -> tuple[float, float, float]:
    return round(float(first), DECIMALS), round(float(second), DECIMALS), round(float(third), DECIMALS)
