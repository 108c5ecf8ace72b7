"""TensorFlow's SavedModel: a graph of constants with one signature, and the card among its extra assets."""

from __future__ import annotations

from carlaseg.inference.artefact import FILE
from carlaseg.inference.exporting.formats import Task
from carlaseg.inference.exporting.graph import save_graph, traced

EXTRA = "assets.extra"
"""Folder for files that belong to no operation. Source: kSavedModelAssetsExtraDirectory, saved_model/constants.h."""


def write(task: Task) -> None:
    """Write the folder."""
    graph = traced(task.model, task.card.size, task.card.output == "ids")
    save_graph(graph, task.path, half_weights=task.card.precision == "float16")
    (task.path / EXTRA).mkdir()
    (task.path / EXTRA / FILE).write_text(task.card.to_text(), encoding="utf-8")
