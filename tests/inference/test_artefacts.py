"""Artefacts from anywhere: damaged, foreign, huge or hostile ones get one sentence, and no code of theirs runs."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_run import frame

from carlaseg.cli import main
from carlaseg.config import ExportConfig
from carlaseg.errors import CheckpointError
from carlaseg.inference.artefact import FILE, ArtefactCard
from carlaseg.inference.exporting import export
from carlaseg.inference.exporting.formats import FORMATS
from carlaseg.inference.runtimes import open_artefact
from carlaseg.inference.runtimes.predicting import Lanes

Exported = Callable[[str], Path]


@pytest.fixture(scope="module")
def exported(learned_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A fresh copy of an artefact of each format; made once a format."""
    import shutil

    made: dict[str, Path] = {}

    def artefact(to: str) -> Path:
        if to not in made:
            path = tmp_path_factory.mktemp(to) / f"model{FORMATS[to].suffix}"
            made[to] = export(ExportConfig(run=learned_run, to=to, output=path, max_miou_drop=3.0)).path
        copy = tmp_path_factory.mktemp(f"{to}_copy")
        shutil.copytree(made[to].parent, copy, dirs_exist_ok=True)
        return copy / made[to].name

    return artefact


def card(**changes: object) -> ArtefactCard:
    values: dict[str, object] = {
        "carlaseg": "0.1.0",
        "run": "r",
        "checkpoint": "best",
        "network": "fc_densenet",
        "scheme": "camvid",
        "class_names": ("sky", "road"),
        "palette": ((1, 2, 3), (4, 5, 6)),
        "trained_size": (24, 32),
        "size": None,
        "precision": "float32",
    }
    return ArtefactCard(**{**values, **changes})


def test_a_card_says_the_same_after_its_journey_through_a_file() -> None:
    original = card(size=(32, 48), precision="int8", kept_float=("up1",), output="ids")
    assert ArtefactCard.from_text(Path("x"), original.to_text()) == original


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"palette": [[1, 2, 3]]}, "2 class names and 1 colours"),
        ({"palette": [[1, 2, 3], [4, 5, 600]]}, "colour 600"),
        ({"class_names": []}, "0 class names"),
        ({"trained_size": [0, 32]}, "size"),
        ({"size": [10**9, 10**9]}, "size"),
        ({"size": [2**15, 2**15]}, "size"),
        ({"output": "shell"}, "output 'shell'"),
        ({"precision": "int2"}, "precision 'int2'"),
        ({"format": 99}, "format 1, received 99"),
    ],
)
def test_a_card_that_cannot_be_is_refused(change: dict[str, object], reason: str) -> None:
    text = json.dumps({**json.loads(card().to_text()), **change})
    with pytest.raises(CheckpointError, match=reason):
        ArtefactCard.from_text(Path("x"), text)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "[" * 100_000, "x" * (2**20 + 1)])
def test_a_card_that_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(CheckpointError):
        ArtefactCard.from_text(Path("x"), text)


@pytest.mark.parametrize("to", ["onnx", "openvino", "litert", "saved_model"])
def test_a_truncated_artefact_gets_one_sentence(exported: Exported, to: str) -> None:
    path = exported(to)
    file = path / "saved_model.pb" if path.is_dir() else path
    whole = file.read_bytes()
    for length in (0, 3, len(whole) // 2, len(whole) - 9):
        file.write_bytes(whole[:length])
        with pytest.raises(CheckpointError) as got:
            open_artefact(path).answer(frame(0)[0][None])
        assert got.value.exit_code == 6
        assert str(path) in got.value.message
        assert "\n" not in got.value.message
    file.write_bytes(bytes(np.random.default_rng(0).integers(0, 256, len(whole), dtype=np.uint8)))
    with pytest.raises(CheckpointError):
        open_artefact(path)


def test_openvino_weights_that_are_missing_or_short_get_one_sentence(exported: Exported) -> None:
    path = exported("openvino")
    weights = path.with_suffix(".bin")
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError):
        open_artefact(path)
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"model\.bin: expected an artefact, received nothing"):
        open_artefact(path)


def test_an_artefact_without_our_metadata_is_named_as_such(exported: Exported, tmp_path: Path) -> None:
    import onnx

    model = onnx.load(str(exported("onnx")))
    del model.metadata_props[:]
    onnx.save(model, str(tmp_path / "bare.onnx"))
    saved = exported("saved_model")
    (saved / "assets.extra" / FILE).unlink()
    lite = exported("litert")
    content = lite.read_bytes()
    lite.write_bytes(content[: content.index(b"PK\x03\x04")])
    vino = exported("openvino")
    vino.write_text(vino.read_text().replace("carlaseg>", "another>"))
    for path in (tmp_path / "bare.onnx", saved, lite, vino):
        with pytest.raises(CheckpointError, match="that `carlaseg export` wrote"):
            open_artefact(path)


