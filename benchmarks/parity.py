"""Every network in every format against its checkpoint: the table benchmarks/results/parity.md.

    python benchmarks/parity.py [--quick] [--runs RUN ...] [--networks NAME ...] [--formats NAME ...]
                                [--precisions NAME ...] [--steps N] [--minutes N] [--again]

`--runs` takes trained run folders and compares on their own validation frames. Without it each network of the list does
a few steps on drawn scenes first: after so few, classes lie close together and a small error turns more pixels than in
a trained network, so those shares are on the low side; a row says how it was trained. The floor is left open, so that
what would be refused shows. A network is loaded, folded and converted to ONNX once for all its rows.

The work may be cut into pieces: rows are written to results/parity.json and results/parity.md as they are made, what is
there is not made again (`--again` does), and `--minutes` ends a piece. --quick: the smallest member of each family,
ONNX alone, nothing written.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "benchmarks"))

from made_run import write_run, write_scenes  # noqa: E402
from measuring import RESULTS, write_results  # noqa: E402

from carlaseg import models  # noqa: E402
from carlaseg.checkpoint import RunFolder  # noqa: E402
from carlaseg.config import ExportConfig  # noqa: E402
from carlaseg.errors import CarlasegError  # noqa: E402
from carlaseg.inference.exporting import Loaded, export  # noqa: E402
from carlaseg.inference.exporting.formats import FORMATS  # noqa: E402

SIZE = (96, 128)
SCENES, STEPS, QUICK_STEPS, CALIBRATION, IMAGES = 24, 30, 20, 16, 20
PACKAGES = ("tensorflow", "keras", "onnxruntime", "openvino", "nncf", "ai-edge-litert")
HEADER = (
    "| network | trained | format | precision | logits differ (largest, mean) | same class | mIoU drop, points | MB "
    "| ms | checkpoint ms | in float |\n| --- | --- | --- | --- | --- | ---: | ---: | ---: | ---: | ---: | --- |"
)
Row = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--runs", nargs="+", type=Path, default=[], help="trained run folders, in place of networks")
    parser.add_argument("--networks", nargs="+", default=None)
    parser.add_argument("--formats", nargs="+", default=None, choices=list(FORMATS))
    parser.add_argument("--precisions", nargs="+", default=["float32", "float16", "int8"])
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--minutes", type=float, default=None, help="begin no further row after so many")
    parser.add_argument("--again", action="store_true", help="make rows anew that are there")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    names = networks(given)
    if len(names) > 1:
        return one_by_one(names, given.minutes)
    formats = given.formats or (["onnx"] if given.quick else list(FORMATS))
    wanted = [
        (to, precision) for to in formats for precision in given.precisions if precision in FORMATS[to].precisions
    ]
    rows = {} if given.quick else earlier()
    ends_s = time.monotonic() + 60 * given.minutes if given.minutes else float("inf")
    if not given.child:
        print(HEADER, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, make in candidates(given, Path(folder)):
            left = [pair for pair in wanted if given.again or (name, *pair) not in rows]
            if not left or time.monotonic() > ends_s:
                continue
            run, trained = make()
            with contextlib.redirect_stderr(io.StringIO()):
                loaded = Loaded(RunFolder(run))
            for to, precision in left:
                if time.monotonic() > ends_s:
                    break
                rows[name, to, precision] = row(run, loaded, name, trained, to, precision, Path(folder))
                print(line(rows[name, to, precision]), flush=True)
                if not given.quick:
                    write(rows)
    return 0 if all("error" not in entry for entry in rows.values()) else 1


def networks(given: argparse.Namespace) -> list[str]:
    """Names of the networks that are trained for this; none where runs are given."""
    if given.runs:
        return []
    return given.networks or [n for n in models.names() if not given.quick or models.network(n).smallest]


def one_by_one(names: list[str], minutes: float | None) -> int:
    """A process a network: TensorFlow gives a network's memory back only with its process."""
    ends_s = time.monotonic() + 60 * minutes if minutes else float("inf")
    failed = False
    print(HEADER, flush=True)
    for name in names:
        left = (ends_s - time.monotonic()) / 60
        if left <= 0:
            break
        words = [*sys.argv[1:], "--child", "--networks", name, *(["--minutes", f"{left:.1f}"] if minutes else [])]
        code = subprocess.run([sys.executable, __file__, *words], check=False).returncode
        failed |= code != 0
        if code < 0:
            print(
                f"{name}: its process was ended by signal {-code} (9: out of memory); its rows are missing", flush=True
            )
    return int(failed)


