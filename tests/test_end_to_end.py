"""The whole road by its one command: what a newcomer sees first may never break."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.timeout(900)
def test_the_demo_records_trains_infers_and_leaves_a_page_that_needs_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    words = ["demo", "--output", str(folder), "--frames", "8", "--epochs", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "carlaseg", *words], cwd=ROOT, capture_output=True, text=True, timeout=880
    )
    assert done.returncode == 0, done.stderr[-3000:]

    page = Path(done.stdout.strip())
    assert page == folder / "report.html"
    text = page.read_text(encoding="utf-8")
    assert text.count("data:image/") > 8
    assert not re.findall(r'(?:src|href)="https?://', text), "the page would load something from elsewhere"

    metrics = json.loads((folder / "dataset_out" / "demo_on_dataset_test" / "metrics.json").read_text())
    assert metrics["images_scored"] == 8
    assert 0 < metrics["pixel_accuracy"] < 1
    recordings = sorted(path.parent.name for path in folder.glob("dataset*/*/recording.json"))
    assert recordings == ["test", "train_a", "train_b", "train_c", "validation"]
    assert (folder / "runs" / "demo" / "best.weights.h5").is_file()
