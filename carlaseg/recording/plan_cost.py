"""`carlaseg plan`: frames, gigabytes, hours, and what will not fit, before anything runs; from a short probe."""

from __future__ import annotations

import dataclasses
import json
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from carlaseg.config import PlanConfig, RecordConfig, nearest, to_json
from carlaseg.console import counted, duration, result, say
from carlaseg.errors import ConfigError, DatasetError, SimulatorError
from carlaseg.recording.connection import import_carla
from carlaseg.recording.estimate import LARGEST_SHARE_OF_FREE_DISK, bytes_text
from carlaseg.recording.plan import Plan, load_plan, refuse_unknown_weathers
from carlaseg.recording.plan_run import training_words

PROBE_TIMEOUT_S = 900.0
# In a process of its own, which the client library may end as it likes.
ASK = """
import json, sys, carla
client = carla.Client(sys.argv[1], int(sys.argv[2]))
client.set_timeout(float(sys.argv[3]))
towns = sorted({str(name).rsplit("/", 1)[-1] for name in client.get_available_maps()})
print(json.dumps(towns))
"""


@dataclasses.dataclass(frozen=True)
class PlanCost:
    """What a plan comes to.

    Attributes:
        drives: recordings of it.
        drives_left: of them not done.
        frames: of all of them.
        frames_left: still to be recorded.
        byte_count: the frames left will take; None without a probe.
        seconds: the frames left will take; None without a probe.
        free_bytes: on the disk they go to.
    """

    drives: int
    drives_left: int
    frames: int
    frames_left: int
    byte_count: int | None
    seconds: float | None
    free_bytes: int


def plan_command(config: PlanConfig) -> int:
    """Say what a plan comes to.

    Raises:
        ConfigError: the plan cannot be read, or names a town or a weather that the server has not.
        SimulatorError: the server does not answer, or the probe failed.
        DatasetError: it will not fit on the disk.
    """
    overrides: dict[str, Any] = {"host": config.host, "port": config.port}
    plan = load_plan(config.plan, {name: value for name, value in overrides.items() if value is not None})
    if config.probe:
        # Without a client the probe itself, where one is made, says what is missing.
        with suppress(SimulatorError):
            refuse_unknown_weathers(plan, import_carla())
    where = None if config.simulator == "plan" else config.simulator
    cost = cost_of(plan, config.probe_frames if config.probe else None, where)
    _say(plan, cost)
    if config.json:
        result(json.dumps(dataclasses.asdict(cost)))
    _refuse_what_does_not_fit(plan, cost)
    return 0


def cost_of(plan: Plan, probe_frames: int | None, simulator: Literal["server", "embedded"] | None = None) -> PlanCost:
    """Count a plan, and measure a frame of it.

    Args:
        plan: what is to be recorded.
        probe_frames: frames of the probe; None makes none.
        simulator: where to probe; as the plan says when None. What is done already is the plan's own all the same.

    Raises:
        ConfigError: it names a town that the server has not.
        SimulatorError: the server does not answer, or the probe failed.
    """
    left = {drive.folder: drive.config.frames - drive.frames_done() for drive in plan.drives}
    missing = [drive for drive in plan.drives if left[drive.folder] > 0]
    frames_left = sum(left.values())
    byte_count, seconds = None, None
    if probe_frames is not None and missing:
        first = missing[0].config
        if simulator is not None:
            first = dataclasses.replace(first, simulator=simulator)
        if first.simulator == "server":
            _refuse_unknown_towns(plan, first)
        frame_bytes, frame_s, drive_s = _probe(first, probe_frames)
        # Shards hold every file once more.
        copies = 1 if first.shards is None else 2
        byte_count = round(frame_bytes * frames_left * copies)
        seconds = frame_s * frames_left + drive_s * len(missing)
    output = plan.drives[0].folder
    home = next(parent for parent in output.parents if parent.exists())
    return PlanCost(
        len(plan.drives), len(missing), plan.frames, frames_left, byte_count, seconds, shutil.disk_usage(home).free
    )


