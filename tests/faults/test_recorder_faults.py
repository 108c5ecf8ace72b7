"""A recorder on a server that misbehaves: what is saved is valid, the server is left as found, a re-run completes.

The count of cases is printed (pytest -s); CARLASEG_FAULT_CASES sets it, CARLASEG_FAULT_FIRST the first of them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from fault_cases import Case, cases
from recorders import SETTINGS, Recorder, assert_left_as_found, by_tick, recorder

from carlaseg.dataset.reader import is_recording
from carlaseg.dataset.records import FrameRecord
from carlaseg.dataset.verify import verify
from carlaseg.simulator.testing import FaultySimulator, faulty_simulator

COUNT = int(os.environ.get("CARLASEG_FAULT_CASES", "300"))
FIRST = int(os.environ.get("CARLASEG_FAULT_FIRST", "0"))
BENCHES = 3
FRAMES = 6
ATTEMPTS = 4


@dataclass
class Bench:
    """A simulator and a recorder that work on one case after the other."""

    simulator: FaultySimulator
    recorder: Recorder


@pytest.fixture(scope="module")
def benches() -> Iterator[list[Bench]]:
    """Some of them: most of the time of a case is waiting for what does not come."""
    pytest.importorskip("carla", reason="no carla client for this Python or platform")
    with ExitStack() as stack:
        yield [
            Bench(stack.enter_context(faulty_simulator(seed=5)), stack.enter_context(recorder()))
            for _ in range(BENCHES)
        ]


@pytest.fixture(scope="module")
def undisturbed(benches: list[Bench], tmp_path_factory: pytest.TempPathFactory) -> dict[int, FrameRecord]:
    """Frames of a drive longer than the others, by tick, on a server that behaves."""
    output = tmp_path_factory.mktemp("undisturbed")
    settings = SETTINGS | {"port": benches[0].simulator.port, "output": str(output), "name": "whole"}
    # Every tick of it, so that a frame that took the next tick's place finds its like.
    done = benches[0].recorder.record(settings | {"frames": 3 * FRAMES, "every": 1})
    assert done["code"] == 0, done
    return by_tick(output / "whole")


@dataclass(frozen=True)
class Outcome:
    """How a case ended: how many attempts it took, and whether any of its faults struck."""

    attempts: int
    struck: bool


def check(case: Case, bench: Bench, undisturbed: dict[int, FrameRecord], output: Path) -> Outcome:
    """Record in spite of the case's faults."""
    simulator = bench.simulator
    settings = SETTINGS | {"port": simulator.port, "output": str(output), "name": "drive", "frames": FRAMES}
    settings |= {"exact": case.exact}
    folder = output / "drive"
    simulator.put(case.plan)
    struck = False
    for attempt in range(1, ATTEMPTS + 1):
        if attempt == ATTEMPTS:
            simulator.put("")
        done = bench.recorder.record(settings)
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
    assert_left_as_found(case.name, simulator)
    return Outcome(attempt, struck)


def assert_one_tick(case: Case, frame: FrameRecord) -> None:
    """Both pictures, the pose and the time of a frame are of one tick."""
    assert frame.sensors["rgb_front"] == frame.sensors["semantic_front"], case.name
    distance_m = math.dist(frame.sensors["rgb_front"].location_m, frame.ego.location_m)
    assert distance_m == pytest.approx(math.hypot(1.6, 1.7), abs=0.05), case.name
    assert frame.timestamp_s == pytest.approx(frame.frame * 0.05, abs=1e-3), case.name


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_whatever_the_server_does_in_hundreds_of_cases(
    benches: list[Bench], undisturbed: dict[int, FrameRecord], tmp_path: Path
) -> None:
    chosen = cases(FIRST + COUNT)[FIRST:]
    failures: list[str] = []

    def share(number: int) -> list[Outcome]:
        outcomes = []
        for case in chosen[number :: len(benches)]:
            try:
                outcomes.append(check(case, benches[number], undisturbed, tmp_path / case.name.split()[0]))
            except AssertionError as error:
                failures.append(f"{case.name}: {error}\n{case.plan}")
        return outcomes

    with ThreadPoolExecutor(len(benches)) as pool:
        outcomes = [outcome for part in pool.map(share, range(len(benches))) for outcome in part]
    struck = sum(outcome.struck for outcome in outcomes)
    again = sum(outcome.attempts > 1 for outcome in outcomes)
    same = sum(case.keeps_the_world for case in chosen)
    print(
        f"\n{len(outcomes)} of {len(chosen)} cases of faults held, {struck} of them struck; {again} took another "
        f"attempt; the frames of {same} were compared byte by byte"
    )
    assert not failures, "\n".join(failures)
    assert struck > 0.8 * len(chosen)
