"""The report: one file that needs nothing else, whatever is there and whatever is missing."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from tiny_run import SCHEME, SIZE, write_dataset

from carlaseg.cli import main
from carlaseg.config import ReportConfig
from carlaseg.errors import CheckpointError, ConfigError
from carlaseg.report import report
from carlaseg.report.charts import Line, confusion_chart, line_chart


class Page(HTMLParser):
    """What a browser would load and show."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.sources: list[str] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.anchors: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.sources += [value for key in ("src", "href", "data", "poster") if (value := values.get(key))]
        if identity := values.get("id"):
            self.anchors.append(identity)
        if tag not in ("meta", "img", "input", "br", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.texts)


def write_run(folder: Path, dataset: Path, epochs: int = 3) -> Path:
    """A run folder as training leaves it, without weights: a report does not need them."""
    from carlaseg import labels
    from carlaseg.checkpoint import ModelCard, RunFolder
    from carlaseg.config import TrainConfig
    from carlaseg.metrics import Scores

    scheme = labels.scheme(SCHEME)
    run = RunFolder.create(folder, "fc_densenet", "tiny")
    run.write_config(TrainConfig(dataset=(dataset,), scheme=SCHEME, run="tiny"))
    run.write_environment(device="CPU, 2 cores")
    palette = tuple(label.color for label in scheme.classes)
    run.write_model_card(
        ModelCard(
            network="fc_densenet",
            num_classes=29,
            scheme=SCHEME,
            class_names=scheme.names,
            palette=palette,
            size=SIZE,
            parameters=724942,
        )
    )
    for epoch in range(1, epochs + 1):
        run.append_metrics(
            {"epoch": epoch, "loss": 3 / epoch, "val_loss": 3.3 / epoch, "val_mean_iou": 0.2 * epoch, "train_s": 60.0}
        )
    scores = Scores.from_confusion(np.diag(np.arange(29)), scheme.names)
    run.write_json("validation_metrics.json", scores.to_json())
    (run.path / "predictions").mkdir()
    for epoch in range(1, epochs + 1):
        picture = next((dataset / "rgb").iterdir()).read_bytes()
        (run.path / "predictions" / f"epoch_{epoch:03d}.jpg").write_bytes(picture)
    return run.path


def write_results(folder: Path, run: Path, data: Path) -> Path:
    """A results folder as inference writes it, from a network that is right but for the car."""
    from carlaseg import labels
    from carlaseg.config import InferConfig, to_json
    from carlaseg.dataset import open_dataset
    from carlaseg.inference.panels import Legend
    from carlaseg.inference.quality import Prediction
    from carlaseg.inference.results import ResultsWriter, claim, write_json
    from carlaseg.inference.scores import write_scores
    from carlaseg.pipeline import for_inference

    scheme = labels.scheme(SCHEME)
    dataset = open_dataset(data, SCHEME)
    config = InferConfig(run=run, input=(str(data),), scheme=SCHEME)
    claim(folder, overwrite=False)
    write_json(folder / "config.json", to_json(config))
    write_json(folder / "classes.json", {"scheme": SCHEME, "names": list(scheme.names)})
    with ResultsWriter(folder, Legend(scheme.names, scheme.palette)) as writer:
        for batch in for_inference(dataset.samples, SIZE, 2, scheme.void_table):
            for frame in batch.frames:
                assert frame.truth is not None
                ids = np.where(frame.truth == 14, 1, frame.truth).astype(np.uint8)
                writer.add(frame, Prediction(ids), frozenset({"ids", "colours", "panels"}))
    write_scores(folder, writer.confusion, writer.lines, scheme.names, "tiny", {"complete": True})
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    base = tmp_path_factory.mktemp("report")
    data = write_dataset(base / "drive & <town>", frames=6)
    run = write_run(base / "runs", data)
    return run, write_results(base / "dataset_out" / "tiny_drive", run, data)


def test_the_page_holds_everything_and_loads_nothing(world: tuple[Path, Path], tmp_path: Path) -> None:
    run, results = world
    path = report(ReportConfig(run=run, results=(results,), output=tmp_path / "page.html"))
    page = Page(path)
    assert all(source.startswith(("data:image/jpeg;base64,", "#")) for source in page.sources)
    assert "default-src 'none'" in path.read_text(encoding="utf-8")
    assert not re.search(r"https?://", path.read_text(encoding="utf-8"))
    assert page.anchors == ["summary", "data", "training", "evolution", "test", "panels", "repeat", "limits"]
    assert {source[1:] for source in page.sources if source.startswith("#")} == set(page.anchors) - {"summary"}


