"""OpenVINO and NNCF without their reports to their maker.

Where the package openvino-telemetry is installed (NNCF brings it), `import openvino` alone makes a number for this user
in the home, and conversions and quantisations are reported under it, unless the tools find themselves in continuous
integration or refused by a file in the home. carlaseg reports nothing and writes into nobody's home, so it tells them
that this is such a place.

Source: openvino_telemetry/utils/opt_in_checker.py 2025.2 (CI), nncf/definitions.py 3.4 (NNCF_CI).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def without_telemetry() -> Iterator[None]:
    """Whatever of OpenVINO and NNCF is imported or called inside reports nothing and leaves no file in the home."""
    before = {name: os.environ.get(name) for name in ("CI", "NNCF_CI")}
    os.environ.update({"CI": "true", "NNCF_CI": "1"})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
