"""Loads Keras and its backend, with what must happen before; the first thing that training and inference do."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator

from carlaseg.errors import ConfigError
from carlaseg.memory import keep_freed_memory

BACKENDS = ("tensorflow", "jax", "torch")


def prepare_backend() -> None:
    """Load Keras: with memory that is kept, not given back at every operation, and without TensorFlow's greetings.

    Call it before anything that imports keras.

    PyTorch's threads are told to sleep while they wait for each other. By default they spin, and where another program
    holds a core each of a step's thousands of barriers lasts a time slice, so that a step takes ten times as long.

    Raises:
        ConfigError: KERAS_BACKEND names none, or one that is not installed.
    """
    backend = os.environ.get("KERAS_BACKEND", "")
    if backend and (backend not in BACKENDS or importlib.util.find_spec(backend) is None):
        there = [name for name in BACKENDS if importlib.util.find_spec(name) is not None]
        raise ConfigError(f"KERAS_BACKEND: expected one that is installed ({', '.join(there)}), received {backend!r}.")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    keep_freed_memory()
    if "keras" not in sys.modules:
        with standard_error_aside():
            importlib.import_module("keras")


@contextlib.contextmanager
def standard_error_aside() -> Iterator[None]:
    """Keep what C++ code prints on standard error; let it out only when the block fails.

    TensorFlow 2.21 prints three lines at import before it reads any of its own settings for silence; its converter and
    LiteRT have none.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as aside:
        kept = os.dup(2)
        os.dup2(aside.fileno(), 2)
        try:
            yield
        except Exception:
            os.dup2(kept, 2)
            aside.seek(0)
            os.write(2, aside.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
