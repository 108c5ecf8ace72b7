"""ONNX, by tf2onnx; half weights by a cast behind each; eight bits by ONNX Runtime's static quantisation."""

from __future__ import annotations

import logging
import re
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carlaseg.inference.artefact import KEY
from carlaseg.inference.exporting.formats import Task
from carlaseg.inference.exporting.graph import INPUT, SMALLEST_HALVED, half, traced
from carlaseg.memory import give_freed_memory_back

OPSET = 18
"""Every operation we need, and known to ONNX Runtime since 1.14 (2023)."""
BULKY = 64_000_000
"""Parameters. Above it the usual way of tf2onnx, which copies the weights many times, asks for too much memory."""
BULKY_PASSES = ("optimize_transpose", "fold_constants", "remove_identity", "remove_back_to_back")
QUANTISED = ("Conv", "ConvTranspose")
"""Nearly all of the arithmetic. The rest in eight bits costs conversions and answers and gains nothing."""


def write(task: Task) -> None:
    """Write the file."""
    import onnx

    # In float ONNX Runtime fuses such a convolution with its ReLU, and keeps its own layout of memory across it.
    model = converted(task, norms_as_convolutions=task.card.precision != "int8")
    if task.card.precision == "float16":
        _halve(model)
    if task.card.precision == "int8":
        model = _quantised(model, task)
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, task.card.to_text()
    model.producer_name, model.producer_version = "carlaseg", task.card.carlaseg
    onnx.checker.check_model(model)
    onnx.save(model, str(task.path))


def converted(task: Task, norms_as_convolutions: bool = False) -> Any:
    """The network as an ONNX model, float32.

    Args:
        task: what is to be written.
        norms_as_convolutions: whether a batch norm before a ReLU becomes one, in place of a product and a sum.
    """
    import onnx

    from carlaseg.inference.exporting.folding import with_norms_as_convolutions

    known = f"onnx {task.card.size} {task.card.output} {norms_as_convolutions}"
    if known in task.conversions:
        return onnx.load_from_string(task.conversions[known])
    network = with_norms_as_convolutions(task.model) if norms_as_convolutions else task.model
    graph = traced(network, task.card.size, task.card.output == "ids")
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own use of NumPy and of protobuf
        model = (_bulky if network.count_params() > BULKY else _usual)(graph.function)
    give_freed_memory_back()
    task.conversions[known] = model.SerializeToString()
    return model


def _usual(function: Any) -> Any:
    import tf2onnx

    return tf2onnx.convert.from_function(function, input_signature=function.input_signature, opset=OPSET)[0]


def _bulky(function: Any) -> Any:
    """The same by tf2onnx's parts: weights beside TensorFlow's graph, and the passes alone that move transpositions.

    Its own `large_model` needs NumPy 1. Each pass takes the weights' memory once more, as does a copy before it. What
    is left out, mostly the folding of constants and duplicates, runtimes do too.
    """
    import tensorflow as tf
    from tf2onnx import optimizer, tf_loader
    from tf2onnx.tf_utils import compress_graph_def
    from tf2onnx.tfonnx import process_tf_graph

    concrete = function.get_concrete_function()
    outputs = {tensor.name: name for name, tensor in concrete.structured_outputs.items()}
    inputs = {tensor.name: tensor.name.split(":")[0] for tensor in concrete.inputs if tensor.dtype != tf.resource}
    definition = tf_loader.from_function(concrete, list(inputs), list(outputs), large_model=True)
    weights = compress_graph_def(definition)
    with tf.Graph().as_default() as plain:
        tf.import_graph_def(definition, name="")
        graph = process_tf_graph(
            plain,
            const_node_values=weights,
            opset=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            tensors_to_rename=inputs | outputs,
        )
        passes = {name: one for name, one in optimizer._optimizers.items() if name in BULKY_PASSES}
        return optimizer.optimize_graph(graph, catch_errors=False, optimizers=passes).make_model("carlaseg")


def of_layers(nodes: Iterable[str], layers: tuple[str, ...]) -> list[str]:
    """Names of nodes that come from layers: a node's name holds its layer's, perhaps with a number behind."""
    return [
        node
        for node in nodes
        if any(word in layers or re.sub(r"_\d+$", "", word) in layers for word in re.split("[/;]", node))
    ]


def _halve(model: Any) -> None:
    """Large weights as float16, each with a cast behind it; runtimes that want to, remove the cast."""
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    casts = []
    for weights in list(graph.initializer):
        value = numpy_helper.to_array(weights)
        if value.dtype != np.float32 or value.size < SMALLEST_HALVED:
            continue
        name = weights.name
        weights.CopyFrom(numpy_helper.from_array(half(value), f"{name}/half"))
        casts.append(helper.make_node("Cast", [weights.name], [name], name=f"{name}/cast", to=TensorProto.FLOAT))
    others = list(graph.node)
    del graph.node[:]
    graph.node.extend([*casts, *others])


def _quantised(model: Any, task: Task) -> Any:
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Pictures(CalibrationDataReader):  # type: ignore[misc]
        """The pictures, one at a time."""

        def __init__(self) -> None:
            self._left: Iterator[NDArray[np.uint8]] = iter(task.pictures)

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            """The next one; None behind the last."""
            picture = next(self._left, None)
            return None if picture is None else {INPUT: picture}

    with tempfile.TemporaryDirectory(dir=task.path.parent) as folder:
        whole, prepared, small = (Path(folder) / name for name in ("float.onnx", "prepared.onnx", "int8.onnx"))
        onnx.save(model, str(whole))
        logging.getLogger().addFilter(_no_advice)
        try:
            quant_pre_process(str(whole), str(prepared), skip_symbolic_shape=True)
            nodes = [node.name for node in onnx.load(str(prepared)).graph.node]
            quantize_static(
                str(prepared),
                str(small),
                Pictures(),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(QUANTISED),
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=of_layers(nodes, task.kept_float),
            )
        finally:
            logging.getLogger().removeFilter(_no_advice)
        return onnx.load(str(small))


def _no_advice(record: logging.LogRecord) -> bool:
    """ONNX Runtime's quantiser advises on the root logger to do what was just done."""
    return record.levelno >= logging.ERROR
