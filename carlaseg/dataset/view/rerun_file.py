"""A dataset as a file that the Rerun viewer opens: image, labels by name, where the ego and its camera are."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from carlaseg.console import Progress, StopRequest
from carlaseg.dataset.geometry import (
    CAMERA_TO_BODY,
    right_handed_location,
    right_handed_rotation,
)
from carlaseg.dataset.pictures import read_image, read_mask
from carlaseg.dataset.recorded import Known
from carlaseg.dataset.rig_records import intrinsics
from carlaseg.dataset.samples import Sample
from carlaseg.errors import ConfigError
from carlaseg.files import temporary
from carlaseg.labels import IGNORE_ID, LabelScheme

_JPEG_QUALITY = 90


def rerun_sdk() -> Any:
    """The module `rerun`.

    Raises:
        ConfigError: it is not installed; says the command.
    """
    try:
        module = importlib.import_module("rerun")
        # A folder called rerun in the working directory is a module too, and an empty one.
        if hasattr(module, "RecordingStream"):
            return module
    except ImportError:
        pass
    raise ConfigError(
        "--rerun: expected the optional package rerun-sdk, which is not installed.",
        (("install it", 'pip install "carlaseg[rerun]"'),),
    )


def write_rerun(
    samples: Sequence[Sample],
    known_of: Callable[[Sample], Known | None],
    scheme: LabelScheme | None,
    path: Path,
    progress: Progress,
    stop: StopRequest,
) -> None:
    """Write samples into an .rrd file; a drive has its own branch, so that drives can be shown one by one.

    Args:
        samples: what to show.
        known_of: pose and camera of a sample that is from a recording.
        scheme: label scheme of the masks, None when nobody knows it.
        path: the file; seen whole or not at all.
        progress: advanced by one a sample.
        stop: looked at before each sample.

    Raises:
        ConfigError: rerun-sdk is not installed.
        DatasetError: a sample is damaged.
        Interrupted: the user asked to stop; no file is left.
        OSError: the file cannot be written.
    """
    rr = rerun_sdk()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = temporary(path)
    stream = rr.RecordingStream("carlaseg")
    try:
        stream.save(str(part))
        stream.log("/", rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
        if scheme is not None:
            stream.log("/", _annotations(rr, scheme), static=True)
        for number, sample in enumerate(samples):
            if stop.requested:
                raise stop.interrupted(f"stopped after {number} of {len(samples)} frames; no file was left.")
            stream.set_time("frame", sequence=number if sample.frame is None else sample.frame)
            _log(rr, stream, sample, known_of(sample))
            progress.advance()
        stream.flush()
        stream.disconnect()
        part.replace(path)
    finally:
        stream.disconnect()
        part.unlink(missing_ok=True)


def _annotations(rr: Any, scheme: LabelScheme) -> Any:
    void = rr.AnnotationInfo(id=IGNORE_ID, label="void", color=tuple(int(value) for value in scheme.palette[IGNORE_ID]))
    classes = [rr.AnnotationInfo(id=row.class_id, label=row.name, color=row.color) for row in scheme.classes]
    return rr.AnnotationContext([*classes, void])


def _log(rr: Any, stream: Any, sample: Sample, known: Known | None) -> None:
    camera = f"{sample.drive}/ego/camera"
    if known is not None:
        stream.log(
            f"{sample.drive}/ego",
            _transform(rr, right_handed_location(known.frame.ego), right_handed_rotation(known.frame.ego)),
        )
        stream.log(f"{sample.drive}/speed_kmh", rr.Scalars(known.frame.speed_kmh))
        if known.camera is not None:
            pose, size = known.camera.pose_ego, known.camera.size
            stream.log(
                camera, _transform(rr, right_handed_location(pose), right_handed_rotation(pose) @ CAMERA_TO_BODY)
            )
            matrix = intrinsics(known.camera.fov_deg, size, known.camera.camera_size)
            stream.log(camera, rr.Pinhole(image_from_camera=matrix, resolution=[size[1], size[0]]))
    image = rr.Image(read_image(sample.image_path)).compress(jpeg_quality=_JPEG_QUALITY)
    stream.log(f"{camera}/rgb", image)
    if sample.mask_path is not None and sample.scheme is not None:
        stream.log(f"{camera}/labels", rr.SegmentationImage(read_mask(sample)))


def _transform(rr: Any, location: Sequence[float], rotation: Any) -> Any:
    return rr.Transform3D(translation=location, mat3x3=np.asarray(rotation))
