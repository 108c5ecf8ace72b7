"""Export through its public door: real converters, real runtimes, the parity report checked against the artefact."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_run import SCHEME, SIZE, frame, write_dataset, write_run

from carlaseg import models
from carlaseg.checkpoint import RunFolder, load_model, save_weights
from carlaseg.cli import main
from carlaseg.config import ExportConfig, InferConfig, Size, TrainConfig
from carlaseg.errors import CarlasegError, CheckpointError, ConfigError, DatasetError
from carlaseg.inference import infer
from carlaseg.inference.exporting import export
from carlaseg.inference.exporting import onnx_file as onnx_conversion
from carlaseg.inference.exporting.formats import FORMATS
from carlaseg.inference.runtimes import open_artefact
from carlaseg.metrics import Scores, confusion_matrix

ROOT = Path(__file__).resolve().parents[2]
FAST = {("onnx", "float32"), ("openvino", "float16"), ("litert", "int8"), ("saved_model", "float16")}
ALL = [(to, precision) for to, form in FORMATS.items() for precision in form.precisions]


def config(run: Path, output: Path, **more: object) -> ExportConfig:
    return ExportConfig(run=run, output=output, max_miou_drop=3.0, **more)


@pytest.fixture(scope="module")
def onnx_file(learned_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(config(learned_run, tmp_path_factory.mktemp("onnx") / "model.onnx")).path


@pytest.mark.parametrize(
    ("to", "precision"),
    [pytest.param(*pair, marks=() if pair in FAST else pytest.mark.slow) for pair in ALL],
)
def test_an_artefact_gives_the_checkpoints_classes_and_says_so_in_its_report(
    learned_run: Path, tmp_path: Path, to: str, precision: str
) -> None:
    form = FORMATS[to]
    if "torch" in form.packages:
        pytest.importorskip("torch")
    made = export(config(learned_run, tmp_path / f"model{form.suffix}", to=to, precision=precision))
    run = RunFolder(learned_run)
    artefact, model = open_artefact(made.path), load_model(run)

    assert artefact.card.class_names == run.model_card().class_names
    assert artefact.card.palette == run.model_card().palette
    assert (artefact.card.scheme, artefact.card.precision, artefact.card.run) == (SCHEME, precision, "learned")
    images, truth = (np.stack([frame(number)[part] for number in (7, 8, 9)]) for part in (0, 1))
    expected = np.asarray(model(images, training=False))
    logits = artefact.logits(images)
    difference = np.abs(logits - expected).max()
    assert difference < {"float32": 1e-3, "float16": 0.05 * np.abs(expected).max(), "int8": np.inf}[precision]
    same = float((logits.argmax(-1) == expected.argmax(-1)).mean())
    assert same > 0.97
    if form.any_size:
        odd = frame(3, (45, 70))[0][None]
        assert (artefact(odd, (45, 70)) == np.asarray(model(odd, training=False)).argmax(-1)).mean() > 0.97

    # The report's figures, worked out again from the artefact. Validation is what the last frames of the one drive are.
    report = json.loads((tmp_path / "parity.json").read_text())
    confusion = confusion_matrix(truth, logits.argmax(-1), artefact.card.num_classes)
    parity = report["parity"]
    assert parity["images"] == 3
    assert parity["mean_iou"] == pytest.approx(Scores.from_confusion(confusion, artefact.card.class_names).mean_iou)
    assert parity["same_class"] == pytest.approx(same)
    assert parity["logits_max"] == pytest.approx(difference, rel=1e-3, abs=1e-5)
    assert parity["miou_drop"] == pytest.approx(100 * (parity["checkpoint_mean_iou"] - parity["mean_iou"]))
    files = [file for file in tmp_path.rglob("*") if file.is_file() and file.name not in ("parity.json", "parity.md")]
    assert report["artefact_bytes"] == sum(file.stat().st_size for file in files)
    assert report["speed"]["latency_ms"] > 0
    page = (tmp_path / "parity.md").read_text()
    assert f"{parity['mean_iou']:.4f}" in page
    assert "times the checkpoint's speed" in page
    assert not list(tmp_path.glob(".export-*"))


@pytest.mark.slow
def test_openvino_knows_the_number_of_feature_maps_whatever_the_size_and_gives_one_answer_by_any_way(
    learned_run: Path, tmp_path: Path
) -> None:
    import openvino

    made = export(config(learned_run, tmp_path / "model.xml", to="openvino", precision="int8"))
    model = openvino.Core().read_model(made.path)
    joined = [
        node
        for node in model.get_ops()
        if node.get_type_name() == "Concat" and node.get_output_element_type(0).is_real()
    ]
    stacks = [node for node in joined if node.get_output_partial_shape(0).rank == 4]
    assert len(stacks) == 3
    assert all(node.get_output_partial_shape(0)[1].is_static for node in stacks)

    # Compiled for any size, as a stranger would, and for one size, as we do.
    image = frame(7)[0][None]
    any_size = openvino.Core().compile_model(model, "CPU")(image)[0]
    artefact = open_artefact(made.path)
    assert (any_size.argmax(-1) == artefact.logits(image).argmax(-1)).mean() > 0.99
    for size in ((24, 32), (31, 33), (40, 24), (16, 48), (48, 48), (20, 20)):
        picture = frame(3, size)[0][None]
        assert np.array_equal(artefact(picture, size), artefact.logits(picture).argmax(-1)), size


@pytest.mark.slow
def test_a_pyramid_in_eight_bits_takes_any_size_in_openvino(tmp_path: Path) -> None:
    name = "pspnet_mobilenet_v2"
    run = RunFolder(write_run(tmp_path / "runs", "pyramid", name, dict(models.network(name).smallest or {})))
    data = write_dataset(tmp_path / "drive", frames=10)
    run.write_config(TrainConfig(dataset=(data,), scheme=SCHEME, validation_share=0.3))
    settings = {"to": "openvino", "precision": "int8", "max_miou_drop": 100.0}
    made = export(ExportConfig(run=run.path, output=tmp_path / "model.xml", **settings))
    assert made.report.parity.same_class > 0.8
    for size in (SIZE, (40, 56)):
        assert open_artefact(made.path).logits(frame(3, size)[0][None]).shape[1:3] == size


@pytest.mark.slow
def test_a_network_too_bulky_for_the_usual_conversion_gives_the_same_answers(
    learned_run: Path, onnx_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_conversion, "BULKY", 0)
    made = export(config(learned_run, tmp_path / "model.onnx"))
    image = frame(3)[0][None]
    assert np.allclose(open_artefact(made.path).logits(image), open_artefact(onnx_file).logits(image), atol=1e-5)
    assert made.path.stat().st_size != onnx_file.stat().st_size, "it went the usual way"


def test_a_fixed_size_and_ids_are_in_the_artefact_when_asked_for(learned_run: Path, tmp_path: Path) -> None:
    made = export(config(learned_run, tmp_path / "model.onnx", size=Size(32, 48), argmax=True))
    artefact = open_artefact(made.path)
    image = frame(3, (32, 48))[0][None]
    answer = artefact.answer(image)
    assert (answer.dtype, answer.shape) == (np.uint8, (1, 32, 48))
    model = load_model(RunFolder(learned_run))
    assert np.array_equal(answer, np.asarray(model(image, training=False)).argmax(-1))
    assert made.report.parity.logits_max is None
    with pytest.raises(ConfigError, match="expected pictures of its own size, 32x48, received 24x32"):
        artefact(frame(3)[0][None], SIZE)
    with pytest.raises(ConfigError, match="ends in class ids"):
        artefact.logits(image)


def test_infer_takes_an_artefact_in_place_of_a_run(
    learned_run: Path, onnx_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_dataset(tmp_path / "drive", frames=3, size=(30, 40))
    code = main(
        ["infer", "--model", str(onnx_file), "--input", str(data), "--output", str(tmp_path), "--scheme", SCHEME]
    )
    assert code == 0
    said = capsys.readouterr()
    assert "onnxruntime" in said.err
    theirs = tmp_path / "learned_onnx_float32_drive"
    ours = infer(InferConfig(run=learned_run, input=(str(data),), output=tmp_path, scheme=SCHEME)).folder
    pictures = sorted((ours / "ids").iterdir())
    assert len(pictures) == 3
    for picture in pictures:
        ids, other = (cv2.imread(str(f / "ids" / picture.name), cv2.IMREAD_UNCHANGED) for f in (ours, theirs))
        assert ids.shape == (30, 40)
        assert (ids == other).mean() > 0.99


def test_weights_too_large_for_half_precision_fall_below_the_floor_and_leave_no_file(
    learned_run: Path, tmp_path: Path
) -> None:
    import shutil

    run = RunFolder(tmp_path / "huge")
    shutil.copytree(learned_run, run.path)
    model = load_model(run)
    kernel, bias = model.get_layer("logits").get_weights()
    model.get_layer("logits").set_weights([kernel * 1e6, bias * 1e6])  # the same classes, in float32
    save_weights(run.weights("best"), model)
    out = tmp_path / "out" / "model"
    with pytest.raises(CheckpointError, match=r"points below the checkpoint.* No artefact") as got:
        export(config(run.path, out, to="saved_model", precision="float16"))
    assert got.value.exit_code == 6
    assert not out.parent.exists()


def test_an_artefact_is_replaced_only_when_asked_for(learned_run: Path, onnx_file: Path) -> None:
    before = onnx_file.read_bytes()
    run_before = {path: path.read_bytes() for path in learned_run.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match="a place that is free"):
        export(config(learned_run, onnx_file))
    assert onnx_file.read_bytes() == before
    export(config(learned_run, onnx_file, overwrite=True))
    assert open_artefact(onnx_file).card.network == "fc_densenet"
    # An artefact that lies elsewhere leaves the run as it was.
    assert {path: path.read_bytes() for path in learned_run.rglob("*") if path.is_file()} == run_before


def test_a_precision_the_format_lacks_and_a_wrong_suffix_are_refused_at_once(learned_run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected float32 or float16 for this format, received int8"):
        export(config(learned_run, tmp_path / "model", to="saved_model", precision="int8"))
    with pytest.raises(ConfigError, match=r"a name that ends in \.onnx, received model\.xml"):
        export(config(learned_run, tmp_path / "model.xml"))
    assert not list(tmp_path.iterdir())


def test_a_place_that_one_may_not_write_is_said_before_anything_is_converted(learned_run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CarlasegError, match=r"expected room to write it, received .* No artefact was left"):
        export(config(learned_run, tmp_path / "file" / "model.onnx"))
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_run_whose_dataset_is_gone_says_which_flag_names_another(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # its settings name dataset/, seen from here
    with pytest.raises(DatasetError, match="expected the pictures it was trained on") as got:
        export(config(tiny_run, tmp_path / "model.onnx"))
    assert "--validation-data" in got.value.next_steps[0][1]
    with pytest.raises(DatasetError, match="truth of the network's classes"):
        labelled = write_dataset(tmp_path / "kitti", frames=2)
        export(config(tiny_run, tmp_path / "model.onnx", validation_data=labelled, scheme="kitti-road"))


@pytest.mark.slow
def test_blocks_that_eight_bits_hurt_are_found_and_left_in_float(learned_run: Path, tmp_path: Path) -> None:
    # Calibrated with one grey picture, every range is far too narrow; only layers in float can still be right.
    grey = tmp_path / "grey"
    grey.mkdir()
    assert cv2.imwrite(str(grey / "grey.png"), np.full((*SIZE, 3), 128, np.uint8))
    made = export(
        config(learned_run, tmp_path / "out" / "model.onnx", precision="int8", calibration_data=grey, calibration=1)
    )
    kept = made.report.card.kept_float
    assert kept
    assert made.report.parity.miou_drop <= 3.0
    assert ", ".join(kept) in (tmp_path / "out" / "parity.md").read_text()
    assert open_artefact(made.path).card.kept_float == kept


NO_TELEMETRY = """
import os, socket, sys
attempts = []
def refused(self, address):
    attempts.append(address)
    raise OSError("no connections here")
