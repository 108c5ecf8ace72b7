"""PyTorch's exported program (.pt2), made in a process of its own where Keras runs on PyTorch.

The program has one fixed size: PyTorch's exporter accepts free sizes, but guards the program with conditions on them
that odd sizes then fail (PyTorch 2.13). What it notes beside the graph is left out: file names of this machine, the
example picture (a pickle), and conditions, so that what is left is a graph and numbers (runtimes/torch.py checks that).
"""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

from carlaseg.checkpoint import RunFolder, load_model
from carlaseg.children import environment
from carlaseg.errors import CarlasegError
from carlaseg.inference.artefact import FILE, ArtefactCard
from carlaseg.inference.exporting.formats import Task

KEPT_NOTES = ("val", "tensor_meta")
"""What the file format itself needs to know of each operation's answer."""
LAST_LINES = 3


def write(task: Task) -> None:
    """Write the file.

    Raises:
        CarlasegError: the process could not.
    """
    request = {"run": str(task.run), "card": task.card.to_text(), "path": str(task.path)}
    done = subprocess.run(
        [sys.executable, "-m", "carlaseg.inference.exporting.torch_program"],
        input=json.dumps(request),
        env=environment(KERAS_BACKEND="torch", CUDA_VISIBLE_DEVICES=""),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()][-LAST_LINES:]
        raise CarlasegError(
            f"{task.path.name}: expected PyTorch to export the network, received: {' / '.join(lines) or 'no answer'}. "
            "No artefact was left."
        )


def _write(run: Path, card: ArtefactCard, path: Path) -> None:
    import torch

    from carlaseg.inference.exporting.folding import folded

    model = folded(load_model(RunFolder(run), "last" if card.checkpoint == "last" else "best"))
    assert card.size is not None

    class Program(torch.nn.Module):  # type: ignore[misc]
        """The network from bytes to logits or ids; as a part of this module its weights would be stored twice."""

        def forward(self, image: Any) -> Any:
            answer = model(image, training=False)
            return answer if card.output == "logits" else answer.argmax(-1).to(torch.uint8)

    picture = torch.zeros((1, *card.size, 3), dtype=torch.uint8)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # Keras's layers are no registered submodules
        program = torch.export.export(Program().eval(), (picture,), strict=False)
    _simplify(program)
    for node in program.graph.nodes:
        for note in [note for note in node.meta if note not in KEPT_NOTES]:
            del node.meta[note]
    program._example_inputs = None
    torch.export.save(program, str(path), extra_files={FILE: card.to_text()})


def _simplify(program: Any) -> None:
    """Take out what changes no number and costs half of the time: copies, checks, kernels turned anew each time.

    Keras keeps pictures and kernels with their channels last, PyTorch names them first, and its convolutions are at
    their best where memory has them last all the same: turning a picture is then a view, if nobody copies it.
    """
    import torch

    aten, graph = torch.ops.aten, program.graph
    copies = (aten.contiguous.default, aten.lift_fresh_copy.default, aten.alias.default)
    casts = (aten.to.dtype, aten.to.dtype_layout)
    for node in list(graph.nodes):
        if node.op != "call_function" or any(user.op == "output" for user in node.users):
            continue
        if node.target is aten._assert_tensor_metadata.default:
            graph.erase_node(node)
        elif node.target in copies or (
            node.target in casts and node.meta["val"].dtype == node.args[0].meta["val"].dtype
        ):
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
    names = program.graph_signature.inputs_to_lifted_tensor_constants
    for node in list(graph.nodes):
        if node.target is not aten.permute.default:
            continue
        kernel, axes = node.args
        if kernel.name not in names or len(kernel.users) > 1 or len(axes) != 4:
            continue
        name = names[kernel.name]
        last = {"memory_format": torch.channels_last}
        program.constants[name] = program.constants[name].permute(axes).contiguous(**last)
        kernel.meta["val"] = node.meta["val"].contiguous(**last)
        node.replace_all_uses_with(kernel)
        graph.erase_node(node)
    graph.eliminate_dead_code()
    program.graph_module.recompile()
    program.validate()


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    _write(Path(asked["run"]), ArtefactCard.from_text(Path(asked["path"]), asked["card"]), Path(asked["path"]))
