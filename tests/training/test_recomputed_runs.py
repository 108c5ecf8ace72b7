"""`--recompute`: how a training spares memory is no part of what it leaves."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_training import settings

from carlaseg.checkpoint import RunFolder, load_model
from carlaseg.config import TrainConfig
from carlaseg.errors import ConfigError
from carlaseg.training.network import network_options
from carlaseg.training.train import train


def test_recomputing_leaves_no_trace_in_what_is_trained(folder: Path) -> None:
    records, runs = [], []
    for again in (False, True):
        result = train(settings(folder, recompute=again, ema=0.9, epochs=1, run=f"recompute_{again}"))
        assert result is not None
        runs.append(RunFolder(result.run))
        assert "recompute" not in runs[-1].model_card().options
        assert load_model(runs[-1]).get_layer("down1_dense1_norm").moving_variance.numpy().min() > 0
        records.append(runs[-1].metrics()[0])
    # The statistics of the averaged weights are found in both.
    for name in ("loss", "val_loss"):
        assert records[1][name] == pytest.approx(records[0][name], rel=1e-3), name
    # A run that was begun without it goes on with it, as after memory ran out.
    continued = train(TrainConfig(resume=runs[0].path, epochs=2, recompute=True))
    assert continued is not None
    assert len(runs[0].metrics()) == 2


def test_a_network_without_stacks_does_not_recompute() -> None:
    assert network_options(TrainConfig(recompute=True)) == network_options(TrainConfig())
    with pytest.raises(ConfigError, match="--recompute: expected with a network that has it") as caught:
        network_options(TrainConfig(model="unet", recompute=True))
    assert "received with unet" in caught.value.message
