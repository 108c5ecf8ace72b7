"""Shards: WebDataset tars of a recording, whole or absent, that can be checked and that bring lost files back."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import pytest
from tiny_datasets import write_recording

from carlaseg.dataset import open_dataset, read_frames, read_metadata
from carlaseg.dataset.repair import repair
from carlaseg.dataset.shards import write_shards
from carlaseg.dataset.verify import verify
from carlaseg.errors import DatasetError


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "shards").iterdir())}


def test_a_shard_holds_every_file_of_its_frames_and_their_lines(recording: Path) -> None:
    shards = write_shards(recording, 2)
    assert [shard.name for shard in shards] == [f"drive_a-00000{number}.tar" for number in range(3)]
    frames = read_frames(recording, read_metadata(recording))
    with tarfile.open(shards[1]) as tar:
        names = tar.getnames()
        assert names[:4] == [f"drive_a_00000102.{end}" for end in ("rgb.png", "seg_raw.png", "seg.png", "json")]
        assert len(names) == 8
        member = tar.extractfile("drive_a_00000103.rgb.png")
        assert member is not None
        assert member.read() == (recording / "rgb/rgb_00000103.png").read_bytes()
        line = tar.extractfile("drive_a_00000103.json")
        assert line is not None
        assert line.read() == frames[3].to_line()
    assert verify(recording, deep=True).ok


def test_the_same_frames_give_the_same_bytes_and_what_is_whole_is_not_written_again(recording: Path) -> None:
    first, *_ = write_shards(recording, 2)
    before, written = contents(recording), first.stat().st_mtime_ns
    (recording / "shards/drive_a-000001.tar").unlink()
    first_again, *_ = write_shards(recording, 2)
    assert contents(recording) == before
    assert first_again.stat().st_mtime_ns == written
    write_shards(recording, 5)
    assert list(contents(recording)) == ["drive_a-000000.tar"], "shards of another division are taken away"


def test_a_shard_that_was_being_written_at_a_kill_harms_nobody(recording: Path) -> None:
    (recording / "shards").mkdir()
    (recording / "shards/.part_drive_a-000000.tar").write_bytes(b"half")
    assert verify(recording, deep=True).ok
    write_shards(recording, 3)
    assert list(contents(recording)) == ["drive_a-000000.tar", "drive_a-000001.tar"]


def test_a_damaged_shard_is_found_by_verify(recording: Path) -> None:
    shard, *_ = write_shards(recording, 5)
    whole = shard.read_bytes()
    pixels = whole.index((recording / "rgb/rgb_00000102.png").read_bytes()) + 60
    shard.write_bytes(whole[:pixels] + bytes([whole[pixels] ^ 1]) + whole[pixels + 1 :])
    assert verify(recording).ok, "lengths are right"
    (problem,) = verify(recording, deep=True).problems
    assert (problem.kind, problem.path) == ("shard", shard)
    assert "00000102.rgb.png: expected crc32" in problem.detail
    shard.write_bytes(whole[: len(whole) // 2])
    assert {problem.kind for problem in verify(recording).problems} == {"shard"}


def test_files_that_are_gone_come_back_from_the_shards(recording: Path) -> None:
    whole = shutil.copytree(recording, recording.parent / "whole")
    write_shards(recording, 2)
    shutil.rmtree(recording / "rgb")
    (recording / "seg_raw/seg_raw_00000104.png").unlink()
    assert not verify(recording).ok
    (done,) = repair(recording)
    assert "5 frames kept; 6 files brought back from shards" in done.sentence()
    for path in whole.rglob("*.png"):
        assert (recording / path.relative_to(whole)).read_bytes() == path.read_bytes()
    assert verify(recording, deep=True).ok
    assert len(open_dataset(recording).samples) == 5


def test_shards_that_hold_what_is_nowhere_else_are_never_taken_away(recording: Path) -> None:
    write_shards(recording, 2)
    packed = contents(recording)
    for folder in ("rgb", "seg_raw", "seg"):
        shutil.rmtree(recording / folder)
    assert [shard.name for shard in write_shards(recording, 2)] == list(packed), "whole already"
    last = recording / "shards/drive_a-000002.tar"
    last.write_bytes(b"torn")
    assert last not in write_shards(recording, 2)
    assert last.read_bytes() == b"torn", "who knows what it can still give"
    last.write_bytes(packed[last.name])
    with pytest.raises(DatasetError, match="5 frames that are in its shards alone") as caught:
        write_shards(recording, 5)
    assert caught.value.next_steps == (("bring them back", f"carlaseg verify {recording} --repair"),)
    assert contents(recording) == packed
    with pytest.raises(DatasetError, match="expected images") as caught:
        open_dataset(recording)
    assert caught.value.next_steps == (("bring them back", f"carlaseg verify {recording} --repair"),)
    repair(recording)
    write_shards(recording, 5)
    assert list(contents(recording)) == ["drive_a-000000.tar"]


def test_damaged_files_come_back_from_the_shards_and_what_was_there_is_kept(recording: Path) -> None:
    whole = shutil.copytree(recording, recording.parent / "whole")
    write_shards(recording, 2)
    cut, flipped = recording / "rgb/rgb_00000101.png", recording / "seg_raw/seg_raw_00000103.png"
    cut.write_bytes(cut.read_bytes()[:100])
    content = flipped.read_bytes()
    flipped.write_bytes(content[:-1] + b"x")
    (done,) = repair(recording)
    assert (done.kept, done.restored) == (5, 2)
    for path in whole.rglob("*.png"):
        assert (recording / path.relative_to(whole)).read_bytes() == path.read_bytes()
    assert verify(recording, deep=True).ok
    assert len((recording / ".removed/rgb/rgb_00000101.png").read_bytes()) == 100
    assert (recording / ".removed/reasons.jsonl").read_text().count("it came back from a shard") == 2


def test_a_recording_that_travelled_as_its_shards_comes_back_under_another_name(recording: Path) -> None:
    write_shards(recording, 2)
    moved = recording.rename(recording.parent / "renamed drive")
    assert verify(moved, deep=True).ok
    for folder in ("rgb", "seg_raw", "seg"):
        shutil.rmtree(moved / folder)
    with pytest.raises(DatasetError, match="in its shards alone"):
        write_shards(moved, 2)
    (done,) = repair(moved)
    assert (done.kept, done.restored) == (5, 15)
    shards = write_shards(moved, 2)
    assert [shard.name for shard in shards] == list(contents(moved))
    assert shards[0].name == "renamed-drive-000000.tar"
    assert verify(moved, deep=True).ok


def test_a_damaged_picture_is_never_packed(tmp_path: Path) -> None:
    folder = write_recording(tmp_path / "drive.b", frames=3)
    picture = folder / "rgb/rgb_00000101.png"
    picture.write_bytes(picture.read_bytes()[:-1] + b"x")
    with pytest.raises(DatasetError, match=r"rgb_00000101\.png: expected the file that was recorded"):
        write_shards(folder, 1)
    assert list(contents(folder)) == ["drive-b-000000.tar"], "the one before it, and nothing half"


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.GNUTYPE_SPARSE])
def test_a_shard_of_a_stranger_may_hold_nothing_but_plain_files(recording: Path, kind: bytes) -> None:
    write_shards(recording, 2)
    shard = next((recording / "shards").glob("*.tar"))
    with tarfile.open(shard, "a") as tar:
        member = tarfile.TarInfo("drive_00000000.rgb.png")
        member.type, member.linkname = kind, "/etc/hostname"
        tar.addfile(member)
    report = verify(recording)
    assert any("is no plain file" in problem.detail for problem in report.problems)
