"""What recordings know of their samples, found by frame number: pose, speed, weather, camera."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from carlaseg.dataset.reader import FRAMES_FILE, is_recording, read_metadata
from carlaseg.dataset.records import FrameRecord, RecordingMetadata
from carlaseg.dataset.rig_records import SensorRecord, beside
from carlaseg.dataset.samples import Sample
from carlaseg.dataset.writer import IMAGES


@dataclass(frozen=True)
class Known:
    """What a recording knows of a sample."""

    recording: Path
    metadata: RecordingMetadata
    frame: FrameRecord
    camera: SensorRecord | None

    @property
    def cameras(self) -> tuple[SensorRecord, ...]:
        """All cameras that took a picture in colour of this frame, that of `rgb/` first."""
        return tuple(
            sensor
            for sensor in self.metadata.rig
            if sensor.blueprint == "sensor.camera.rgb" and sensor.folder in self.frame.files
        )

    @property
    def instances(self) -> Path | None:
        """The instance picture that fits the mask pixel by pixel; None where the rig had no such camera."""
        if self.camera is None:
            return None
        sensor = beside(self.metadata.rig, self.camera, "sensor.camera.instance_segmentation")
        if sensor is None or sensor.folder not in self.frame.files:
            return None
        return self.recording / self.frame.files[sensor.folder].path


class Books:
    """Recordings that were asked for, each opened once."""

    def __init__(self) -> None:
        self._books: dict[Path, _Book] = {}

    def known(self, sample: Sample) -> Known | None:
        """Pose, speed, weather and camera of a sample that is from a recording, else None.

        Raises:
            DatasetError: the recording is damaged.
        """
        recording = sample.image_path.parents[1]
        if sample.frame is None or not (recording in self._books or is_recording(recording)):
            return None
        # Two threads may read the same book at once; the second one's is as good.
        book = self._books.get(recording) or self._books.setdefault(recording, _Book(recording))
        frame = book.frame(sample.frame)
        return None if frame is None else Known(recording, book.metadata, frame, book.camera)


class _Book:
    """A recording's lines found by frame number, each read when asked for: 16 bytes of memory a frame."""

    def __init__(self, recording: Path) -> None:
        self.metadata = read_metadata(recording)
        self._path = recording / FRAMES_FILE
        frames, starts = array("q"), array("q")
        position = 0
        with self._path.open("rb") as file:
            for line in file:
                head, _, _ = line.partition(b",")
                number = head.removeprefix(b'{"frame":')
                if line.endswith(b"\n") and number.isdigit():
                    frames.append(int(number))
                    starts.append(position)
                position += len(line)
        order = np.argsort(np.array(frames, np.int64), kind="stable")
        self._frames, self._starts = np.array(frames, np.int64)[order], np.array(starts, np.int64)[order]

    def frame(self, number: int) -> FrameRecord | None:
        """The first line of that number."""
        place = int(np.searchsorted(self._frames, number))
        if place == len(self._frames) or self._frames[place] != number:
            return None
        with self._path.open("rb") as file:
            file.seek(int(self._starts[place]))
            return FrameRecord.from_line(file.readline(), f"{self._path}, frame {number}")

    @property
    def camera(self) -> SensorRecord | None:
        """The camera of `rgb/`."""
        return next((sensor for sensor in self.metadata.rig if sensor.folder == IMAGES), None)
