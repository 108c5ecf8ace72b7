"""Progress in a log, and how a job is stopped: in real processes, by real signals."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

from carlaseg.console import Progress, duration

COUNT_TO_TEN = """
from carlaseg.console import Progress
with Progress("count", 200, "things") as progress:
    for i in range(200):
        progress.advance(1, dropped="0")
"""

WORK_UNTIL_STOPPED = """
import time
from carlaseg.console import stop_on_signal
with stop_on_signal("the current thing") as stop:
    print("ready", flush=True)
    for i in range(400):
        if stop.requested and not {stubborn}:
            raise SystemExit(stop.interrupted("safe").exit_code)
        time.sleep(0.02)
"""


def python(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def stopped_by(code: str, *signals: int) -> tuple[int, str]:
    with python(code) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signals[0])
        talk = ""
        while "finishing" not in talk and (line := process.stderr.readline()):
            talk += line
        for number in signals[1:]:
            process.send_signal(number)
        talk += process.stderr.read()
        return process.wait(timeout=20), talk


def test_a_log_gets_plain_lines_every_tenth_and_no_control_characters() -> None:
    with python(COUNT_TO_TEN) as process:
        results, talk = process.communicate(timeout=20)
    assert results == ""
    assert "\r" not in talk
    assert "\x1b" not in talk
    lines = talk.splitlines()
    assert len(lines) == 10
    assert "200/200 things" in lines[-1]
    assert "dropped 0" in lines[-1]


def test_the_rate_leaves_out_what_was_done_before_this_process() -> None:
    with Progress("resume", 100, "frames", start=90) as progress:
        time.sleep(0.05)
        progress.advance(1)
        assert 0 < progress.rate < 1 / 0.05


def test_durations_read_like_a_clock() -> None:
    assert [duration(s) for s in (0, 61, 3599.6, 3661)] == ["0:00", "1:01", "1:00:00", "1:01:01"]


def test_the_first_ctrl_c_asks_and_the_work_ends_cleanly_with_130() -> None:
    code, talk = stopped_by(WORK_UNTIL_STOPPED.format(stubborn=False), signal.SIGINT)
    assert code == 130
    assert "finishing the current thing" in talk
    assert "Traceback" not in talk


def test_sigterm_ends_with_143() -> None:
    code, _ = stopped_by(WORK_UNTIL_STOPPED.format(stubborn=False), signal.SIGTERM)
    assert code == 143


def test_the_second_ctrl_c_interrupts_at_once() -> None:
    code, talk = stopped_by(WORK_UNTIL_STOPPED.format(stubborn=True), signal.SIGINT, signal.SIGINT)
    # Left alone, the work would come to its end and the code be 0.
    assert code != 0
    assert "KeyboardInterrupt" in talk
