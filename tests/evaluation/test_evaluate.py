"""Evaluation through its public door, of predictions whose mistakes are known."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_run import SCHEME, frame, write_dataset

from carlaseg import labels
from carlaseg.cli import main
from carlaseg.config import EvaluateConfig
from carlaseg.dataset import Pose, RecordingWriter, open_dataset, read_metadata
from carlaseg.dataset.reader import read_lines
from carlaseg.errors import ConfigError, DatasetError
from carlaseg.evaluation import evaluate
from carlaseg.evaluation.answers import open_answers
from carlaseg.evaluation.bands import DepthFiles, choose_bands, depth_m
from carlaseg.metrics import Scores, confusion_matrix

FRAMES = 12
SIZE = (24, 32)


def write_results(folder: Path, data: Path, wrong_rows: int, confidence: float | None = None, drives: int = 3) -> Path:
    """Predictions that are right but for the lowest rows of every image, which they call sky (11)."""
    scheme = labels.scheme(SCHEME)
    (folder / "ids").mkdir(parents=True)
    (folder / "classes.json").write_text(json.dumps({"scheme": SCHEME, "names": scheme.names}))
    (folder / "config.json").write_text(json.dumps({"run": "runs/tiny"}))
    lines = []
    for number in range(FRAMES):
        ids = frame(number, SIZE)[1]
        if wrong_rows:
            ids[-wrong_rows - number % 2 :] = 11
        name = f"{number:08d}"
        assert cv2.imwrite(str(folder / "ids" / f"{name}.png"), ids)
        line = {
            "name": name,
            "image": str(data / "rgb" / f"rgb_{name}.png"),
            "drive": f"drive_{number % drives}",
            "town": "Town01",
            "weather": "ClearNoon" if number < FRAMES // 2 else "HardRainNoon",
            "ids": f"ids/{name}.png",
            "truth": str(data / "seg_raw" / f"seg_raw_{name}.png"),
            "truth_encoding": "red",
            "truth_scheme": SCHEME,
        }
        if confidence is not None:
            (folder / "confidence").mkdir(exist_ok=True)
            line["confidence"] = f"confidence/{name}.png"
            sure = np.full(SIZE, round(confidence * 65535), np.uint16)
            assert cv2.imwrite(str(folder / line["confidence"]), sure)
        lines.append(json.dumps(line))
    (folder / "predictions.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "drive", frames=FRAMES, size=SIZE)


def config(results: Path, **more: object) -> EvaluateConfig:
    return EvaluateConfig(results=results, resamples=200, **more)


def test_every_figure_is_the_one_of_the_confusion_matrix_of_the_files(data: Path, tmp_path: Path) -> None:
    evaluation = evaluate(config(write_results(tmp_path / "results", data, wrong_rows=3)))
    expected = np.zeros((29, 29), np.int64)
    for number in range(FRAMES):
        truth = frame(number, SIZE)[1]
        ids = truth.copy()
        ids[-3 - number % 2 :] = 11
        expected += confusion_matrix(truth, ids, 29)
    assert np.array_equal(evaluation.confusion, expected)
    scores = Scores.from_confusion(expected, labels.scheme(SCHEME).names)
    assert evaluation.scores == scores
    assert evaluation.whole.figures["mean_iou"].value == pytest.approx(scores.mean_iou)
    written = json.loads((tmp_path / "results" / "evaluation.json").read_text())
    assert written == json.loads(json.dumps(evaluation.to_json()))
    assert written["most_confused"][0]["prediction"] == "Sky"
    assert written["worst"][0]["mean_iou"] <= written["worst"][-1]["mean_iou"]
    assert written["calibration"] is None
    rows = list(csv.DictReader((tmp_path / "results" / "by_class.csv").read_text().splitlines()))
    assert {row["class"] for row in rows} == {"Roads", "Sky", "Car"}


def test_groups_share_the_pixels_out_among_them(data: Path, tmp_path: Path) -> None:
    evaluation = evaluate(config(write_results(tmp_path / "results", data, wrong_rows=2)))
    assert set(evaluation.groups) == {"drive", "town", "weather", "rows"}
    assert [g.name for g in evaluation.groups["weather"]] == ["ClearNoon", "HardRainNoon"]
    assert [g.images for g in evaluation.groups["drive"]] == [4, 4, 4]
    for by in ("drive", "weather", "rows"):
        assert sum(g.pixels for g in evaluation.groups[by]) == evaluation.whole.pixels, by


def test_without_depth_the_bands_are_rows_and_say_so(data: Path, tmp_path: Path, capsys) -> None:
    evaluation = evaluate(config(write_results(tmp_path / "results", data, wrong_rows=3)))
    assert "not distance" in evaluation.basis
    bands = {g.name: g.figures["pixel_accuracy"].value for g in evaluation.groups["rows"]}
    assert bands["top quarter of rows"] == 1.0
    assert bands["bottom quarter of rows"] == pytest.approx(1 - 3.5 / 6)
    assert "not distance" in capsys.readouterr().err


def test_depth_of_the_recording_makes_bands_of_metres(tmp_path: Path) -> None:
    code = np.zeros((4, 4, 3), np.uint8)
    metres = np.array([5.0, 20.0, 45.0, 400.0])
    number = np.round(metres / 1000 * (256**3 - 1)).astype(np.int64)
    code[..., 0], code[..., 1], code[..., 2] = number % 256, number // 256 % 256, number // 65536
    assert depth_m(code)[0] == pytest.approx(metres, abs=1e-3)
    path = tmp_path / "depth.png"
    assert cv2.imwrite(str(path), code[..., ::-1])
    bands = choose_bands([path], (15.0, 30.0, 60.0))
    assert bands.by == "distance"
    assert bands.names == ("0 to 15 m", "15 to 30 m", "30 to 60 m", "beyond 60 m")
    assert bands.of(path, (4, 4))[0].tolist() == [0, 1, 2, 3]
    assert "only 1 of 2" in choose_bands([path, None], (15.0,)).basis
    assert "no limits of distance were given" in choose_bands([path], ()).basis


def test_depth_is_that_of_the_camera_which_took_the_image_and_of_no_other(tmp_path: Path) -> None:
    drive = Path(__file__).parents[2] / "dataset" / "carlaseg_grid_ClearNoon_seed0001"
    said, first = read_metadata(drive), next(read_lines(drive))
    front, depth = said.rig[0], "sensor.camera.depth"
    left = replace(front, name="depth_left", blueprint=depth, folder="depth_left", pose_ego=Pose((0, -1, 2), (0, 0, 0)))
    own = replace(front, name="depth_front", blueprint=depth, folder="depth_front")
    for cameras, expected in (((left, own), "depth_front"), ((left,), None)):
        folder = tmp_path / str(len(cameras))
        metadata = replace(said, rig=(*said.rig, *cameras))
        folders = [camera.folder for camera in cameras]
        with RecordingWriter(folder, metadata, said.label_scheme, others=folders) as writer:
            grey = np.zeros((4, 4, 3), np.uint8)
            writer.write_frame(first.frame, grey, grey[..., 0], first, dict.fromkeys(folders, grey))
        found = DepthFiles().path(open_dataset(folder).samples[0])
        assert (found and found.parent.name) == expected


def test_confidences_give_a_calibration_error_known_beforehand(data: Path, tmp_path: Path) -> None:
    right = evaluate(config(write_results(tmp_path / "right", data, wrong_rows=0, confidence=0.75)))
    assert right.reliability is not None
    assert right.reliability.error == pytest.approx(0.25, abs=1e-4)
    assert right.boundary.mean_f1 == 1.0


def test_a_better_run_is_told_from_a_worse_one_and_a_run_from_itself_is_not(data: Path, tmp_path: Path, capsys) -> None:
    better = write_results(tmp_path / "better", data, wrong_rows=1)
    worse = write_results(tmp_path / "worse", data, wrong_rows=5)
    against = evaluate(config(better, against=worse)).against
    assert against is not None
    assert against.figures["mean_iou"].difference.low > 0
    assert "better" in against.verdict
    itself = evaluate(config(better, against=better)).against
    assert itself is not None
    assert itself.figures["mean_iou"].p_value == 1.0
    assert "chance" in itself.verdict
    # Each comparison has a file of its own.
    assert (better / "evaluation_against_worse.json").is_file()
    assert not (better / "evaluation.json").exists()
    assert main(["evaluate", str(worse), "--against", str(better), "--resamples", "200"]) == 0
    assert "mean IoU is worse by" in capsys.readouterr().out


def test_runs_that_cannot_be_compared_are_refused(data: Path, tmp_path: Path) -> None:
    ours = write_results(tmp_path / "ours", data, wrong_rows=1)
    other = write_results(tmp_path / "other", data, wrong_rows=1)
    (other / "classes.json").write_text(json.dumps({"scheme": "camvid", "names": ["a", "b"]}))
    with pytest.raises(ConfigError, match="the same classes"):
        evaluate(config(ours, against=other))
    elsewhere = write_dataset(tmp_path / "elsewhere", frames=FRAMES, size=SIZE)
    for path in (elsewhere / "seg_raw").iterdir():
        assert cv2.imwrite(str(path), np.full((*SIZE, 3), 1, np.uint8))
    with pytest.raises(ConfigError, match="the same truth"):
        evaluate(config(ours, against=write_results(tmp_path / "moved", elsewhere, wrong_rows=1)))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"run": "runs/tiny", "model": None, "weights": None}, "runs/tiny"),
        ({"run": "latest", "model": "model.onnx", "weights": None}, "model.onnx"),
        ({"run": "latest", "model": None, "weights": "tiny_net"}, "tiny_net"),
    ],
)
def test_results_say_whether_a_run_a_file_or_kept_weights_made_them(
    settings: dict[str, str | None], expected: str, data: Path, tmp_path: Path
) -> None:
    results = write_results(tmp_path / "results", data, wrong_rows=1)
    (results / "config.json").write_text(json.dumps(settings))
    assert open_answers(results, None).run == expected


def test_drives_as_the_unit_are_said_to_be_few(data: Path, tmp_path: Path, capsys) -> None:
    results = write_results(tmp_path / "results", data, wrong_rows=2)
    evaluate(config(results, resample="drives"))
    assert "intervals from 3 drives say little" in capsys.readouterr().err
    assert json.loads((results / "evaluation.json").read_text())["intervals"]["of"] == "drives"


def test_a_damaged_prediction_is_named_and_the_rest_is_scored(data: Path, tmp_path: Path, capsys) -> None:
    results = write_results(tmp_path / "results", data, wrong_rows=1)
    (results / "ids" / "00000003.png").write_bytes(b"\x89PNG\r\n\x1a\nhalf")
    assert main(["evaluate", str(results), "--resamples", "100"]) == 5
    said = capsys.readouterr()
    assert "00000003.png" in said.err
    assert f"{FRAMES - 1} images" in said.out


def test_truth_that_has_moved_is_found_where_it_is_said_to_be(data: Path, tmp_path: Path) -> None:
    import shutil

    results = write_results(tmp_path / "results", data, wrong_rows=1)
    text = (results / "predictions.jsonl").read_text()
    (results / "predictions.jsonl").write_text(text.replace(str(data), "/gone"))
    with pytest.raises(DatasetError, match="at least one image that can be scored"):
        evaluate(config(results))
    moved = Path(shutil.copytree(data, tmp_path / "moved"))
    assert evaluate(config(results, truth=moved)).whole.images == FRAMES


def test_folders_that_are_no_results_and_results_without_truth_say_what_to_do(
    data: Path, tmp_path: Path, capsys
) -> None:
    results = write_results(tmp_path / "results", data, wrong_rows=1)
    with pytest.raises(DatasetError, match=r"predictions\.jsonl") as caught:
        evaluate(config(tmp_path / "result"))
    assert str(results) in caught.value.next_steps[0][1]
    lines = [json.loads(line) for line in (results / "predictions.jsonl").read_text().splitlines()]
    for line in lines:
        del line["truth"]
    (results / "predictions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(DatasetError, match="truth beside their images"):
        evaluate(config(results))
    with pytest.raises(ConfigError, match="rising distances"):
        config(results, bands=(30.0, 15.0))
