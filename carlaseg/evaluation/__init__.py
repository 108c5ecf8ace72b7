"""How good predictions on disk are: by class, drive, town, weather and distance, with intervals, and against others.

answers   a results folder and the truth of its images, read again
bands     how far away a pixel is, or what stands in for it
measure   one image to counts that add up
groups    counts of many images to figures with intervals
compare   two results folders on the same images
files     evaluation.json and its tables
evaluate  the command
"""

from __future__ import annotations

from carlaseg.evaluation.evaluate import evaluate, evaluate_command

__all__ = ["evaluate", "evaluate_command"]
