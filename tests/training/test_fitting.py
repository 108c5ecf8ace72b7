"""What fits: the model of memory, its two numbers from trials, and the choice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_training import settings

from carlaseg import models
from carlaseg.cli import COMMANDS, parse
from carlaseg.config import AUTO_BATCH, AUTO_SIZE, FitConfig, Size, TrainConfig, from_mapping, load, to_json
from carlaseg.errors import ConfigError
from carlaseg.training import memory
from carlaseg.training.fit import fit_command
from carlaseg.training.fitting import Row, _calibrated, _expect, _to_try, best_that_fits
from carlaseg.training.train import train


def rows() -> list[Row]:
    return [Row((side, side), batch, side * side * batch) for side in (10, 20) for batch in (1, 2, 4)]


def test_two_trials_set_the_model_and_a_third_is_foretold() -> None:
    table = rows()
    _expect(table, 0, 1, None)
    chosen = _to_try(table, 3)
    # The smallest, then the two that are nearest to four times as large.
    assert [(row.size, row.batch_size) for row in chosen] == [((10, 10), 1), ((10, 10), 4), ((20, 20), 1)]
    for row in chosen[:2]:
        row.measured_bytes = 5000 + 3 * row.activation_bytes
    _expect(table, *_calibrated(chosen[:2], (0, 1)), 9000)
    assert [row.expected_bytes for row in table] == pytest.approx([5300, 5600, 6200, 6200, 7400, 9800], abs=1)
    best = best_that_fits(table)
    assert best is not None
    assert (best.size, best.batch_size) == ((20, 20), 2)


def test_a_batch_that_norms_can_learn_from_comes_before_a_larger_picture_and_the_clock_before_both() -> None:
    table = rows()
    _expect(table, 0, 1, 1000)
    best = best_that_fits(table, least_batch=4)
    assert best is not None
    assert (best.size, best.batch_size) == ((10, 10), 4)
    for row in table:
        row.epoch_s = row.pixels / 10
    best = best_that_fits(table, longest_epoch_s=10)
    assert best is not None
    assert best.size == (10, 10)


def test_what_would_fit_is_said_in_flags_of_the_command() -> None:
    model = models.build("fc_densenet", 3, groups=1, layers_per_block=1, growth_rate=4, first_filters=8)
    bears_three = memory.step_bytes(model, (64, 64), 3)
    assert memory.what_would_fit(model, (64, 64), 8, bears_three) == "--batch-size 3"
    # Each of two processes bears three.
    assert memory.what_would_fit(model, (64, 64), 8, bears_three, processes=2) == "--batch-size 6"
    bears_half = memory.step_bytes(model, (64, 64), 1) - 1
    assert memory.what_would_fit(model, (64, 64), 1, bears_half, "--crop") == "--batch-size 1 --crop 32x32"
    assert memory.what_would_fit(model, (64, 64), 1, bears_three) == "a smaller --size"
    assert memory.what_would_fit(model, (64, 64), 1, 0) == "a smaller --model"


def test_outputs_in_half_precision_count_half() -> None:
    import keras

    options = {"groups": 1, "layers_per_block": 1, "growth_rate": 4, "first_filters": 8, "dropout_rate": 0.0}
    whole = memory.activation_bytes(models.build("fc_densenet", 3, **options), (32, 32), 2)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        half = memory.activation_bytes(models.build("fc_densenet", 3, **options), (32, 32), 2)
    finally:
        keras.config.set_dtype_policy("float32")
    # The logits stay float32.
    assert 0.5 < half / whole < 0.65
    assert memory.activation_bytes(models.build("fc_densenet", 3, **options), (32, 64), 4) == pytest.approx(
        4 * whole, rel=0.01
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_trials_run_in_processes_of_their_own_and_the_model_is_within_fifteen_percent(
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = FitConfig(
        model="enet", sizes=(Size(160, 160),), batch_sizes=(4, 10, 16), trials=3, num_classes=3, json=True
    )
    assert fit_command(config) == 0
    table = json.loads(capsys.readouterr().out)["rows"]
    assert [row["batch_size"] for row in table] == [4, 10, 16]
    assert all(row["measured_bytes"] and row["epoch_s"] > 0 for row in table)
    (off,) = [row["off"] for row in table if row["off"] is not None]
    assert abs(off) < 0.15


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_auto_chooses_a_size_and_a_batch_and_the_run_remembers_them(folder: Path) -> None:
    result = train(settings(folder, epochs=1, size=AUTO_SIZE, batch_size=AUTO_BATCH, run="auto"))
    assert result is not None
    kept = load(TrainConfig, result.run / "config.json")
    # The pictures are 24x32 and six, too few for more than one a step.
    assert (kept.size, kept.batch_size) == (Size(32, 32), 1)
    assert "auto    --size 32x32 --batch-size 1, about" in (result.run / "log.txt").read_text()


def test_auto_is_a_word_of_the_command_line_and_of_files(tmp_path: Path) -> None:
    command = COMMANDS["train"]
    config = parse("train", command, ["--size", "auto", "--batch-size=auto", "--epochs", "3"])
    assert (config.size, config.batch_size, config.epochs) == (AUTO_SIZE, AUTO_BATCH, 3)
    assert (to_json(config)["size"], to_json(config)["batch_size"]) == ("auto", "auto")
    assert from_mapping(TrainConfig, to_json(config), "here") == config
    with pytest.raises(ConfigError, match="expected at least 1, received 0"):
        TrainConfig(batch_size=0)
    with pytest.raises(ConfigError, match="auto"):
        parse("infer", COMMANDS["infer"], ["run", "--batch-size", "auto"])
