"""OpenVINO models by OpenVINO."""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carlaseg.inference.artefact import KEY, ArtefactCard, check_answer, check_file, damaged
from carlaseg.inference.runtimes.opening import runtime_name
from carlaseg.inference.runtimes.predicting import ArtefactPredictor, Lanes
from carlaseg.inference.runtimes.telemetry import without_telemetry

LARGEST_KNOWN_SHAPES = 8
"""Models that are compiled for one shape: `--tta flip-scales` asks for three, each for one picture and for lanes.
Pictures of all further shapes share one that takes any, at two to three times the time."""
_Kind = tuple[tuple[int, ...] | None, bool]
"""A shape, None for any; and whether lanes use it."""


class OpenVinoPredictor(ArtefactPredictor):
    """An OpenVINO model (.xml, its .bin beside it), on the CPU.

    Raises:
        CheckpointError: see `open_artefact`.
    """

    def __init__(self, path: Path) -> None:
        check_file(path)
        check_file(path.with_suffix(".bin"))
        try:
            model = _core().read_model(path)
            has_card = model.has_rt_info([KEY, "card"])
            text = model.get_rt_info([KEY, "card"]).astype(str) if has_card else None
        except Exception as error:  # its classes are those of a C++ library
            raise damaged(path, error) from error
        card = ArtefactCard.from_text(path, text)
        super().__init__(path, card, runtime_name("openvino"), Lanes())
        self._compiled: dict[_Kind, Any] = {}
        self._of_thread = threading.local()
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
        """A request, of this thread alone, of a model that was compiled for a shape."""
        if not hasattr(self._of_thread, "requests"):
            self._of_thread.requests = {}
        requests: dict[_Kind, Any] = self._of_thread.requests
        kind: _Kind = (shape, self.lanes.inside)
        with self.lanes.lock:
            if kind not in self._compiled and len(self._compiled) >= LARGEST_KNOWN_SHAPES:
                kind = (None, self.lanes.inside)
            if kind not in self._compiled:
                self._compiled[kind] = self._compile(*kind)
        if kind not in requests:
            requests[kind] = self._compiled[kind].create_infer_request()
        return requests[kind]

    def _compile(self, shape: tuple[int, ...] | None, for_lanes: bool) -> Any:
        model = self._model
        if shape is not None:
            model = model.clone()
            model.reshape(list(shape))
        options = {"PERFORMANCE_HINT": "LATENCY"}
        if for_lanes:
            cores = self.lanes.count * self.lanes.cores_each
            options = {"NUM_STREAMS": str(self.lanes.count), "INFERENCE_NUM_THREADS": str(cores)}
        # Where the processor has bfloat16, OpenVINO takes it unless told otherwise: three digits are not float32.
        if self.card.precision == "float32":
            options["INFERENCE_PRECISION_HINT"] = "f32"
        return _core().compile_model(model, "CPU", options)


@cache
def _core() -> Any:
    """OpenVINO itself, once for the process and never given back.

    Its processor plugin gives the thread that loads it a stack for signals, and frees that stack when it goes. If it
    goes in another thread, as where garbage is collected there, the next Ctrl-C ends the process (OpenVINO 2026.4,
    SigAltStackSetup in src/plugins/intel_cpu/src/sigstack_manager.cpp).
    """
    with without_telemetry():
        import openvino

    return openvino.Core()


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
