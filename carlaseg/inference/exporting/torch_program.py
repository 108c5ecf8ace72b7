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
        """The network from bytes to logits or ids."""

        def __init__(self) -> None:
            super().__init__()
            self.network = model

        def forward(self, image: Any) -> Any:
            answer = self.network(image, training=False)
            return answer if card.output == "logits" else answer.argmax(-1).to(torch.uint8)

    picture = torch.zeros((1, *card.size, 3), dtype=torch.uint8)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # Keras's layers are no registered submodules
        program = torch.export.export(Program().eval(), (picture,), strict=False)
    for node in program.graph.nodes:
        for note in [note for note in node.meta if note not in KEPT_NOTES]:
            del node.meta[note]
    program._example_inputs = None
    torch.export.save(program, str(path), extra_files={FILE: card.to_text()})


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    _write(Path(asked["run"]), ArtefactCard.from_text(Path(asked["path"]), asked["card"]), Path(asked["path"]))
