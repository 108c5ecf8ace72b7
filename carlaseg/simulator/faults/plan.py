"""Fault plans: TOML in, frozen dataclasses out. `docs/simulator-faults.md` is the description for people."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from carlaseg.errors import ConfigError

Counted = Literal["ticks", "messages"]


@dataclass(frozen=True, kw_only=True)
class Occasions:
    """When a fault strikes. Occasions are counted from 1: ticks, messages or calls, as the kind of fault says.

    Attributes:
        at: exactly at these, and at no others; empty for all that the rest allows.
        first: not before this one.
        last: not after this one; None for no end.
        chance: of striking at each, 0 to 1.
        times: strike so often at most; None for no limit.
    """

    at: tuple[int, ...] = ()
    first: int = 1
    last: int | None = None
    chance: float = 1.0
    times: int | None = None


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        kind: name in `KINDS`.
        when: its occasions.
        sensor: blueprint id with wildcards, or "world" for the stream of states; frame faults only.
        blueprint: of the actors concerned, with wildcards; spawn failures and zombies only.
        counted: whether occasions of a frame fault are a plan's ticks or a stream's own messages.
        seconds: how late a frame is, how long a tick stalls.
        restart_after_s: after how long a dead server comes back; None for never.
        offset: added to a wrong frame number.
        for_good: whether a dead stream stays dead.
        text: of an error.
    """

    kind: str
    when: Occasions = field(default_factory=Occasions)
    sensor: str = "sensor.*"
    blueprint: str = "*"
    counted: Counted = "ticks"
    seconds: float = 0.0
    restart_after_s: float | None = None
    offset: int = 0
    for_good: bool = False
    text: str = ""


@dataclass(frozen=True)
class FaultPlan:
    """Everything that goes wrong.

    Attributes:
        seed: of all chances.
        faults: in the order of the file; of several that strike the same tick or call, the first is acted on last.
    """

    seed: int = 0
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True)
class Kind:
    """What a kind of fault is about and which keys it takes beside `kind` and the occasions.

    Attributes:
        subject: "frame", "tick", "spawn", "destroy" or "load".
        required: keys without which it means nothing.
        optional: keys it takes as well.
    """

    subject: str
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


_FRAME = ("sensor", "counted")
KINDS: Mapping[str, Kind] = {
    "late": Kind("frame", ("seconds",), _FRAME),
    "lost": Kind("frame", (), _FRAME),
    "doubled": Kind("frame", (), _FRAME),
    "out_of_order": Kind("frame", (), _FRAME),
    "wrong_frame": Kind("frame", ("offset",), _FRAME),
    "black": Kind("frame", (), _FRAME),
    "truncated": Kind("frame", (), _FRAME),
    "dead_stream": Kind("frame", (), (*_FRAME, "for_good")),
    "stalled_tick": Kind("tick", ("seconds",)),
    "refused_tick": Kind("tick", (), ("text",)),
    "state_without_reply": Kind("tick"),
    "reply_without_state": Kind("tick"),
    "death": Kind("tick", (), ("restart_after_s",)),
    "spawn_failure": Kind("spawn", (), ("blueprint", "text")),
    "zombie": Kind("destroy", (), ("blueprint",)),
    "settings_reset": Kind("load"),
}
"""Kinds of faults by name."""

_OCCASION_KEYS = tuple(one.name for one in fields(Occasions))
LONGEST_S = 3600.0
_MAX_FAULTS = 1000


def parse_plan(text: str, where: str) -> FaultPlan:
    """Return the plan of a TOML text; `where` begins each error message.

    Raises:
        ConfigError: not TOML, or not a plan.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: expected TOML, received {error}.") from error
    for key in table:
        if key not in ("seed", "fault"):
            raise ConfigError(f"{where}: expected 'seed' and [[fault]] tables, received {key!r}.")
    seed = _integer(table.get("seed", 0), f"{where}, seed", -(2**63))
    entries = table.get("fault", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigError(f"{where}: expected [[fault]] tables, received {type(entries).__name__} under 'fault'.")
    if len(entries) > _MAX_FAULTS:
        raise ConfigError(f"{where}: expected at most {_MAX_FAULTS} faults, received {len(entries)}.")
    return FaultPlan(seed, tuple(_fault(entry, f"{where}, fault {n}") for n, entry in enumerate(entries, 1)))


def _fault(entry: dict[str, Any], where: str) -> Fault:
    name = entry.get("kind")
    if not isinstance(name, str) or name not in KINDS:
        near = difflib.get_close_matches(str(name), KINDS, 1, 0.4)
        hint = f" Nearest: {near[0]}." if near else ""
        raise ConfigError(f"{where}, kind: expected one of {', '.join(KINDS)}, received {name!r}.{hint}")
    where = f"{where} ({name})"
    kind = KINDS[name]
    allowed = (*kind.required, *kind.optional, *_OCCASION_KEYS)
    values: dict[str, Any] = {}
    for key, value in entry.items():
        if key == "kind":
            continue
        if key not in allowed:
            raise ConfigError(f"{where}: expected only {', '.join(allowed)}, received {key!r}.")
        values[key] = _READERS[key](value, f"{where}, {key}")
    for key in kind.required:
        if key not in values:
            raise ConfigError(f"{where}: expected a value for {key!r}, received none.")
    when = Occasions(**{key: values.pop(key) for key in _OCCASION_KEYS if key in values})
    if when.last is not None and when.last < when.first:
        raise ConfigError(f"{where}: expected 'last' not before 'first' ({when.first}), received {when.last}.")
    return Fault(kind=name, when=when, **values)


def _integer(value: object, where: str, low: int) -> int:
    if type(value) is not int or value < low:
        raise ConfigError(f"{where}: expected a whole number of at least {low}, received {value!r}.")
    return value


def _number(value: object, where: str, high: float) -> float:
    if type(value) not in (int, float) or not 0.0 <= value <= high:  # type: ignore[operator]
        raise ConfigError(f"{where}: expected a number from 0 to {high:g}, received {value!r}.")
    return float(value)  # type: ignore[arg-type]


def _text(value: object, where: str) -> str:
    if type(value) is not str or not value:
        raise ConfigError(f"{where}: expected some text, received {value!r}.")
    return value


def _occasions(value: object, where: str) -> tuple[int, ...]:
    numbers = value if isinstance(value, list) else [value]
    if not numbers:
        raise ConfigError(f"{where}: expected at least one number, received none.")
    return tuple(_integer(number, where, 1) for number in numbers)


def _counted(value: object, where: str) -> Counted:
    if value == "ticks" or value == "messages":
        return value
    raise ConfigError(f"{where}: expected 'ticks' or 'messages', received {value!r}.")


def _truth(value: object, where: str) -> bool:
    if type(value) is not bool:
        raise ConfigError(f"{where}: expected true or false, received {value!r}.")
    return value


def _offset(value: object, where: str) -> int:
    if type(value) is not int or value == 0 or abs(value) > 2**31:
        raise ConfigError(f"{where}: expected a whole number other than 0, received {value!r}.")
    return value


_READERS: Mapping[str, Any] = {
    "at": _occasions,
    "first": lambda value, where: _integer(value, where, 1),
    "last": lambda value, where: _integer(value, where, 1),
    "chance": lambda value, where: _number(value, where, 1.0),
    "times": lambda value, where: _integer(value, where, 1),
    "sensor": _text,
    "blueprint": _text,
    "counted": _counted,
    "seconds": lambda value, where: _number(value, where, LONGEST_S),
    "restart_after_s": lambda value, where: _number(value, where, LONGEST_S),
    "offset": _offset,
    "for_good": _truth,
    "text": _text,
}
