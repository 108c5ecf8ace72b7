"""OpenVINO's IR, by its own reader of ONNX; eight bits by NNCF."""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
from pathlib import Path
from typing import Any

from carlaseg.inference.artefact import KEY
from carlaseg.inference.exporting.formats import Task
from carlaseg.inference.exporting.onnx_file import converted, of_layers
from carlaseg.inference.runtimes.telemetry import without_telemetry


def write(task: Task) -> None:
    """Write the .xml, and the .bin beside it."""
    with without_telemetry():
        import onnx
        import openvino

        with tempfile.TemporaryDirectory(dir=task.path.parent) as folder:
            path = Path(folder) / "float.onnx"
            onnx.save(converted(task), str(path))
            model = openvino.Core().read_model(path)
            if task.card.precision == "int8":
                model = _quantised(model, task)
            model.set_rt_info(task.card.to_text(), [KEY, "card"])
            openvino.save_model(model, task.path, compress_to_fp16=task.card.precision == "float16")
            del model  # it reads from the file that goes away here


def _quantised(model: Any, task: Task) -> Any:
    import nncf

    nncf.set_log_level(40)
    kept = of_layers([node.get_friendly_name() for node in model.get_ops()], task.kept_float)
    # Only what NNCF itself would touch may be named; constants and shapes are not.
    touched = {node.get_friendly_name() for node in model.get_ops() if node.get_type_name() in CONVOLUTIONS}
    # It draws progress on standard output, which is for results.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        return nncf.quantize(
            model,
            nncf.Dataset(task.pictures),
            subset_size=len(task.pictures),
            target_device=nncf.TargetDevice.CPU,
            ignored_scope=nncf.IgnoredScope(names=[name for name in kept if name in touched]),
        )


CONVOLUTIONS = ("Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData")
