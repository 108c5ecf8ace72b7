"""The rig as `recording.json` has it: where each sensor sits and what it sees.

Fields stand here in the order of docs/dataset-format.md. Coordinates are CARLA's: left-handed, x forward, y right,
z up, metres, degrees.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from carlaseg.dataset.json_fields import angle_of_view, mapping, required, size_of, triple

_FOLDERS_OF_THE_PAIR = {"sensor.camera.rgb": "rgb", "sensor.camera.semantic_segmentation": "seg_raw"}
"""Of recordings that do not say, because they were made when there was nothing but the pair."""


@dataclass(frozen=True)
class Pose:
    """Where something is and which way it looks, in the world or relative to the ego vehicle.

    Attributes:
        location_m: x, y, z.
        rotation_deg: pitch, yaw, roll.
    """

    location_m: tuple[float, float, float]
    rotation_deg: tuple[float, float, float]

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {"location_m": list(self.location_m), "rotation_deg": list(self.rotation_deg)}

    @classmethod
    def from_json(cls, value: Any, where: str) -> Pose:
        """From JSON values.

        Raises:
            DatasetError: something is missing or of another kind.
        """
        fields = mapping(value, where)
        return cls(triple(fields, "location_m", where), triple(fields, "rotation_deg", where))


def intrinsics(
    fov_deg: float, size: tuple[int, int], camera_size: tuple[int, int] | None = None
) -> tuple[tuple[float, float, float], ...]:
    """Pinhole matrix K of the saved pictures, rows top to bottom, in pixels.

    Args:
        fov_deg: horizontal field of view of the camera, as in CARLA's blueprint.
        size: (height, width) of the saved picture.
        camera_size: (height, width) the camera drew at; `size` when not given. A resize that is not uniform gives fx !=
            fy.

    Source:
        CARLA's `fov` is horizontal: f = W / (2 tan(fov / 2)), principal point in the middle.
    """
    drawn_height, drawn_width = camera_size or size
    height, width = size
    focal = drawn_width / (2 * math.tan(math.radians(fov_deg) / 2))
    return (
        (focal * width / drawn_width, 0.0, width / 2),
        (0.0, focal * height / drawn_height, height / 2),
        (0.0, 0.0, 1.0),
    )


@dataclass(frozen=True)
class SensorRecord:
    """One camera of the rig.

    Attributes:
        name: its name in frames and files.
        blueprint: CARLA's blueprint id, for example "sensor.camera.rgb".
        size: (height, width) of the saved pictures.
        camera_size: (height, width) the camera draws at.
        fov_deg: horizontal field of view.
        pose_ego: pose relative to the ego vehicle.
        attributes: blueprint attributes as the server reported them.
        folder: of its files in the recording.
    """

    name: str
    blueprint: str
    size: tuple[int, int]
    camera_size: tuple[int, int]
    fov_deg: float
    pose_ego: Pose
    attributes: Mapping[str, str] = field(default_factory=dict)
    folder: str = ""

    def to_json(self) -> dict[str, Any]:
        """As JSON values, with the intrinsics K of the saved pictures worked out."""
        return {
            "name": self.name,
            "blueprint": self.blueprint,
            "size": list(self.size),
            "camera_size": list(self.camera_size),
            "fov_deg": self.fov_deg,
            "intrinsics": [list(row) for row in intrinsics(self.fov_deg, self.size, self.camera_size)],
            "pose_ego": self.pose_ego.to_json(),
            "attributes": dict(self.attributes),
            "folder": self.folder,
        }

    @classmethod
    def from_json(cls, value: Any, where: str) -> SensorRecord:
        """From JSON values; the intrinsics follow from the rest.

        Raises:
            DatasetError: something is missing or of another kind.
        """
        fields = mapping(value, where)
        return cls(
            name=required(fields, "name", str, where),
            blueprint=required(fields, "blueprint", str, where),
            size=size_of(fields, "size", where),
            camera_size=size_of(fields, "camera_size", where),
            fov_deg=angle_of_view(fields, "fov_deg", where),
            pose_ego=Pose.from_json(fields.get("pose_ego"), f"{where}, pose_ego"),
            attributes={str(key): str(text) for key, text in mapping(fields.get("attributes", {}), where).items()},
            folder=str(fields.get("folder") or _FOLDERS_OF_THE_PAIR.get(str(fields.get("blueprint")), "")),
        )


def beside(rig: Sequence[SensorRecord], camera: SensorRecord, blueprint: str) -> SensorRecord | None:
    """The camera of a kind that sees what another one sees, pixel by pixel; None where the rig has none."""

    def view(sensor: SensorRecord) -> tuple[Any, ...]:
        return sensor.size, sensor.camera_size, sensor.fov_deg, sensor.pose_ego

    return next((sensor for sensor in rig if sensor.blueprint == blueprint and view(sensor) == view(camera)), None)


@dataclass(frozen=True)
class InstrumentRecord:
    """One sensor of the rig that is no camera: a lidar, a radar, GNSS, an IMU.

    Attributes:
        name: its name in frames.
        blueprint: CARLA's blueprint id.
        folder: of its files; empty where its measurements stand in the frames' lines.
        pose_ego: pose relative to the ego vehicle.
        attributes: blueprint attributes as the server reported them.
    """

    name: str
    blueprint: str
    folder: str
    pose_ego: Pose
    attributes: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "name": self.name,
            "blueprint": self.blueprint,
            "folder": self.folder,
            "pose_ego": self.pose_ego.to_json(),
            "attributes": dict(self.attributes),
        }

    @classmethod
    def from_json(cls, value: Any, where: str) -> InstrumentRecord:
        """From JSON values.

        Raises:
            DatasetError: something is missing or of another kind.
        """
        fields = mapping(value, where)
        return cls(
            name=required(fields, "name", str, where),
            blueprint=required(fields, "blueprint", str, where),
            folder=required(fields, "folder", str, where),
            pose_ego=Pose.from_json(fields.get("pose_ego"), f"{where}, pose_ego"),
            attributes={str(key): str(text) for key, text in mapping(fields.get("attributes", {}), where).items()},
        )
