"""Which blocks of a network to leave in float, where eight bits everywhere would cost too much.

1. Everything in eight bits. If that keeps the floor, it is the answer.
2. Each block left in float alone, the rest in eight bits: the more pixels of a few calibration pictures then agree with
   the checkpoint, the more sensitive the block is.
3. The most sensitive block in float, then the two most sensitive, then four, eight, ..., until the floor is kept.

Step 2 ends early when the time is up; blocks it did not reach count as the least sensitive.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

TIME_LIMIT_S = 600.0
"""Of step 2. A network of twelve blocks at 160x160 takes one to three minutes."""

MadeT = TypeVar("MadeT")


@dataclass(frozen=True)
class Attempt:
    """One way to quantise.

    Attributes:
        kept: blocks left in float.
        layers: their layers.
    """

    kept: tuple[str, ...]
    layers: tuple[str, ...]


def least_float(
    blocks: Mapping[str, tuple[str, ...]],
    passes: Callable[[Attempt], bool],
    agreement: Callable[[Attempt], float],
    tell: Callable[[str], None],
    time_limit_s: float = TIME_LIMIT_S,
) -> Attempt | None:
    """The first attempt that keeps the floor, by the procedure above; None when not even all blocks in float do.

    Args:
        blocks: block to its layers, in the network's order.
        passes: quantises and says whether the floor is kept.
        agreement: quantises and gives the share of pixels that agree with the checkpoint.
        tell: gets a sentence a step.
        time_limit_s: when step 2 ends.
    """

    def attempt(kept: list[str]) -> Attempt:
        return Attempt(tuple(kept), tuple(layer for block in kept for layer in blocks[block]))

    if passes(attempt([])):
        return attempt([])
    tell(f"eight bits everywhere cost too much; looking which of {len(blocks)} blocks are sensitive")
    began_s = time.monotonic()
    found: dict[str, float] = {}
    for block in blocks:
        if time.monotonic() - began_s > time_limit_s:
            tell(f"{len(found)} of {len(blocks)} blocks looked at within {time_limit_s:.0f} s")
            break
        found[block] = agreement(attempt([block]))
    ranked = sorted(blocks, key=lambda block: -found.get(block, -1.0))
    count = 1
    while True:
        kept = attempt(ranked[:count])
        tell(f"float: {', '.join(kept.kept)}")
        if passes(kept):
            return kept
        if count >= len(ranked):
            return None
        count = min(2 * count, len(ranked))
