"""LiteRT, by TensorFlow's converter from a SavedModel of constants; the card in an archive behind the model.

From a function with variables the converter writes a file whose weights are missing and says nothing (TensorFlow 2.21);
from constants it cannot.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from carlaseg.backend import standard_error_aside
from carlaseg.inference.artefact import FILE
from carlaseg.inference.exporting.formats import Task
from carlaseg.inference.exporting.graph import INPUT, save_graph, traced
from carlaseg.inference.exporting.onnx_file import of_layers


def write(task: Task) -> None:
    """Write the file."""
    from carlaseg.inference.exporting.equalising import equalised

    with tempfile.TemporaryDirectory(dir=task.path.parent) as folder, standard_error_aside(), _quiet():
        saved = Path(folder) / "saved"
        network = equalised(task.model, task.pictures) if task.card.precision == "int8" else task.model
        save_graph(traced(network, task.card.size, task.card.output == "ids"), saved)
        content = _converted(saved, task)
    # A ZIP archive is found from its end, a LiteRT model from its beginning: one file is both.
    whole = io.BytesIO(content)
    whole.seek(0, io.SEEK_END)
    with zipfile.ZipFile(whole, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(FILE), task.card.to_text())
    task.path.write_bytes(whole.getvalue())


def _converted(saved: Path, task: Task) -> bytes:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved))
    if task.card.precision == "float32":
        content: bytes = converter.convert()
        return content
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if task.card.precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
        content = converter.convert()
        return content
    converter.representative_dataset = lambda: ({INPUT: picture} for picture in task.pictures)
    # Eight bits where an operation has them, float where not: casting the bytes of a picture has no eight-bit form.
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.lite.OpsSet.TFLITE_BUILTINS]
    if not task.kept_float:
        content = converter.convert()
        return content
    return _with_layers_in_float(converter, task)


def _with_layers_in_float(converter: Any, task: Task) -> bytes:
    """The converter leaves operations in float by the name of what they give, through its debugger alone."""
    import tensorflow as tf

    # Which names there are is known once it was converted to float.
    plain = tf.lite.TFLiteConverter.from_saved_model(converter.saved_model_dir)
    interpreter = tf.lite.Interpreter(model_content=plain.convert())
    names = [tensor["name"] for tensor in interpreter.get_tensor_details() if tensor["name"]]
    kept = of_layers(names, task.kept_float)
    if task.model.layers[-1].name in task.kept_float:
        # What the last layer gives bears the name of the answer.
        kept.append(interpreter.get_output_details()[0]["name"])
    options = tf.lite.experimental.QuantizationDebugOptions(denylisted_nodes=kept)
    debugger = tf.lite.experimental.QuantizationDebugger(
        converter=converter, debug_dataset=converter.representative_dataset, debug_options=options
    )
    content: bytes = debugger.get_nondebug_quantized_model()
    return content


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the converter's talk: notices of TensorFlow's coming versions and of what it is doing."""
    import tensorflow as tf
    from absl import logging as absl

    loggers = [logging.getLogger("tensorflow"), absl.get_absl_logger()]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    verbosity = tf.compat.v1.logging.get_verbosity()
    tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        tf.compat.v1.logging.set_verbosity(verbosity)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