def test_an_artefact_whose_classes_are_not_those_of_its_metadata_is_found_out(exported: Exported) -> None:
    path = exported("saved_model")
    text = path / "assets.extra" / FILE
    values = json.loads(text.read_text())
    values["class_names"], values["palette"] = values["class_names"][:-1], values["palette"][:-1]
    text.write_text(json.dumps(values))
    artefact = open_artefact(path)
    with pytest.raises(CheckpointError, match=r"logits of shape 1x24x32x28 .* received float32 of shape 1x24x32x29"):
        artefact(frame(0)[0][None], (24, 32))


def test_what_is_no_artefact_is_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "weights.h5").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    for name, reason in (("weights.h5", "received a .h5 file"), ("nothing.onnx", "nothing"), ("empty", "nothing")):
        assert main(["infer", "--model", str(tmp_path / name), "--input", str(tmp_path)]) == 6
        said = capsys.readouterr().err
        assert reason in said
        assert "Traceback" not in said


@pytest.mark.parametrize("name", ["huge.onnx", "huge.tflite", "huge.pt2"])
def test_a_file_larger_than_any_network_is_not_read(tmp_path: Path, name: str) -> None:
    if name.endswith("pt2") and importlib.util.find_spec("torch") is None:
        pytest.skip("PyTorch is not installed")
    path = tmp_path / name
    path.touch()
    os.truncate(path, 5 * 2**30)  # a hole: it takes no room on disk
    with pytest.raises(CheckpointError, match=r"below 2 GiB, received 5\.0 GiB"):
        open_artefact(path)


