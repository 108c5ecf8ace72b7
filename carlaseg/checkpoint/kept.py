"""Weights that were kept: small run folders with float16 weights and a card, found by their names.

    weights/NAME/  best.weights.h5  model.json  README.md  config.json  metrics.jsonl  validation_metrics.json

They lie in `weights/` of the current folder or of the source tree, and are read like runs. A wheel has none: what was
learned from data for non-commercial use does not belong into a package under the MIT licence.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from carlaseg.checkpoint.run import RunFolder
from carlaseg.config import nearest
from carlaseg.errors import CheckpointError

FOLDER = "weights"
SOURCE_TREE = Path(__file__).resolve().parents[2]


def kept_folders() -> tuple[Path, ...]:
    """Where kept weights are looked for, in this order."""
    return (Path(FOLDER), SOURCE_TREE / FOLDER)


def kept_names() -> tuple[str, ...]:
    """Names of all kept weights that are here."""
    found = {path.parent.name for folder in kept_folders() for path in folder.glob("*/model.json")}
    return tuple(sorted(found))


def find_kept(name: str) -> RunFolder:
    """The folder of kept weights.

    Args:
        name: its name, or the path of such a folder.

    Raises:
        CheckpointError: there are none of that name.
    """
    for path in (*(folder / name for folder in kept_folders()), Path(name)):
        if (path / "model.json").is_file():
            return RunFolder(path)
    names = kept_names()
    near = nearest(name, names)
    there = f"There are: {', '.join(names)}." if names else "There are none yet."
    raise CheckpointError(
        f"--weights {name}: expected the name of weights kept under {FOLDER}/, received one that is not there. {there}"
        + (f" Nearest: {near}." if near else ""),
        (
            ("keep those of a run", f"carlaseg keep RUN --name {shlex.quote(Path(name).name)}"),
            ("or use a run", "carlaseg infer --run RUN"),
        ),
    )
