"""Datasets on disk: the format of our own recordings, its writer and reader, and readers of the layouts others use.

What it gives to the rest are `Sample`s and arrays; it knows neither networks nor simulators.
"""

from __future__ import annotations

from carlaseg.dataset.headers import picture_size
from carlaseg.dataset.opening import open_dataset
from carlaseg.dataset.pictures import read_image, read_mask
from carlaseg.dataset.reader import read_frames, read_metadata
from carlaseg.dataset.records import FileRecord, FrameRecord, RecordingMetadata
from carlaseg.dataset.rig_records import InstrumentRecord, Pose, SensorRecord, intrinsics
from carlaseg.dataset.samples import Dataset, MaskEncoding, Sample, SampleTable
from carlaseg.dataset.splitting import Split, split_by_drive
from carlaseg.dataset.writer import RecordingWriter

__all__ = [
    "Dataset",
    "FileRecord",
    "FrameRecord",
    "InstrumentRecord",
    "MaskEncoding",
    "Pose",
    "RecordingMetadata",
    "RecordingWriter",
    "Sample",
    "SampleTable",
    "SensorRecord",
    "Split",
    "intrinsics",
    "open_dataset",
    "picture_size",
    "read_frames",
    "read_image",
    "read_mask",
    "read_metadata",
    "split_by_drive",
]