def test_a_card_that_grows_when_it_is_unpacked_is_not_unpacked(exported: Exported) -> None:
    path = exported("litert")
    content = path.read_bytes()
    bomb = io.BytesIO(content[: content.index(b"PK\x03\x04")])
    bomb.seek(0, io.SEEK_END)
    with zipfile.ZipFile(bomb, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(FILE, b" " * (64 * 2**20))
    path.write_bytes(bomb.getvalue())
    assert path.stat().st_size < 2**20
    with pytest.raises(CheckpointError, match="67,108,864 bytes"):
        open_artefact(path)


def test_a_saved_model_that_would_write_a_file_is_refused_and_writes_none(exported: Exported, tmp_path: Path) -> None:
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    path = exported("saved_model")
    file, written = path / "saved_model.pb", tmp_path / "written"
    saved = SavedModel.FromString(file.read_bytes())
    graph = saved.meta_graphs[0].graph_def
    for name, value in (("name", str(written)), ("content", "x")):
        node = graph.node.add(op="Const", name=f"evil/{name}")
        node.attr["dtype"].type = 7  # DT_STRING
        node.attr["value"].tensor.dtype = 7
        node.attr["value"].tensor.string_val.append(value.encode())
        node.attr["value"].tensor.tensor_shape.SetInParent()
    graph.node.add(op="WriteFile", name="evil/write", input=["evil/name", "evil/content"])
    answer = saved.meta_graphs[0].signature_def["serving_default"].outputs["logits"].name.partition(":")[0]
    next(node for node in graph.node if node.name == answer).input.append("^evil/write")
    file.write_bytes(saved.SerializeToString())
    with pytest.raises(CheckpointError, match="the operation 'WriteFile'"):
        open_artefact(path).answer(frame(0)[0][None])
    assert not written.exists()


class Evil:
    """A pickle that makes a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.path),)


def test_a_description_of_a_gigabyte_is_not_read_whole(exported: Exported) -> None:
    path = exported("saved_model")
    os.truncate(path / "assets.extra" / FILE, 2**30)  # a hole: it takes no room on disk
    with pytest.raises(CheckpointError, match=r"a description below 1,048,576 bytes, received 1,048,577\."):
        open_artefact(path)


def test_a_model_without_an_input_gets_one_sentence(tmp_path: Path) -> None:
    import onnx
    from onnx import helper

    node = helper.make_node("Constant", [], ["logits"], value_float=1.0)
    output = helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, [])
    model = helper.make_model(helper.make_graph([node], "g", [], [output]), opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 8
    entry = model.metadata_props.add()
    entry.key, entry.value = "carlaseg", card().to_text()
    onnx.save(model, str(tmp_path / "bare.onnx"))
    with pytest.raises(CheckpointError, match="damaged"):
        open_artefact(tmp_path / "bare.onnx")


def test_an_openvino_model_that_answers_at_another_size_is_found_out(tmp_path: Path) -> None:
    import openvino
    from openvino import opset8 as operations

    image = operations.parameter([-1, -1, -1, 3], np.uint8, name="image")
    halves = operations.constant(np.array([1, 2, 2, 1], np.int64))
    begin = operations.constant(np.zeros(4, np.int64))
    end = operations.constant(np.full(4, 2**31 - 1, np.int64))
    mask = [0] * 4
    smaller = operations.strided_slice(operations.convert(image, "f32"), begin, end, halves, mask, mask)
    model = openvino.Model([operations.result(smaller)], [image], "half")
    names = ("a", "b", "c")
    text = card(class_names=names, palette=((0, 0, 0),) * 3, scheme="camvid").to_text()
    model.set_rt_info(text, ["carlaseg", "card"])
    openvino.save_model(model, tmp_path / "half.xml", compress_to_fp16=False)
    with pytest.raises(CheckpointError, match=r"logits of shape 1x24x32x3 .* received float32 of shape 1x12x16x3"):
        open_artefact(tmp_path / "half.xml")(frame(0)[0][None], (24, 32))


@pytest.mark.parametrize("to", ["onnx", "openvino", "litert"])
def test_several_pictures_at_once_get_the_ids_that_each_gets_alone(exported: Exported, to: str) -> None:
    artefact = open_artefact(exported(to))
    pictures = np.stack([frame(number)[0] for number in range(5)])
    size = pictures.shape[1:3]
    alone = [artefact(picture[None], size) for picture in pictures]
    artefact.lanes = Lanes(3)  # also where the machine has a core alone
    assert np.array_equal(artefact(pictures, size), np.concatenate(alone))
    assert artefact.at_once == 3
    assert np.array_equal(artefact(pictures[4:], size), alone[4])
    with pytest.raises(CheckpointError, match="expected an answer of"):
        artefact(np.zeros((2, *size, 4), np.uint8), size)


@pytest.mark.slow
def test_a_program_that_would_run_code_is_refused_and_runs_none(exported: Exported, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    whole = exported("torch").read_bytes()
    made = tmp_path / "made"
    pickled = pickle.dumps(Evil(made))

    def unpickled(content: bytes) -> bytes:
        values = json.loads(content)
        values["config"]["evil"] = {"path_name": "weight_0", "use_pickle": True}
        return json.dumps(values).encode()

    def graph(change: Callable[[dict], None]) -> Callable[[bytes], bytes]:
        def changed(content: bytes) -> bytes:
            values = json.loads(content)
            change(values)
            return json.dumps(values).encode()

        return changed

    def conditions(values: dict) -> None:
        values["guards_code"] = [f"__import__('os').mkdir({str(made)!r})"]

    def reads_a_file(values: dict) -> None:
        values["graph_module"]["graph"]["nodes"][0]["target"] = "torch.ops.aten.from_file.default"

    def calls(values: dict) -> None:
        values["graph_module"]["graph"]["nodes"][0]["metadata"]["note"] = "__import__('os').getcwd()"

    attacks: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
        "example": ("data/sample_inputs/model.pt", lambda _: pickled, "pickled example inputs"),
        "weights": ("data/weights/model_weights_config.json", unpickled, "the pickled tensor"),
        "constants": ("data/constants/model_constants_config.json", unpickled, "the pickled tensor"),
        "legacy": ("data/weights/model.pt", lambda _: pickled, "the file"),
        "conditions": ("models/model.json", graph(conditions), "conditions on its input"),
        "from_file": ("models/model.json", graph(reads_a_file), "the operation 'torch.ops.aten.from_file.default'"),
        "text": ("models/model.json", graph(calls), "the text"),
    }
    for name, (member, change, reason) in attacks.items():
        path = tmp_path / f"{name}.pt2"
        with zipfile.ZipFile(io.BytesIO(whole)) as good, zipfile.ZipFile(path, "w") as bad:
            top = good.namelist()[0].split("/")[0]
            for entry in good.infolist():
                if entry.filename != f"{top}/{member}":
                    bad.writestr(entry.filename, good.read(entry))
            old = good.read(f"{top}/{member}") if f"{top}/{member}" in good.namelist() else b""
            bad.writestr(f"{top}/{member}", change(old))
        with pytest.raises(CheckpointError, match=reason):
            open_artefact(path)
        assert not made.exists(), name
    with zipfile.ZipFile(tmp_path / "bomb.pt2", "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("model/data/weights/weight_0", b"\0" * 2**26)
    with pytest.raises(CheckpointError, match="the compressed file"):
        open_artefact(tmp_path / "bomb.pt2")
    (tmp_path / "half.pt2").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="damaged or truncated"):
        open_artefact(tmp_path / "half.pt2")
