"""Records what it is told to, each time in a process of its own: hundreds of cases need not pay for hundreds of starts.

A line of JSON on standard input is a RecordConfig; the answer is a line with `code` and `said`. Each recording is made
in a fork of this process, in which everything is imported and nothing is connected, just as the command records in a
child: the carla client may end the process, and what it keeps of one server is poison for the next.
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
        settings = json.loads(line)
        child = os.fork()
        if child == 0:
            answers.write(json.dumps(answer(settings)) + "\n")
            answers.flush()
            # Not sys.exit: the interpreter's end would flush what belongs to the parent.
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status != 0:
            said = f"the client library ended the process ({os.waitstatus_to_exitcode(status)})"
            answers.write(json.dumps({"code": 3, "said": said, "dropped": 0}) + "\n")


def answer(settings: dict[str, Any]) -> dict[str, Any]:
    try:
        outcome = record(from_mapping(RecordConfig, settings, "the case"))
    except CarlasegError as error:
        return {"code": error.exit_code, "said": error.message, "dropped": 0}
    return {"code": 0, "said": "", "dropped": outcome.dropped}


if __name__ == "__main__":
    main()
