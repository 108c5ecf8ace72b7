"""What benchmarks share: sides that take turns, the machine they ran on, and where results go."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
ROUNDS_MIN = 3
SETTLE_S = 0.02
"""Between two sides: threads of a runtime that wait for more work by spinning have then gone to sleep."""


def in_turn(
    sides: Mapping[str, Callable[[], object]], rounds: int, warm: bool = True, limit_s: float = float("inf")
) -> dict[str, float]:
    """Median seconds of each side, the sides taking turns so that other load on the machine meets all alike.

    Args:
        sides: name to work.
        rounds: turns of each.
        warm: whether each side does its work once before the clock runs.
        limit_s: begin no further round after so many seconds, three rounds being done.
    """
    if warm:
        for work in sides.values():
            work()
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    started_s = time.perf_counter()
    for turn in range(rounds):
        if turn >= ROUNDS_MIN and time.perf_counter() - started_s > limit_s:
            break
        for name, work in sides.items():
            time.sleep(SETTLE_S)
            began_s = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - began_s)
    return {name: statistics.median(own) for name, own in seconds.items()}


def machine(packages: Sequence[str] = ()) -> dict[str, Any]:
    """What was measured on: processor, cores, system, versions."""
    model = ""
    if platform.system() == "Linux":
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {
        "processor": model or platform.machine(),
        "cpu_count": os.cpu_count(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        **{package: metadata.version(package) for package in packages},
    }


def write_results(name: str, packages: Sequence[str], **values: Any) -> Path:
    """Write benchmarks/results/NAME.json."""
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"machine": machine(packages), **values}, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {path.relative_to(ROOT)}")
    return path
