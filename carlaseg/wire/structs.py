"""Positional structs: msgpack arrays on the wire, frozen dataclasses here.

The law of this file: a struct's fields stand on the wire in the order in which its dataclass declares them, and their
annotations say what may stand there.

    float                 any finite number that fits a 32-bit float comfortably (see MAX_MAGNITUDE)
    int                   an integer between -2**63 and 2**64 - 1, never a bool
    bool, str, bytes      exactly that
    X | None              CARLA's optional: [False] or [True, x]
    tuple[X, ...]         an array
    a dataclass           an array of its fields; surplus elements are ignored, as CARLA's own decoder does
    object                anything; the one who reads it parses on

Source: carla 0.9.16, MSGPACK_DEFINE_ARRAY structs, as read from the published client's debug information.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import reprlib
import types
import typing
from collections.abc import Callable
from typing import Any, TypeVar, cast

from carlaseg.errors import ProtocolError

T = TypeVar("T")
FieldParser = Callable[[object, str], Any]

MAX_MAGNITUDE = 1e12
"""Largest number taken from a peer: leaves headroom for sums and products below the 3.4e38 of a 32-bit float."""


MAX_SHOWN_CHARACTERS = 80


class _Shown(reprlib.Repr):
    """A peer's value in an error: never more of it is looked at than is shown, however long or deeply nested it is."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = MAX_SHOWN_CHARACTERS

    def repr_bytes(self, value: bytes, level: int) -> str:
        return self.repr_str(value, level)  # type: ignore[arg-type]


_SHOWN = _Shown()


def wrong(where: str, expected: str, received: object) -> ProtocolError:
    """Return the error for a value that is not what its place asks for."""
    shown = _SHOWN.repr(received)
    if len(shown) > MAX_SHOWN_CHARACTERS:
        shown = shown[: MAX_SHOWN_CHARACTERS - 3] + "..."
    return ProtocolError(f"{where}: expected {expected}, received {type(received).__name__} {shown}")


def _parse_float(value: object, where: str) -> float:
    if type(value) is float or type(value) is int:
        if -MAX_MAGNITUDE <= value <= MAX_MAGNITUDE:  # false for NaN as well
            return float(value)
        shown = "not a number" if math.isnan(value) else "too large a number" if value > 0 else "too small a number"
        raise ProtocolError(f"{where}: expected a number within +-{MAX_MAGNITUDE:g}, received {shown}")
    raise wrong(where, "a number", value)


def _parse_int(value: object, where: str) -> int:
    if type(value) is int:
        return value
    raise wrong(where, "an integer", value)


def _parse_bool(value: object, where: str) -> bool:
    if type(value) is bool:
        return value
    raise wrong(where, "true or false", value)


def _parse_str(value: object, where: str) -> str:
    if type(value) is str:
        return value
    raise wrong(where, "text", value)


def _parse_bytes(value: object, where: str) -> bytes:
    if type(value) is bytes:
        return value
    raise wrong(where, "bytes", value)


def _parse_object(value: object, where: str) -> object:
    return value


_PARSERS: dict[object, FieldParser] = {
    float: _parse_float,
    int: _parse_int,
    bool: _parse_bool,
    str: _parse_str,
    bytes: _parse_bytes,
    object: _parse_object,
}


def parser_for(annotation: Any) -> FieldParser:
    """Return the function that checks and converts a decoded msgpack value to what `annotation` says.

    Args:
        annotation: one of the kinds this module's docstring lists.

    Returns:
        A function of (value, where); `where` names the place in error messages. It raises `ProtocolError` only.
    """
    parser = _PARSERS.get(annotation)
    if parser is None:
        parser = _PARSERS[annotation] = _compile_parser(annotation)
    return parser


def _compile_parser(annotation: Any) -> FieldParser:
    origin = typing.get_origin(annotation)
    if origin in (types.UnionType, typing.Union):
        (inner,) = (member for member in typing.get_args(annotation) if member is not type(None))
        return functools.partial(_parse_optional, parser_for(inner))
    if origin is tuple:
        return functools.partial(_parse_array, parser_for(typing.get_args(annotation)[0]))
    if dataclasses.is_dataclass(annotation):
        hints = typing.get_type_hints(annotation)
        fields = [(field.name, parser_for(hints[field.name])) for field in dataclasses.fields(annotation)]
        return functools.partial(_parse_struct, cast(Callable[..., object], annotation), fields)
    raise TypeError(f"no wire form for {annotation!r}")


def _parse_optional(inner: FieldParser, value: object, where: str) -> object:
    if type(value) is list and value:
        if value[0] is False:
            return None
        if value[0] is True and len(value) == 2:
            return inner(value[1], where)
    raise wrong(where, "an optional ([false] or [true, value])", value)


def _parse_array(inner: FieldParser, value: object, where: str) -> tuple[object, ...]:
    if type(value) is not list:
        raise wrong(where, "an array", value)
    return tuple([inner(item, where) for item in value])


def _parse_struct(
    kind: Callable[..., object], fields: list[tuple[str, FieldParser]], value: object, where: str
) -> object:
    if type(value) is not list:
        raise wrong(where, f"an array of {len(fields)} fields", value)
    if len(value) < len(fields):
        raise ProtocolError(f"{where}: expected {len(fields)} fields, received {len(value)}")
    try:
        # Batches have hundreds of structs a tick: where a field stands is worked out only when it is wrong.
        return kind(*[parse(item, where) for (_, parse), item in zip(fields, value, strict=False)])
    except ProtocolError:
        for (name, parse), item in zip(fields, value, strict=False):
            parse(item, f"{where}.{name}")
        raise


def parse(kind: type[T], value: object, where: str) -> T:
    """Return `value`, a decoded msgpack value, as a `kind`.

    Raises:
        ProtocolError: the value is not a `kind`; the message names the field.
    """
    result: T = parser_for(kind)(value, where)
    return result


@functools.cache
def _optional_fields(kind: Any) -> tuple[tuple[str, bool], ...]:
    """Return (name, is optional) of each field: None must become [False], which its value alone cannot tell."""
    hints = typing.get_type_hints(kind)
    return tuple(
        (field.name, typing.get_origin(hints[field.name]) in (types.UnionType, typing.Union))
        for field in dataclasses.fields(kind)
    )


def to_wire(value: Any) -> Any:
    """Return what msgpack packs for `value`: arrays for structs and tuples, the value itself for anything plain."""
    if isinstance(value, str | bytes | int | float):
        return value
    if isinstance(value, list | tuple):
        return [to_wire(item) for item in value]
    if not dataclasses.is_dataclass(value):
        raise TypeError(f"no wire form for {value!r}")
    fields = []
    for name, optional in _optional_fields(value.__class__):
        item = getattr(value, name)
        if optional:
            fields.append([False] if item is None else [True, to_wire(item)])
        else:
            fields.append(to_wire(item))
    return fields
