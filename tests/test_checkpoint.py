"""Run folders that are never overwritten, and weights files that are compared before they are read."""

from __future__ import annotations

import json
import resource
import shlex
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from carlaseg import config as configs
from carlaseg import labels, models
from carlaseg.checkpoint import (
    ModelCard,
    RunFolder,
    load_model,
    load_training_state,
    load_weights,
    save_weights,
)
from carlaseg.config import TrainConfig
from carlaseg.errors import CheckpointError, ConfigError
from carlaseg.training.loop import State

OPTIONS = {"groups": 1, "layers_per_block": 1, "growth_rate": 2, "first_filters": 4}


def tiny(num_classes: int = 3, **more: Any) -> Any:
    return models.build("fc_densenet", num_classes, **{**OPTIONS, **more})


def card(num_classes: int = 3, **more: Any) -> ModelCard:
    scheme = labels.scheme("camvid")
    values = {
        "network": "fc_densenet",
        "num_classes": num_classes,
        "options": OPTIONS,
        "scheme": scheme.name,
        "class_names": scheme.names[:num_classes],
        "palette": tuple(label.color for label in scheme.classes[:num_classes]),
        "size": (32, 48),
        "parameters": 1,
    }
    return ModelCard(**{**values, **more})


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    run = RunFolder.create(tmp_path / "runs", "fc_densenet", "one")
    run.write_model_card(card())
    save_weights(run.weights("best"), tiny(seed=3))
    return run


def test_runs_started_in_the_same_second_get_folders_of_their_own(tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        runs = list(pool.map(lambda _: RunFolder.create(tmp_path, "fc_densenet").name, range(3)))
    assert len(set(runs)) == 3


def test_a_name_that_is_taken_is_refused_and_nothing_changes(run: RunFolder) -> None:
    before = sorted(path.name for path in run.path.iterdir())
    with pytest.raises(ConfigError, match="--run one: expected a name that is free"):
        RunFolder.create(run.path.parent, "fc_densenet", "one")
    assert sorted(path.name for path in run.path.iterdir()) == before


def test_a_name_cannot_leave_the_runs_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected a plain name, received '\.\./elsewhere'"):
        RunFolder.create(tmp_path / "runs", "fc_densenet", "../elsewhere")


def test_a_run_is_found_by_folder_by_a_file_in_it_by_name_and_as_the_latest(run: RunFolder) -> None:
    runs = run.path.parent
    for path in (run.path, run.weights("best"), Path("one"), Path("latest")):
        assert RunFolder.find(path, runs).path == run.path
    with pytest.raises(CheckpointError, match=r"expected a run folder .* received no such folder"):
        RunFolder.find(Path("two"), runs)
    with pytest.raises(CheckpointError, match="expected at least one run, received none"):
        RunFolder.latest(runs / "one")


def test_the_settings_of_a_run_can_be_passed_back(run: RunFolder) -> None:
    config = TrainConfig(dataset=(Path("a"), Path("b")), epochs=3, learning_rate=0.5)
    run.write_config(config)
    assert configs.load(TrainConfig, run.path / "config.json") == config


def test_a_model_is_rebuilt_from_its_card_and_gives_the_same_logits(run: RunFolder) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (1, 9, 11, 3), np.uint8)
    assert np.array_equal(np.asarray(load_model(run)(picture)), np.asarray(tiny(seed=3)(picture)))


def test_training_state_comes_back_with_optimiser_and_dropout(tmp_path: Path) -> None:
    import keras

    def compiled() -> Any:
        model = tiny()
        model.compile(optimizer=keras.optimizers.AdamW(1e-2, name="optimizer"), loss="mse", run_eagerly=True)
        model.optimizer.build(model.trainable_variables)
        return model

    first, second = compiled(), compiled()
    picture = np.full((1, 8, 8, 3), 60, np.uint8)
    target = np.zeros((1, 8, 8, 3), np.float32)
    first.train_on_batch(picture, target)
    save_weights(tmp_path / "last.weights.h5", first, {"epoch": 4, "best_mean_iou": 0.25})
    assert load_training_state(tmp_path / "last.weights.h5", second) == {"epoch": 4, "best_mean_iou": 0.25}
    assert int(second.optimizer.iterations) == 1
    first.train_on_batch(picture, target)
    second.train_on_batch(picture, target)
    for one, other in zip(first.weights, second.weights, strict=True):
        assert np.array_equal(np.asarray(one), np.asarray(other)), one.path


def test_weights_alone_are_no_training_state(run: RunFolder) -> None:
    with pytest.raises(CheckpointError, match="expected weights with a training state, received weights alone"):
        load_training_state(run.weights("best"), tiny())


