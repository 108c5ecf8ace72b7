"""Inference through its public door, with a real network on real files."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_run import SCHEME, SIZE, frame, write_dataset

from carlaseg import labels
from carlaseg.cli import main
from carlaseg.config import InferConfig, Size
from carlaseg.errors import CarlasegError, CheckpointError, ConfigError, DatasetError, Interrupted
from carlaseg.inference import KerasPredictor, infer, infer_command
from carlaseg.metrics import Scores, confusion_matrix

ROOT = Path(__file__).resolve().parents[2]


def config(run: Path, data: Path, out: Path, **more: object) -> InferConfig:
    return InferConfig(run=run, input=data, output=out, scheme=SCHEME, **more)


@pytest.fixture(scope="module")
def done(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with truth, made once."""
    base = tmp_path_factory.mktemp("done")
    data = write_dataset(base / "drive", frames=5, size=(30, 40))
    return infer(config(tiny_run, data, base / "out", batch_size=2)).folder


def test_results_have_a_file_of_each_kind_for_each_image_at_the_images_size(done: Path) -> None:
    assert done.name == "tiny_drive"
    lines = [json.loads(line) for line in (done / "predictions.jsonl").read_text().splitlines()]
    assert len(lines) == 5
    for line in lines:
        ids = cv2.imread(str(done / line["ids"]), cv2.IMREAD_UNCHANGED)
        assert (ids.shape, ids.dtype) == ((30, 40), np.uint8)
        coloured = cv2.imread(str(done / line["colours"]))[..., ::-1]
        assert np.array_equal(coloured, labels.scheme(SCHEME).palette[ids])
        assert cv2.imread(str(done / line["panel"])) is not None
        assert sum(line["shares"].values()) == pytest.approx(1.0, abs=1e-3)


def test_the_files_of_scores_agree_with_each_other_and_with_the_ids_on_disk(done: Path) -> None:
    metrics = json.loads((done / "metrics.json").read_text())
    names = labels.scheme(SCHEME).names
    confusion = np.zeros((29, 29), np.int64)
    for number, line in enumerate(map(json.loads, (done / "predictions.jsonl").read_text().splitlines())):
        ids = cv2.imread(str(done / line["ids"]), cv2.IMREAD_UNCHANGED)
        confusion += confusion_matrix(frame(number, (30, 40))[1], ids, 29)
    expected = Scores.from_confusion(confusion, names)
    assert Scores.from_json(metrics) == expected
    assert metrics["confusion"] == confusion.tolist()
    rows = list(csv.DictReader((done / "per_class.csv").read_text().splitlines()))
    assert [row["iou"] == "" for row in rows] == [c.iou is None for c in expected.classes]
    assert json.loads((done / "summary.json").read_text())["scores"] == expected.to_json()
    assert (done / "confusion.png").stat().st_size > 1000
    assert [entry["mean_iou"] for entry in metrics["worst"]] == sorted(e["mean_iou"] for e in metrics["worst"])
    assert metrics["best"][0]["mean_iou"] == max(e["mean_iou"] for e in metrics["worst"])


def test_the_prediction_is_the_argmax_of_the_checkpoints_logits(tiny_run: Path, tmp_path: Path) -> None:
    from carlaseg.checkpoint import RunFolder, load_model

    data = write_dataset(tmp_path / "drive", frames=2)
    folder = infer(config(tiny_run, data, tmp_path / "out")).folder
    model = load_model(RunFolder(tiny_run), "best")
    logits = np.asarray(model(np.stack([frame(0)[0], frame(1)[0]]), training=False))
    for number, ids in enumerate(logits.argmax(axis=-1)):
        written = cv2.imread(str(sorted((folder / "ids").iterdir())[number]), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(written, ids)


def test_logits_are_interpolated_where_the_answer_is_wanted_larger(tiny_run: Path) -> None:
    import keras

    from carlaseg.checkpoint import RunFolder, load_model

    model = load_model(RunFolder(tiny_run), "best")
    images = np.stack([frame(0)[0], frame(1)[0]])
    ids = KerasPredictor(model)(images, (48, 64))
    logits = keras.ops.image.resize(model(images, training=False), (48, 64), interpolation="bilinear")
    assert (ids == np.asarray(logits).argmax(axis=-1)).mean() > 0.999


def test_other_backends_way_gives_the_same_ids(tiny_run: Path) -> None:
    from carlaseg.checkpoint import RunFolder, load_model
    from carlaseg.inference.predictor import _any_backend, _tensorflow

    model = load_model(RunFolder(tiny_run), "best")
    images = np.stack([frame(0)[0], frame(1)[0]])
    for size in (SIZE, (48, 64)):
        ours, theirs = _tensorflow(model)(images, size), _any_backend(model)(images, size)
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape) == (np.uint8, (2, *size))
        assert (ours == theirs).mean() > 0.999