def test_every_figure_on_the_page_is_the_one_in_the_files(world: tuple[Path, Path], tmp_path: Path) -> None:
    run, results = world
    text = Page(report(ReportConfig(run=run, results=(results,), output=tmp_path / "page.html"))).text
    metrics = json.loads((results / "metrics.json").read_text())
    assert f"{metrics['mean_iou']:.3f}" in text
    assert "0.600" in text  # the best epoch's validation mean IoU
    assert "724,942 parameters" in text
    assert "after epoch 3" in text
    assert "Car taken for Roads: 100.00 %" in text
    assert "they are no test" in text, "it was trained on the very folder"


def test_two_results_on_the_same_pictures_are_told_apart_by_their_folders(
    world: tuple[Path, Path], tmp_path: Path
) -> None:
    import shutil

    run, results = world
    other = Path(shutil.copytree(results, tmp_path / "by_another_way"))
    text = Page(report(ReportConfig(run=run, results=(results, other), output=tmp_path / "page.html"))).text
    for folder in (results, other):
        assert f"drive & <town> ({folder.name}), 3 classes" in text
        assert f"drive & <town> ({folder.name})" in text.partition("Worst")[2]


def test_an_evaluation_shows_its_intervals_and_a_comparison_its_verdict(
    world: tuple[Path, Path], tmp_path: Path
) -> None:
    from carlaseg.config import EvaluateConfig
    from carlaseg.evaluation import evaluate

    run, results = world
    found = evaluate(EvaluateConfig(results=results, against=results, resamples=100))
    path = report(ReportConfig(run=run, results=(results,), output=tmp_path / "page.html"))
    for written in results.glob("evaluation_*.json"):
        written.unlink()
    text = Page(path).text
    interval = found.whole.figures["mean_iou"]
    assert f"mean IoU, {interval.low:.3f} to {interval.high:.3f}" in text
    assert "rows of the picture, not distance" in text
    assert found.against is not None
    assert found.against.verdict in text


def test_names_from_outside_are_escaped(world: tuple[Path, Path], tmp_path: Path) -> None:
    run, results = world
    path = report(ReportConfig(run=run, results=(results,), output=tmp_path / "page.html"))
    assert "<town>" not in path.read_text(encoding="utf-8")
    assert "drive & <town>" in Page(path).text


def test_results_made_from_the_run_are_found_beside_it(world: tuple[Path, Path], tmp_path: Path, capsys) -> None:
    run, results = world
    assert main(["report", str(run), "--output", str(tmp_path / "page.html")]) == 0
    said = capsys.readouterr()
    assert said.out.strip() == str(tmp_path / "page.html")
    assert "1 results folder," in said.err
    metrics = json.loads((results / "metrics.json").read_text())
    assert f"{metrics['mean_iou']:.3f}" in Page(tmp_path / "page.html").text


def test_a_run_on_its_own_still_gives_a_page_that_says_what_is_missing(tmp_path: Path, capsys) -> None:
    data = write_dataset(tmp_path / "drive", frames=2)
    run = write_run(tmp_path / "runs", data, epochs=1)
    for path in sorted(data.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    for name in ("metrics.csv", "validation_metrics.json", "environment.json"):
        (run / name).unlink()
    (run / "metrics.jsonl").write_text('{"epoch": 1, "loss": 1.0}\n{"epoch": 2, "lo')
    page = Page(report(ReportConfig(run=run)))
    assert "data" not in page.anchors
    assert "test" not in page.anchors
    assert "is not to be read from here" in page.text
    assert "left out" in capsys.readouterr().err


def test_a_folder_that_is_no_run_and_one_that_is_no_results_are_refused(
    world: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="expected a run folder"):
        report(ReportConfig(run=tmp_path))
    with pytest.raises(ConfigError, match="expected a results folder"):
        report(ReportConfig(run=world[0], results=(tmp_path,)))


def test_a_chart_of_one_epoch_or_of_numbers_that_are_none_is_still_a_chart() -> None:
    one = line_chart("loss", [Line("training", 1, [(1.0, 2.5)])], mark=(1.0, "best 1"))
    assert "<circle" in one
    assert "nan" not in one
    gap = line_chart("loss", [Line("training", 1, [(1.0, 2.5), (2.0, float("nan")), (3.0, 1.0)])])
    assert gap.count("<circle") == 2
    assert line_chart("loss", [Line("training", 1, [(1.0, float("nan"))])]) == ""


def test_the_confusion_chart_leaves_out_classes_that_never_occur() -> None:
    matrix = np.zeros((4, 4), np.int64)
    matrix[0, 0], matrix[0, 2] = 3, 1
    chart = confusion_chart(matrix, ["road", "car", "sky", "pole"])
    assert "road taken for sky: 25.00 % of 4 pixels" in chart
    assert "pole" not in chart
    assert confusion_chart(np.zeros((4, 4), np.int64), ["road", "car", "sky", "pole"]) == ""
