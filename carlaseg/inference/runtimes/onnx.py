"""ONNX files by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carlaseg.inference.artefact import KEY, ArtefactCard, check_file, damaged
from carlaseg.inference.runtimes.opening import runtime_name
from carlaseg.inference.runtimes.predicting import ArtefactPredictor


class OnnxPredictor(ArtefactPredictor):
    """An ONNX file, on the CPU.

    Raises:
        CheckpointError: see `open_artefact`.
    """

    def __init__(self, path: Path) -> None:
        check_file(path)
        import onnxruntime

        # Builds for Windows report to their maker unless told not to. Source: ONNX Runtime, docs/Privacy.md.
        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what matters is raised
        # Its threads otherwise wait by spinning, and take the cores from the threads that decode and write.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            text = self._session.get_modelmeta().custom_metadata_map.get(KEY)
            self._input = self._session.get_inputs()[0].name
        except Exception as error:  # its classes are those of a C++ library
            raise damaged(path, error) from error
        super().__init__(path, ArtefactCard.from_text(path, text), runtime_name("onnxruntime"))

    def run(self, images: NDArray[np.uint8]) -> NDArray[Any]:
        """Logits or ids."""
        return np.asarray(self._session.run(None, {self._input: images})[0])
