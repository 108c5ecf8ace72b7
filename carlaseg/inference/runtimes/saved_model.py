"""SavedModel folders by TensorFlow, as graphs alone.

`tf.saved_model.load` runs whatever a SavedModel holds, and TensorFlow has operations that read, write and call Python.
So the graph is read here, cut down to what leads from the picture to the answer, and refused unless every operation
left is one that networks are made of.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carlaseg.backend import prepare_backend
from carlaseg.errors import CheckpointError
from carlaseg.inference.artefact import FILE, LARGEST_CARD_BYTES, ArtefactCard, check_file, damaged, not_ours
from carlaseg.inference.runtimes.opening import runtime_name
from carlaseg.inference.runtimes.predicting import ArtefactPredictor

SIGNATURE = "serving_default"
# fmt: off
ALLOWED = frozenset((
    "Abs", "AddV2", "ArgMax", "AvgPool", "BatchToSpaceND", "BiasAdd", "Cast", "ConcatV2", "Const", "Conv2D",
    "Conv2DBackpropInput", "DepthwiseConv2dNative", "Einsum", "Equal", "Fill", "FloorDiv", "FloorMod", "GreaterEqual",
    "Identity", "Less", "LogicalAnd", "MaxPool", "Maximum", "Mean", "Minimum", "Mul", "Neg", "NoOp", "Pack", "Pad",
    "Placeholder", "Range", "RealDiv", "Relu", "Relu6", "Reshape", "ResizeBilinear", "SelectV2", "Shape",
    "SpaceToBatchND", "Squeeze", "StridedSlice", "Sub", "ZerosLike",
))
# fmt: on
"""What our networks are made of: arithmetic, and no call of a function, control flow or file among it."""


class SavedModelPredictor(ArtefactPredictor):
    """A SavedModel folder, by TensorFlow.

    Raises:
        CheckpointError: see `open_artefact`.
    """

    def __init__(self, path: Path) -> None:
        check_file(path / "saved_model.pb")
        text = path / "assets.extra" / FILE
        if not text.is_file():
            raise not_ours(path)
        check_file(text)
        with text.open("rb") as file:
            card = ArtefactCard.from_text(path, file.read(LARGEST_CARD_BYTES + 1))
        prepare_backend()
        import tensorflow as tf
        from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

        try:
            meta = SavedModel.FromString((path / "saved_model.pb").read_bytes()).meta_graphs[0]
            signature = meta.signature_def[SIGNATURE]
            image, answer = signature.inputs["image"].name, signature.outputs[card.output].name
            graph = _leading_to(path, meta.graph_def, answer)
            imported = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph, name=""), [])
            self._answer = imported.prune(image, answer)
        except CheckpointError:
            raise
        except Exception as error:  # protobuf's, TensorFlow's and those of missing entries
            raise damaged(path, error) from error
        super().__init__(path, card, runtime_name("tensorflow"))
        self._constant = tf.constant

    def run(self, images: NDArray[np.uint8]) -> NDArray[Any]:
        """Logits or ids."""
        return np.asarray(self._answer(self._constant(images)).numpy())


def _leading_to(path: Path, whole: Any, answer: str) -> Any:
    """The part of a graph that its answer needs, without functions; refused unless made of allowed operations alone."""
    nodes = {node.name: node for node in whole.node}
    graph = type(whole)(versions=whole.versions)
    waiting, seen = [answer.partition(":")[0]], set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        node = nodes[name]
        if node.op not in ALLOWED:
            raise CheckpointError(
                f"{path}: expected a graph of arithmetic, received one with the operation {node.op!r} ({node.name}). "
                "It was not run."
            )
        graph.node.add().CopyFrom(node)
        waiting += [source.lstrip("^").partition(":")[0] for source in node.input]
    return graph
