"""Conversions as jobs: interrupted, repeated, refused; how a dataset without splits is split."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from conversions import files_in, run
from tiny_datasets import road_image, write_pairs, write_picture

from carlaseg.config import ConvertConfig
from carlaseg.console import StopRequest
from carlaseg.dataset.convert import convert_command, settings_of
from carlaseg.dataset.exports import TARGETS, build
from carlaseg.dataset.exports.job import JOURNAL_FILE, convert
from carlaseg.dataset.exports.source import Source, SplitRule
from carlaseg.dataset.exports.splits import assign_splits
from carlaseg.errors import ConfigError, DatasetError, Interrupted

ROOT = Path(__file__).resolve().parents[2]


class StopAfter(StopRequest):
    """Asks to stop once so many units were begun."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self._left = units

    @property
    def requested(self) -> bool:
        self._left -= 1
        return self._left < 0


@pytest.mark.parametrize("to", TARGETS)
def test_an_interrupted_conversion_goes_on_and_ends_as_an_undisturbed_one(
    drives: Path, tmp_path: Path, to: str
) -> None:
    settings = ConvertConfig(input=drives, to=to, output=tmp_path / "out", shard_mb=0.03)
    source = Source(drives, None, SplitRule())
    export = build(to, source, settings.output, None, settings.shard_mb)
    asked = settings_of(settings, source)
    for units in (2, 3):
        with pytest.raises(Interrupted, match="images; they are safe in"):
            convert(export, settings.output, asked, lambda *_: None, StopAfter(units), lambda: None)
    assert (settings.output / JOURNAL_FILE).read_bytes().count(b"\n") >= 4
    with (settings.output / JOURNAL_FILE).open("ab") as journal:
        journal.write(b'{"half a ro')
    assert convert_command(settings) == 0
    assert not (settings.output / JOURNAL_FILE).exists()
    undisturbed = run(to, drives, tmp_path / "undisturbed", shard_mb=0.03)
    assert files_in(settings.output) == files_in(undisturbed)


