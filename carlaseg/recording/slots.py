"""Which ticks of a drive are saved: slot `k` at tick `warmup + 1 + k * every`."""

from __future__ import annotations

from carlaseg.config import RecordConfig


def warmup_ticks(config: RecordConfig) -> int:
    """Ticks before slot 0; one at least, so that every sensor has delivered once."""
    return max(1, config.warmup)


def tick_of_slot(config: RecordConfig, slot: int) -> int:
    """The tick of the drive at which a slot is due."""
    return warmup_ticks(config) + 1 + slot * config.every


def slot_of_tick(config: RecordConfig, tick: int) -> int:
    """The slot that a saved tick filled."""
    return (tick - warmup_ticks(config) - 1) // config.every
