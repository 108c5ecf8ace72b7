"""Values that settings are made of, their checks, and how they are read from and written to files."""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from carlaseg.errors import ConfigError
from carlaseg.files import unreadable

ConfigT = TypeVar("ConfigT")
AUTO = "auto"
"""The word for: whatever this machine bears."""
LARGEST_PIXELS = 2**26
"""Of a size that is asked for. Run folders and exported files of larger ones are refused as well."""


class Size(NamedTuple):
    """A picture's (height, width) in pixels, written `160x160`."""

    height: int
    width: int

    @classmethod
    def parse(cls, text: str) -> Size:
        """Read `HxW`.

        Raises:
            ConfigError: the text is not two positive numbers with an x between them, or more than any picture has.
        """
        # Digits enough for whoever errs by some noughts, and none for Python to refuse.
        match = re.fullmatch(r"(\d{1,99})x(\d{1,99})", text.strip().lower())
        if match is None or 0 in map(int, match.groups()):
            raise ConfigError(f"expected HxW in pixels, for example 160x160, received {text!r}.")
        size = cls(int(match[1]), int(match[2]))
        if size.height * size.width > LARGEST_PIXELS:
            raise ConfigError(f"expected at most {LARGEST_PIXELS:,} pixels, 8192x8192 for example, received {size}.")
        return size

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"


def check_plain_name(flag: str, name: str | None, folder_flag: str) -> None:
    """Make sure that a name, where one is given, is that of a folder inside another one.

    Raises:
        ConfigError: it is a path.
    """
    if name is not None and (name in ("", ".", "..") or any(mark in name for mark in "/\\\0")):
        raise ConfigError(f"{flag}: expected a plain name, received {name!r}; {folder_flag} says where.")


def or_auto(default: Any, auto: Any) -> Any:
    """A dataclass field with a default, whose value may also be given as the word `auto`.

    Args:
        default: value when nothing is given.
        auto: value that stands for the word inside.
    """
    return dataclasses.field(default=default, metadata={AUTO: auto})


def automatic(config_class: type[Any]) -> dict[str, Any]:
    """The fields that may be `auto`, with the value that stands for it."""
    return {f.name: f.metadata[AUTO] for f in dataclasses.fields(config_class) if AUTO in f.metadata}


def check_range(where: str, value: float, low: float, high: float | None = None) -> None:
    """Refuse a number outside [low, high].

    Raises:
        ConfigError: with the flag, the range and the value.
    """
    # Written so that what is no number (nan) is refused, too.
    if not (low <= value and (high is None or value <= high)):
        expected = f"at least {low:g}" if high is None else f"{low:g} to {high:g}"
        raise ConfigError(f"{where}: expected {expected}, received {value:g}.")


def check_seed(seed: int) -> None:
    """Refuse a seed that not every generator of random numbers takes.

    Raises:
        ConfigError: with the range and the value.
    """
    if not 0 <= seed < 2**31:
        raise ConfigError(f"--seed: expected 0 to {2**31 - 1}, received {seed}.")


def nearest(name: str, known: typing.Iterable[str]) -> str | None:
    """The known name most like the given one, or None when none is near."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return matches[0] if matches else None


def to_json(config: Any) -> dict[str, Any]:
    """A configuration as plain JSON values; `from_mapping` reads it back."""
    left = automatic(type(config))
    values = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    return {name: AUTO if name in left and value == left[name] else _plain(value) for name, value in values.items()}


def flags_of(config: Any) -> list[str]:
    """The fewest words on a command line that mean a configuration: its settings that are not the default."""
    words: list[str] = []
    default = to_json(type(config)())
    for name, value in to_json(config).items():
        flag = name.replace("_", "-")
        if value == default[name]:
            continue
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words += [f"--{flag}", *map(str, value if isinstance(value, list) else [value])]
    return words


def from_mapping(config_class: type[ConfigT], values: Mapping[str, Any], where: str) -> ConfigT:
    """Build a configuration from plain values.

    Args:
        config_class: one of the dataclasses above.
        values: field name to a JSON or TOML value; fields that are missing keep their default.
        where: file the values came from, for messages.

    Raises:
        ConfigError: an unknown key (the nearest known one is named) or a value of the wrong kind.
    """
    hints = typing.get_type_hints(config_class)
    known = {f.name for f in dataclasses.fields(config_class)}  # type: ignore[arg-type]
    left = automatic(config_class)
    parsed: dict[str, Any] = {}
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in known:
            near = nearest(name, known)
            hint = f" Nearest: {near}." if near else ""
            raise ConfigError(f"{where}: expected a setting of {config_class.__name__}, received {key!r}.{hint}")
        is_auto = value == AUTO and name in left
        parsed[name] = left[name] if is_auto else _parse(hints[name], value, f"{where}, {key}")
    return config_class(**parsed)


def load(config_class: type[ConfigT], path: Path) -> ConfigT:
    """Read a configuration file: TOML, or JSON as carlaseg itself writes it, a recording's `recording.json` included.

    Raises:
        ConfigError: no such file, not TOML or JSON, an unknown key, a value of the wrong kind.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"--config {path}: expected a readable TOML or JSON file, received {unreadable(error)}."
        ) from error
    try:
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"--config {path}: expected TOML or JSON, received {error}.") from error
    if not isinstance(values, dict):
        raise ConfigError(f"--config {path}: expected a table of settings, received {type(values).__name__}.")
    # A recording.json holds the settings among all else that a recording says of itself.
    if isinstance(settings := values.get("configuration"), dict):
        values = settings
    return from_mapping(config_class, values, f"--config {path}")


def _plain(value: Any) -> Any:
    if isinstance(value, Size):
        return str(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _parse(hint: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        inner = next(arm for arm in typing.get_args(hint) if arm is not type(None))
        return _parse(inner, value, where)
    if origin is Literal:
        allowed = typing.get_args(hint)
        if value not in allowed:
            raise ConfigError(f"{where}: expected one of {', '.join(map(str, allowed))}, received {value!r}.")
        return value
    if origin is tuple:
        items = value if isinstance(value, list) else [value]
        return tuple(_parse(typing.get_args(hint)[0], item, where) for item in items)
    if hint is Size and isinstance(value, str):
        try:
            return Size.parse(value)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint in (int, bool, str) and type(value) is hint:
        return value
    raise ConfigError(f"{where}: expected {getattr(hint, '__name__', hint)}, received {value!r}.")
