"""What a dataset holds: classes by drive, town and weather, loss weights, brightness, near-copies, where classes lie.

One picture and one mask are in memory a thread; what grows with the dataset, beyond the list of its images, is eight
bytes an image.
"""

from __future__ import annotations

from carlaseg.dataset.stats.classes import ClassStats
from carlaseg.dataset.stats.counting import count, stats
from carlaseg.dataset.stats.report import DatasetStats

__all__ = ["ClassStats", "DatasetStats", "count", "stats"]
