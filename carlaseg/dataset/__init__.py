"""Datasets on disk: the format of our own recordings, its writer and reader, and readers of the layouts others use.

What it gives to the rest are `Sample`s and arrays; it knows neither networks nor simulators.
"""

from __future__ import annotations

from carlaseg.dataset.opening import open_dataset
from carlaseg.dataset.pictures import read_image, read_mask
from carlaseg.dataset.samples import Dataset, MaskEncoding, Sample
from carlaseg.dataset.splitting import Split, split_by_drive

__all__ = [
    "Dataset",
    "MaskEncoding",
    "Sample",
    "Split",
    "open_dataset",
    "read_image",
    "read_mask",
    "split_by_drive",
]