def test_weights_of_other_classes_are_refused_by_variable_and_nothing_is_loaded(run: RunFolder) -> None:
    model = tiny(num_classes=5)
    before = [np.asarray(v) for v in model.weights]
    with pytest.raises(CheckpointError, match=r"it has logits/kernel 1x1x10x3, not 1x1x10x5; logits/bias 3, not 5\."):
        load_weights(run.weights("best"), model)
    assert all(np.array_equal(np.asarray(v), b) for v, b in zip(model.weights, before, strict=True))


def test_weights_of_another_network_name_what_is_missing_and_what_is_too_much(run: RunFolder) -> None:
    with pytest.raises(CheckpointError, match=r"down1_dense2_norm/gamma missing, not 6; .* and \d+ more\. Nothing was"):
        load_weights(run.weights("best"), tiny(layers_per_block=2))


@pytest.mark.parametrize("keep", [0, 7, 900, -100], ids=["nothing", "a few bytes", "the head", "all but the tail"])
def test_a_truncated_file_is_refused(run: RunFolder, keep: int) -> None:
    path = run.weights("best")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="expected a whole weights file, received a damaged or truncated one"):
        load_model(run)


def test_one_wrong_bit_in_a_weight_is_found(run: RunFolder) -> None:
    path = run.weights("best")
    kernel = np.asarray(tiny(seed=3).get_layer("first_conv").kernel).tobytes()
    content = bytearray(path.read_bytes())
    content[content.index(kernel) + 100] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        load_model(run)


def test_a_file_that_claims_to_be_enormous_takes_no_memory(run: RunFolder) -> None:
    with h5py.File(run.weights("best"), "r+") as file:
        del file["weights/logits/bias"]
        file.create_dataset("weights/logits/bias", (2**40,), "f4", chunks=(1024,))
    with pytest.raises(CheckpointError, match="logits/bias 1099511627776, not 3"):
        load_model(run)


def test_weights_that_are_no_numbers_or_lie_in_another_file_are_refused(run: RunFolder, tmp_path: Path) -> None:
    whole = run.weights("best").read_bytes()
    secret = tmp_path / "secret"
    secret.write_bytes(b"x" * 64)
    elsewhere = h5py.VirtualLayout((3,), "f4")
    elsewhere[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "x", shape=(3,))
    makers: dict[str, Callable[[h5py.Group], object]] = {
        r"\|S4 for logits/bias": lambda g: g.create_dataset("bias", data=np.full(3, b"evil", "S4")),
        "object for logits/bias": lambda g: g.create_dataset("bias", (3,), h5py.string_dtype()),
        "complex64 for logits/bias": lambda g: g.create_dataset("bias", data=np.zeros(3, np.complex64)),
        "kept in another file": lambda g: g.create_dataset("bias", (3,), "f4", external=[(str(secret), 0, 64)]),
        "for logits/bias, kept in": lambda g: g.create_virtual_dataset("bias", elsewhere),
    }
    for words, make in makers.items():
        run.weights("best").write_bytes(whole)
        with h5py.File(run.weights("best"), "r+") as file:
            del file["weights/logits/bias"]
            make(file["weights/logits"])
        with pytest.raises(CheckpointError, match=words):
            load_model(run)


def test_weights_behind_a_link_in_one_piece_or_in_huge_pieces_are_refused(run: RunFolder, tmp_path: Path) -> None:
    whole = run.weights("best").read_bytes()
    (tmp_path / "other.h5").write_bytes(whole)

    def linked(file: h5py.File) -> None:
        file["weights"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "weights")

    def one_piece(file: h5py.File) -> None:
        file["weights"] = np.zeros(3)

    for make in (linked, one_piece):
        run.weights("best").write_bytes(whole)
        with h5py.File(run.weights("best"), "r+") as file:
            del file["weights"]
            make(file)
        with pytest.raises(CheckpointError, match="first_conv/kernel missing, not 7x7x3x4"):
            load_model(run)
    run.weights("best").write_bytes(whole)
    with h5py.File(run.weights("best"), "r+") as file:
        del file["weights/logits/bias"]
        file.create_dataset("weights/logits/bias", (3,), "f4", chunks=(2**28,), maxshape=(None,), compression="gzip")
    with pytest.raises(CheckpointError, match="received 268435456 for logits/bias of 3"):
        load_model(run)


def test_another_hdf5_file_is_told_from_ours(run: RunFolder) -> None:
    with h5py.File(run.weights("best"), "w") as file:
        file["layers"] = np.zeros(3)
    with pytest.raises(CheckpointError, match="expected weights that carlaseg wrote"):
        load_model(run)


