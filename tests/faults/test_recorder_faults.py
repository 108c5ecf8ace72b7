"""A recorder on a server that misbehaves: what is saved is valid, the server is left as found, a re-run completes.

The count of cases is printed (pytest -s); CARLASEG_FAULT_CASES sets it, CARLASEG_FAULT_FIRST where they begin.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fault_cases import Case, cases

from carlaseg.dataset.reader import is_recording, read_frames, read_metadata
from carlaseg.dataset.records import FrameRecord
from carlaseg.dataset.verify import verify
from carlaseg.simulator.testing import FaultySimulator, faulty_simulator

SLOW_CASES = int(os.environ.get("CARLASEG_FAULT_CASES", "300"))
FRAMES = 6
ATTEMPTS = 4
SETTINGS = {
    "frames": FRAMES,
    "every": 2,
    "warmup": 3,
    "settle": 6,
    "size": "48x64",
    "traffic": 2,
    "walkers": 1,
    "timeout": 3.0,
    "reload": True,
    "colour": False,
    "seed": 4,
}


class Recorder:
    """Records in a worker process; another one when the client library has ended it."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        worker = Path(__file__).with_name("recording_worker.py")
        self._process = subprocess.Popen(
            [sys.executable, str(worker)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        )

    def record(self, settings: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(settings) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if line:
            return dict(json.loads(line))
        self.close()
        self._start()
        return {"code": 3, "said": "the client library ended the process", "dropped": 0}

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


@dataclass
class Bench:
    """A simulator and a recorder that work on one case after the other."""

    simulator: FaultySimulator
    recorder: Recorder


@pytest.fixture(scope="module")
def benches() -> Iterator[list[Bench]]:
    """Two of them: most of the time of a case is waiting for what does not come."""
    pytest.importorskip("carla", reason="no carla client for this Python or platform")
    with ExitStack() as stack:
        made = []
        for _ in range(2):
            recorder = Recorder()
            stack.callback(recorder.close)
            made.append(Bench(stack.enter_context(faulty_simulator(seed=5)), recorder))
        yield made


@pytest.fixture(scope="module")
def undisturbed(benches: list[Bench], tmp_path_factory: pytest.TempPathFactory) -> dict[int, FrameRecord]:
    """Frames of a drive longer than the others, by tick, on a server that behaves."""
    output = tmp_path_factory.mktemp("undisturbed")
    settings = SETTINGS | {"port": benches[0].simulator.port, "output": str(output), "name": "whole"}
    # Every tick of it, so that a frame that took the next tick's place finds its like.
    done = benches[0].recorder.record(settings | {"frames": 3 * FRAMES, "every": 1})
    assert done["code"] == 0, done
    return by_tick(output / "whole")


def by_tick(folder: Path) -> dict[int, FrameRecord]:
    return {frame.frame: frame for frame in read_frames(folder, read_metadata(folder))}


@dataclass(frozen=True)
class Outcome:
    """How a case ended: how many attempts it took, and whether any of its faults struck."""

    attempts: int
    struck: bool


def check(case: Case, bench: Bench, undisturbed: dict[int, FrameRecord], output: Path) -> Outcome:
    """Record in spite of the case's faults."""
    simulator, recorder = bench.simulator, bench.recorder
    settings = SETTINGS | {"port": simulator.port, "output": str(output), "name": "drive", "exact": case.exact}
    folder = output / "drive"
    simulator.put(case.plan)
    struck = False
    for attempt in range(1, ATTEMPTS + 1):
        if attempt == ATTEMPTS:
            simulator.put("")
        done = recorder.record(settings)
        simulator.await_return()
        struck |= any(simulator.report()["struck"])
        if is_recording(folder):
            report = verify(folder, deep=True)
            assert report.ok, (case.name, report.problems)
        if done["code"] == 0:
            break
        assert done["code"] in (2, 3), (case.name, done)
    assert done["code"] == 0, (case.name, done)
    simulator.put("")
    frames = by_tick(folder)
    assert len(frames) == FRAMES, (case.name, sorted(frames))
    for tick, frame in frames.items():
        assert_one_tick(case, frame)
        if case.keeps_the_world and tick in undisturbed:
            same = undisturbed[tick]
            assert (frame.ego, frame.sensors, frame.files) == (same.ego, same.sensors, same.files), (case.name, tick)
    assert_left_as_found(case, simulator)
    return Outcome(attempt, struck)


def assert_one_tick(case: Case, frame: FrameRecord) -> None:
    """Both pictures, the pose and the time of a frame are of one tick."""
    assert frame.sensors["rgb_front"] == frame.sensors["semantic_front"], case.name
    distance_m = math.dist(frame.sensors["rgb_front"].location_m, frame.ego.location_m)
    assert distance_m == pytest.approx(math.hypot(1.6, 1.7), abs=0.05), case.name
    assert frame.timestamp_s == pytest.approx(frame.frame * 0.05, abs=1e-3), case.name


def assert_left_as_found(case: Case, simulator: FaultySimulator) -> None:
    deadline_s = time.monotonic() + 5.0
    while True:
        report = simulator.report()
        ours = [
            kind for _, kind in report["actors"] if kind.split(".")[0] in ("vehicle", "walker", "sensor", "controller")
        ]
        settings = report["settings"]
        asynchronous = not settings["synchronous_mode"] and not settings["fixed_delta_seconds"]
        if (not ours and asynchronous) or time.monotonic() > deadline_s:
            break
        time.sleep(0.05)
    assert not ours, (case.name, ours)
    assert asynchronous, (case.name, settings)


def run(count: int, benches: list[Bench], undisturbed: dict[int, FrameRecord], output: Path) -> None:
    chosen = cases(count)

    def half(number: int) -> list[Outcome]:
        return [
            check(case, benches[number], undisturbed, output / case.name.replace(" ", "_").replace("+", "and"))
            for case in chosen[number :: len(benches)]
        ]

    with ThreadPoolExecutor(len(benches)) as pool:
        outcomes = [outcome for part in pool.map(half, range(len(benches))) for outcome in part]
    struck = sum(outcome.struck for outcome in outcomes)
    again = sum(outcome.attempts > 1 for outcome in outcomes)
    same = sum(case.keeps_the_world for case in chosen)
    print(
        f"\n{len(outcomes)} cases of faults held, {struck} of them struck; {again} took another attempt; "
        f"the frames of {same} were compared byte by byte"
    )
    assert len(outcomes) == count
    assert struck > 0.8 * count


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_whatever_the_server_does_in_hundreds_of_cases(
    benches: list[Bench], undisturbed: dict[int, FrameRecord], tmp_path: Path
) -> None:
    run(SLOW_CASES, benches, undisturbed, tmp_path)