def test_a_finished_conversion_is_left_alone(drives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = run("kitti-road", drives, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*")}
    run("kitti-road", drives, output)
    assert "was complete already, 12 images; nothing was changed" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*")} == before


def test_nothing_is_ever_overwritten(drives: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.tex").write_text("years")
    with pytest.raises(DatasetError, match=r"received one with files in it\. Nothing was changed"):
        run("cityscapes", drives, tmp_path / "full")
    run("kitti-road", drives, tmp_path / "kitti")
    with pytest.raises(DatasetError, match=r"received one with another to\. Nothing was changed"):
        run("cityscapes", drives, tmp_path / "kitti")
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="received a file"):
        run("cityscapes", drives, tmp_path / "file")
    with pytest.raises(DatasetError, match="expected a folder outside the dataset"):
        run("cityscapes", drives, drives / "converted")
    assert (tmp_path / "full/thesis.tex").read_text() == "years"


def test_bad_input_is_answered(drives: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="expected a folder with a dataset, received nothing there"):
        run("cityscapes", tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(ConfigError, match="has labels of its own"):
        run("cityscapes", drives, tmp_path / "out", classes="camvid")
    with pytest.raises(DatasetError, match="expected towns to split by"):
        run("webdataset", write_pairs(tmp_path / "pairs"), tmp_path / "out", split_by="town")
    write_picture(tmp_path / "bare/a.png", road_image())
    with pytest.raises(DatasetError, match="expected masks to convert, received 1 images without"):
        run("webdataset", tmp_path / "bare", tmp_path / "out")
    with pytest.raises(ConfigError, match="--val and --test together"):
        ConvertConfig(val=0.6, test=0.5)
    assert not (tmp_path / "out").exists()


def test_a_damaged_sample_is_named_and_what_was_written_stays(drives: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    shutil.copytree(drives, folder)
    broken = folder / "Town02_1/seg_raw/seg_raw_00000012.png"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:-30])
    with pytest.raises(DatasetError, match=r"seg_raw_00000012.png: expected a whole picture"):
        run("huggingface", folder, tmp_path / "out")
    broken.write_bytes(whole)
    run("huggingface", folder, tmp_path / "out")
    assert files_in(tmp_path / "out").keys() == files_in(run("huggingface", folder, tmp_path / "other")).keys()


def test_a_full_disk_stops_it_and_the_same_command_goes_on(
    drives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left = os.replace, [9]

    def until_full(self: Path, target: Path) -> Path:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        real(self, target)
        return Path(target)

    monkeypatch.setattr(Path, "replace", until_full)
    with pytest.raises(DatasetError, match=r"received a full disk\. What is finished is safe"):
        run("kitti-road", drives, tmp_path / "out")
    assert not [path for path in (tmp_path / "out").rglob("*") if path.name.startswith(".part_")]
    monkeypatch.undo()
    run("kitti-road", drives, tmp_path / "out")
    assert len(list((tmp_path / "out/training/image_2").iterdir())) == 12


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_killed_conversion_goes_on(drives: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "carlaseg", "convert", str(drives), "--to", "kitti-road"]
    process = subprocess.Popen(
        [*command, "--output", str(tmp_path / "out")], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and not list(tmp_path.glob("out/training/image_2/um_00000[2-9].png")):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    run("kitti-road", drives, tmp_path / "out")
    undisturbed = files_in(run("kitti-road", drives, tmp_path / "other"))
    assert {name: zlib.crc32(content) for name, content in files_in(tmp_path / "out").items()} == {
        name: zlib.crc32(content) for name, content in undisturbed.items()
    }


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_ends_it_cleanly_and_says_how_to_go_on(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path / "in", count=400)
    command = [sys.executable, "-m", "carlaseg", "convert", str(folder), "--to", "kitti-road", "--scheme"]
    process = subprocess.Popen(
        [*command, "carla-0.9.14", "--output", str(tmp_path / "out")],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while process.poll() is None and not list(tmp_path.glob("out/training/image_2/um_00000[2-9].png")):
        pass
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "of 400 images; they are safe in" in said
    assert "Traceback" not in said
    whole = len(list(tmp_path.glob("out/training/image_2/*.png")))
    assert 0 < whole < 400
    assert (tmp_path / "out" / JOURNAL_FILE).read_bytes().count(b"\n") == whole


def test_splits_hold_whole_groups_and_train_keeps_one() -> None:
    frames = {f"drive_{number}": 10 * number + 5 for number in range(10)}
    for seed in range(20):
        split_of = assign_splits(frames, 0.2, 0.1, seed)
        assert set(split_of.values()) == {"train", "val", "test"}
        share = sum(frames[name] for name, split in split_of.items() if split == "val") / sum(frames.values())
        assert 0.01 < share < 0.35
    assert assign_splits({"only": 7}, 0.5, 0.3, 0) == {"only": "train"}
    assert sorted(assign_splits({"a": 1, "b": 1}, 0.5, 0.3, 0).values()) == ["test", "train"]


def test_the_drives_held_out_come_as_near_to_the_share_as_any_do() -> None:
    frames = {"long": 520, "a": 130, "b": 110, "c": 90, "d": 80, "e": 70}
    held_out = [assign_splits(frames, 0.2, 0.0, seed) for seed in range(20)]
    shares = {sum(frames[name] for name in frames if split_of[name] == "val") for split_of in held_out}
    assert shares == {200}
    assert len({tuple(sorted(split_of.items())) for split_of in held_out}) == 2, "130 + 70 and 110 + 90: by the seed"
    assert assign_splits({"a": 900, "b": 100}, 0.9, 0.0, 0) == {"a": "val", "b": "train"}
    assert assign_splits({"a": 900, "b": 800}, 0.01, 0.0, 0) == {"a": "train", "b": "val"}
    many = {f"drive_{number:04d}": 900 + 7 * number for number in range(2000)}
    split_of = assign_splits(many, 0.2, 0.1, 0)
    for split, share in (("val", 0.2), ("test", 0.1)):
        part = sum(many[name] for name in many if split_of[name] == split)
        assert part / sum(many.values()) == pytest.approx(share, abs=0.005)


def test_towns_can_be_kept_together(drives: Path) -> None:
    for seed in range(4):
        source = Source(drives, None, SplitRule(by="town", val=0.4, seed=seed))
        towns: dict[str, set[str | None]] = {}
        for split, sample in source.samples:
            towns.setdefault(split, set()).add(sample.town)
        assert towns["train"].isdisjoint(towns["val"])


def test_a_dataset_with_splits_keeps_them(tmp_path: Path) -> None:
    for split, count in (("train", 3), ("val", 2)):
        write_pairs(tmp_path / "in" / split, count=count)
    source = Source(tmp_path / "in", None, SplitRule(val=0.9))
    assert source.counts == {"train": 3, "val": 2}
    assert source.notes == ("splits are the dataset's own",)


def test_a_plans_splits_are_kept(drives: Path, tmp_path: Path) -> None:
    for number, drive in enumerate(sorted(path for path in drives.iterdir() if path.is_dir())):
        shutil.copytree(drive, tmp_path / "plan" / ("test" if number else "train") / drive.name)
    source = Source(tmp_path / "plan", None, SplitRule(val=0.9))
    assert set(source.counts) == {"train", "test"}
    output = run("cityscapes", tmp_path / "plan", tmp_path / "out")
    assert {path.name for path in (output / "leftImg8bit").iterdir()} == {"train", "test"}
