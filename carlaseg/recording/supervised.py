"""The recording in a process of its own, because the carla client may end its process.

CARLA's client is native code: when the server dies or falls silent while one of the TrafficManager's threads talks to
it, the library calls `terminate`. No `finally` of ours runs then. So the command line records in a child, passes
signals on to it, and closes the recording itself when the child was ended like that.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import FrameType

from carlaseg.children import environment
from carlaseg.config import RecordConfig, flags_of, to_json
from carlaseg.errors import Interrupted, SimulatorError

NOTE_VARIABLE = "CARLASEG_RECORDING_NOTE"
"""In a child's environment: the file it writes its recording's folder into."""
PROBE_TIMEOUT_S = 2.0


def is_child() -> bool:
    """Whether this process is the one that records."""
    return NOTE_VARIABLE in os.environ


def note_folder(folder: Path) -> None:
    """In the child: tell the parent where the recording lies. Anywhere else: nothing."""
    if is_child():
        Path(os.environ[NOTE_VARIABLE]).write_text(str(folder), encoding="utf-8")


def stop_with_parent() -> None:
    """In the child: end as by SIGTERM when the parent is gone, even by `kill -9`."""

    def watch() -> None:
        # Not sys.stdin: its lock, held by a waiting thread, aborts the interpreter at its end.
        while os.read(0, 4096):
            continue
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="carlaseg-parent", daemon=True).start()


def record_in_child(config: RecordConfig, quiet: bool = False) -> int:
    """Run the same command in a child; gives its exit code.

    Args:
        config: of the recording.
        quiet: keep the child's result off standard output.

    Raises:
        SimulatorError: the child was ended, by the client library or by somebody; the recording has been closed.
        Interrupted: by a signal that was passed on to it while it did not listen for one yet, or no longer.
    """
    passed_on: list[int] = []
    with tempfile.TemporaryDirectory(prefix="carlaseg_") as temporary:
        settings, note = Path(temporary) / "config.json", Path(temporary) / "folder"
        settings.write_text(json.dumps(to_json(config)), encoding="utf-8")
        command = [sys.executable, "-m", "carlaseg", "record", "--config", str(settings)]
        command += ["--debug"] if "--debug" in sys.argv else []
        # A session of its own: a Ctrl-C on the terminal reaches it once, through us, and not twice.
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL if quiet else None,
            env=environment(**{NOTE_VARIABLE: str(note)}),
            start_new_session=True,
        )

        def pass_on(number: int, frame: FrameType | None) -> None:
            passed_on.append(number)
            if child.poll() is None:
                child.send_signal(number)

        before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            code = child.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            if child.stdin is not None:
                child.stdin.close()
        if code >= 0:
            return code
        folder = Path(note.read_text(encoding="utf-8")) if note.exists() else None
    # Imported when it is needed: the process that waits shall be light.
    from carlaseg.recording.closing import close_for_another

    if -code in passed_on:
        # It was asked to stop, and has: until it listens for signals they end it at once.
        interrupted = Interrupted(
            f"recording: stopped on request, while it began or ended. {close_for_another(folder)}.",
            (("go on with it", shlex.join(("carlaseg", "record", *flags_of(config)))),),
        )
        interrupted.exit_code = 128 - code
        raise interrupted
    raise SimulatorError(f"{_what_ended(config, signal.Signals(-code))}. {close_for_another(folder)}.")


def _what_ended(config: RecordConfig, by: signal.Signals) -> str:
    cleared = "our actors were not destroyed, the next recording clears them away"
    if by in (signal.SIGKILL, signal.SIGTERM):
        return (
            f"the recording process: expected to end by itself, received {by.name}: somebody has killed it, or the "
            f"system, for want of memory; {cleared}"
        )
    where = "the embedded simulator" if config.simulator == "embedded" else f"{config.host}:{config.port}"
    what = f"the server is silent; {cleared}" if _accepts_connections(config) else "the server is gone"
    return (
        f"{where}: expected the server to answer, received nothing in the middle of a call, at which the carla client "
        f"ends its process ({by.name}): {what}"
    )


def _accepts_connections(config: RecordConfig) -> bool:
    # A stopped process still has its port; a dead one has not. The embedded simulator ends with the child.
    if config.simulator == "embedded":
        return False
    try:
        socket.create_connection((config.host, config.port), PROBE_TIMEOUT_S).close()
    except OSError:
        return False
    return True
