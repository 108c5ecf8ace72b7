"""Samples in, batches of bytes out: decoding, resizing, the cache, augmentation, prefetching.

Images leave as uint8 RGB and masks as uint8 class ids with 255 for void; scaling to floats is the model's first layer.
"""

from __future__ import annotations

from carlaseg.pipeline.augment import PRESETS, Augmenter, augmentation_sheet
from carlaseg.pipeline.batches import EvaluationBatches, TrainingBatches, for_evaluation, for_training
from carlaseg.pipeline.crops import Crop
from carlaseg.pipeline.mix import Mix
from carlaseg.pipeline.selection import Selection, select
from carlaseg.pipeline.stream import Frame, InferenceBatch, for_inference, for_stream

__all__ = [
    "PRESETS",
    "Augmenter",
    "Crop",
    "EvaluationBatches",
    "Frame",
    "InferenceBatch",
    "Mix",
    "Selection",
    "TrainingBatches",
    "augmentation_sheet",
    "for_evaluation",
    "for_inference",
    "for_stream",
    "for_training",
    "select",
]
