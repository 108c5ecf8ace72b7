"""LiteRT (formerly TensorFlow Lite) files by LiteRT.

The description is a file in a ZIP archive behind the model, which is where TensorFlow Lite's own metadata keeps its
associated files: `unzip -p model.tflite carlaseg.json` shows it.

Source: https://ai.google.dev/edge/litert/models/metadata, "Associated files".
"""

from __future__ import annotations

import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carlaseg.backend import standard_error_aside
from carlaseg.inference.artefact import FILE, LARGEST_CARD_BYTES, ArtefactCard, check_file, damaged, not_ours
from carlaseg.inference.runtimes.opening import runtime_name
from carlaseg.inference.runtimes.predicting import CORES, ArtefactPredictor, Lanes

IDENTIFIER = b"TFL3"
"""Bytes 4 to 7 of every model. Source: file_identifier of schema.fbs."""


class LiteRtPredictor(ArtefactPredictor):
    """A LiteRT file, on the CPU, by XNNPACK where that knows the operations.

    Raises:
        CheckpointError: see `open_artefact`.
    """

    def __init__(self, path: Path) -> None:
        check_file(path)
        with path.open("rb") as file:
            if file.read(8)[4:] != IDENTIFIER:
                raise damaged(path, "it does not begin as a LiteRT model does")
        card = ArtefactCard.from_text(path, _text(path))
        try:
            self._interpreter = _Interpreter(path, CORES)
        except Exception as error:  # its classes are those of a C++ library
            raise damaged(path, error) from error
        super().__init__(path, card, runtime_name("ai-edge-litert"), Lanes())
        self._of_lane = threading.local()

    def run(self, images: NDArray[np.uint8]) -> NDArray[Any]:
        """Logits or ids."""
        if not self.lanes.inside:
            return self._interpreter(images)
        # An interpreter holds the maps of the picture it works on.
        if not hasattr(self._of_lane, "interpreter"):
            with self.lanes.lock:
                self._of_lane.interpreter = _Interpreter(self.path, self.lanes.cores_each)
        return np.asarray(self._of_lane.interpreter(images))


class _Interpreter:
    def __init__(self, path: Path, cores: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        with standard_error_aside():
            self._interpreter = Interpreter(model_path=str(path), num_threads=cores)
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]
        self._shape: tuple[int, ...] = ()

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[Any]:
        if images.shape != self._shape:
            self._interpreter.resize_tensor_input(self._input, images.shape)
            self._interpreter.allocate_tensors()
            self._shape = images.shape
        self._interpreter.set_tensor(self._input, images)
        self._interpreter.invoke()
        return np.asarray(self._interpreter.get_tensor(self._output))


def _text(path: Path) -> bytes | None:
    try:
        with zipfile.ZipFile(path) as archive:
            entry = archive.NameToInfo.get(FILE)
            if entry is None:
                return None
            if entry.file_size > LARGEST_CARD_BYTES or entry.compress_type != zipfile.ZIP_STORED:
                raise damaged(path, f"its {FILE} holds {entry.file_size:,} bytes")
            with archive.open(entry) as file:
                return file.read(LARGEST_CARD_BYTES)
    except zipfile.BadZipFile:
        # Behind a cut there is no archive either, so a truncated file of ours ends up here.
        error = not_ours(path)
        error.message += " (A file that was cut short has lost it, too.)"
        raise error from None
    except (OSError, EOFError, RuntimeError, NotImplementedError) as error:
        raise damaged(path, error) from error
