"""Going on where an inference ended: nothing twice, nothing lost, the same figures as in one go."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_run import SCHEME, write_dataset

from carlaseg.config import InferConfig
from carlaseg.errors import ConfigError
from carlaseg.inference import infer


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "drive", frames=6)


def config(run: Path, data: Path, out: Path, **more: object) -> InferConfig:
    return InferConfig(run=run, input=(str(data),), output=out, name="r", scheme=SCHEME, **more)


def cut_short(folder: Path, lines: int) -> None:
    """What a killed inference leaves: some lines, half of another, and no scores."""
    path = folder / "predictions.jsonl"
    kept = path.read_text().splitlines()
    path.write_text("\n".join(kept[:lines]) + "\n" + kept[lines][:30])
    for name in ("metrics.json", "summary.json"):
        (folder / name).unlink()


def test_what_is_done_is_not_done_again_and_the_figures_are_those_of_one_go(
    tiny_run: Path, data: Path, tmp_path: Path
) -> None:
    folder = infer(config(tiny_run, data, tmp_path / "out")).folder
    once = {name: (folder / name).read_text() for name in ("metrics.json", "per_class.csv", "predictions.jsonl")}
    cut_short(folder, 4)
    untouched = sorted((folder / "ids").iterdir())[0]
    untouched.chmod(0o444)
    before = untouched.stat().st_mtime_ns
    outcome = infer(config(tiny_run, data, tmp_path / "out", resume=True))
    assert (outcome.kept, outcome.images) == (4, 2)
    assert untouched.stat().st_mtime_ns == before
    for name, text in once.items():
        assert (folder / name).read_text() == text, name


def test_an_image_whose_file_is_gone_is_done_again(tiny_run: Path, data: Path, tmp_path: Path) -> None:
    folder = infer(config(tiny_run, data, tmp_path / "out")).folder
    (folder / "colours" / "00000002.png").unlink()
    outcome = infer(config(tiny_run, data, tmp_path / "out", resume=True))
    assert (outcome.kept, outcome.images) == (5, 1)
    names = [json.loads(line)["name"] for line in (folder / "predictions.jsonl").read_text().splitlines()]
    assert sorted(names) == [f"{number:08d}" for number in range(6)]


def test_a_finished_inference_has_nothing_left_to_do(tiny_run: Path, data: Path, tmp_path: Path) -> None:
    first = infer(config(tiny_run, data, tmp_path / "out"))
    again = infer(config(tiny_run, data, tmp_path / "out", resume=True))
    assert (again.kept, again.images) == (6, 0)
    assert again.scores == first.scores


def test_other_settings_and_folders_that_are_no_results_are_refused(tiny_run: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing there"):
        infer(config(tiny_run, data, tmp_path / "out", resume=True))
    infer(config(tiny_run, data, tmp_path / "out"))
    with pytest.raises(ConfigError, match="received clean median in place of none"):
        infer(config(tiny_run, data, tmp_path / "out", resume=True, clean="median"))
    with pytest.raises(ConfigError, match="expected one of them"):
        config(tiny_run, data, tmp_path / "out", resume=True, overwrite=True)


def test_a_video_that_is_not_whole_is_made_again_and_a_whole_one_is_left(tiny_run: Path, tmp_path: Path) -> None:
    from test_inputs import read_video, write_video

    film = write_video(tmp_path / "street.avi")
    folder = infer(config(tiny_run, film, tmp_path / "out", write=("ids", "video"))).folder
    result = folder / "videos" / "street.mp4"
    before = result.stat().st_mtime_ns
    assert infer(config(tiny_run, film, tmp_path / "out", write=("ids", "video"), resume=True)).images == 0
    assert result.stat().st_mtime_ns == before
    result.unlink()
    assert infer(config(tiny_run, film, tmp_path / "out", write=("ids", "video"), resume=True)).images == 6
    assert len(read_video(result)[0]) == 6
    assert len((folder / "predictions.jsonl").read_text().splitlines()) == 6


def test_a_video_of_pictures_has_all_of_them_when_an_inference_goes_on(
    tiny_run: Path, data: Path, tmp_path: Path
) -> None:
    from test_inputs import read_video

    first = config(tiny_run, data, tmp_path / "out", write=("ids", "video"))
    folder = infer(first).folder
    again = config(tiny_run, data, tmp_path / "out", write=("ids", "video"), resume=True)
    assert infer(again).images == 0
    for gone in (folder / "videos" / "drive.mp4", folder / "ids" / "00000002.png"):
        gone.unlink()
        assert infer(again).images == 6
        assert len(read_video(folder / "videos" / "drive.mp4")[0]) == 6
