"""The demo's folder and its steps; the whole of it is run by tests/test_end_to_end.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from carlaseg import cli, demo
from carlaseg.config import DemoConfig
from carlaseg.errors import ConfigError


def test_every_step_of_the_demo_is_a_command_that_parses(tmp_path: Path) -> None:
    steps = demo.steps(DemoConfig(output=tmp_path))
    assert [step.words[0] for step in steps] == ["record"] * 5 + ["verify", "train", "infer", "report"]
    for step in steps:
        verb, *words = step.words
        assert cli.parse(verb, cli.COMMANDS[verb], words) is not None


def test_the_demo_never_tests_on_a_town_it_trained_on(tmp_path: Path) -> None:
    records = [step.words for step in demo.steps(DemoConfig(output=tmp_path)) if step.words[0] == "record"]
    seeds = [words[words.index("--seed") + 1] for words in records]
    assert len(set(seeds)) == len(seeds)


def test_the_demo_never_empties_a_folder_that_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("three years of work")
    with pytest.raises(ConfigError, match="Nothing was changed"):
        demo.demo(DemoConfig(output=tmp_path))
    assert (tmp_path / "thesis.txt").read_text() == "three years of work"


def test_an_earlier_demo_is_kept_when_asked(tmp_path: Path) -> None:
    (tmp_path / demo.MARKER).write_text("")
    with pytest.raises(ConfigError, match="earlier demo"):
        demo.demo(DemoConfig(output=tmp_path, overwrite=False))
    assert (tmp_path / demo.MARKER).exists()
