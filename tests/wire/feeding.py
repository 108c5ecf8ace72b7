"""Feeds bytes to an incremental parser whole, byte by byte and in between."""

from __future__ import annotations

from collections.abc import Iterator


def portions(data: bytes) -> Iterator[list[bytes]]:
    """Ways to cut `data`: one piece, single bytes, halves, pieces of three."""
    yield [data]
    yield [data[i : i + 1] for i in range(len(data))]
    yield [data[: len(data) // 2], data[len(data) // 2 :]]
    yield [data[i : i + 3] for i in range(0, len(data), 3)]
