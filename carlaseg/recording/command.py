"""`carlaseg record`: who does it, a child or this process, and what is said at its end.

What records is imported where it records: the process that only waits for its child is light.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import threading
from typing import TYPE_CHECKING

from carlaseg.config import RecordConfig
from carlaseg.console import duration, result, say
from carlaseg.recording.connection import import_carla
from carlaseg.recording.supervised import is_child, record_in_child, stop_with_parent

if TYPE_CHECKING:
    from carlaseg.recording.recorder import RecordResult


def record_command(config: RecordConfig) -> int:
    """Record a drive, or what is missing of a plan, and print where it lies and what to type next."""
    # One sentence here rather than from a child that starts for nothing.
    import_carla()
    if config.plan is not None:
        from carlaseg.recording.plan_run import run_plan

        return run_plan(config)
    if not is_child() and os.name == "posix" and threading.current_thread() is threading.main_thread():
        return record_in_child(config)
    if is_child():
        stop_with_parent()
    from carlaseg.recording.recorder import record

    _say_outcome(config, record(config))
    return 0


def _say_outcome(config: RecordConfig, outcome: RecordResult) -> None:
    if config.json:
        result(json.dumps(dataclasses.asdict(outcome), default=str))
        return
    from carlaseg.recording.card import CONTACT_SHEET_FILE
    from carlaseg.recording.estimate import bytes_text

    say(
        "done",
        f"{outcome.frames} complete frames in {duration(outcome.elapsed_s)}, {outcome.frames_per_s:.1f} frames/s, "
        f"{bytes_text(outcome.byte_count)}; {outcome.dropped} dropped",
    )
    if outcome.ended_by is not None:
        say("note", f"the drive ended early: {outcome.ended_by}; {config.frames} frames were asked for")
    say("look", f"{outcome.folder / CONTACT_SHEET_FILE}      do the colours sit on the objects?")
    say("next", f"carlaseg train --dataset {shlex.quote(str(config.output))}")
    result(str(outcome.folder))
