"""The formats: each writes the network to a file, in full, half or eight-bit precision, with the card inside.

A format knows its converter and its file, nothing of runs, images or scores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carlaseg.inference.artefact import ArtefactCard


@dataclass(frozen=True)
class Task:
    """What a format has to write.

    Attributes:
        model: the deployed Keras network.
        card: what the artefact says of itself.
        path: file or folder to write, in a folder of its own.
        run: the run folder, for a format that is made in another process.
        pictures: int8: to calibrate with, each uint8 (1, H, W, 3).
        kept_float: int8: names of layers to leave in float.
        conversions: what a format made of the same network before and may use again; a search for the layers to leave
            in float asks for the same network many times.
    """

    model: Any
    card: ArtefactCard
    path: Path
    run: Path
    pictures: tuple[NDArray[np.uint8], ...] = ()
    kept_float: tuple[str, ...] = ()
    conversions: dict[str, bytes] = field(default_factory=dict)


Write = Callable[[Task], None]


@dataclass(frozen=True)
class Format:
    """A row of the table of formats.

    Attributes:
        suffix: of its file; empty for a folder.
        module: in carlaseg.inference.exporting; has the function `write`.
        packages: what must be installed to write, and to compare, an artefact.
        precisions: those it has.
        any_size: whether an artefact can take pictures of any size.
    """

    suffix: str
    module: str
    packages: tuple[str, ...]
    precisions: tuple[str, ...] = ("float32", "float16", "int8")
    any_size: bool = True


FORMATS = {
    "onnx": Format(".onnx", "onnx_file", ("onnx", "tf2onnx", "onnxruntime")),
    "openvino": Format(".xml", "openvino_file", ("onnx", "tf2onnx", "openvino", "nncf")),
    "litert": Format(".tflite", "litert_file", ("ai-edge-litert",)),
    "saved_model": Format("", "saved_model_folder", (), ("float32", "float16")),
    "torch": Format(".pt2", "torch_program", ("torch",), ("float32",), any_size=False),
}
