"""Which runtime reads which file, and what to install where it is missing."""

from __future__ import annotations

import importlib
from importlib import metadata
from pathlib import Path

from carlaseg.errors import CheckpointError, ConfigError
from carlaseg.inference.runtimes.predicting import ArtefactPredictor

FORMATS = {
    ".onnx": ("onnxruntime", "onnx", "OnnxPredictor"),
    ".xml": ("openvino", "openvino", "OpenVinoPredictor"),
    ".tflite": ("ai-edge-litert", "litert", "LiteRtPredictor"),
    ".pt2": ("torch", "torch", "TorchPredictor"),
    "": ("tensorflow", "saved_model", "SavedModelPredictor"),
}
"""Suffix to the runtime's package, our module and its class; the empty suffix is a folder."""


def open_artefact(path: Path) -> ArtefactPredictor:
    """Load an artefact with its own runtime.

    Args:
        path: .onnx, .xml (OpenVINO, its .bin beside it), .tflite, .pt2, or a SavedModel folder.

    Raises:
        CheckpointError: missing, damaged, too large, not ours, or holding more than a graph and numbers.
        ConfigError: its runtime is not installed.
    """
    suffix = "" if path.is_dir() else path.suffix.lower()
    if suffix not in FORMATS or (suffix == "" and not path.is_dir()):
        known = ", ".join(known for known in FORMATS if known)
        raise CheckpointError(
            f"{path}: expected an artefact ({known} or a SavedModel folder), received "
            + (f"a {suffix or 'nameless'} file." if path.exists() else "no such file.")
        )
    package, module, name = FORMATS[suffix]
    require(package)
    opened: ArtefactPredictor = getattr(importlib.import_module(f"carlaseg.inference.runtimes.{module}"), name)(path)
    return opened


def require(*packages: str) -> None:
    """Refuse to go on without packages, and say how they are installed.

    Raises:
        ConfigError: one is missing.
    """
    for package in packages:
        try:
            metadata.version(package)
        except metadata.PackageNotFoundError:
            what = "torch" if package == "torch" else "carlaseg[export]"
            raise ConfigError(
                f"expected the package {package}, received none; it comes with {what}.",
                (("install it", f"pip install '{what}'"),),
            ) from None


def runtime_name(package: str) -> str:
    """A runtime and its version, for people."""
    return f"{package} {metadata.version(package)}"
