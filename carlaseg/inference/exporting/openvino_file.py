"""OpenVINO's IR, by its own reader of ONNX; eight bits by NNCF.

OpenVINO's and NNCF's Python tools report to their maker unless they find themselves in continuous integration or
refused by a file in the user's home. carlaseg reports nothing and writes into nobody's home, so the tools that report
are gone round (the reader of ONNX is C++ and silent) or told that this is such a place.

Source: openvino_telemetry/utils/opt_in_checker.py 2025.2 (CI), nncf/definitions.py 3.4 (NNCF_CI).
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from carlaseg.inference.artefact import KEY
from carlaseg.inference.exporting.formats import Task
from carlaseg.inference.exporting.onnx_file import converted, of_layers


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


@contextlib.contextmanager
def without_telemetry() -> Iterator[None]:
    """Whatever of OpenVINO and NNCF is imported or called inside reports nothing and leaves no file in the home."""
    before = {name: os.environ.get(name) for name in ("CI", "NNCF_CI")}
    os.environ.update({"CI": "true", "NNCF_CI": "1"})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
