"""A recorder on a server that misbehaves: what is saved is valid, the server is left as found, a re-run completes.

Hundreds of cases are slow, most of them waiting for what does not come; CARLASEG_FAULT_CASES sets how many,
CARLASEG_FAULT_FIRST the first of them. Thirty are fast: the same in a street of nothing but a road, with a shorter
time-out. The count of cases is printed (pytest -s).
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fault_cases import BRISK, UNHURRIED, Case, cases
from recorders import SETTINGS, Recorder, assert_left_as_found, by_tick, recorder

from carlaseg.dataset.reader import is_recording
from carlaseg.dataset.records import FrameRecord
from carlaseg.dataset.verify import verify
from carlaseg.simulator.testing import FaultySimulator, faulty_simulator

COUNT = int(os.environ.get("CARLASEG_FAULT_CASES", "300"))
FIRST = int(os.environ.get("CARLASEG_FAULT_FIRST", "0"))
FAST_COUNT = 30
STREET = Path(__file__).with_name("street.xodr")
UNHURRIED_SETTINGS = SETTINGS | {"frames": 6}
BRISK_SETTINGS = SETTINGS | {"frames": 4, "size": "32x32", "traffic": 1, "warmup": 2, "settle": 3, "timeout": 1.0}
ATTEMPTS = 4


@dataclass
class Bench:
    """A simulator and a recorder that work on one case after the other."""

    simulator: FaultySimulator
    recorder: Recorder


@contextmanager
def benches(count: int, opendrive: Sequence[Path]) -> Iterator[list[Bench]]:
    """Some of them: most of the time of a case is waiting for what does not come."""
    pytest.importorskip("carla", reason="no carla client for this Python or platform")
    with ExitStack() as stack:
        yield [
            Bench(
                stack.enter_context(faulty_simulator(seed=5, opendrive=opendrive)),
                stack.enter_context(recorder()),
            )
            for _ in range(count)
        ]


@dataclass(frozen=True)
class Outcome:
    """How a case ended: how many attempts it took, and whether any of its faults struck."""

    attempts: int
    struck: bool


class Trial:
    """Cases of faults, recorded with the same settings, and compared with one drive on a server that behaves.

    Args:
        at: whose server behaves first.
        settings: of all recordings.
        output: where they go.
    """

    def __init__(self, at: Bench, settings: dict[str, Any], output: Path) -> None:
        self.settings = settings | {"output": str(output)}
        self.output = output
        # Every tick of a longer drive, so that a frame that took the next tick's place finds its like.
        longer = {"port": at.simulator.port, "name": "undisturbed", "frames": 3 * settings["frames"], "every": 1}
        done = at.recorder.record(self.settings | longer)
        assert done["code"] == 0, done
        self.undisturbed = by_tick(output / "undisturbed")

    def failures(self, chosen: Sequence[Case], on: Sequence[Bench]) -> list[str]:
        """Record each case, on several benches at a time, and print how it went; gives what did not hold."""
        failures: list[str] = []

        def share(number: int) -> list[Outcome]:
            outcomes = []
            for case in chosen[number :: len(on)]:
                try:
                    outcomes.append(self.check(case, on[number]))
                except AssertionError as error:
                    failures.append(f"{case.name}: {error}\n{case.plan}")
            return outcomes

        with ThreadPoolExecutor(len(on)) as pool:
            outcomes = [outcome for part in pool.map(share, range(len(on))) for outcome in part]
        struck = sum(outcome.struck for outcome in outcomes)
        again = sum(outcome.attempts > 1 for outcome in outcomes)
        same = sum(case.keeps_the_world for case in chosen)
        print(
            f"\n{len(outcomes)} of {len(chosen)} cases of faults held, {struck} of them struck; {again} took another "
            f"attempt; the frames of {same} were compared byte by byte"
        )
        if struck <= 0.8 * len(chosen):
            failures.append(f"only {struck} of {len(chosen)} cases were struck by their faults")
        return failures

    def check(self, case: Case, bench: Bench) -> Outcome:
        """Record in spite of the case's faults."""
        simulator = bench.simulator
        name = case.name.split()[0]
        settings = self.settings | {"port": simulator.port, "name": name, "exact": case.exact}
        folder = self.output / name
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
                assert report.ok, report.problems
            if done["code"] == 0:
                break
            assert done["code"] in (2, 3), done
        assert done["code"] == 0, done
        simulator.put("")
        frames = by_tick(folder)
        assert len(frames) == settings["frames"], sorted(frames)
        for tick, frame in frames.items():
            assert_one_tick(frame)
            if case.keeps_the_world and tick in self.undisturbed:
                same = self.undisturbed[tick]
                assert (frame.ego, frame.sensors, frame.files) == (same.ego, same.sensors, same.files), tick
        assert_left_as_found(case.name, simulator)
        return Outcome(attempt, struck)


def assert_one_tick(frame: FrameRecord) -> None:
    """Both pictures, the pose and the time of a frame are of one tick."""
    assert frame.sensors["rgb_front"] == frame.sensors["semantic_front"]
    distance_m = math.dist(frame.sensors["rgb_front"].location_m, frame.ego.location_m)
    assert distance_m == pytest.approx(math.hypot(1.6, 1.7), abs=0.05)
    assert frame.timestamp_s == pytest.approx(frame.frame * 0.05, abs=1e-3)


def test_whatever_the_server_does_in_thirty_cases(tmp_path: Path) -> None:
    with benches(4, [STREET]) as some:
        failures = Trial(some[0], BRISK_SETTINGS, tmp_path).failures(cases(FAST_COUNT, BRISK), some)
    assert not failures, "\n".join(failures)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_whatever_the_server_does_in_hundreds_of_cases(tmp_path: Path) -> None:
    with benches(3, []) as some:
        chosen = cases(FIRST + COUNT, UNHURRIED)[FIRST:]
        failures = Trial(some[0], UNHURRIED_SETTINGS, tmp_path).failures(chosen, some)
    assert not failures, "\n".join(failures)
