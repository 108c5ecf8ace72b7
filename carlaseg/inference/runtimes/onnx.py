"""ONNX files by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carlaseg.inference.artefact import KEY, ArtefactCard, check_file, damaged
from carlaseg.inference.runtimes.opening import runtime_name
from carlaseg.inference.runtimes.predicting import ArtefactPredictor, Lanes


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
        try:
            self._session = _session(path, cores=0)
            text = self._session.get_modelmeta().custom_metadata_map.get(KEY)
            self._input = self._session.get_inputs()[0].name
        except Exception as error:  # its classes are those of a C++ library
            raise damaged(path, error) from error
        super().__init__(path, ArtefactCard.from_text(path, text), runtime_name("onnxruntime"), Lanes())
        self._session_of_lanes: Any = None

    def run(self, images: NDArray[np.uint8]) -> NDArray[Any]:
        """Logits or ids."""
        session = self._session
        if self.lanes.inside:
            with self.lanes.lock:
                if self._session_of_lanes is None:
                    self._session_of_lanes = _session(self.path, self.lanes.cores_each)
            session = self._session_of_lanes
        return np.asarray(session.run(None, {self._input: images})[0])


def _session(path: Path, cores: int) -> Any:
    """A session that takes so many cores for a call, 0 for all; several threads may call it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores
    options.log_severity_level = 4  # what matters is raised
    # Its threads otherwise wait by spinning, and take the cores from the threads that decode and write.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
