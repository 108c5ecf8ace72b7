"""Every row of the table against the contract."""

from __future__ import annotations

from pathlib import Path

import contract
import pytest

from carlaseg import models
from carlaseg.errors import ConfigError


@pytest.mark.parametrize("name", contract.families())
def test_it_takes_bytes_of_any_size_and_gives_float32_logits(name: str) -> None:
    contract.check_takes_bytes_of_any_size_and_gives_float32_logits(contract.shared(name))


@pytest.mark.parametrize("size", [(32, 32), contract.ODD_SIZE], ids=str)
@pytest.mark.parametrize("name", contract.families())
def test_logits_have_the_size_of_the_image(name: str, size: tuple[int, int]) -> None:
    contract.check_logits_have_the_size_of_the_image(contract.shared(name), size)


@pytest.mark.parametrize("name", contract.families())
def test_its_layers_are_named_by_hand(name: str) -> None:
    contract.check_layers_are_named_by_hand(contract.shared(name))


@pytest.mark.parametrize("name", contract.families())
def test_two_builds_have_equal_weights_and_a_seed_changes_them(name: str) -> None:
    contract.check_two_builds_have_equal_weights_and_a_seed_changes_them(name)


@pytest.mark.parametrize("name", contract.families())
def test_saved_and_loaded_it_gives_equal_logits(name: str, tmp_path: Path) -> None:
    contract.check_saved_and_loaded_it_gives_equal_logits(name, tmp_path)


# Hundreds of small layers: eight steps of these take longer than those of all the others together.
DEEP = ("enet", "pspnet_mobilenet_v2", "deeplab_v3_plus_mobilenet_v2")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in DEEP else n for n in contract.families()]
)
def test_a_few_steps_lower_the_loss(name: str) -> None:
    contract.check_a_few_steps_lower_the_loss(name)


@pytest.mark.parametrize("name", contract.families())
def test_logits_stay_float32_under_bfloat16(name: str) -> None:
    contract.check_logits_stay_float32_under_bfloat16(name)


def test_an_unknown_network_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match=r"received 'fc_densnet56'\. Nearest: fc_densenet56\."):
        models.build("fc_densnet56", 3)


def test_an_option_the_builder_does_not_take_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="expected options among dropout_rate, recompute, seed, received 'groups'"):
        models.build("fc_densenet103", 3, groups=2)


def test_a_class_table_that_has_no_room_for_void_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected 1 to 255"):
        models.build("fc_densenet", 256)