def test_a_run_that_ended_before_its_first_epoch_says_so(run: RunFolder) -> None:
    run.weights("best").unlink()
    with pytest.raises(CheckpointError, match="the run ended before its first epoch did"):
        load_model(run)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "expected format 1"),
        ({"num_classes": 4}, "expected 4 class names and colours, received 3 and 3"),
        ({"network": "lenet"}, "received 'lenet'"),
        ({"options": {"groups": 1, "growth_rate": 10**9}}, "larger than any network needs"),
        ({"options": {"groups": {"__import__": "os"}}}, "no plain value"),
        ({"size": "big"}, "expected the description of a network"),
        ({"size": [10**6, 10**6]}, "expected a size of at most"),
        ({"palette": [[0, 0, 0], [1, 1, 1], [256, 0, 0]]}, "three numbers from 0 to 255"),
        ({"num_classes": 256, "class_names": ["a"] * 256, "palette": [[0, 0, 0]] * 256}, "1 to 255 classes"),
        ({"parameters": float("inf")}, "expected the description of a network"),
    ],
)
def test_a_model_card_that_makes_no_sense_is_refused(run: RunFolder, change: dict[str, Any], message: str) -> None:
    values = json.loads((run.path / "model.json").read_text())
    (run.path / "model.json").write_text(json.dumps({**values, **change}))
    with pytest.raises(CheckpointError, match=message):
        load_model(run)


def test_a_text_file_too_large_for_a_run_is_not_read(run: RunFolder) -> None:
    with (run.path / "model.json").open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(CheckpointError, match=r"expected a text file below .* It was not read\."):
        run.model_card()


def test_metrics_are_kept_a_line_an_epoch_and_as_a_table(run: RunFolder) -> None:
    run.append_metrics({"epoch": 1, "loss": 2.5})
    run.append_metrics({"epoch": 2, "loss": 1.25, "best": True})
    assert [record["loss"] for record in run.metrics()] == [2.5, 1.25]
    assert (run.path / "metrics.csv").read_text() == "epoch,loss,best\n1,2.5,\n2,1.25,True\n"
    assert run.keep_metrics(1) == [{"epoch": 1, "loss": 2.5}]
    assert len(run.metrics()) == 1


@pytest.mark.parametrize("line", ["[1]", "{", "9" * 5000, "[" * 100_000])
def test_metrics_that_are_no_objects_are_refused_and_so_is_a_card(run: RunFolder, line: str) -> None:
    (run.path / "metrics.jsonl").write_text(f'{{"epoch": 1}}\n{line}\n')
    with pytest.raises(CheckpointError, match="one JSON object a line"):
        run.metrics()
    (run.path / "model.json").write_text(line)
    with pytest.raises(CheckpointError, match=r"model\.json: expected a"):
        run.model_card()


def test_what_to_type_next_can_be_typed_when_a_folder_has_a_space_in_its_name(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "my runs", "fc_densenet", "one")
    run.write_model_card(card())
    with pytest.raises(ConfigError) as taken:
        RunFolder.create(tmp_path / "my runs", "fc_densenet", "one")
    with pytest.raises(CheckpointError) as unfinished:
        load_model(run)
    for error in (taken.value, unfinished.value):
        assert shlex.split(error.next_steps[0][1]) == ["carlaseg", "train", "--resume", str(run.path)]


def test_a_training_state_of_other_values_is_refused() -> None:
    assert State.from_saved({"epoch": 2, "loss_sum": 1.5}) == State(epoch=2, loss_sum=1.5)
    for values in ({"epoch": "two"}, {"step": -1}, {"epoch": 1.5}, {"best_mean_iou": None}, {"surprise": 1}):
        with pytest.raises(CheckpointError, match="training state: expected"):
            State.from_saved(values)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(run: RunFolder) -> None:
    model = tiny()
    before = run.weights("best").read_bytes()
    with pytest.raises(TypeError):
        save_weights(run.weights("best"), _WithAVariableNobodyCanStore(model))
    assert run.weights("best").read_bytes() == before
    assert sorted(path.name for path in run.path.iterdir()) == ["best.weights.h5", "model.json"]


def test_a_disk_that_fills_up_under_a_checkpoint_is_an_error_and_not_a_crash(run: RunFolder) -> None:
    """A limit on a file's size is a full disk that needs no rights; HDF5 on such a disk takes the process with it."""
    before = run.weights("best").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
        with pytest.raises(CheckpointError, match="What was there before is whole"):
            save_weights(run.weights("best"), tiny())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert run.weights("best").read_bytes() == before
    assert not list(run.path.glob(".*"))


class _WithAVariableNobodyCanStore:
    def __init__(self, model: Any) -> None:
        class Strange:
            path = "strange"

            def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
                return np.array([object()])

        self.weights = [*model.weights, Strange()]
