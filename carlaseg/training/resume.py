"""One rule to continue: `--resume RUN` goes on in that folder, with that run's settings."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Any

from carlaseg import config as configs
from carlaseg.checkpoint import RunFolder
from carlaseg.config import TrainConfig
from carlaseg.errors import CheckpointError, ConfigError

MAY_CHANGE = frozenset(
    {
        "epochs",
        "cache",
        "resume",
        "runs",
        "tensorboard",
        "require_gpu",
        "dry_run",
        "json",
        "lr_range_test",
        "patience",
        "minutes",
        "recompute",
        "processes",
        "coordinator",
        "process",
    }
)
"""Settings that leave the steps already done what they are. All others would make another run of it."""


def continued(config: TrainConfig) -> tuple[TrainConfig, RunFolder]:
    """The run to continue, and its settings.

    A setting left at its default means "as in the run".

    Raises:
        CheckpointError: there is no such run, or its settings or its card cannot be read.
        ConfigError: a setting differs from the run's; the message has both values.
    """
    assert config.resume is not None
    run = RunFolder.find(config.resume, config.runs)
    try:
        before = configs.load(TrainConfig, run.path / "config.json")
    except ConfigError as error:
        raise CheckpointError(f"{error.message.removeprefix('--config ')} Nothing was changed.") from error
    if (run.path / "model.json").is_file():
        run.model_card()
    differences = []
    changes: dict[str, Any] = {
        "resume": config.resume,
        "runs": config.runs,
        "dry_run": config.dry_run,
        "json": config.json,
        "minutes": config.minutes,
        # How a run is shared is a matter of the day: never the run's own.
        "processes": config.processes,
        "coordinator": config.coordinator,
        "process": config.process,
    }
    for item in dataclasses.fields(TrainConfig):
        wanted, was = getattr(config, item.name), getattr(before, item.name)
        if wanted in (item.default, was, configs.automatic(TrainConfig).get(item.name, was)):
            continue  # what was chosen for the run is what fits it
        if item.name not in MAY_CHANGE:
            differences.append((item.name.replace("_", "-"), _shown(was), _shown(wanted)))
        changes[item.name] = wanted
    if differences:
        name, was, wanted = differences[0]
        folder = shlex.quote(str(run))
        more = f" ({len(differences) - 1} more settings differ)" if len(differences) > 1 else ""
        raise ConfigError(
            f"--resume {run}: expected the run's own settings, received --{name} {wanted} where the run has "
            f"{was}{more}. Nothing was changed.",
            (
                ("continue it", f"carlaseg train --resume {folder}"),
                ("or a new run", f"carlaseg train --init-from {folder} --{name} {wanted}"),
            ),
        )
    return dataclasses.replace(before, **changes), run


def _shown(value: object) -> str:
    if isinstance(value, tuple) and value and isinstance(value[0], Path):
        return " ".join(str(path) for path in value)
    return "none" if value is None or value == () else str(value)
