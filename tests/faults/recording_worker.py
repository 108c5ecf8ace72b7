"""Records what it is told to, one recording after the other: hundreds of cases need not pay for hundreds of starts.

A line of JSON on standard input is a RecordConfig; the answer is a line with `code` and `said`. Where the carla client
ends this process, as it does on some deaths of the server, whoever started it starts another.
"""

from __future__ import annotations

import json
import os
import sys

from carlaseg.config import RecordConfig, from_mapping
from carlaseg.errors import CarlasegError
from carlaseg.recording.recorder import record


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # the client prints its own remarks there
    for line in sys.stdin:
        try:
            outcome = record(from_mapping(RecordConfig, json.loads(line), "the case"))
            answer = {"code": 0, "said": "", "dropped": outcome.dropped}
        except CarlasegError as error:
            answer = {"code": error.exit_code, "said": error.message, "dropped": 0}
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
