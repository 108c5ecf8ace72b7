"""`carlaseg models`: every network with what it costs."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass

from carlaseg.backend import prepare_backend
from carlaseg.config import ModelsConfig, TrainConfig
from carlaseg.console import result
from carlaseg.training import memory
from carlaseg.training.device import available_memory_bytes, find_device
from carlaseg.training.fitting import Trials, fitting_rows, shared_memory_politely

ONE_TRIAL = Trials(count=1, minutes=4.0)


@dataclass(frozen=True)
class Listed:
    """A network.

    Attributes:
        name: what --model takes.
        parameters: all of them.
        trainable: those that training changes.
        multiply_adds: of one picture of the size asked for.
        expected_bytes: peak memory of a training step of one picture, by the memory model.
        measured_bytes: the same from a trial; None when not asked for.
        note: why a trial gave nothing.
        summary: what it is, in half a line.
        source: the paper.
    """

    name: str
    parameters: int
    trainable: int
    multiply_adds: int
    expected_bytes: int
    measured_bytes: int | None
    note: str
    summary: str
    source: str


def models_command(config: ModelsConfig) -> int:
    """`carlaseg models`.

    Raises:
        ConfigError: an unknown network.
    """
    shared_memory_politely()
    prepare_backend()
    from carlaseg import models

    rows = [_listed(name, config) for name in config.models or models.names()]
    if config.json:
        networks = [dataclasses.asdict(row) for row in rows]
        result(
            json.dumps({"format": 1, "num_classes": config.num_classes, "size": str(config.size), "networks": networks})
        )
        return 0
    width = max(len(row.name) for row in rows)
    result(f"At {config.num_classes} classes; GMAC (thousand million multiply-adds) of one {config.size} picture;")
    kind = "measured" if config.measure else "expected, --measure tries it"
    result(f"memory of a training step of one picture: {kind}.")
    result(f"{'network':<{width}} {'parameters':>11} {'trainable':>11} {'GMAC':>7} {'memory':>9}")
    for row in rows:
        taken = memory.gib(row.measured_bytes or row.expected_bytes) if not row.note else "?"
        result(
            f"{row.name:<{width}} {row.parameters:>11,} {row.trainable:>11,} {row.multiply_adds / 1e9:>7.2f} "
            f"{taken:>9}   {row.note or row.summary}"
        )
    return 0


def _listed(name: str, config: ModelsConfig) -> Listed:
    from carlaseg import models
    from carlaseg.models.cost import multiply_adds

    model = models.build(name, config.num_classes)
    row = models.network(name)
    measured, note = _measured(name, config) if config.measure else (None, "")
    return Listed(
        name=name,
        parameters=model.count_params(),
        trainable=sum(math.prod(variable.shape) for variable in model.trainable_variables),
        multiply_adds=multiply_adds(model, *config.size),
        expected_bytes=memory.step_bytes(model, config.size, 1),
        measured_bytes=measured,
        note=note,
        summary=row.summary,
        source=row.source,
    )


def _measured(name: str, config: ModelsConfig) -> tuple[int | None, str]:
    """Peak memory of a short training in a process of its own, or why there is none."""
    free = available_memory_bytes(find_device())
    (row,) = fitting_rows(TrainConfig(model=name), config.num_classes, [config.size], [1], 1, ONE_TRIAL, free)
    if row.measured_bytes is None and not row.note:
        return None, "not tried: it is not expected to fit"
    return row.measured_bytes, row.note