def _probe(config: RecordConfig, frames: int) -> tuple[float, float, float]:
    """Record a few frames of a drive elsewhere: bytes a frame, seconds a frame, seconds before the first one."""
    with tempfile.TemporaryDirectory(prefix="carlaseg_plan_") as folder:
        settings = to_json(config) | {"frames": frames, "output": folder, "name": "probe", "json": True}
        path = Path(folder) / "probe.json"
        path.write_text(json.dumps(settings), encoding="utf-8")
        say("probe", f"{counted(frames, 'frame')} of {config.name}")
        began_s = time.monotonic()
        done = _asked([sys.executable, "-m", "carlaseg", "record", "--config", str(path)])
        took_s = time.monotonic() - began_s
    if done.returncode != 0:
        said = next((line for line in done.stderr.splitlines() if line.startswith("carlaseg record:")), done.stderr)
        error = ConfigError if done.returncode == ConfigError.exit_code else SimulatorError
        raise error(f"the probe: {said.removeprefix('carlaseg record: ').strip()}")
    outcome = json.loads(done.stdout.splitlines()[-1])
    # A rule may have ended the drive before it had all of them.
    frames = outcome["frames"]
    return outcome["byte_count"] / frames, outcome["elapsed_s"] / frames, took_s - outcome["elapsed_s"]


def _asked(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=PROBE_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise SimulatorError(
            f"the probe: expected an end within {duration(PROBE_TIMEOUT_S)} minutes, received none.",
            (("counts alone", "carlaseg plan PLAN --no-probe"),),
        ) from error


def _refuse_unknown_towns(plan: Plan, config: RecordConfig) -> None:
    command = [sys.executable, "-c", ASK, config.host, str(config.port), str(config.timeout)]
    done = _asked(command)
    if done.returncode != 0:
        raise SimulatorError(
            f"{config.host}:{config.port}: expected a CARLA server to ask, received no answer within "
            f"{config.timeout:g} s.",
            (("counts alone", f"carlaseg plan {shlex.quote(str(plan.path))} --no-probe"),),
        )
    known = json.loads(done.stdout.splitlines()[-1])
    unknown = sorted({str(d.config.town) for d in plan.drives} - set(known))
    if unknown:
        near = nearest(unknown[0], known)
        raise ConfigError(
            f"plan {plan.path}: expected towns of the server ({', '.join(known)}), received {', '.join(unknown)}."
            + (f" Nearest: {near}." if near else "")
        )


def _say(plan: Plan, cost: PlanCost) -> None:
    say("plan", f"{plan.path}: {counted(cost.drives, 'drive')}, {counted(cost.frames, 'frame')}")
    for split, count in Counter(drive.split for drive in plan.drives).items():
        if split:
            towns = sorted({str(drive.config.town) for drive in plan.drives if drive.split == split})
            say(split, f"{counted(count, 'drive')} in {', '.join(towns)}")
    if cost.drives_left < cost.drives:
        say("done", f"{cost.drives - cost.drives_left} drives are there; {cost.frames_left} frames are left")
    if cost.byte_count is not None and cost.seconds is not None:
        say("size", f"~{bytes_text(cost.byte_count)} of {bytes_text(cost.free_bytes)} free")
        say("time", f"~{duration(cost.seconds)} at the probe's pace")
    if cost.drives_left:
        say("next", f"carlaseg record --plan {shlex.quote(str(plan.path))}")
    else:
        say("next", shlex.join(training_words(plan)))


def _refuse_what_does_not_fit(plan: Plan, cost: PlanCost) -> None:
    if cost.byte_count is None or cost.byte_count <= cost.free_bytes * LARGEST_SHARE_OF_FREE_DISK:
        return
    fits = round(cost.frames_left * cost.free_bytes * LARGEST_SHARE_OF_FREE_DISK / cost.byte_count)
    raise DatasetError(
        f"plan {plan.path}: expected about {bytes_text(cost.byte_count)} free for {cost.frames_left} frames, received "
        f"{bytes_text(cost.free_bytes)}, room for {fits} of them.",
        (("elsewhere", 'output = "/another/disk" in the plan'),),
    )
