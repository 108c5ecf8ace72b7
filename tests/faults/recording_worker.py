"""Records what it is told to, each time in a process of its own: hundreds of cases need not pay for hundreds of starts.

A line of JSON on standard input is a RecordConfig. The answers are a line with the `pid` of the process that records,
and at its end one with `code` and `said`. That process is a fork of this one, in which everything is imported and
nothing is connected, just as the command records in a child: the carla client may end the process, and what it keeps of
one server is poison for the next.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any

from carlaseg.config import RecordConfig, from_mapping
from carlaseg.errors import CarlasegError
from carlaseg.recording.recorder import record


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # the client prints its own remarks there
    for module in ("carla", "cv2", "carlaseg.recording.preview"):
        importlib.import_module(module)
    for line in sys.stdin:
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(write_end, json.dumps(answer(json.loads(line))).encode())
            # Not sys.exit: the interpreter's end would flush what belongs to the parent.
            os._exit(0)
        os.close(write_end)
        answers.write(json.dumps({"pid": child}) + "\n")
        with os.fdopen(read_end) as said:
            text = said.read()
        _, status = os.waitpid(child, 0)
        ended = {"code": 3, "said": f"its process was ended ({os.waitstatus_to_exitcode(status)})", "dropped": 0}
        answers.write((text or json.dumps(ended)) + "\n")


def answer(settings: dict[str, Any]) -> dict[str, Any]:
    try:
        outcome = record(from_mapping(RecordConfig, settings, "the case"))
    except CarlasegError as error:
        return {"code": error.exit_code, "said": error.message, "dropped": 0}
    return {"code": 0, "said": "", "dropped": outcome.dropped}


if __name__ == "__main__":
    main()
