"""Drives that stand, collide or lose frames, on the embedded simulator: what is saved, marked, entered, ended."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from recordings_made import UNTOUCHED

from carlaseg.dataset.reader import read_dropped, read_frames, read_metadata
from carlaseg.dataset.verify import verify
from carlaseg.simulator.testing import Address, faulty_simulator

Typed = Callable[..., subprocess.CompletedProcess[str]]


def test_frames_too_near_to_the_last_one_are_left_out(
    server: Address, typed: Typed, tmp_path: Path, world_state: Callable[[Address], dict[str, Any]]
) -> None:
    words = ("--port", str(server.port), "--driver", "waypoints", "--every", "1", "--frames", "6", "--name", "drive")
    done = typed(*words, "--min-distance", "1.5")
    assert done.returncode == 0, done.stderr
    metadata = read_metadata(tmp_path / "drive")
    frames = read_frames(tmp_path / "drive", metadata)
    for before, after in itertools.pairwise(frames):
        moved = math.dist(before.ego.location_m, after.ego.location_m)
        # The tick that is saved is the one after the ego was seen far enough: one more step of 0.4 m at most.
        assert 1.5 <= moved < 2.5
    assert metadata.counts["standing"] > 0
    assert metadata.counts["frames"] == 6
    assert world_state(server) == UNTOUCHED


NOBODY_DRIVES = """
import sys
from carlaseg.config import RecordConfig, from_mapping
from carlaseg.recording import drivers, recorder
drivers.Autopilot.__init__ = lambda self, ego, port: setattr(self, "_ego", ego)
words = dict(word.split("=") for word in sys.argv[1:])
numbers = {name: int(value) for name, value in words.items() if value.isdigit()}
common = dict(every=10, warmup=3, traffic=0, walkers=0, size="48x64", stuck_after=1.0, timeout=20.0)
outcome = recorder.record(from_mapping(RecordConfig, common | words | numbers, "the test"))
print(outcome.frames, outcome.ended_by)
"""


Undriven = Callable[..., str]


@pytest.fixture
def undriven(server: Address, tmp_path: Path) -> Undriven:
    """Records a drive in which nobody drives; gives how many frames it has and what ended it."""

    def record(*words: str) -> str:
        command = [sys.executable, "-c", NOBODY_DRIVES, f"port={server.port}", f"output={tmp_path}", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return record


def test_a_stuck_ego_is_put_elsewhere_and_the_frame_after_says_so(undriven: Undriven, tmp_path: Path) -> None:
    assert undriven("name=restarts", "frames=6") == "6 None"
    metadata = read_metadata(tmp_path / "restarts")
    frames = read_frames(tmp_path / "restarts", metadata)
    marked = [frame for frame in frames if frame.events]
    assert metadata.counts["restarts"] >= len(marked) >= 2
    assert {(event["kind"], event["because"]) for frame in marked for event in frame.events} == {("restart", "stuck")}
    for before, after in itertools.pairwise(frames):
        jumped = math.dist(before.ego.location_m, after.ego.location_m) > 1.0
        assert jumped == (after in marked), "no jump goes unmarked"

    assert undriven("name=ends", "frames=30", "when_stuck=end") == "2 stuck"
    assert verify(tmp_path / "ends", deep=True).ok


@pytest.mark.slow
def test_a_drive_that_a_rule_ended_is_complete_for_the_same_command(undriven: Undriven, tmp_path: Path) -> None:
    # The rule ends it long before the next slot: the cameras of the second run see nothing.
    words = ("name=ends", "frames=30", "every=30", "when_stuck=end")
    assert undriven(*words) == "1 stuck"
    lines = (tmp_path / "ends" / "frames.jsonl").read_bytes()
    metadata = json.loads((tmp_path / "ends" / "recording.json").read_bytes())
    # As after a kill between the rule and the end of the recording.
    (tmp_path / "ends" / "recording.json").write_text(json.dumps(metadata | {"ended": None, "counts": {}}))
    assert undriven(*words) == "1 stuck"
    assert (tmp_path / "ends" / "frames.jsonl").read_bytes() == lines
    assert read_metadata(tmp_path / "ends").counts["ended_by_rule"] == 1


def test_every_lost_tick_stands_in_the_ledger_and_its_slot_is_filled_by_the_next(typed: Typed, tmp_path: Path) -> None:
    pytest.importorskip("carla", reason="no carla client for this Python or platform")
    plan = '[[fault]]\nkind = "lost"\nsensor = "sensor.camera.semantic_segmentation"\nat = [38, 46]\n'
    plan += '[[fault]]\nkind = "black"\nsensor = "sensor.camera.rgb"\nat = [42]\n'
    plan += '[[fault]]\nkind = "wrong_frame"\nsensor = "sensor.camera.rgb"\noffset = 1\nat = [40]\n'
    with faulty_simulator(plan, seed=5) as simulator:
        words = ("--port", str(simulator.port), "--every", "1", "--frames", "40", "--name", "drive")
        done = typed(*words, "--timeout", "6")
        struck = simulator.report()["struck"]
    assert done.returncode == 0, done.stderr
    assert struck == [2, 1, 1], struck
    folder = tmp_path / "drive"
    assert verify(folder, deep=True).ok
    metadata = read_metadata(folder)
    saved = {frame.frame for frame in read_frames(folder, metadata)}
    dropped = read_dropped(folder)
    assert metadata.counts["dropped"] == len(dropped) > 0
    assert not saved & {record.frame for record in dropped}
    assert saved | {record.frame for record in dropped} == set(range(min(saved), max(saved) + 1))
    reasons = " ".join(record.reason for record in dropped)
    assert "nothing from semantic_front" in reasons
    assert "rgb_front: a black picture" in reasons


def test_too_many_lost_ticks_end_the_recording_and_what_was_saved_is_valid(typed: Typed, tmp_path: Path) -> None:
    pytest.importorskip("carla", reason="no carla client for this Python or platform")
    plan = '[[fault]]\nkind = "lost"\nsensor = "sensor.camera.rgb"\nfirst = 60\nchance = 0.7\n'
    with faulty_simulator(plan, seed=5) as simulator:
        words = ("--port", str(simulator.port), "--every", "1", "--frames", "200", "--name", "drive", "--timeout", "4")
        done = typed(*words, "--max-drop-share", "0.05", "--max-drops-in-a-row", "50")
    assert done.returncode == 3, done.stderr
    assert "--max-drop-share 0.05 allows" in done.stderr
    assert verify(tmp_path / "drive", deep=True).ok
    lines = [json.loads(line) for line in (tmp_path / "drive" / "dropped.jsonl").read_text().splitlines()]
    assert all(line["sensors"] == ["rgb_front"] for line in lines)
