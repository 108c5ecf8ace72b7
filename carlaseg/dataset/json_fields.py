"""What a JSON file of a recording must hold, read field by field: the value, or the error that names file and field.

The error is always a DatasetError: datasets are downloaded, and a damaged one is no fault of carlaseg.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from carlaseg.errors import DatasetError

LARGEST_FRAME = 2**63 - 1
"""What tables of samples hold."""
LARGEST_SIDE = 2**31 - 1
"""Pixels. Source: PNG (third edition), 11.2.1 IHDR."""


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
    """A finite number, with or without a point."""
    value: Any = fields.get(key)
    if not _is_number(value):
        raise DatasetError(f"{where}: expected {key} as a number, received {_kind(value)}.")
    return float(value)


def numbers(fields: Mapping[str, Any], key: str, count: int, where: str) -> list[Any]:
    """So many finite numbers."""
    value = fields.get(key)
    if not isinstance(value, list) or len(value) != count or not all(map(_is_number, value)):
        raise DatasetError(f"{where}: expected {key} as {count} numbers, received {_kind(value)}.")
    return value


def triple(fields: Mapping[str, Any], key: str, where: str) -> tuple[float, float, float]:
    """Three numbers."""
    first, second, third = numbers(fields, key, 3, where)
    return float(first), float(second), float(third)


def size_of(fields: Mapping[str, Any], key: str, where: str) -> tuple[int, int]:
    """A (height, width) in pixels."""
    height, width = numbers(fields, key, 2, where)
    if not all(type(side) is int and 0 < side <= LARGEST_SIDE for side in (height, width)):
        raise DatasetError(f"{where}: expected {key} in whole pixels, received {height} x {width}.")
    return height, width


def angle_of_view(fields: Mapping[str, Any], key: str, where: str) -> float:
    """Degrees that a pinhole can have."""
    value = number(fields, key, where)
    if not 0 < value < 180:
        raise DatasetError(f"{where}: expected {key} between 0 and 180 degrees, received {value:g}.")
    return value


def frame_number(fields: Mapping[str, Any], where: str) -> int:
    """The number of a frame."""
    value = fields.get("frame")
    if type(value) is not int or not 0 <= value <= LARGEST_FRAME:
        raise DatasetError(f"{where}: expected a frame number, received {_kind(value)}.")
    return value


def moment(fields: Mapping[str, Any], key: str, where: str) -> str:
    """A time in ISO 8601, as text."""
    text: str = required(fields, key, str, where)
    try:
        datetime.fromisoformat(text)
    except ValueError as error:
        raise DatasetError(f"{where}: expected {key} as a time in ISO 8601, received {text[:40]!r}.") from error
    return text


def _is_number(value: Any) -> bool:
    """Whether a value is a number that a float can hold; NaN and the infinities are none, nor is true."""
    return type(value) in (int, float) and -sys.float_info.max <= value <= sys.float_info.max


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"{type(value).__name__} {str(value)[:40]!r}"
