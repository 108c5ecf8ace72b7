"""How good a prediction is, from counts that add up. numpy only, no files.

confusion    a matrix of pixels and the usual figures of segmentation
boundary     how well borders are met
calibration  whether a confidence of 0.8 is right 8 times in 10
road         one class against the rest at every threshold: KITTI Road's maximum F1
resampling   how sure a figure is, and whether two differ
"""

from __future__ import annotations

from carlaseg.metrics.boundary import BoundaryCounts, boundary_counts
from carlaseg.metrics.calibration import Reliability, reliability
from carlaseg.metrics.confusion import (
    CSV_HEADER,
    ClassScore,
    Confusion,
    Scores,
    confusion_csv,
    confusion_matrix,
    figure,
    most_confused,
)
from carlaseg.metrics.resampling import FIGURES, Comparison, Interval, bootstrap, compare, sums_of
from carlaseg.metrics.road import RoadCounts, road_counts

__all__ = [
    "CSV_HEADER",
    "FIGURES",
    "BoundaryCounts",
    "ClassScore",
    "Comparison",
    "Confusion",
    "Interval",
    "Reliability",
    "RoadCounts",
    "Scores",
    "bootstrap",
    "boundary_counts",
    "compare",
    "confusion_csv",
    "confusion_matrix",
    "figure",
    "most_confused",
    "reliability",
    "road_counts",
    "sums_of",
]
