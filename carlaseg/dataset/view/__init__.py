"""Looking at a dataset: contact sheet, video, a file for Rerun."""

from __future__ import annotations

from carlaseg.dataset.view.command import view_command

__all__ = ["view_command"]
