"""PyTorch's exported programs (.pt2) by PyTorch, read by us first.

`torch.export.load` unpickles what an archive asks it to and evaluates conditions that are Python text ("never load data
from an untrusted source", says its own page). So before it is called, the archive is checked to hold nothing of the
kind: no pickle, no conditions, no words that are more than names, and no operation but arithmetic.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carlaseg.errors import CheckpointError
from carlaseg.inference.artefact import (
    FILE,
    LARGEST_ARTEFACT_BYTES,
    LARGEST_CARD_BYTES,
    ArtefactCard,
    check_file,
    damaged,
)
from carlaseg.inference.runtimes.opening import runtime_name
from carlaseg.inference.runtimes.predicting import ArtefactPredictor

LARGEST_GRAPH_BYTES = 64 * 2**20
MEMBERS = re.compile(
    r"data/weights/(weight_\d+|model_weights_config\.json)|data/constants/(tensor_\d+|model_constants_config\.json)"
    r"|models/model\.json|data/sample_inputs/model\.pt|extra/carlaseg\.json|archive_format|archive_version|byteorder"
    r"|\.data/(version|serialization_id)|\.format_version|\.storage_alignment"
)
"""Files of an archive, below its top folder. Source: torch/export/pt2_archive/constants.py 2.13."""
WORDS = re.compile(r"[\w./ ,>:+-]*")
"""Names, versions and einsum equations; nothing that calls anything."""
OPERATIONS = re.compile(
    r"torch\.ops\.aten\.(_assert_tensor_metadata|add|alias|arange|argmax|avg_pool2d|cat|contiguous|conv2d|conv_transpose2d"
    r"|div|einsum|eq|floor_divide|ge|lift_fresh_copy|logical_and|lt|max_pool2d|maximum|mean|mul|neg|pad|permute|relu|relu6"
    r"|reshape|slice|stack|sub|to|unsqueeze|upsample_bilinear2d|where|zeros|zeros_like)\.\w+"
)
"""What our networks are made of; none of them reads or writes a file."""
TREE_TYPES = (None, "builtins.tuple", "builtins.list", "builtins.dict")
TREE_CONTEXTS = (None, "null", "[]")


class TorchPredictor(ArtefactPredictor):
    """An exported program, on the CPU.

    Raises:
        CheckpointError: see `open_artefact`.
    """

    def __init__(self, path: Path) -> None:
        check_file(path)
        try:
            text = _checked(path)
        except CheckpointError:
            raise
        except (zipfile.BadZipFile, OSError, EOFError, KeyError, ValueError, TypeError, RecursionError) as error:
            raise damaged(path, error) from error
        card = ArtefactCard.from_text(path, text)
        import torch

        try:
            self._program = torch.export.load(str(path)).module()
        except Exception as error:  # whatever it finds wrong
            raise damaged(path, error) from error
        super().__init__(path, card, runtime_name("torch"))
        self._torch = torch

    def run(self, images: NDArray[np.uint8]) -> NDArray[Any]:
        """Logits or ids."""
        with self._torch.inference_mode():
            return np.asarray(self._program(self._torch.from_numpy(images)).numpy())


def _checked(path: Path) -> bytes | None:
    """The description inside; refused where the archive holds more than a graph and numbers."""
    with zipfile.ZipFile(path) as archive:
        entries = {}
        for entry in archive.infolist():
            name = "/".join(PurePosixPath(entry.filename).parts[1:])
            if not MEMBERS.fullmatch(name) or name in entries:
                raise refused(path, f"the file {entry.filename!r}")
            # PyTorch stores, it never compresses: what is compressed here is made to grow.
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
                raise refused(path, f"the compressed file {entry.filename!r}")
            entries[name] = entry
        if sum(entry.file_size for entry in entries.values()) > LARGEST_ARTEFACT_BYTES:
            raise refused(path, "more than any network")
        if "extra/carlaseg.json" not in entries:
            return None
        pickle = entries.get("data/sample_inputs/model.pt")
        if pickle is not None and pickle.file_size:
            raise refused(path, "pickled example inputs")
        for kind in ("weights", "constants"):
            config = _json(path, archive, entries[f"data/{kind}/model_{kind}_config.json"])
            for name, payload in config["config"].items():
                if payload["use_pickle"] is not False or not MEMBERS.fullmatch(f"data/{kind}/{payload['path_name']}"):
                    raise refused(path, f"the pickled tensor {name!r}")
        _check_graph(path, _json(path, archive, entries["models/model.json"]))
        with archive.open(entries[f"extra/{FILE}"]) as file:
            return file.read(LARGEST_CARD_BYTES + 1)


def _json(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Any:
    if entry.file_size > LARGEST_GRAPH_BYTES:
        raise refused(path, f"{entry.file_size:,} bytes of {entry.filename!r}")
    return json.loads(archive.read(entry))


def _check_graph(path: Path, program: Any) -> None:
    if program["guards_code"] or program["range_constraints"]:
        raise refused(path, "conditions on its input")
    for node in program["graph_module"]["graph"]["nodes"]:
        if not OPERATIONS.fullmatch(node["target"]):
            raise refused(path, f"the operation {node['target']!r}")
    for word in _texts(program):
        if not WORDS.fullmatch(word) and not _is_tree(word):
            raise refused(path, f"the text {word[:80]!r}")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _is_tree(word: str) -> bool:
    """Whether a text describes how arguments are nested, in tuples, lists and dictionaries alone."""
    try:
        version, tree = json.loads(word)
    except (ValueError, TypeError):
        return False
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if set(node) != {"type", "context", "children_spec"}:
            return False
        if node["type"] not in TREE_TYPES or node["context"] not in TREE_CONTEXTS:
            return False
        waiting += node["children_spec"]
    return bool(version == 1)


def refused(path: Path, what: str) -> CheckpointError:
    """The answer to an archive that holds more than a graph and numbers."""
    return CheckpointError(
        f"{path}: expected a program of arithmetic and numbers, as `carlaseg export` writes it, received {what}. "
        "Nothing of it was run."
    )
