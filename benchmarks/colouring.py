"""A mask of class ids in colours: ours against a Python loop over pixels.

    python benchmarks/colouring.py [--quick]

Interleaved, median of the rounds. The loop is the plain one: for each row, for each column,
`out[y, x] = palette[mask[y, x]]`. Both give the same bytes, which is checked.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import cv2  # noqa: E402
import numpy as np  # noqa: E402
from measuring import write_results  # noqa: E402

from carlaseg.inference.panels import colours  # noqa: E402
from carlaseg.labels import scheme  # noqa: E402

GOAL = 80.0
SIZES = ((160, 160), (360, 480), (600, 800))


def loop(mask: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Colour by colour, pixel by pixel."""
    out = np.zeros((*mask.shape, 3), np.uint8)
    for row in range(mask.shape[0]):
        for column in range(mask.shape[1]):
            out[row, column] = palette[mask[row, column]]
    return out


def seconds(work: Callable[[], object], times: int) -> float:
    began_s = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - began_s) / times


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds; nothing is written")
    quick = parser.parse_args().quick
    palette = scheme("carla-0.9.14").palette
    rng = np.random.default_rng(0)
    rows = []
    print(f"{'size':<9} {'loop ms':>9} {'ours ms':>9} {'times':>7}")
    for height, width in SIZES:
        coarse = rng.integers(0, 29, (height // 8, width // 8)).astype(np.uint8)
        mask = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST)
        assert np.array_equal(loop(mask, palette), colours(mask, palette))
        slow, fast = [], []
        for _ in range(3 if quick else 9):
            slow.append(seconds(partial(loop, mask, palette), 1))
            fast.append(seconds(partial(colours, mask, palette), 50))
        row = {"size": f"{height}x{width}", "loop_s": statistics.median(slow), "ours_s": statistics.median(fast)}
        row["times"] = row["loop_s"] / row["ours_s"]
        rows.append(row)
        figures = f"{1e3 * row['loop_s']:9.2f} {1e3 * row['ours_s']:9.3f} {row['times']:6.0f}x"
        print(f"{row['size']:<9} {figures}", flush=True)
    if not quick:
        write_results("colouring", ("opencv-python", "numpy"), rows=rows)
    met = all(row["times"] >= GOAL for row in rows)
    print(f"goal {GOAL:g}x: {'met' if met else 'missed'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
