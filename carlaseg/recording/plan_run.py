"""`carlaseg record --plan`: one recording after the other until the plan is done, whatever the server does meanwhile.

Each recording is made in a child (`supervised`), so that nothing a server or the client library does ends the plan. The
recordings on disk are the state; `plan.jsonl` beside them says, for people, what was tried and how it ended.
"""

from __future__ import annotations

import json
import shlex
import signal
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from carlaseg.config import RecordConfig, to_json
from carlaseg.console import counted, result, say, stop_on_signal
from carlaseg.dataset.reader import is_recording, line_count
from carlaseg.dataset.shards import write_shards
from carlaseg.errors import CarlasegError, ConfigError, Interrupted, SimulatorError
from carlaseg.recording.connection import import_carla
from carlaseg.recording.plan import Plan, PlannedDrive, load_plan, refuse_unknown_weathers, server_words
from carlaseg.recording.server_process import ServerProcess, wait_until_it_listens
from carlaseg.recording.supervised import record_in_child

LEDGER_FILE = "plan.jsonl"
LOG_FILE = "server.log"
RETURN_TIMEOUT_S = 60.0
"""A server that somebody else watches may come back; so long it is waited for."""
SIGNALLED = (128 + signal.SIGINT, 128 + signal.SIGTERM)


def run_plan(config: RecordConfig) -> int:
    """Record what is missing of a plan.

    Raises:
        ConfigError: the plan cannot be read, or a drive's settings cannot be met.
        SimulatorError: a drive failed again and again without a new frame.
        DatasetError: the disk is full, or something else stands where a recording belongs.
        Interrupted: Ctrl-C or SIGTERM.
    """
    assert config.plan is not None
    plan = load_plan(config.plan, settings_beside_the_plan(config))
    refuse_unknown_weathers(plan, import_carla())
    missing = [drive for drive in plan.drives if drive.frames_done() < drive.config.frames]
    say(
        "plan",
        f"{config.plan}: {counted(len(plan.drives), 'drive')}, {counted(plan.frames, 'frame')}; "
        f"{len(missing)} drives are not done yet",
    )
    if missing:
        _record_missing(plan, missing)
    for drive in plan.drives:
        if drive.config.shards is not None:
            # Each drive wrote its own; these are of drives that were complete before tars were asked for.
            write_shards(drive.folder, drive.config.shards)
    # What is there, not what was asked for: a rule may have ended a drive earlier.
    done = sum(_frames(drive) for drive in plan.drives)
    say("done", f"the plan is complete: {counted(len(plan.drives), 'drive')}, {counted(done, 'frame')}")
    roots = sorted({str(drive.config.output) for drive in plan.drives})
    if config.json:
        result(json.dumps({"drives": len(plan.drives), "frames": done, "folders": roots}))
    else:
        say("next", shlex.join(training_words(plan)))
        for root in roots:
            result(root)
    return 0


def training_words(plan: Plan) -> list[str]:
    """The words that train on what a plan recorded."""
    of_split = {drive.split: str(drive.config.output) for drive in plan.drives}
    words = ["carlaseg", "train", "--dataset", of_split.get("train") or next(iter(of_split.values()))]
    return words + (["--validation", of_split["val"]] if "val" in of_split else [])


def settings_beside_the_plan(config: RecordConfig) -> dict[str, Any]:
    """Settings given on the command line beside `--plan`; they win over those in the plan."""
    default = to_json(RecordConfig())
    given = {name: value for name, value in to_json(config).items() if value != default[name]}
    return {name: value for name, value in given.items() if name not in ("plan", "json", "output")}


def _record_missing(plan: Plan, missing: list[PlannedDrive]) -> None:
    root = _root(plan)
    root.mkdir(parents=True, exist_ok=True)
    first = missing[0].config
    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_signal("the current drive"))
        server: ServerProcess | None = None
        if plan.server.command is not None:
            if first.simulator == "embedded":
                raise ConfigError(
                    f"plan {plan.path}: expected either simulator embedded or a server command, not both."
                )
            settings = plan.server
            assert settings.command is not None
            server = stack.enter_context(
                ServerProcess(
                    server_words(settings.command), first.host, first.port, settings.start_timeout_s, root / LOG_FILE
                )
            )
        for number, drive in enumerate(missing):
            if stop.requested:
                raise stop.interrupted(f"plan {plan.path}: stopped on request between two drives.", _again(plan))
            if server is not None and number and plan.server.restart_every and number % plan.server.restart_every == 0:
                server.restart()
            say("drive", f"{number + 1}/{len(missing)}: {drive.folder}")
            _record_drive(plan, drive, server, root / LEDGER_FILE)


def _record_drive(plan: Plan, drive: PlannedDrive, server: ServerProcess | None, ledger: Path) -> None:
    """Record one drive, again and again while each attempt brings a new frame."""
    fruitless = 0
    while True:
        before = _frames(drive)
        code, said, steps = _attempt(drive.config)
        _note(ledger, drive, code, said)
        if code == 0:
            return
        again = (_again(plan),)
        if code in SIGNALLED:
            interrupted = Interrupted(f"plan {plan.path}: stopped on request in {drive.folder.name}.", again)
            interrupted.exit_code = code
            raise interrupted
        if code != SimulatorError.exit_code:
            error = CarlasegError(f"plan {plan.path}: {drive.folder.name} ended with exit code {code}. {said}", again)
            error.exit_code = code
            raise error
        fruitless = 0 if _frames(drive) > before else fruitless + 1
        if fruitless >= plan.server.attempts:
            raise SimulatorError(
                f"plan {plan.path}: expected {drive.folder.name} to get on, received no new frame in {fruitless} "
                f"attempts. {said}",
                (*steps, *again),
            )
        if server is not None:
            server.restart()
        elif drive.config.simulator == "server" and not wait_until_it_listens(
            drive.config.host, drive.config.port, RETURN_TIMEOUT_S
        ):
            raise SimulatorError(
                f"plan {plan.path}: expected the server back on {drive.config.host}:{drive.config.port} within "
                f"{RETURN_TIMEOUT_S:g} s, received nothing. What was saved is safe.",
                again,
            )


def _attempt(config: RecordConfig) -> tuple[int, str, tuple[tuple[str, str], ...]]:
    try:
        return record_in_child(config, quiet=True), "What was wrong stands above.", ()
    except (SimulatorError, Interrupted) as error:
        say("note", error.message)
        return error.exit_code, error.message, error.next_steps


def _frames(drive: PlannedDrive) -> int:
    return line_count(drive.folder) if is_recording(drive.folder) else 0


def _note(ledger: Path, drive: PlannedDrive, code: int, said: str) -> None:
    line = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "drive": f"{drive.split}/{drive.folder.name}".lstrip("/"),
        "exit_code": code,
        "frames": _frames(drive),
        "said": "" if code == 0 else said,
    }
    with ledger.open("ab", buffering=0) as file:
        file.write(json.dumps(line).encode() + b"\n")


def _again(plan: Plan) -> tuple[str, str]:
    return "go on with the plan", f"carlaseg record --plan {shlex.quote(str(plan.path))}"


def _root(plan: Plan) -> Path:
    first = plan.drives[0]
    return first.config.output.parent if first.split else first.config.output
