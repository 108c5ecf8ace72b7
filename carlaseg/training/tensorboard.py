"""A run's figures as TensorBoard event files; by flag alone, and without TensorFlow, so that every backend has it."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from carlaseg.errors import ConfigError


def require_tensorboard() -> None:
    """Refuse to go on without the package.

    Raises:
        ConfigError: it is not installed.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise ConfigError(
            "--tensorboard: expected the tensorboard package, received none.",
            (("install it", 'pip install "carlaseg[tensorboard]"'),),
        )


class EventFile:
    """An event file in a folder; close it at the end.

    Args:
        folder: where TensorBoard shall look.

    Raises:
        ConfigError: the tensorboard package is not installed.
    """

    def __init__(self, folder: Path) -> None:
        require_tensorboard()
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._event, self._summary = Event, Summary
        self._writer: Any = EventFileWriter(str(folder))

    def add(self, epoch: int, figures: Mapping[str, Any]) -> None:
        """Add an epoch's figures; what is no number is left out."""
        values = [
            self._summary.Value(tag=name, simple_value=float(value))
            for name, value in figures.items()
            if isinstance(value, int | float) and name != "epoch"
        ]
        self._writer.add_event(self._event(step=epoch, wall_time=time.time(), summary=self._summary(value=values)))
        self._writer.flush()

    def close(self) -> None:
        """End the writer's thread."""
        self._writer.close()
