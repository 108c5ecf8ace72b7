"""A trained network and images in; class ids, pictures and scores out."""

from __future__ import annotations

from carlaseg.inference.infer import InferResult, infer, infer_command
from carlaseg.inference.predictor import KerasPredictor, Runtime

__all__ = ["InferResult", "KerasPredictor", "Runtime", "infer", "infer_command"]