def test_a_smaller_last_batch_is_not_compiled_anew_and_gives_the_same_ids(tiny_run: Path) -> None:
    from carlaseg.checkpoint import RunFolder, load_model

    model = load_model(RunFolder(tiny_run), "best")
    traced: list[int] = []

    def tracing(images, training):
        traced.append(images.shape[0])
        return model(images, training=training)

    predict = KerasPredictor(tracing)
    images = np.stack([frame(number)[0] for number in range(5)])
    whole = np.concatenate([predict(images[:2], SIZE), predict(images[2:4], SIZE), predict(images[4:], SIZE)])
    assert len(traced) == 1
    assert np.array_equal(whole, np.asarray(model(images, training=False)).argmax(axis=-1))


def test_the_config_of_the_results_makes_the_same_results_again(done: Path, tmp_path: Path) -> None:
    assert main(["infer", "--config", str(done / "config.json"), "--output", str(tmp_path)]) == 0
    for path in sorted((done / "ids").iterdir()):
        assert path.read_bytes() == (tmp_path / done.name / "ids" / path.name).read_bytes()


def test_the_table_goes_to_stdout_and_the_talk_to_stderr(tiny_run: Path, tmp_path: Path, capsys) -> None:
    data = write_dataset(tmp_path / "drive", frames=2)
    assert infer_command(config(tiny_run, data, tmp_path / "out", write=("ids", "colours"))) == 0
    said = capsys.readouterr()
    metrics = json.loads((tmp_path / "out" / "tiny_drive" / "metrics.json").read_text())
    assert f"mean IoU {metrics['mean_iou']:.3f} over 3 of 29 classes" in said.out
    assert "network" in said.err
    assert "carlaseg report" in said.err
    assert not (tmp_path / "out" / "tiny_drive" / "panels").exists()
    assert infer_command(config(tiny_run, data, tmp_path / "out", name="json", json=True)) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 2


def test_images_without_truth_give_pictures_and_no_scores(tiny_run: Path, tmp_path: Path, capsys) -> None:
    data = write_dataset(tmp_path / "street", frames=2, masks=False)
    outcome = infer(config(tiny_run, data, tmp_path / "out"))
    assert outcome.scores is None
    assert not (outcome.folder / "metrics.json").exists()
    assert "no truth" in capsys.readouterr().err


def test_an_existing_results_folder_is_refused_and_replaced_only_when_told(tiny_run: Path, tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "drive", frames=2)
    first = infer(config(tiny_run, data, tmp_path / "out"))
    stale = first.folder / "ids" / "from_before.png"
    stale.touch()
    with pytest.raises(ConfigError, match="Nothing was changed"):
        infer(config(tiny_run, data, tmp_path / "out"))
    assert stale.exists()
    infer(config(tiny_run, data, tmp_path / "out", overwrite=True))
    assert not stale.exists()


def test_a_run_that_cannot_be_loaded_costs_nobody_earlier_results(tiny_run: Path, done: Path, tmp_path: Path) -> None:
    import shutil

    damaged = Path(shutil.copytree(tiny_run, tmp_path / "damaged"))
    weights = damaged / "best.weights.h5"
    weights.write_bytes(weights.read_bytes()[:2000])
    kept = Path(shutil.copytree(done, tmp_path / "out" / "kept"))
    data = write_dataset(tmp_path / "drive", frames=1)
    with pytest.raises(CheckpointError, match=r"best\.weights\.h5"):
        infer(config(damaged, data, tmp_path / "out", name="kept", overwrite=True))
    assert len(list((kept / "ids").iterdir())) == 5


def test_overwrite_never_empties_a_folder_that_is_something_else(tiny_run: Path, tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "drive", frames=1)
    precious = tmp_path / "out" / "thesis" / "chapter1.tex"
    precious.parent.mkdir(parents=True)
    precious.touch()
    with pytest.raises(ConfigError, match="expected an earlier results folder"):
        infer(config(tiny_run, data, tmp_path / "out", name="thesis", overwrite=True))
    assert precious.exists()


def test_a_damaged_image_is_reported_and_the_rest_goes_on(tiny_run: Path, tmp_path: Path, capsys) -> None:
    data = write_dataset(tmp_path / "drive", frames=4)
    broken = data / "rgb" / "rgb_00000001.png"
    broken.write_bytes(broken.read_bytes()[:100])
    assert infer_command(config(tiny_run, data, tmp_path / "out")) == 5
    assert "rgb_00000001.png" in capsys.readouterr().err
    summary = json.loads((tmp_path / "out" / "tiny_drive" / "summary.json").read_text())
    assert summary["images"] == 3
    assert [entry["file"] for entry in summary["damaged"]] == [str(broken)]


