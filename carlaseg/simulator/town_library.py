"""The maps a server offers: generated towns, and OpenDRIVE files by their names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from carlaseg.errors import ConfigError
from carlaseg.files import unreadable
from carlaseg.simulator.scene import Town
from carlaseg.simulator.town_cache import cached_town
from carlaseg.simulator.town_plan import GENERATED_TOWNS

MAX_OPENDRIVE_BYTES = 64 << 20
LAYERED = "_Opt"
"""CARLA's suffix for a map whose layers can be unloaded: the same roads under another name."""


class TownLibrary:
    """Towns by name, all with one seed.

    Args:
        seed: of everything that is drawn.
        opendrive: files, or folders of them; each becomes a map named like its file.

    Raises:
        ConfigError: a file cannot be read, or two have one name.
    """

    def __init__(self, seed: int, opendrive: Iterable[Path] = ()) -> None:
        self._seed = seed
        self._files: dict[str, Path] = {}
        for path in opendrive:
            for file in sorted(path.glob("*.xodr")) if path.is_dir() else [path]:
                if file.stem in self._files or file.stem in GENERATED_TOWNS:
                    raise ConfigError(
                        f"--opendrive {file}: expected maps of different names, received another {file.stem}."
                    )
                if not file.is_file():
                    raise ConfigError(f"--opendrive {file}: expected an OpenDRIVE file, received nothing there.")
                self._files[file.stem] = file

    def names(self) -> Sequence[str]:
        """Return the names that can be built: maps from files, then generated towns."""
        return (*self._files, *GENERATED_TOWNS)

    def has(self, name: str) -> bool:
        """Return whether a name can be built; CARLA's "_Opt" maps are known by the map without it."""
        return name.removesuffix(LAYERED) in self._files or name in self.names()

    def build(self, name: str, opendrive: str | None) -> Town:
        """Return a town, quickly if it was built before.

        Raises:
            SimulatorError: the text is no map.
            ConfigError: its file cannot be read any more.
        """
        file = self._files.get(name) or self._files.get(name.removesuffix(LAYERED))
        if opendrive is None and file is not None:
            opendrive = _text(file)

        def build() -> Town:
            from carlaseg.simulator.town import build_town

            return build_town(name, seed=self._seed, opendrive=opendrive)

        return cached_town(name, self._seed, opendrive, build)


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > MAX_OPENDRIVE_BYTES:
            raise ConfigError(f"--opendrive {file}: expected at most {MAX_OPENDRIVE_BYTES} bytes, received more.")
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"--opendrive {file}: expected a readable OpenDRIVE file, received {unreadable(error)}."
        ) from error
