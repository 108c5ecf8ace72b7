"""Cityscapes: {leftImg8bit,gtFine,camera}/SPLIT/CITY/CITY_SEQUENCE_FRAME_TYPE.

A town is a city, a drive a sequence. Written are `_leftImg8bit.png`, `_gtFine_labelIds.png` (34 ids, 0 where nothing
fits), `_gtFine_labelTrainIds.png` (19 ids, 255 where nothing fits), `_gtFine_color.png` (RGBA) and, from recordings,
`_camera.json`. Where a recording's instance camera saw the same as the mask, `_gtFine_instanceIds.png` too (16 bit, a
thing is its label id times 1000 plus its number in the image). `_polygons.json` is not written.

Source: the README and `helpers/labels.py` of cityscapesScripts; for the camera its docs/csCalibration.pdf: metres and
    radians, vehicle axes x forward, y left, z up.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carlaseg import labels
from carlaseg.dataset.encoding import png
from carlaseg.dataset.exports.coco_panoptic import is_thing
from carlaseg.dataset.exports.encoding import image_as_png, put, slug, translated
from carlaseg.dataset.exports.instances import objects_of
from carlaseg.dataset.exports.job import Row
from carlaseg.dataset.exports.source import Source
from carlaseg.dataset.geometry import right_handed_angles, right_handed_location
from carlaseg.dataset.pictures import Mask
from carlaseg.dataset.recorded import Known
from carlaseg.dataset.rig_records import intrinsics
from carlaseg.labels import IGNORE_ID

_OPAQUE = 255


class Cityscapes:
    """A dataset on its way into the Cityscapes layout.

    Attributes:
        units: positions of samples.
        losses: what the label ids lose, a sentence each.
    """

    def __init__(self, source: Source, output: Path) -> None:
        self._source, self._output = source, output
        ids, train = labels.scheme("cityscapes"), labels.scheme("cityscapes-train")
        self._to_ids, self._to_train = labels.remap(source.scheme, ids), labels.remap(source.scheme, train)
        instances = "instances are written only where an instance camera saw the same"
        self.losses: tuple[str, ...] = (*self._to_ids.lossy, instances)
        self.units: Sequence[int] = range(len(source.samples))
        self._numbers: dict[int, int] = {}
        self._place_of: dict[str, tuple[str, int]] = {}
        self._plan_names()

    def _plan_names(self) -> None:
        """City and sequence of each drive; frames that cannot be numbered as they are get their place in the drive."""
        sequences: dict[str, int] = {}
        positions: dict[str, list[int]] = {}
        frames: dict[str, set[int | None]] = {}
        for position, (_, sample) in enumerate(self._source.samples):
            if sample.drive not in self._place_of:
                # cityscapesScripts cut names at "_", so a city must not have one.
                city = slug(sample.town or "carla", "-")
                self._place_of[sample.drive] = (city, sequences.get(city, 0))
                sequences[city] = sequences.get(city, 0) + 1
            positions.setdefault(sample.drive, []).append(position)
            frames.setdefault(sample.drive, set()).add(sample.frame)
        for drive, places in positions.items():
            if None in frames[drive] or len(frames[drive]) < len(places):
                self._numbers.update({position: number for number, position in enumerate(places)})

    def images_in(self, unit: int) -> int:
        """One."""
        return 1

    def write(self, unit: int) -> Row:
        """Write image, masks and camera of one sample."""
        split, sample = self._source.samples[unit]
        city, sequence = self._place_of[sample.drive]
        number = self._numbers.get(unit, sample.frame)
        name = f"{city}_{sequence:06d}_{number:06d}"
        place = Path(split) / city
        ids = translated(sample, self._to_ids)
        ids[ids == IGNORE_ID] = 0
        rgb = self._to_ids.target.palette[ids]
        color = np.dstack([rgb, np.full(ids.shape, _OPAQUE, np.uint8)])
        image, _ = image_as_png(sample)
        truth = self._output / "gtFine" / place
        put(truth / f"{name}_gtFine_labelIds.png", png(ids))
        put(truth / f"{name}_gtFine_labelTrainIds.png", png(translated(sample, self._to_train)))
        put(truth / f"{name}_gtFine_color.png", png(color))
        known = self._source.known(sample)
        if known is not None and known.instances is not None:
            put(truth / f"{name}_gtFine_instanceIds.png", png(self._instance_ids(ids, known)))
        if known is not None and known.camera is not None:
            put(self._output / "camera" / place / f"{name}_camera.json", _camera(known))
        put(self._output / "leftImg8bit" / place / f"{name}_leftImg8bit.png", image)
        return {"name": name, "split": split, "source": str(sample.image_path)}

    def _instance_ids(self, ids: Mask, known: Known) -> NDArray[np.uint16]:
        instance_ids = ids.astype(np.uint16)
        for label_id in (int(value) for value in np.unique(ids)):
            if is_thing(self._to_ids.target.names[label_id]):
                for number, here in enumerate(objects_of(ids, label_id, known)):
                    instance_ids[here] = 1000 * label_id + number
        return instance_ids

    def finish(self, rows: Callable[[], Iterator[Row]]) -> None:
        """Write which image became which."""
        lines = (f"{row['split']},{row['name']},{json.dumps(row['source'])}\n" for row in rows())
        put(self._output / "source.csv", ("split,name,source\n" + "".join(lines)).encode())


def _camera(known: Known) -> bytes:
    assert known.camera is not None
    camera = known.camera
    yaw, pitch, roll = right_handed_angles(camera.pose_ego)
    x, y, z = right_handed_location(camera.pose_ego)
    (fx, _, u0), (_, fy, v0), _ = intrinsics(camera.fov_deg, camera.size, camera.camera_size)
    # One camera has no stereo partner: a baseline of 0.
    extrinsic = {"baseline": 0.0, "pitch": pitch, "roll": roll, "x": x, "y": y, "yaw": yaw, "z": z}
    return json.dumps(
        {"extrinsic": extrinsic, "intrinsic": {"fx": fx, "fy": fy, "u0": u0, "v0": v0}}, indent=4
    ).encode()