socket.socket.connect = refused
from pathlib import Path
from carlaseg.config import ExportConfig
from carlaseg.inference.exporting import export
from carlaseg.inference.exporting import onnx_file as onnx_conversion
out = Path(sys.argv[2])
export(ExportConfig(run=Path(sys.argv[1]), to="openvino", precision="int8", max_miou_drop=50.0, output=out))
import nncf.telemetry.wrapper as wrapper
assert type(wrapper.telemetry).__name__ == "MagicMock", wrapper.telemetry
assert "CI" not in os.environ and "NNCF_CI" not in os.environ
assert not attempts, attempts
"""


def test_running_an_artefact_by_openvino_makes_no_number_for_its_user(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for name in ("model.xml", "model.bin"):
        (tmp_path / name).write_text("no model")
    code = """
import os, sys
from pathlib import Path
from carlaseg.errors import CheckpointError
from carlaseg.inference.runtimes import open_artefact
try:
    open_artefact(Path(sys.argv[1]))
except CheckpointError:
    assert "openvino" in sys.modules and "CI" not in os.environ
    print("refused")
"""
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "NNCF_CI", "TF_BUILD")}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "model.xml")],
        cwd=ROOT,
        env={**environment, "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "refused", done.stderr
    assert not (home / "intel").exists()


@pytest.mark.slow
def test_quantising_reports_to_nobody(learned_run: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "NNCF_CI", "TF_BUILD")}
    done = subprocess.run(
        [sys.executable, "-c", NO_TELEMETRY, str(learned_run), str(tmp_path / "out" / "model.xml")],
        cwd=ROOT,
        env={**environment, "HOME": str(home), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "model.xml").is_file()
    # Where the tools keep the number that they report a user by; without our care it is there after one conversion.
    assert not (home / "intel").exists()
