"""A run from folders to scores, and everything that may come between."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tiny_run import write_dataset
from tiny_training import interrupt_after, settings, stored

from carlaseg import config as configs
from carlaseg.checkpoint import RunFolder, load_model, save_weights
from carlaseg.cli import COMMANDS, parse
from carlaseg.config import ModelsConfig, Size, TrainConfig
from carlaseg.errors import CheckpointError, ConfigError, DatasetError, Interrupted, TrainingDiverged
from carlaseg.training import train as story
from carlaseg.training.listing import models_command
from carlaseg.training.loop import validate
from carlaseg.training.network import network_options
from carlaseg.training.prepare import prepare
from carlaseg.training.train import TrainResult, train, train_command

Finished = tuple[Path, TrainResult]


# === A whole run ===


def test_a_run_folder_explains_itself(finished: Finished) -> None:
    folder, result = finished
    names = {str(path.relative_to(result.run)) for path in result.run.rglob("*") if path.is_file()}
    assert names == {
        "README.md", "best.weights.h5", "check_classes.png", "check_train_batch.jpg", "config.json", "confusion.csv",
        "confusion.png", "curves.png", "environment.json", "last.weights.h5", "log.txt", "metrics.csv",
        "metrics.jsonl", "model.json", "per_class.csv", "predictions/epoch_001.jpg", "predictions/epoch_002.jpg",
        "predictions/epoch_003.jpg", "validation_metrics.json",
    }  # fmt: skip
    card = (result.run / "README.md").read_text()
    assert f"mean IoU **{result.scores.mean_iou:.3f}**" in card
    assert f"best epoch | {result.best_epoch}," in card
    # What made the run is said so that it can be typed, whoever started this process.
    typed = json.loads((result.run / "environment.json").read_text())["command"]
    assert typed[:2] == ["carlaseg", "train"]
    assert parse("train", COMMANDS["train"], typed[2:]) == settings(folder, run="whole")
    assert f"| command | `{shlex.join(typed)}` |" in card
    log = (result.run / "log.txt").read_text()
    assert "8 frames of 1 drive" in log
    assert "dataset: carla-0.9.14, for " in log
    assert "done    3 of 3 epochs" in log
    assert configs.load(TrainConfig, result.run / "config.json") == settings(folder, run="whole")


def test_every_epoch_has_its_figures_and_the_best_one_is_kept(finished: Finished) -> None:
    _, result = finished
    records = RunFolder(result.run).metrics()
    assert [record["epoch"] for record in records] == [1, 2, 3]
    assert records[-1]["loss"] < records[0]["loss"]
    best = max(records, key=lambda record: record["val_mean_iou"])
    assert best["epoch"] == result.best_epoch
    # The weights were saved at that epoch: scored again, they give the same figure.
    assert result.scores.mean_iou == best["val_mean_iou"]


def test_the_validation_loss_is_plain_whatever_the_weights_of_the_classes(folder: Path) -> None:
    losses = []
    for class_weights in ("none", "median"):
        ready = prepare(settings(folder, class_weights=class_weights))
        assert (ready.weights is None) == (class_weights == "none")
        validation = validate(ready.scoring, ready.validation, ready.selection.target.num_classes, ())
        assert validation is not None
        losses.append(validation.loss)
    assert losses[0] == losses[1]


def test_the_pictures_show_the_frames_in_their_classes_colours(finished: Finished) -> None:
    _, result = finished
    sheet = cv2.imread(str(result.run / "predictions" / "epoch_003.jpg"))
    # Two held-out frames: image, truth, prediction, enlarged to 240 rows of 320 columns, two frames a row; a line of
    # text above, the classes below.
    assert sheet.shape == (22 + 240 + 28, 2 * 3 * 320 + 4, 3)
    sky = sheet[22 + 20, 320 + 10]
    assert np.abs(sky.astype(int) - [180, 130, 70]).max() < 12
    for name in ("check_classes.png", "check_train_batch.jpg", "confusion.png", "curves.png"):
        assert cv2.imread(str(result.run / name)).std() > 10


def test_the_model_of_a_run_tells_the_classes_apart_in_new_pictures(folder: Path) -> None:
    write_dataset(folder / "other", frames=10)
    for number in range(8):  # the first eight are those of the training
        for part, stem in (("rgb", "rgb"), ("seg_raw", "seg_raw")):
            (folder / "other" / part / f"{stem}_{number:08d}.png").unlink()
    result = train(
        settings(
            folder, validation=(folder / "other",), epochs=25, batch_size=4, augment="none", dropout_rate=0.0,
            schedule="constant", learning_rate=0.02, optimizer="rmsprop", class_weights="inverse-log",
        )
    )  # fmt: skip
    assert result is not None
    assert result.scores.mean_iou > 0.9
    assert result.scores.pixel_accuracy > 0.95


def test_a_plain_run_can_be_watched_in_tensorboard(folder: Path) -> None:
    pytest.importorskip("tensorboard", reason="an extra: pip install carlaseg[tensorboard]")
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    result = train(settings(folder, epochs=1, tensorboard=True))
    assert result is not None
    (path,) = (result.run / "tensorboard").iterdir()
    values = {value.tag: value for event in EventFileLoader(str(path)).Load() for value in event.summary.value}
    loss = values["val_loss"].tensor.float_val[0]
    assert loss == pytest.approx(RunFolder(result.run).metrics()[0]["val_loss"], rel=1e-6)


def test_a_run_stops_when_it_gets_no_better(folder: Path) -> None:
    # A learning rate that moves nothing: the first epoch stays the best.
    result = train(settings(folder, epochs=9, patience=1, schedule="constant", learning_rate=1e-8, augment="none"))
    assert result is not None
    assert result.epochs < 9
    assert result.epochs == result.best_epoch + 1


def test_a_run_that_patience_ended_goes_on_without_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nothing_moves: dict[str, Any] = {"schedule": "constant", "learning_rate": 1e-8, "augment": "none"}
    first = train(settings(folder, epochs=3, patience=1, **nothing_moves))
    assert first is not None
    assert first.epochs == 2

    same = train(TrainConfig(resume=first.run, epochs=4))
    assert same is not None
    assert same.epochs == 2
    said = "2 epochs were done before; the last 1 no better: --patience above 1, or --patience 0 for none, goes on"
    assert said in capsys.readouterr().err

    result = train(TrainConfig(resume=first.run, patience=0))
    assert result is not None
    assert result.epochs == 4


# === Interrupted and continued ===


@pytest.mark.parametrize("images", [2, 6, 10], ids=["in the first epoch", "at its last step", "in the second"])
def test_a_run_that_is_continued_ends_with_the_bytes_of_one_that_was_not(
    images: int, finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, whole = finished
    with monkeypatch.context() as patch:
        interrupt_after(images, patch)
        with pytest.raises(Interrupted, match="optimiser and random state are safe in") as caught:
            train(settings(folder, run=f"stopped after {images}"))
    run = folder / "runs" / f"stopped after {images}"
    assert caught.value.exit_code == 130
    assert caught.value.next_steps == (("continue", f"carlaseg train --resume '{run}'"),)
    result = train(TrainConfig(resume=run))
    assert result is not None
    for which in ("best", "last"):
        if which == "last":
            left, right = stored(whole.run / "last.weights.h5"), stored(run / "last.weights.h5")
            assert left.keys() == right.keys()
            for name in left:
                assert np.array_equal(left[name], right[name]), name
    keys = ("epoch", "loss", "val_loss", "val_mean_iou", "best")
    histories = [[{key: record[key] for key in keys} for record in RunFolder(p).metrics()] for p in (whole.run, run)]
    assert histories[0] == histories[1]
    assert result.scores == whole.scores


def test_latest_continues_the_newest_run_and_a_finished_one_says_so(
    finished: Finished, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, whole = finished
    os.utime(whole.run / "model.json")
    before = stored(whole.run / "last.weights.h5")
    result = train(TrainConfig(resume=Path("latest"), runs=folder / "runs"))
    assert result is not None
    assert result.run == whole.run
    assert "3 epochs were done before; --epochs with a larger number goes on" in capsys.readouterr().err
    assert all(np.array_equal(value, before[name]) for name, value in stored(whole.run / "last.weights.h5").items())


def test_changed_settings_do_not_continue_a_run(finished: Finished) -> None:
    _, whole = finished
    with pytest.raises(ConfigError, match=r"received --batch-size 3 where the run has 2 \(1 more settings differ\)"):
        train(TrainConfig(resume=whole.run, batch_size=3, seed=7))


def test_a_damaged_last_file_or_other_frames_are_said_and_the_run_is_left_alone(folder: Path) -> None:
    result = train(settings(folder, epochs=1))
    assert result is not None
    last = result.run / "last.weights.h5"
    whole = last.read_bytes()
    last.write_bytes(whole[:-500])
    before = {path: path.read_bytes() for path in result.run.rglob("*") if path.is_file()}
    with pytest.raises(CheckpointError, match=r"last\.weights\.h5: expected a whole weights file"):
        train(TrainConfig(resume=result.run, epochs=2))
    assert all(path.read_bytes() == content for path, content in before.items())
    last.write_bytes(whole)
    before[last] = whole
    for part in ("rgb", "seg_raw"):
        (folder / "dataset" / part / f"{part}_00000002.png").unlink()
    with pytest.raises(ConfigError, match="it began with, 6 to train and 2 to validate on, received 5 and 2"):
        train(TrainConfig(resume=result.run, epochs=2))
    assert all(path.read_bytes() == content for path, content in before.items())


def test_a_new_run_can_start_with_the_weights_of_another(finished: Finished) -> None:
    folder, whole = finished
    result = train(settings(folder, init_from=whole.run, epochs=1, learning_rate=1e-8, schedule="constant"))
    assert result is not None
    assert result.run != whole.run
    first = RunFolder(result.run).metrics()[0]
    assert first["loss"] < RunFolder(whole.run).metrics()[0]["loss"]


# === What ends a run early ===


def test_a_loss_that_is_no_number_ends_the_run_with_the_step(finished: Finished, tmp_path: Path) -> None:
    folder, whole = finished
    model = load_model(RunFolder(whole.run))
    kernel = model.get_layer("first_conv").kernel
    kernel.assign(np.full(kernel.shape, np.nan, np.float32))
    broken = RunFolder.create(tmp_path, "fc_densenet", "broken")
    broken.write_model_card(RunFolder(whole.run).model_card())
    save_weights(broken.weights("best"), model)
    with pytest.raises(TrainingDiverged, match="epoch 1, step 1 of 3: expected a finite loss, received nan") as caught:
        train(settings(folder, runs=tmp_path / "runs", init_from=broken.path))
    assert "No epoch was finished" in caught.value.message
    assert caught.value.exit_code == 7


def test_weights_that_went_astray_in_an_epochs_last_step_are_found_by_its_validation_and_not_saved(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = story.train_steps

    def astray(model: Any, batches: Any, config: TrainConfig, epochs: int, state: Any, *rest: Any) -> None:
        real(model, batches, config, epochs, state, *rest)
        if state.epoch == 1:
            kernel = model.get_layer("first_conv").kernel
            kernel.assign(np.full(kernel.shape, np.nan, np.float32))

    monkeypatch.setattr(story, "train_steps", astray)
    with pytest.raises(TrainingDiverged, match="the validation of epoch 2: expected a finite loss, received nan"):
        train(settings(folder, run="astray"))
    run = RunFolder(folder / "runs" / "astray")
    assert len(run.metrics()) == 1
    for which in ("best", "last"):
        assert np.isfinite(np.asarray(load_model(run, which).get_layer("first_conv").kernel)).all()


def test_a_gpu_that_is_required_and_not_there_ends_it_before_anything_is_written(folder: Path) -> None:
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        pytest.skip("this machine has a GPU")
    with pytest.raises(ConfigError, match="--require-gpu: expected a GPU, received CPU"):
        train(settings(folder, require_gpu=True))
    assert not (folder / "runs").exists()


def test_a_dry_run_says_everything_and_writes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(settings(folder, dry_run=True)) is None
    said = capsys.readouterr().err
    for expected in ("8 frames of 1 drive", "train 6, validation 2", "3 of the 29 of carla-0.9.14 occur", "parameters"):
        assert expected in said
    assert sorted(path.name for path in folder.iterdir()) == ["dataset"]


def test_a_mask_with_an_unknown_id_ends_it_before_the_first_step(folder: Path) -> None:
    path = folder / "dataset" / "seg_raw" / "seg_raw_00000003.png"
    mask = cv2.imread(str(path))
    mask[7, 5] = (0, 0, 57)
    cv2.imwrite(str(path), mask)
    with pytest.raises(DatasetError, match=r"seg_raw_00000003\.png, pixel \(7, 5\): expected an id .* received 57"):
        train(settings(folder, scheme="carla-0.9.14"))
    assert not (folder / "runs").exists()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-40]), "received a truncated file"),
        (lambda path: cv2.imwrite(str(path), np.zeros((40, 40, 3), np.uint8)), "a mask of its image's size, 40x40"),
    ],
    ids=["cut short", "another size"],
)
def test_an_image_that_is_not_whole_ends_it_before_the_first_step(folder: Path, change: Any, expected: str) -> None:
    change(sorted(folder.rglob("rgb/*.png"))[-1])
    with pytest.raises(DatasetError, match=expected):
        train(settings(folder, run="short"))
    assert not (folder / "runs" / "short").exists()


def test_validation_frames_of_void_alone_end_it_before_the_first_step(folder: Path) -> None:
    bare = write_dataset(folder / "bare", frames=2)
    for path in (bare / "seg_raw").iterdir():
        cv2.imwrite(str(path), np.zeros((24, 32, 3), np.uint8))  # Unlabeled, which CamVid's classes have no place for
    with pytest.raises(DatasetError, match="expected pixels of camvid in the 2 validation masks, received void alone"):
        train(settings(folder, validation=(bare,), classes="camvid", scheme="carla-0.9.14"))
    assert not (folder / "runs").exists()


def test_a_picture_that_cannot_be_drawn_does_not_end_a_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cv2, "imencode", lambda *_: (False, None))
    result = train(settings(folder, epochs=1))
    assert result is not None
    assert "predictions could not be drawn" in capsys.readouterr().err
    assert (result.run / "best.weights.h5").is_file()


# === What is asked for ===


def test_the_free_form_is_refused_for_a_network_of_fixed_form(folder: Path) -> None:
    with pytest.raises(ConfigError, match="--groups: expected with a network of free form, received with"):
        train(TrainConfig(dataset=(folder / "dataset",), model="fc_densenet56", groups=3))


def test_a_network_gets_the_settings_it_has_and_keeps_its_papers_own_where_none_is_given(folder: Path) -> None:
    fcn = TrainConfig(model="fcn8s_vgg16", encoder_weights="vgg16.weights.h5")
    assert network_options(fcn) == {"encoder_weights": "vgg16.weights.h5", "seed": 0}
    assert network_options(TrainConfig(model="enet", dropout_rate=0.3)) == {"dropout_rate": 0.3, "seed": 0}
    deep = TrainConfig(model="deeplab_v3_plus_mobilenet_v2", output_stride=8)
    assert network_options(deep) == {"output_stride": 8, "seed": 0}
    with pytest.raises(ConfigError, match=r"--output-stride: expected with a network that has it \(deeplab_v3_plus_"):
        network_options(TrainConfig(model="unet", output_stride=8))
    with pytest.raises(ConfigError, match="encoder_weights: expected 'none', 'imagenet' or a weights file"):
        train(TrainConfig(dataset=(folder / "dataset",), model="fcn8s_mobilenet", encoder_weights="missing.h5"))


def test_json_prints_one_object_and_nothing_else(finished: Finished, capsys: pytest.CaptureFixture[str]) -> None:
    _, whole = finished
    assert train_command(TrainConfig(resume=whole.run, json=True)) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["run"] == str(whole.run)
    assert printed["scores"]["mean_iou"] == whole.scores.mean_iou


def test_classes_of_another_scheme_are_trained_by_meaning(folder: Path) -> None:
    result = train(settings(folder, classes="camvid", epochs=1))
    assert result is not None
    card = RunFolder(result.run).model_card()
    assert (card.scheme, card.num_classes) == ("camvid", 11)
    shown = {c.name for c in result.scores.classes if c.present}
    assert shown == {"Sky", "Road", "Car"}


def test_the_models_are_listed_with_parameters_multiply_adds_and_memory(capsys: pytest.CaptureFixture[str]) -> None:
    wanted = ModelsConfig(models=("fc_densenet", "fc_densenet56"), num_classes=13, size=Size(224, 224))
    assert models_command(dataclasses.replace(wanted, json=True)) == 0
    rows = json.loads(capsys.readouterr().out)["networks"]
    assert [(row["name"], row["parameters"]) for row in rows] == [
        ("fc_densenet", 724_942),
        ("fc_densenet56", 1_398_349),
    ]
    assert rows[1]["multiply_adds"] == pytest.approx(8.92e9, rel=0.01)  # docs/models.md, at 11 classes
    assert all(row["expected_bytes"] > 2**29 and row["measured_bytes"] is None for row in rows)


@pytest.mark.slow
def test_the_memory_of_a_listed_network_is_measured_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    wanted = ModelsConfig(models=("enet",), num_classes=3, size=Size(32, 32), measure=True)
    assert models_command(wanted) == 0
    listed = capsys.readouterr().out.splitlines()[-1].split()
    assert listed[0] == "enet"
    assert 0.3 < float(listed[4]) < 3.0