def candidates(given: argparse.Namespace, base: Path) -> Iterator[tuple[str, Callable[[], tuple[Path, str]]]]:
    """Names of what is to be compared, each with what makes its run folder and says how it was trained."""
    for run in given.runs:
        yield run.name, partial(trained_run, run)
    if given.runs:
        return
    steps = given.steps if given.steps is not None else (QUICK_STEPS if given.quick else STEPS)
    for name in networks(given):
        yield name, partial(drawn_run, name, base, steps, given.quick)


def trained_run(path: Path) -> tuple[Path, str]:
    """A run folder that is there, and how long it was trained."""
    epochs = RunFolder(path).metrics()
    minutes = sum(float(epoch.get("train_s") or 0) for epoch in epochs) / 60
    return path, f"{RunFolder(path).model_card().network}, {len(epochs)} epochs, {minutes:.0f} min"


def drawn_run(name: str, base: Path, steps: int, small: bool) -> tuple[Path, str]:
    """A run folder of a network that did so many steps on drawn scenes."""
    data = base / "scenes"
    if not data.is_dir():
        write_scenes(data, SCENES, SIZE)
    options = dict(models.network(name).smallest or {}) if small else {}
    began_s = time.monotonic()
    run = write_run(base / "runs", name, data, SIZE, steps, options)
    return run, f"{steps} steps, {time.monotonic() - began_s:.0f} s"


def row(run: Path, loaded: Loaded, name: str, trained: str, to: str, precision: str, folder: Path) -> Row:
    """One export; its report, or what was said instead."""
    output = folder / "exports" / name / precision / f"model{FORMATS[to].suffix}"
    config = ExportConfig(
        run=run,
        to=to,
        precision=precision,
        output=output,
        max_miou_drop=100.0,
        calibration=CALIBRATION,
        images=IMAGES,
        overwrite=True,
    )
    head = {"network": name, "trained": trained, "format": to, "precision": precision}
    began_s = time.monotonic()
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            report = export(config, loaded).report
    except CarlasegError as error:
        # The sentence names the file, whose folder is gone by the time anybody reads it.
        return {**head, "error": error.message.replace(f"{folder}/", "")}
    parity = report.parity
    return {
        **head,
        "size": list(report.picture_size),
        "logits_max": parity.logits_max,
        "logits_mean": parity.logits_mean,
        "logits_scale": parity.logits_scale,
        "same_class": parity.same_class,
        "mean_iou": parity.mean_iou,
        "checkpoint_mean_iou": parity.checkpoint_mean_iou,
        "miou_drop": parity.miou_drop,
        "bytes": report.artefact_bytes,
        "latency_ms": report.speed.latency_ms,
        "checkpoint_latency_ms": report.checkpoint_speed.latency_ms,
        "kept_float": list(report.card.kept_float),
        "made_in_s": round(time.monotonic() - began_s, 1),
    }


def earlier() -> dict[tuple[str, str, str], Row]:
    """Rows that an earlier piece of the work wrote, without those that ended in an error."""
    path = RESULTS / "parity.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.is_file() else []
    return {(r["network"], r["format"], r["precision"]): r for r in rows if "error" not in r}


def write(rows: dict[tuple[str, str, str], Row]) -> None:
    """Write results/parity.json, and the same as a table for people."""
    with contextlib.redirect_stdout(io.StringIO()):
        write_results("parity", PACKAGES, rows=list(rows.values()))
    text = "\n".join([HEADER, *(line(entry) for entry in rows.values())]) + "\n"
    (RESULTS / "parity.md").write_text(text, encoding="utf-8")


def line(entry: Row) -> str:
    """A row of the table."""
    head = f"| {entry['network']} | {entry['trained']} | {entry['format']} | {entry['precision']} |"
    if "error" in entry:
        return f"{head} {entry['error']} | | | | | | |"
    return (
        f"{head} {entry['logits_max']:.2g}, {entry['logits_mean']:.2g} of {entry['logits_scale']:.3g} | "
        f"{100 * entry['same_class']:.3f} % | {entry['miou_drop']:.3f} | {entry['bytes'] / 1e6:.2f} | "
        f"{entry['latency_ms']:.1f} | {entry['checkpoint_latency_ms']:.1f} | {', '.join(entry['kept_float']) or '-'} |"
    )


if __name__ == "__main__":
    sys.exit(main())
