"""A run, its data and its results as one self-contained HTML page: no network, no script from elsewhere, no server.

sources   what there is on disk, read once; whatever is missing is None or empty, never an error
pictures  files to inline pictures         charts  numbers to inline SVG
sections  one function a section of the page, None where its part is missing
page      the frame around them: style, navigation, the little script of the sliders
"""

from __future__ import annotations

from carlaseg.report.build import report, report_command

__all__ = ["report", "report_command"]
