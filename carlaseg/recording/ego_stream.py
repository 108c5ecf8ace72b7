"""The ego's camera as a stream of frames, for programs that must not know CARLA.

`python -m carlaseg.recording.ego_stream CONFIG` runs it. The one argument is a RecordConfig as JSON. Standard output
gets lines of JSON, each of which says what follows it:

    {"town": ..., "weather": ..., "scheme": ... or null}      once, when the ego stands
    {"frame": 21, "timestamp_s": 1.05}                         then two arrays in NumPy's format (.npy, one after the
                                                               other): uint8 (H, W, 3) RGB, uint8 (H, W) tags
    {"error": ..., "exit_code": ..., "next_steps": [...]}      last, when something failed

The simulation waits for whoever reads: no frame is lost and none is skipped. It ends when standard input does, and
leaves the server as it was found.
"""

from __future__ import annotations

import io
import json
import os
import sys
import threading
from itertools import count
from typing import Any, BinaryIO

import numpy as np

from carlaseg.config import RecordConfig, from_mapping
from carlaseg.errors import CarlasegError
from carlaseg.labels import scheme_of_carla_version
from carlaseg.recording.drive import Drive
from carlaseg.recording.rig import front_pair
from carlaseg.recording.session import Session
from carlaseg.recording.stopwatch import Stopwatch


def stream(config: RecordConfig, out: BinaryIO, stop: threading.Event) -> None:
    """Drive, and write what the ego sees until told to stop.

    Raises:
        ConfigError: a setting that this server cannot meet.
        SimulatorError: no server, one of another version, a dead or a silent one.
    """
    session = Session(
        config.host,
        config.port,
        fps=config.fps,
        timeout_s=config.timeout,
        town=config.town,
        allow_version_mismatch=config.allow_version_mismatch,
    )
    with session:
        scheme = scheme_of_carla_version(session.server_version)
        drive = Drive(session, config, front_pair(config), Stopwatch())
        _line(out, {"town": session.town, "weather": config.weather, "scheme": None if scheme is None else scheme.name})
        if drive.begin(0, lambda: not stop.is_set()) is None:
            return
        slots = count()
        while True:
            frame = drive.next_frame(slots, lambda: not stop.is_set())
            if frame is None:
                return
            _line(out, {"frame": frame.line.frame, "timestamp_s": frame.line.timestamp_s})
            for array in drive.rig.spec.pair_arrays(frame.sensors):
                # By way of memory: NumPy writes to a file by its position, which a pipe has not.
                content = io.BytesIO()
                np.save(content, array)
                out.write(content.getbuffer())
            out.flush()


def _line(out: BinaryIO, value: dict[str, Any]) -> None:
    out.write(json.dumps(value).encode() + b"\n")
    out.flush()


def main() -> int:
    """Stream until standard input ends."""
    # CARLA's client prints on standard output now and then; what stands there for others is kept apart.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    stop = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.buffer.read()
        stop.set()

    threading.Thread(target=wait_for_the_end, name="carlaseg-ego-end", daemon=True).start()
    try:
        stream(from_mapping(RecordConfig, json.loads(sys.argv[1]), "the ego's settings"), out, stop)
    except BrokenPipeError:
        return 0
    except CarlasegError as error:
        _line(out, {"error": error.message, "exit_code": error.exit_code, "next_steps": error.next_steps})
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
