"""Built towns kept in the user's cache folder, so that a server starts quickly the second time.

A file holds arrays and JSON, never code: what is read back is checked field by field against the classes of `scene`.
Its name is a hash of everything a town depends on: name, seed, OpenDRIVE text, and the source that builds towns. A file
that cannot be read is built anew; a folder that cannot be written is done without.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import logging
import os
import tempfile
import types
import typing
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carlaseg.simulator import scene
from carlaseg.simulator.scene import LevelBox, MeshPart, Pose, Town, TrafficLightSite

logger = logging.getLogger(__name__)

MAX_FOLDER_BYTES = 512 << 20
MAX_FILE_BYTES = 256 << 20
_KINDS = {kind.__name__: kind for kind in (Town, MeshPart, TrafficLightSite, LevelBox, Pose)}
_PACKAGE = Path(__file__).resolve().parent
_BUILDERS = ("*.py", "opendrive/*.py", "bodies/*.py")


def cache_folder() -> Path:
    """Return the folder of built towns: below CARLASEG_CACHE_DIR, XDG_CACHE_HOME or ~/.cache."""
    own = os.environ.get("CARLASEG_CACHE_DIR")
    if own:
        return Path(own) / "towns"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "carlaseg" / "towns"


def cached_town(name: str, seed: int, opendrive: str | None, build: Callable[[], Town]) -> Town:
    """Return a town from the cache, or built by `build` and kept."""
    path = cache_folder() / f"{_digest(name, seed, opendrive)}.npz"
    try:
        if path.stat().st_size <= MAX_FILE_BYTES:
            town = _loads(path.read_bytes())
            with contextlib.suppress(OSError):
                os.utime(path)  # the least recently used go first
            return town
    except FileNotFoundError:
        pass
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        logger.warning("cached town %s: cannot be read and is built anew (%s)", path.name, error)
    town = build()
    with contextlib.suppress(OSError):
        _keep(path, town)
    return town


def _digest(name: str, seed: int, opendrive: str | None) -> str:
    digest = hashlib.sha256()
    for pattern in _BUILDERS:
        for source in sorted(_PACKAGE.glob(pattern)):
            digest.update(source.read_bytes())
    digest.update(f"\0{np.__version__}\0{name}\0{seed}\0{opendrive is None}\0{opendrive}".encode())
    return digest.hexdigest()[:32]


def _keep(path: Path, town: Town) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    content = _dumps(town)
    if len(content) > MAX_FILE_BYTES:
        return
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _make_room(path)


def _make_room(newest: Path) -> None:
    """Delete the least recently used until the folder is small enough."""
    files = [(one.stat().st_mtime, one.stat().st_size, one) for one in newest.parent.glob("*.npz") if one != newest]
    room = MAX_FOLDER_BYTES - newest.stat().st_size
    for _, size, path in sorted(files, reverse=True):
        room -= size
        if room < 0:
            with contextlib.suppress(OSError):
                path.unlink()


# One town to bytes and back


def _dumps(town: Town) -> bytes:
    arrays: dict[str, NDArray[Any]] = {}

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            key = f"a{len(arrays)}"
            arrays[key] = value
            return {"array": key}
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {one.name: plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
            return {"kind": type(value).__name__, "fields": fields}
        if isinstance(value, tuple):
            return [plain(one) for one in value]
        return value

    text = json.dumps(plain(town))
    content = io.BytesIO()
    np.savez(content, town=np.frombuffer(text.encode(), np.uint8), **arrays)  # type: ignore[arg-type]
    return content.getvalue()


def _loads(content: bytes) -> Town:
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        town = _value(json.loads(arrays["town"].tobytes()), Town, arrays)
    assert isinstance(town, Town)  # `_value` returns what it was asked for or raises
    return town


def _value(value: Any, hint: Any, arrays: Any) -> Any:
    """Return a value as `hint` says, or raise ValueError."""
    if dataclasses.is_dataclass(hint):
        kind = typing.cast(type[Any], hint)
        hints = _hints(kind)
        if not isinstance(value, dict) or value.get("kind") != kind.__name__ or kind.__name__ not in _KINDS:
            raise ValueError(f"expected a {kind.__name__}")
        fields = value["fields"]
        if set(fields) != set(hints):
            raise ValueError(f"expected the fields of {kind.__name__}")
        return kind(**{name: _value(fields[name], hints[name], arrays) for name in hints})
    origin = typing.get_origin(hint)
    if origin is np.ndarray:
        array = arrays[value["array"]]
        if array.dtype != typing.get_args(typing.get_args(hint)[1])[0]:
            raise ValueError(f"expected another type of array than {array.dtype}")
        return array
    if origin is tuple:
        inner = typing.get_args(hint)
        kinds = [inner[0]] * len(value) if len(inner) == 2 and inner[1] is Ellipsis else list(inner)
        return tuple(_value(one, kind, arrays) for one, kind in zip(value, kinds, strict=True))
    if hint is float and type(value) is int:
        return float(value)
    if isinstance(hint, types.UnionType) or type(value) is not hint:
        raise ValueError(f"expected {hint}, received {type(value).__name__}")
    return value


def _hints(kind: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(kind, vars(scene))
