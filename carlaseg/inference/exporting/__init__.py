"""`carlaseg export`: a run in, a deployable file and the proof that it still gives the same answers out."""

from __future__ import annotations

from carlaseg.inference.exporting.export import ExportResult, Loaded, export, export_command

__all__ = ["ExportResult", "Loaded", "export", "export_command"]
