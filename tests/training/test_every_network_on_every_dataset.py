"""One command for all of it: every network, every kind of dataset, and kinds that meet by meaning."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from kinds_of_datasets import KINDS, SIZE

from carlaseg import models
from carlaseg.config import TrainConfig
from carlaseg.dataset import Sample
from carlaseg.errors import DatasetError
from carlaseg.pipeline import for_training, select
from carlaseg.training.selection import count_classes

ROOT = Path(__file__).resolve().parents[2]
ONE_STEP = ["--size", f"{SIZE[0]}x{SIZE[1]}", "--batch-size", "2", "--epochs", "1", "--augment", "none", "--json"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_dataset_comes_as_the_same_kind_of_batches(kind: str, tmp_path: Path) -> None:
    write, num_classes = KINDS[kind]
    selection = select(TrainConfig(dataset=(write(tmp_path / kind),), validation_share=0.5))
    assert selection.target.num_classes == num_classes
    assert len(selection.train) == len(selection.validation) == 2
    (evidence,) = selection.evidence
    assert evidence.startswith(f"{tmp_path / kind}: {selection.target.name}, for ")
    counts = count_classes(selection)
    images, masks = for_training(selection.train, selection.tables, SIZE, 2).batch(0, 0)
    assert (images.shape, masks.shape) == ((2, *SIZE, 3), (2, *SIZE))
    assert np.bincount(masks.ravel(), minlength=256)[:num_classes].tolist() == counts.pixels.tolist()


def test_datasets_of_several_kinds_meet_in_the_classes_they_share_by_meaning(tmp_path: Path) -> None:
    folders = tuple(KINDS[kind][0](tmp_path / kind) for kind in ("recording", "cityscapes"))
    check = KINDS["camvid"][0](tmp_path / "camvid")
    settings = {"dataset": folders, "validation": (check,), "dataset_weights": (1.0, 3.0)}
    with pytest.raises(DatasetError, match="Mixing them would teach nonsense") as refused:
        select(TrainConfig(**settings))
    assert refused.value.next_steps[-1][1].startswith("--classes carla-0.9.0 | ")
    selection = select(TrainConfig(**settings, classes="camvid"))
    assert set(selection.tables) == {"carla-0.9.14", "cityscapes-train", "camvid"}
    batches = for_training(selection.train, selection.tables, SIZE, 4, mix=selection.mix)
    assert [selection.train[index].town for index in batches.order(0)].count("aachen") == 6
    # Sky, road and car, and nothing else, out of either.
    assert set(np.unique(np.concatenate([batches.batch(0, step)[1] for step in range(2)]))) == {0, 3, 8}


def test_test_frames_are_neither_trained_nor_validated_on_unless_they_are_named(tmp_path: Path) -> None:
    data = KINDS["camvid"][0](tmp_path / "camvid")
    for part in ("", "annot"):
        (data / f"val{part}").rename(data / f"test{part}")
    drives = KINDS["recording"][0](tmp_path / "recording")

    def splits_of(samples: Sequence[Sample]) -> set[str]:
        return {sample.image_path.parent.name for sample in samples}

    implicit = select(TrainConfig(dataset=(data,), validation_share=0.5))
    assert splits_of(implicit.train) == splits_of(implicit.validation) == {"train"}
    assert len(implicit.train) == len(implicit.validation) == 1
    assert implicit.note.endswith("; test frames are left alone")

    elsewhere = select(TrainConfig(dataset=(data,), validation=(drives,), classes="camvid"))
    assert splits_of(elsewhere.train) == {"train"}
    assert elsewhere.note == f"validation on {drives}; test frames are left alone"

    named = select(TrainConfig(dataset=(drives,), validation=(data,), classes="camvid"))
    assert splits_of(named.validation) == {"test"}
    assert named.note == f"validation on {data} (its test)"

    for part in ("", "annot"):
        shutil.rmtree(data / f"train{part}")
    with pytest.raises(DatasetError, match="expected frames to train on, received a dataset of test frames alone"):
        select(TrainConfig(dataset=(data,)))


@pytest.mark.parametrize("place", ["{}", "{0}/drive"], ids=["a recording a split", "a plan's folders"])
def test_recordings_in_splits_are_trained_on_validated_on_and_left_alone(place: str, tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        KINDS["recording"][0](tmp_path / place.format(split))
    chosen = select(TrainConfig(dataset=(tmp_path,)))
    assert {sample.image_path.relative_to(tmp_path).parts[0] for sample in chosen.train} == {"train"}
    assert {sample.image_path.relative_to(tmp_path).parts[0] for sample in chosen.validation} == {"val"}
    assert chosen.note == "the layout's own train and val; test frames are left alone"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", models.names())
def test_every_network_trains_on_every_kind_of_dataset_by_the_same_command(
    name: str, kind: str, tmp_path: Path
) -> None:
    write, num_classes = KINDS[kind]
    folder = write(tmp_path / "data")
    runs = tmp_path / "runs"
    words = ["train", "--dataset", str(folder), "--model", name, "--validation-share", "0.5", "--runs", str(runs)]
    # A process each: TensorFlow gives a trained network's memory back only with its process.
    command = [sys.executable, "-m", "carlaseg", *words, *ONE_STEP]
    try:
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        done = json.loads(run.stdout)
        card = json.loads((Path(done["run"]) / "model.json").read_text())
        assert (card["network"], card["num_classes"]) == (name, num_classes)
        assert (done["epochs"], done["scores"]["mean_iou"] >= 0) == (1, True)
    finally:
        shutil.rmtree(runs, ignore_errors=True)  # weights of the largest take a gigabyte
