"""`carlaseg keep` and `carlaseg infer --weights NAME`: from a run to a small folder that works by its name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import pytest
from tiny_run import SCHEME, frame, write_dataset

from carlaseg.checkpoint import RunFolder
from carlaseg.cli import main
from carlaseg.config import InferConfig, KeepConfig
from carlaseg.errors import CheckpointError, ConfigError
from carlaseg.inference import infer
from carlaseg.metrics import Scores, confusion_matrix
from carlaseg.training.keep import keep


@pytest.fixture
def scored_run(tiny_run: Path, tmp_path: Path) -> Path:
    """A copy of the run, with the scores that training leaves."""
    path = tmp_path / "runs" / "mine"
    shutil.copytree(tiny_run, path)
    run = RunFolder(path)
    truth = frame(1)[1]
    names = run.model_card().class_names
    run.write_json(
        "validation_metrics.json", Scores.from_confusion(confusion_matrix(truth, truth, len(names)), names).to_json()
    )
    run.write_json("environment.json", {"command": ["carlaseg", "train", "--run", "mine"], "device": "CPU, 2 cores"})
    return path


def test_kept_weights_are_half_as_large_and_infer_finds_them_by_name(
    scored_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    data = write_dataset(tmp_path / "drive", frames=2)
    assert main(["keep", "runs/mine", "--name", "tiny_net", "--data-licence", "CC0", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    kept = Path(said["path"])
    assert kept == Path("weights/tiny_net")
    assert said["bytes"] < RunFolder(scored_run).weights("best").stat().st_size
    readme = (kept / "README.md").read_text()
    for fact in ("CC0", SCHEME, "carlaseg train --run mine", "CPU, 2 cores", said["sha256"], "100.00"):
        assert fact in readme

    code = main(["infer", "--weights", "tiny_net", "--input", str(data), "--output", "out", "--scheme", SCHEME])
    assert code == 0
    ours = infer(InferConfig(run=scored_run, input=(str(data),), output=Path("out"), scheme=SCHEME, name="run")).folder
    theirs = Path("out") / "tiny_net_drive"
    for picture in sorted((ours / "ids").iterdir()):
        ids, other = (cv2.imread(str(f / "ids" / picture.name), cv2.IMREAD_UNCHANGED) for f in (ours, theirs))
        assert (ids == other).mean() > 0.97
    assert json.loads((theirs / "config.json").read_text())["weights"] == "tiny_net"


def test_kept_weights_are_replaced_by_better_ones_alone(scored_run: Path, tmp_path: Path) -> None:
    config = KeepConfig(run=scored_run, weights=tmp_path / "weights")
    kept = RunFolder(keep(config))
    before = kept.weights("best").read_bytes()
    with pytest.raises(ConfigError, match=r"expected weights that are better .*mIoU 1\.0000"):
        keep(config)
    assert kept.weights("best").read_bytes() == before
    worse = kept.read_json("validation_metrics.json") | {"mean_iou": 0.5}
    kept.write_json("validation_metrics.json", worse)
    keep(config)
    assert kept.read_json("validation_metrics.json")["mean_iou"] == 1.0
    assert [path.name for path in kept.path.parent.iterdir()] == ["mine"]


def test_weights_that_are_not_there_are_answered_with_those_that_are(
    scored_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="expected the name of weights kept under weights/"):
        infer(InferConfig(weights="tiny_net"))
    keep(KeepConfig(run=scored_run, name="tiny_net"))
    with pytest.raises(CheckpointError, match=r"There are: .*tiny_net.* Nearest: tiny_net"):
        infer(InferConfig(weights="tiny_nt"))
    with pytest.raises(ConfigError, match="--model and --weights: expected one of them"):
        InferConfig(weights="tiny_net", model=Path("model.onnx"))
    with pytest.raises(ConfigError, match="expected a plain name"):
        KeepConfig(run=scored_run, name="../elsewhere")


def test_best_weights_that_are_newer_than_the_scores_are_not_kept_with_them(scored_run: Path, tmp_path: Path) -> None:
    run = RunFolder(scored_run)
    run.write_json("validation_metrics.json", {"epoch": 2, **run.read_json("validation_metrics.json")})
    run.append_metrics({"epoch": 2, "best": True})
    keep(KeepConfig(run=scored_run, weights=tmp_path / "weights"))
    run.append_metrics({"epoch": 3, "best": True})
    with pytest.raises(CheckpointError, match="which are of epoch 3, received those of epoch 2: it was stopped"):
        keep(KeepConfig(run=scored_run, weights=tmp_path / "others"))


def test_a_machine_without_git_keeps_weights_as_well(
    scored_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    kept = keep(KeepConfig(run=scored_run, weights=tmp_path / "weights", name="my net"))
    card = (kept / "README.md").read_text()
    assert "| commit | unknown" in card
    assert "carlaseg infer --weights 'my net' --input" in card


def test_a_run_without_scores_is_not_kept(tiny_run: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"validation_metrics\.json"):
        keep(KeepConfig(run=tiny_run, weights=tmp_path / "weights"))
    assert not (tmp_path / "weights").exists()
