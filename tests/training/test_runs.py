"""The table of runs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tiny_training import settings

from carlaseg import config as configs
from carlaseg.checkpoint import ModelCard, RunFolder
from carlaseg.config import RunsConfig
from carlaseg.errors import CheckpointError
from carlaseg.training.runs import comparison, runs_command, table


def a_run(folder: Path, name: str, began_s: int, scores: list[float], **changes: object) -> RunFolder:
    run = RunFolder.create(folder / "runs", "fc_densenet", name)
    run.write_config(settings(folder, run=name, **changes))
    run.write_model_card(
        ModelCard(network="fc_densenet", num_classes=1, scheme="camvid", class_names=("a",), palette=((0, 0, 0),),
                  size=(24, 32), parameters=1)
    )  # fmt: skip
    for epoch, score in enumerate(scores, start=1):
        run.append_metrics({"epoch": epoch, "val_mean_iou": score, "train_s": 30.0})
    os.utime(run.path / "model.json", (began_s, began_s))
    return run


def test_a_run_is_compared_with_the_last_one_on_the_same_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Names in another order than time.
    a_run(tmp_path, "c", 100, [0.2, 0.5, 0.4])
    a_run(tmp_path, "b", 200, [0.9], dataset=(tmp_path / "other",))
    a_run(tmp_path, "a", 300, [0.55], learning_rate=0.02, loss=("ce", "dice"))
    lines = table(tmp_path / "runs")
    assert [(line.run, line.best_mean_iou, line.epochs, line.train_s) for line in lines] == [
        ("c", 0.5, 3, 90.0), ("b", 0.9, 1, 30.0), ("a", 0.55, 1, 30.0),
    ]  # fmt: skip
    assert comparison(lines[1]) is None
    assert comparison(lines[2]) == (
        "mIoU +0.050 against c, the last run on the same data: learning_rate 0.01 -> 0.02, loss ce -> ce dice"
    )
    assert runs_command(RunsConfig(runs=tmp_path / "runs")) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[3].split()[:5] == ["a", "fc_densenet", "0.550", "+0.050", "1/3"]
    assert runs_command(RunsConfig(runs=tmp_path / "runs", json=True)) == 0
    assert json.loads(capsys.readouterr().out)["runs"][2]["compared_with"] == "c"


def test_a_damaged_run_is_said_and_the_others_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_run(tmp_path, "good", 100, [0.5])
    bad = a_run(tmp_path, "bad", 200, [])
    (bad.path / "config.json").write_text("{")
    assert [line.run for line in table(tmp_path / "runs")] == ["good"]
    assert "bad is left out: --config" in capsys.readouterr().err
    assert configs.load(type(settings(tmp_path)), tmp_path / "runs" / "good" / "config.json").epochs == 3


def test_no_runs_are_answered_with_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="expected at least one run, received none") as caught:
        runs_command(RunsConfig(runs=tmp_path))
    assert caught.value.next_steps[0][1].startswith("carlaseg train")
