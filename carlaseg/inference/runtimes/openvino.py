"""OpenVINO models by OpenVINO."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carlaseg.inference.artefact import KEY, ArtefactCard, check_file, damaged
from carlaseg.inference.runtimes.opening import runtime_name
from carlaseg.inference.runtimes.predicting import ArtefactPredictor
from carlaseg.inference.runtimes.telemetry import without_telemetry


class OpenVinoPredictor(ArtefactPredictor):
    """An OpenVINO model (.xml, its .bin beside it), on the CPU.

    Raises:
        CheckpointError: see `open_artefact`.
    """

    def __init__(self, path: Path) -> None:
        check_file(path)
        check_file(path.with_suffix(".bin"))
        with without_telemetry():
            import openvino

        core = openvino.Core()
        try:
            model = core.read_model(path)
            has_card = model.has_rt_info([KEY, "card"])
            text = model.get_rt_info([KEY, "card"]).astype(str) if has_card else None
        except Exception as error:  # its classes are those of a C++ library
            raise damaged(path, error) from error
        card = ArtefactCard.from_text(path, text)
        # Where the processor has bfloat16, OpenVINO takes it unless told otherwise: three digits are not float32.
        options = {"PERFORMANCE_HINT": "LATENCY"}
        if card.precision == "float32":
            options["INFERENCE_PRECISION_HINT"] = "f32"
        try:
            self._request = core.compile_model(model, "CPU", options).create_infer_request()
        except Exception as error:
            raise damaged(path, error) from error
        super().__init__(path, card, runtime_name("openvino"))

    def run(self, images: NDArray[np.uint8]) -> NDArray[Any]:
        """Logits or ids."""
        # A copy: the request's own memory is overwritten by the next call.
        return np.array(self._request.infer([images], share_inputs=True)[0])
