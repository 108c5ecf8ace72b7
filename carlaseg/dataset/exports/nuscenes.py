"""nuScenes: samples/CHANNEL/ and the tables of calibration and poses in v1.0-carlaseg/.

A drive is a log and a scene, a frame a sample, each RGB camera's picture a key frame of its channel. All thirteen
tables are there, so that the nuScenes development kit opens the folder; those of boxes (instance, sample_annotation,
attribute, visibility) are empty, and the map is a black picture of one pixel that the kit asks for. Masks have no place
in nuScenes and are not written.

Axes: world and vehicle right-handed, x forward, y left, z up (CARLA's y mirrored); the camera x right, y down, z
forward. The vehicle's origin is CARLA's, on the ground below its middle; nuScenes' is below the rear axle.

Source: docs/schema_nuscenes.md of nuscenes-devkit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from carlaseg.dataset.encoding import png
from carlaseg.dataset.exports.encoding import picture_as_it_is, put, slug
from carlaseg.dataset.exports.job import Row
from carlaseg.dataset.exports.json_tables import array_text, write_text
from carlaseg.dataset.exports.source import Source
from carlaseg.dataset.geometry import (
    CAMERA_TO_BODY,
    quaternion,
    right_handed_location,
    right_handed_rotation,
)
from carlaseg.dataset.recorded import Known
from carlaseg.dataset.rig_records import SensorRecord, intrinsics
from carlaseg.dataset.samples import Sample
from carlaseg.errors import DatasetError

VERSION = "v1.0-carlaseg"
_MAP = "maps/none.png"


class NuScenes:
    """Recordings on their way into nuScenes' tables of calibration and poses.

    Attributes:
        units: positions of samples.
        losses: what has no place there, a sentence each.

    Raises:
        DatasetError: the samples are not from recordings with a camera: nobody knows their poses.
    """

    def __init__(self, source: Source, output: Path) -> None:
        self._source, self._output = source, output
        self.units: Sequence[int] = range(len(source.samples))
        self.losses: tuple[str, ...] = (
            "masks are not written: nuScenes has none",
            "there are no boxes: recordings hold none",
            "other sensors than RGB cameras are not written",
        )
        self._known(0)

    def _known(self, unit: int) -> Known:
        _, sample = self._source.samples[unit]
        known = self._source.known(sample)
        if known is None or known.camera is None:
            raise DatasetError(
                f"{sample.image_path}: expected a frame of a recording, with its pose and camera, received a picture "
                f"alone ({self._source.layout}).",
                (("formats that need none", "--to cityscapes | coco-panoptic | huggingface | webdataset"),),
            )
        return known

    def images_in(self, unit: int) -> int:
        """One."""
        return 1

    def write(self, unit: int) -> Row:
        """Write the image of one sample; its poses become rows."""
        split, sample = self._source.samples[unit]
        known = self._known(unit)
        began_s = datetime.fromisoformat(known.metadata.started).timestamp()
        return {
            "split": split,
            "drive": sample.drive,
            "frame": sample.frame,
            "town": known.metadata.town,
            "weather": known.metadata.weather,
            "date": known.metadata.started[:10],
            "timestamp": round((began_s + known.frame.timestamp_s) * 1_000_000),
            "ego_translation": list(right_handed_location(known.frame.ego)),
            "ego_rotation": list(quaternion(right_handed_rotation(known.frame.ego))),
            "cameras": [self._camera(sample, known, camera) for camera in known.cameras],
        }

    def _camera(self, sample: Sample, known: Known, camera: SensorRecord) -> dict[str, Any]:
        """Write the picture of one camera; what the tables need of it."""
        path = known.recording / known.frame.files[camera.folder].path
        content, (height, width) = picture_as_it_is(path)
        channel = _channel(camera)
        name = f"samples/{channel}/{slug(sample.drive)}__{channel}__{sample.frame:08d}{path.suffix}"
        put(self._output / name, content)
        return {"channel": channel, "filename": name, "size": [height, width], "calibration": _calibration(camera)}

    def finish(self, rows: Callable[[], Iterator[Row]]) -> None:
        """Write the tables."""
        tables: dict[str, Iterator[dict[str, Any]]] = {
            "sensor": _sensors(rows),
            "calibrated_sensor": _calibrated_sensors(rows),
            "log": _once_a_drive(rows, _log),
            "ego_pose": (_ego_pose(row) for row in rows()),
            "sample": (_sample(before, row, after) for before, row, after in _with_neighbours(rows())),
            "sample_data": (
                _sample_data(before, row, after, camera)
                for before, row, after in _with_neighbours(rows())
                for camera in row["cameras"]
            ),
            "scene": _scenes(rows),
            "category": self._categories(),
            "map": iter([self._map(rows)]),
        }
        for name in ("attribute", "instance", "sample_annotation", "visibility"):
            tables[name] = iter(())
        put(self._output / _MAP, png(np.zeros((1, 1), np.uint8)))
        for name, table in tables.items():
            write_text(self._output / VERSION / f"{name}.json", array_text(table))

    def _categories(self) -> Iterator[dict[str, Any]]:
        for label in self._source.scheme.classes:
            token = _token("category", label.class_id)
            description = f"class {label.class_id} of {self._source.scheme.title}"
            yield {"token": token, "name": label.name, "description": description, "index": label.class_id}

    def _map(self, rows: Callable[[], Iterator[Row]]) -> dict[str, Any]:
        logs = [log["token"] for log in _once_a_drive(rows, _log)]
        return {"token": _token("map"), "log_tokens": logs, "category": "semantic_prior", "filename": _MAP}


def _token(*words: object) -> str:
    """A name that is the same in every run: 32 hexadecimal digits, as nuScenes' own."""
    return hashlib.md5("/".join(str(word) for word in words).encode(), usedforsecurity=False).hexdigest()


