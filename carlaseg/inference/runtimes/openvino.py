"""OpenVINO models by OpenVINO."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carlaseg.inference.artefact import KEY, ArtefactCard, check_answer, check_file, damaged
from carlaseg.inference.runtimes.opening import runtime_name
from carlaseg.inference.runtimes.predicting import ArtefactPredictor
from carlaseg.inference.runtimes.telemetry import without_telemetry

LARGEST_KNOWN_SHAPES = 4
"""Shapes that get a compiled model of their own: `--tta flip-scales` asks for three. Pictures of all further shapes
share one that takes any, at two to three times the time."""


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

        self._core = openvino.Core()
        try:
            model = self._core.read_model(path)
            has_card = model.has_rt_info([KEY, "card"])
            text = model.get_rt_info([KEY, "card"]).astype(str) if has_card else None
        except Exception as error:  # its classes are those of a C++ library
            raise damaged(path, error) from error
        card = ArtefactCard.from_text(path, text)
        super().__init__(path, card, runtime_name("openvino"))
        # Where the processor has bfloat16, OpenVINO takes it unless told otherwise: three digits are not float32.
        self._options = {"PERFORMANCE_HINT": "LATENCY"}
        if card.precision == "float32":
            self._options["INFERENCE_PRECISION_HINT"] = "f32"
        self._requests: dict[tuple[int, ...] | None, Any] = {}
        try:
            if card.output == "logits":
                add_ids(model, card)
            self._model = model
            self._request((1, *(card.size or card.trained_size), 3))
        except Exception as error:
            raise damaged(path, error) from error

    def run(self, images: NDArray[np.uint8]) -> NDArray[Any]:
        """Logits or ids."""
        # A copy: the request's own memory is overwritten by the next call.
        return np.array(self._infer(images)[0])

    def _ids(self, images: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
        if len(self._model.outputs) == 1 or images.shape[1:3] != tuple(size):
            return super()._ids(images, size)
        self._check_size(images)
        with self._runtime_errors_in_words(images):
            logits, found = self._infer(images).to_tuple()
        check_answer(self.path, self.card, logits, images)
        return np.array(found)

    def _infer(self, images: NDArray[np.uint8]) -> Any:
        return self._request(images.shape).infer([images], share_inputs=True, share_outputs=True)

    def _request(self, shape: tuple[int, ...]) -> Any:
        """A request of a model that was compiled for a shape."""
        known: tuple[int, ...] | None = shape
        if shape not in self._requests and len(self._requests) >= LARGEST_KNOWN_SHAPES:
            known = None
        if known not in self._requests:
            model = self._model
            if known is not None:
                model = model.clone()
                model.reshape(list(known))
            self._requests[known] = self._core.compile_model(model, "CPU", self._options).create_infer_request()
        return self._requests[known]


def add_ids(model: Any, card: ArtefactCard) -> None:
    """Let a model give class ids beside its logits: NumPy's argmax takes longer than a small network."""
    from openvino import opset11 as operations

    logits = model.output(0).get_node().input_value(0)
    shape = logits.get_partial_shape()
    if shape.rank.is_dynamic or shape.rank.get_length() != 4 or shape[3] != card.num_classes:
        return  # what it gives instead is refused once a picture comes
    one, classes = operations.constant(1, np.int32), operations.constant([3], np.int32)
    # Stable: of two equal logits the first, as NumPy has it. With bfloat16 inside, equal ones are no rarity.
    largest = operations.topk(logits, one, 3, "max", "value", index_element_type="i32", stable=True)
    ids = operations.convert(operations.squeeze(largest.output(1), classes), "u8")
    model.add_results([operations.result(ids)])
