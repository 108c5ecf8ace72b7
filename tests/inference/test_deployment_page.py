"""docs/deployment.md's blocks, each run as it stands, in a process of its own that cannot import carlaseg."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_run import SCHEME

from carlaseg import labels
from carlaseg.config import ExportConfig
from carlaseg.inference.exporting import export
from carlaseg.inference.exporting.formats import FORMATS

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = dict(re.findall(r"```python (\w+)\n(.*?)```", (ROOT / "docs" / "deployment.md").read_text(), re.DOTALL))
WITHOUT_US = "import sys; sys.modules['carlaseg'] = None; sys.modules['keras'] = None\n"


def test_the_page_has_a_block_for_each_format() -> None:
    assert set(BLOCKS) == set(FORMATS)
    for block in BLOCKS.values():
        assert sum(1 for line in block.splitlines() if line and not line.startswith(("import", "from"))) <= 11


@pytest.mark.parametrize(
    "to", ["onnx", "litert", *(pytest.param(to, marks=pytest.mark.slow) for to in ("openvino", "saved_model", "torch"))]
)
def test_a_block_of_the_page_runs_an_artefact_with_nothing_but_its_runtime(
    learned_run: Path, tmp_path: Path, to: str
) -> None:
    if to == "torch":
        pytest.importorskip("torch")
    path = tmp_path / f"model{FORMATS[to].suffix}"
    export(ExportConfig(run=learned_run, to=to, output=path, max_miou_drop=3.0))
    without = "" if to == "saved_model" else WITHOUT_US  # TensorFlow brings Keras itself
    done = subprocess.run(
        [sys.executable, "-c", without + BLOCKS[to]],
        cwd=tmp_path,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    named = re.findall(r"'([^']+)'", done.stdout)
    assert named
    assert set(named) <= set(labels.scheme(SCHEME).names)
