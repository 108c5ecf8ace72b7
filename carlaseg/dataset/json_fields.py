"""What a JSON file of a recording must hold, read field by field: the value, or the error that names file and field.

The error is always a DatasetError: datasets are downloaded, and a damaged one is no fault of carlaseg.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from carlaseg.errors import DatasetError


def mapping(value: Any, where: str) -> dict[str, Any]:
    """A JSON object."""
    if not isinstance(value, dict):
        raise DatasetError(f"{where}: expected a JSON object, received {_kind(value)}.")
    return value


def listed(fields: Mapping[str, Any], key: str, where: str) -> list[Any]:
    """A list; an empty one where the field is missing."""
    value = fields.get(key, [])
    if not isinstance(value, list):
        raise DatasetError(f"{where}: expected {key} as a list, received {_kind(value)}.")
    return value


def required(fields: Mapping[str, Any], key: str, kind: type[Any], where: str) -> Any:
    """A value of exactly that kind: true is no integer."""
    value = fields.get(key)
    if type(value) is not kind:
        raise DatasetError(f"{where}: expected {key} as {kind.__name__}, received {_kind(value)}.")
    return value


def number(fields: Mapping[str, Any], key: str, where: str) -> float:
    """A number, with or without a point."""
    value = fields.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DatasetError(f"{where}: expected {key} as a number, received {_kind(value)}.")
    return float(value)


def numbers(fields: Mapping[str, Any], key: str, count: int, where: str) -> list[Any]:
    """So many numbers."""
    value = fields.get(key)
    if not isinstance(value, list) or len(value) != count or any(type(item) not in (int, float) for item in value):
        raise DatasetError(f"{where}: expected {key} as {count} numbers, received {_kind(value)}.")
    return value


def triple(fields: Mapping[str, Any], key: str, where: str) -> tuple[float, float, float]:
    """Three numbers."""
    first, second, third = numbers(fields, key, 3, where)
    return float(first), float(second), float(third)


def size_of(fields: Mapping[str, Any], key: str, where: str) -> tuple[int, int]:
    """A (height, width) in pixels."""
    height, width = numbers(fields, key, 2, where)
    return int(height), int(width)


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"{type(value).__name__} {str(value)[:40]!r}"
