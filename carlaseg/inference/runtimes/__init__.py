"""Exported artefacts as functions from bytes to bytes: each format by its own runtime, all behind one door.

    predict = open_artefact(Path("model.onnx"))
    ids = predict(images, size)             # uint8 (B, *size) of uint8 (B, H, W, 3) RGB
    predict.card.class_names

Opening one runs no code from it: formats that could are read by us first and refused where they hold more than a graph
and numbers. Nothing here needs Keras, and each format needs its own runtime alone.
"""

from __future__ import annotations

from carlaseg.inference.runtimes.opening import open_artefact, runtime_name
from carlaseg.inference.runtimes.predicting import ArtefactPredictor

__all__ = ["ArtefactPredictor", "open_artefact", "runtime_name"]
