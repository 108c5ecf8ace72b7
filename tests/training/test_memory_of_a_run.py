"""What a run needs of memory, what it says when there is too little, and what gives way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_training import settings

from carlaseg.config import Size, TrainConfig
from carlaseg.errors import ConfigError
from carlaseg.pipeline import cache
from carlaseg.training import memory
from carlaseg.training import prepare as preparing
from carlaseg.training import train as story
from carlaseg.training.memory import largest_pictures, step_bytes
from carlaseg.training.prepare import prepare
from carlaseg.training.train import train


def test_the_memory_of_crops_is_reckoned_where_no_epoch_sees_whole_frames() -> None:
    crop, size = Size(64, 64), Size(360, 480)
    assert largest_pictures(TrainConfig(size=size)) == ("--size", size)
    assert largest_pictures(TrainConfig(size=size, crop=crop)) == ("--crop", crop)
    assert largest_pictures(TrainConfig(size=size, crop=crop, full_size_epochs=1)) == ("--size", size)


def test_a_batch_that_cannot_fit_is_refused_with_one_that_would(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected to need less than the .* GiB of memory that are free") as caught:
        train(settings(folder, size=Size(512, 512), batch_size=9000))
    label, flags = caught.value.next_steps[0]
    assert label == "would fit"
    assert 0 < int(flags.removeprefix("--batch-size ")) < 9000
    assert not (folder / "runs").exists()


def test_the_frames_of_both_parts_share_one_promise_of_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    six_frames = 6 * 24 * 32 * 4
    for room, kept in ((six_frames, (True, False)), (six_frames * 8 // 6, (True, True))):
        monkeypatch.setattr(cache, "available_bytes", lambda room=room: 2 * room)
        ready = prepare(settings(folder))
        assert (ready.train.frames.cached, ready.validation.frames.cached) == kept


def test_frames_give_way_to_a_step_that_does_not_fit_beside_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = settings(folder)
    beside = prepare(config)
    assert beside.train.frames.cached
    needed = step_bytes(beside.model, config.size, config.batch_size)
    monkeypatch.setattr(preparing, "available_memory_bytes", lambda device: needed)
    ready = prepare(config)
    assert not ready.train.frames.cached
    assert not ready.validation.frames.cached
    assert "every epoch decodes again" in dict(ready.header)["cache"]


def test_memory_that_runs_out_in_a_step_is_answered_with_what_should_fit(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(story, "train_steps", exhausted)
    with pytest.raises(ConfigError, match="an allocation that failed") as caught:
        train(settings(folder))
    assert caught.value.next_steps[0][0] == "should fit"


def test_recomputing_is_named_where_memory_is_short_and_it_would_help() -> None:
    assert memory.by_recomputing(TrainConfig()) == (("less memory", "--recompute"),)
    assert memory.by_recomputing(TrainConfig(recompute=True)) == ()
    assert memory.by_recomputing(TrainConfig(model="unet")) == ()