def _channel(camera: SensorRecord) -> str:
    """NuScenes' name for a camera: CAM_FRONT, CAM_BACK_LEFT."""
    name = slug(camera.name.upper(), "_").removeprefix("RGB").removeprefix("CAM").strip("_")
    return f"CAM_{name or 'FRONT'}"


def _calibration(camera: SensorRecord) -> dict[str, Any]:
    rotation = right_handed_rotation(camera.pose_ego) @ CAMERA_TO_BODY
    return {
        "translation": list(right_handed_location(camera.pose_ego)),
        "rotation": list(quaternion(rotation)),
        "camera_intrinsic": [list(row) for row in intrinsics(camera.fov_deg, camera.size, camera.camera_size)],
    }


def _once_a_drive(rows: Callable[[], Iterator[Row]], make: Callable[[Row], dict[str, Any]]) -> Iterator[dict[str, Any]]:
    seen: set[str] = set()
    for row in rows():
        if row["drive"] not in seen:
            seen.add(row["drive"])
            yield make(row)


def _with_neighbours(rows: Iterator[Row]) -> Iterator[tuple[Row | None, Row, Row | None]]:
    """Each row with those before and after it in the same drive."""
    before: Row | None = None
    current = next(rows, None)
    while current is not None:
        after = next(rows, None)
        same = after is not None and after["drive"] == current["drive"]
        yield before, current, after if same else None
        before = current if same else None
        current = after


def _sensors(rows: Callable[[], Iterator[Row]]) -> Iterator[dict[str, Any]]:
    seen: set[str] = set()
    for row in _once_a_drive(rows, lambda row: row):
        for camera in row["cameras"]:
            if camera["channel"] not in seen:
                seen.add(camera["channel"])
                token = _token("sensor", camera["channel"])
                yield {"token": token, "channel": camera["channel"], "modality": "camera"}


def _calibrated_sensors(rows: Callable[[], Iterator[Row]]) -> Iterator[dict[str, Any]]:
    for row in _once_a_drive(rows, lambda row: row):
        for camera in row["cameras"]:
            token = _token("calibrated_sensor", row["drive"], camera["channel"])
            yield {"token": token, "sensor_token": _token("sensor", camera["channel"]), **camera["calibration"]}


def _log(row: Row) -> dict[str, Any]:
    return {
        "token": _token("log", row["drive"]),
        "logfile": row["drive"],
        "vehicle": "ego",
        "date_captured": row["date"],
        "location": row["town"],
    }


def _ego_pose(row: Row) -> dict[str, Any]:
    return {
        "token": _token("ego_pose", row["drive"], row["frame"]),
        "translation": row["ego_translation"],
        "rotation": row["ego_rotation"],
        "timestamp": row["timestamp"],
    }


def _link(kind: str, row: Row | None) -> str:
    return "" if row is None else _token(kind, row["drive"], row["frame"])


def _sample(before: Row | None, row: Row, after: Row | None) -> dict[str, Any]:
    return {
        "token": _link("sample", row),
        "timestamp": row["timestamp"],
        "scene_token": _token("scene", row["drive"]),
        "next": _link("sample", after),
        "prev": _link("sample", before),
    }


def _sample_data(before: Row | None, row: Row, after: Row | None, camera: dict[str, Any]) -> dict[str, Any]:
    kind = f"sample_data/{camera['channel']}"
    return {
        "token": _link(kind, row),
        "sample_token": _link("sample", row),
        "ego_pose_token": _link("ego_pose", row),
        "calibrated_sensor_token": _token("calibrated_sensor", row["drive"], camera["channel"]),
        "filename": camera["filename"],
        "fileformat": camera["filename"].rpartition(".")[2],
        "width": camera["size"][1],
        "height": camera["size"][0],
        "timestamp": row["timestamp"],
        "is_key_frame": True,
        "next": _link(kind, after),
        "prev": _link(kind, before),
    }


def _scenes(rows: Callable[[], Iterator[Row]]) -> Iterator[dict[str, Any]]:
    scene: dict[str, Any] | None = None
    for before, row, after in _with_neighbours(rows()):
        if before is None or scene is None:
            scene = {
                "token": _token("scene", row["drive"]),
                "name": row["drive"],
                "description": f"{row['town']}, {row['weather']}, {row['split']}",
                "log_token": _token("log", row["drive"]),
                "nbr_samples": 0,
                "first_sample_token": _link("sample", row),
                "last_sample_token": "",
            }
        scene["nbr_samples"] += 1
        if after is None:
            yield {**scene, "last_sample_token": _link("sample", row)}
