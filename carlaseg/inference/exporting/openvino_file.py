"""OpenVINO's IR, by its own reader of ONNX; eight bits by NNCF.

Two things make eight bits good here. How many feature maps there are is said wherever a crop made OpenVINO forget it:
it fuses the factors and summands of a batch norm into the quantisation behind it, and where the feature maps before
that are of unknown number (pictures of any size) it then computes something else (OpenVINO 2026.4; one pixel in
twenty-five changed its class). And the batch norms that stand before a ReLU, as in FC-DenseNet, are left in float with
the stacks they read: one range for a stack of feature maps from a dozen layers leaves too little for the small ones.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from carlaseg.inference.artefact import KEY
from carlaseg.inference.exporting.formats import Task
from carlaseg.inference.exporting.onnx_file import converted, of_layers
from carlaseg.inference.runtimes.telemetry import without_telemetry

CONVOLUTIONS = ("Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData")
ARITHMETIC = ("Multiply", "Add", "Maximum")
STACK = "Concat"


def write(task: Task) -> None:
    """Write the .xml, and the .bin beside it."""
    with without_telemetry():
        import onnx
        import openvino

        with tempfile.TemporaryDirectory(dir=task.path.parent) as folder:
            path = Path(folder) / "float.onnx"
            onnx.save(converted(task), str(path))
            model = openvino.Core().read_model(path)
            _say_channels(model, task.model)
            if task.card.precision == "int8":
                model = _quantised(model, task)
            model.set_rt_info(task.card.to_text(), [KEY, "card"])
            openvino.save_model(model, task.path, compress_to_fp16=task.card.precision == "float16")
            del model  # it reads from the file that goes away here


def _say_channels(model: Any, network: Any) -> None:
    """Behind each crop whose feature maps OpenVINO could not count, a reshape that keeps all and says their number.

    Args:
        model: OpenVINO's, channels first; changed in place.
        network: the Keras network it was made of, channels last, which knows the number.
    """
    from openvino import opset8 as operations

    from carlaseg.models.layers import CropToSkip

    crops = {layer.name: layer.output.shape[-1] for layer in network.layers if isinstance(layer, CropToSkip)}
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Slice" or node.get_output_partial_shape(0).rank.get_length() != 4:
            continue
        count = next((crops[name] for name in crops if of_layers([node.get_friendly_name()], (name,))), None)
        channels, width = (node.get_output_partial_shape(0)[axis] for axis in (1, 3))
        # Behind SegNet's unpooling a picture is still channels last: its last axis then ends at their number.
        if count is None or channels.is_static or width.get_max_length() == count:
            continue
        readers = list(node.output(0).get_target_inputs())
        # 0 keeps what there is.
        shape = operations.constant(np.array([0, count, 0, 0], np.int64))
        counted = operations.reshape(node, shape, special_zero=True)
        counted.set_friendly_name(f"{node.get_friendly_name()}/counted")
        for reader in readers:
            reader.replace_source_output(counted.output(0))
    model.validate_nodes_and_infer_types()


def _quantised(model: Any, task: Task) -> Any:
    import nncf

    from carlaseg.inference.exporting.folding import norms_before_relus
    from carlaseg.models.resampling import MaxPoolWithIndices, MaxUnpool

    nncf.set_log_level(40)
    kinds = {node.get_friendly_name(): node.get_type_name() for node in model.get_ops()}
    kept = [name for name in of_layers(kinds, task.kept_float) if kinds[name] in CONVOLUTIONS]
    # Where a maximum was is found by comparing: numbers that were rounded on one side are never equal.
    places = tuple(layer.name for layer in task.model.layers if isinstance(layer, MaxPoolWithIndices | MaxUnpool))
    in_float = (*norms_before_relus(task.model), *places)
    kept += [name for name in of_layers(kinds, in_float) if kinds[name] in ARITHMETIC]
    # At the pictures' own size: for any size OpenVINO 2026.4 does not compile a pyramid (its ShuffleChannelsFusion asks
    # for a length that is not known), and NNCF compiles what it quantises.
    any_size = model.input(0).partial_shape
    model.reshape([1, *task.pictures[0].shape[1:]])
    # It draws progress on standard output, which is for results.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        quantised = nncf.quantize(
            model,
            nncf.Dataset(task.pictures),
            subset_size=len(task.pictures),
            target_device=nncf.TargetDevice.CPU,
            # Not validated: a network without stacks is no mistake.
            ignored_scope=nncf.IgnoredScope(names=kept, types=[STACK], validate=False),
        )
    quantised.reshape(any_size)
    return quantised
