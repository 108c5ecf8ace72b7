"""Every network in every format against its checkpoint: the parity table of docs/results.md.

    python benchmarks/parity.py [--quick] [--networks NAME ...] [--formats NAME ...] [--precisions NAME ...] [--steps N]

Each network does a few steps on drawn scenes and is exported by `carlaseg export`, whose report fills the row. The
floor is left open, so that what would be refused shows. After so few steps classes lie close together and a small
error turns more pixels than in a trained network: the shares here are on the low side. --quick: the smallest member
of each family, ONNX alone, nothing written.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "benchmarks"))

from made_run import write_run, write_scenes  # noqa: E402
from measuring import write_results  # noqa: E402

from carlaseg import models  # noqa: E402
from carlaseg.config import ExportConfig  # noqa: E402
from carlaseg.errors import CarlasegError  # noqa: E402
from carlaseg.inference.exporting import export  # noqa: E402
from carlaseg.inference.exporting.formats import FORMATS  # noqa: E402

SIZE = (96, 128)
PACKAGES = ("tensorflow", "keras", "onnxruntime", "openvino", "nncf", "ai-edge-litert")
HEADER = (
    "| network | format | precision | logits differ (largest, mean) | same class | mIoU drop, points | MB | ms | "
    "checkpoint ms | in float |"
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--networks", nargs="+", default=None)
    parser.add_argument("--formats", nargs="+", default=None, choices=list(FORMATS))
    parser.add_argument("--precisions", nargs="+", default=["float32", "float16", "int8"])
    parser.add_argument("--steps", type=int, default=None)
    given = parser.parse_args()
    networks = given.networks or [n for n in models.names() if not given.quick or models.network(n).smallest]
    formats = given.formats or (["onnx"] if given.quick else list(FORMATS))
    rows: list[dict[str, Any]] = []
    print(HEADER + "\n| --- | --- | --- | --- | ---: | ---: | ---: | ---: | ---: | --- |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        data = write_scenes(base / "scenes", 24, SIZE)
        for name in networks:
            options = dict(models.network(name).smallest or {}) if given.quick else {}
            steps = given.steps if given.steps is not None else (20 if given.quick else 30)
            run = write_run(base / "runs", name, data, SIZE, steps, options)
            for to in formats:
                for precision in given.precisions:
                    if precision in FORMATS[to].precisions:
                        rows.append(row(run, name, to, precision))
                        print(line(rows[-1]), flush=True)
    if not given.quick:
        write_results("parity", PACKAGES, size=list(SIZE), rows=rows)
    return 0 if all("error" not in entry for entry in rows) else 1


def row(run: Path, network: str, to: str, precision: str) -> dict[str, Any]:
    """One export; its report, or what was said instead."""
    config = ExportConfig(run=run, to=to, precision=precision, max_miou_drop=100.0, overwrite=True)  # type: ignore[arg-type]
    head = {"network": network, "format": to, "precision": precision}
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            report = export(config).report
    except CarlasegError as error:
        return {**head, "error": error.message}
    parity = report.parity
    return {
        **head,
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
    }


def line(entry: dict[str, Any]) -> str:
    """A row of the table."""
    head = f"| {entry['network']} | {entry['format']} | {entry['precision']} |"
    if "error" in entry:
        return f"{head} {entry['error']} | | | | | | |"
    return (
        f"{head} {entry['logits_max']:.2g}, {entry['logits_mean']:.2g} of {entry['logits_scale']:.3g} | "
        f"{100 * entry['same_class']:.3f} % | {entry['miou_drop']:.3f} | {entry['bytes'] / 1e6:.2f} | "
        f"{entry['latency_ms']:.1f} | {entry['checkpoint_latency_ms']:.1f} | {', '.join(entry['kept_float']) or '-'} |"
    )


if __name__ == "__main__":
    sys.exit(main())
