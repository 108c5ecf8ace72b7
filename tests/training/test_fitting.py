"""What fits: the model of memory, its two numbers from trials, and the choice."""

from __future__ import annotations

import pytest

from carlaseg import models
from carlaseg.config import FitConfig, Size
from carlaseg.training import memory
from carlaseg.training.fitting import Row, _calibrated, _expect, _to_try, best_that_fits, fit


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
    assert [row.expected_bytes for row in table] == [5300, 5600, 6200, 6200, 7400, 9800]
    assert chosen[0].off == pytest.approx(0)
    best = best_that_fits(table)
    assert best is not None
    assert (best.size, best.batch_size) == ((20, 20), 2)


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
def test_trials_run_in_processes_of_their_own_and_set_the_table() -> None:
    table = fit(FitConfig(model="enet", sizes=(Size(64, 64),), batch_sizes=(1, 4), trials=2, num_classes=3))
    assert [row.batch_size for row in table] == [1, 4]
    for row in table:
        assert row.measured_bytes is not None
        assert row.off == pytest.approx(0, abs=0.01)
        assert row.epoch_s is not None
        assert row.epoch_s > 0