def test_a_folder_of_damaged_images_alone_is_an_error(tiny_run: Path, tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "drive", frames=2, masks=False)
    for path in data.iterdir():
        path.write_bytes(b"")
    with pytest.raises(DatasetError, match="at least one image that can be read"):
        infer(config(tiny_run, data, tmp_path / "out"))


def test_truth_of_another_scheme_is_compared_by_meaning_and_says_what_is_lost(
    tiny_run: Path, tmp_path: Path, capsys
) -> None:
    data = write_dataset(tmp_path / "drive", frames=2)
    for path in (data / "seg_raw").iterdir():
        red = cv2.imread(str(path))
        # The 23 tags of CARLA 0.9.13: road 7, sky 13, vehicles 10.
        red[..., 2] = np.select([red[..., 2] == 1, red[..., 2] == 11], [7, 13], 10)
        assert cv2.imwrite(str(path), red)
    outcome = infer(InferConfig(run=tiny_run, input=data, output=tmp_path / "out", scheme="carla-0.9.10"))
    assert outcome.scores is not None
    assert {c.name for c in outcome.scores.classes if c.present} >= {"Roads", "Sky"}
    said = capsys.readouterr().err
    assert "carla-0.9.10 -> carla-0.9.14 by meaning; it loses:" in said
    with pytest.raises(DatasetError, match="can be compared with the network's classes"):
        infer(InferConfig(run=tiny_run, input=data, output=tmp_path / "out2", scheme="kitti-road"))
    assert not (tmp_path / "out2").exists()


def test_another_size_for_the_network_still_gives_masks_of_the_images_size(tiny_run: Path, tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "drive", frames=1)
    folder = infer(config(tiny_run, data, tmp_path / "out", size=Size(17, 19))).folder
    assert cv2.imread(str(next((folder / "ids").iterdir())), cv2.IMREAD_UNCHANGED).shape == SIZE


def test_a_missing_run_a_missing_folder_and_a_full_disk_are_one_line_each(
    tiny_run: Path, tmp_path: Path, capsys
) -> None:
    data = write_dataset(tmp_path / "drive", frames=1)
    with pytest.raises(CheckpointError, match="expected a run folder"):
        infer(config(tmp_path / "no_run", data, tmp_path / "out"))
    assert main(["infer", str(tiny_run), "--input", str(tmp_path / "nowhere"), "--output", str(tmp_path / "out")]) == 5
    assert "Traceback" not in capsys.readouterr().err
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(CarlasegError, match="expected a folder to write results into"):
        infer(config(tiny_run, data, blocked))


def test_a_request_to_stop_ends_with_what_is_done_and_no_thread(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_dataset(tmp_path / "drive", frames=6)
    original = KerasPredictor.__call__
    calls: list[int] = []

    def interrupting(self: KerasPredictor, images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        calls.append(1)
        if len(calls) == 3:  # the first call warms up
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, images, size)

    monkeypatch.setattr(KerasPredictor, "__call__", interrupting)
    with pytest.raises(Interrupted, match="stopped after 2 of 6 images") as caught:
        infer(config(tiny_run, data, tmp_path / "out"))
    assert caught.value.exit_code == 130
    folder = tmp_path / "out" / "tiny_drive"
    assert len((folder / "predictions.jsonl").read_text().splitlines()) == 2
    assert json.loads((folder / "metrics.json").read_text())["complete"] is False
    assert not [t.name for t in threading.enumerate() if t.name.startswith("carlaseg")]


@pytest.mark.slow
def test_jax_gives_the_same_masks_as_tensorflow(tiny_run: Path, done: Path, tmp_path: Path) -> None:
    words = ["infer", "--config", str(done / "config.json"), "--output", str(tmp_path)]
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-m", "carlaseg", *words], check=True, cwd=ROOT, env=environment, timeout=200)
    pairs = [(path, tmp_path / done.name / "ids" / path.name) for path in (done / "ids").iterdir()]
    for ours, theirs in pairs:
        a, b = (cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in (ours, theirs))
        assert (a == b).mean() > 0.99


@pytest.mark.slow
def test_the_numbered_script_takes_the_same_flags(tiny_run: Path, tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "drive", frames=1)
    words = ["--run", str(tiny_run), "--input", str(data), "--output", str(tmp_path / "out"), "--scheme", SCHEME]
    subprocess.run([sys.executable, str(ROOT / "03_inference.py"), *words], check=True, cwd=tmp_path, timeout=120)
    assert (tmp_path / "out" / "tiny_drive" / "metrics.json").exists()
