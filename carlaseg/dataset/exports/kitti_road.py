"""KITTI Road: {training,testing}/{image_2,gt_image_2,calib}, images um_NNNNNN.png, masks um_road_NNNNNN.png.

KITTI has no validation part: val goes to training. `source.csv` says which image was which.
Masks: magenta is road, red is not, black is void. `calib/` (from recordings): P2 is the camera, P0, P1 and P3 repeat it
for readers that count lines; Tr_cam_to_road puts the road at y = 0 below the camera. There is no laser and no IMU, so
Tr_velo_to_cam and Tr_imu_to_velo are not there.

Source: the KITTI Road development kit (x = P2 * R0_rect * Tr_cam_to_road^-1 * X, road axes x right, y down, z forward)
    and the files of the benchmark itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from carlaseg import labels
from carlaseg.dataset.encoding import png
from carlaseg.dataset.exports.encoding import image_as_png, put, translated
from carlaseg.dataset.exports.job import Row
from carlaseg.dataset.exports.source import Source
from carlaseg.dataset.geometry import CAMERA_TO_BODY, right_handed_rotation
from carlaseg.dataset.recorded import Known
from carlaseg.dataset.rig_records import Pose, intrinsics

_FOLDER_OF_SPLIT = {"train": "training", "val": "training", "test": "testing"}


class KittiRoad:
    """A dataset on its way into the KITTI Road layout.

    Attributes:
        units: positions of samples.
        losses: what the labels lose, a sentence each.
    """

    def __init__(self, source: Source, output: Path) -> None:
        self._source, self._output = source, output
        self._to = labels.remap(source.scheme, labels.scheme("kitti-road"))
        self.losses: tuple[str, ...] = self._to.lossy + (
            "drives and frame numbers are not in the names: see source.csv",
        )
        if "val" in source.counts:
            self.losses += ("val and train are both training: KITTI Road has no val",)
        self.units: Sequence[int] = range(len(source.samples))
        # Numbers run in each folder on their own; samples stand in the order train, val, test.
        self._first_of_test = source.counts.get("train", 0) + source.counts.get("val", 0)

    def images_in(self, unit: int) -> int:
        """One."""
        return 1

    def write(self, unit: int) -> Row:
        """Write image, mask and calibration of one sample."""
        split, sample = self._source.samples[unit]
        number = unit - self._first_of_test if split == "test" else unit
        place = self._output / _FOLDER_OF_SPLIT.get(split, "training")
        mask = translated(sample, self._to)
        image, _ = image_as_png(sample)
        put(place / "gt_image_2" / f"um_road_{number:06d}.png", png(self._to.target.colorize(mask)))
        known = self._source.known(sample)
        if known is not None and known.camera is not None:
            put(place / "calib" / f"um_{number:06d}.txt", _calibration(known))
        put(place / "image_2" / f"um_{number:06d}.png", image)
        return {"split": split, "name": f"um_{number:06d}", "drive": sample.drive, "source": str(sample.image_path)}

    def finish(self, rows: Callable[[], Iterator[Row]]) -> None:
        """Write which image became which."""
        lines = (
            f"{row['split']},{row['name']},{json.dumps(row['drive'])},{json.dumps(row['source'])}\n" for row in rows()
        )
        put(self._output / "source.csv", ("split,name,drive,source\n" + "".join(lines)).encode())


def _calibration(known: Known) -> bytes:
    assert known.camera is not None
    camera = known.camera
    projection = np.hstack([np.array(intrinsics(camera.fov_deg, camera.size, camera.camera_size)), np.zeros((3, 1))])
    pitch, _, roll = camera.pose_ego.rotation_deg
    # The road's axes look where the camera looks, kept level: its yaw is no part of them.
    level = right_handed_rotation(Pose((0.0, 0.0, 0.0), (pitch, 0.0, roll)))
    rotation = CAMERA_TO_BODY.T @ level @ CAMERA_TO_BODY
    road = np.hstack([rotation, [[0.0], [-camera.pose_ego.location_m[2]], [0.0]]])
    rows = [(f"P{number}", projection) for number in range(4)] + [("R0_rect", np.eye(3)), ("Tr_cam_to_road", road)]
    return "".join(f"{name}: {' '.join(f'{v:.12e}' for v in matrix.ravel())}\n" for name, matrix in rows).encode()
