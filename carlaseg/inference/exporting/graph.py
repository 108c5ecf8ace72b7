"""The deployed network as a TensorFlow graph of operations and constants, from which all formats but PyTorch's come.

Constants, not variables: nothing is left to be restored, so the graph is whole in one file, and converters fold what
can be computed before a picture comes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

INPUT = "image"
SMALLEST_HALVED = 256
"""float16: constants of fewer numbers (shapes, axes, biases of small layers) stay as they are; they weigh nothing."""


@dataclass(frozen=True)
class Graph:
    """A network, traced.

    Attributes:
        function: a tf.function with the signature below, for converters that freeze weights themselves.
        output: logits or ids.
    """

    function: Any
    output: str

    @cached_property
    def frozen(self) -> Any:
        """Its concrete function, weights as constants; making it takes some eight times their memory."""
        from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

        return convert_variables_to_constants_v2(self.function.get_concrete_function())


def traced(model: Any, size: tuple[int, int] | None, argmax: bool) -> Graph:
    """A network as a graph.

    Args:
        model: from uint8 (B, H, W, 3) to logits.
        size: (height, width) to fix, the batch then being one picture; any size and batch when None.
        argmax: whether it ends in class ids, uint8 (B, H, W).
    """
    import tensorflow as tf

    output = "ids" if argmax else "logits"
    shape = [None, None, None, 3] if size is None else [1, *size, 3]

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.uint8, name=INPUT)], autograph=False)  # type: ignore[untyped-decorator]
    def function(image: Any) -> Any:
        answer = model(image, training=False)
        if argmax:
            answer = tf.cast(tf.argmax(answer, axis=-1, output_type=tf.int32), tf.uint8)
        return {output: tf.identity(answer, name=output)}

    return Graph(function, output)


def save_graph(graph: Graph, folder: Path, half_weights: bool = False) -> None:
    """Write a SavedModel with one signature, `serving_default`, from `image` to `logits` (or `ids`).

    Args:
        graph: the network.
        folder: to be made.
        half_weights: whether weights are stored as float16; they are enlarged again where they are used.
    """
    import tensorflow as tf

    definition = graph.frozen.graph.as_graph_def()
    if half_weights:
        definition = _halved(definition)
    # The older builder writes the graph as it is; the newer one wraps it in functions, and adds operations that
    # read and write files, for variables that there are none of.
    with tf.Graph().as_default() as plain, tf.compat.v1.Session(graph=plain) as session:
        tf.import_graph_def(definition, name="")
        signature = tf.compat.v1.saved_model.predict_signature_def(
            {INPUT: plain.get_tensor_by_name(graph.frozen.inputs[0].name)},
            {graph.output: plain.get_tensor_by_name(graph.frozen.outputs[0].name)},
        )
        builder = tf.compat.v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(
            session,
            [tf.saved_model.SERVING],
            signature_def_map={tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY: signature},
        )
        builder.save()


def half(weights: NDArray[np.float32]) -> NDArray[np.float16]:
    """Weights in half precision; those too large for it become infinite, and the parity report tells."""
    with np.errstate(over="ignore"):
        return weights.astype(np.float16)


def _halved(definition: Any) -> Any:
    """A graph whose large float32 constants are float16 constants, each followed by a cast back."""
    import tensorflow as tf

    halved = tf.compat.v1.GraphDef(versions=definition.versions, library=definition.library)
    for node in definition.node:
        value = tf.make_ndarray(node.attr["value"].tensor) if node.op == "Const" else None
        if value is None or value.dtype != np.float32 or value.size < SMALLEST_HALVED:
            halved.node.add().CopyFrom(node)
            continue
        weights = halved.node.add(op="Const", name=f"{node.name}/half")
        weights.attr["dtype"].type = tf.float16.as_datatype_enum
        weights.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(half(value)))
        cast = halved.node.add(op="Cast", name=node.name, input=[weights.name])
        cast.attr["SrcT"].type = tf.float16.as_datatype_enum
        cast.attr["DstT"].type = tf.float32.as_datatype_enum
    return halved
