"""Weather by the names of CARLA's presets, and as numbers that can be written down."""

from __future__ import annotations

from typing import Any

from carlaseg.config import nearest
from carlaseg.errors import ConfigError

DECIMALS = 6


def weather_preset(carla: Any, name: str, where: str = "--weather") -> Any:
    """The weather of that name; `where` it was given, for messages.

    Raises:
        ConfigError: the client has none of that name; the nearest is named.
    """
    presets = {
        preset: value
        for preset, value in vars(carla.WeatherParameters).items()
        if isinstance(value, carla.WeatherParameters)
    }
    if name not in presets:
        near = nearest(name, presets)
        raise ConfigError(
            f"{where}: expected one of {', '.join(sorted(presets))}, received {name!r}."
            + (f" Nearest: {near}." if near else "")
        )
    preset = presets[name]
    # A copy: the presets are the client's own, and whoever changes one changes it for all.
    return carla.WeatherParameters(**{number: getattr(preset, number) for number in weather_numbers(preset)})


def weather_numbers(weather: Any) -> dict[str, float]:
    """The numbers of a `carla.WeatherParameters` under CARLA's names."""
    return {
        name: round(float(getattr(weather, name)), DECIMALS)
        for name in dir(weather)
        if not name.startswith("_") and isinstance(getattr(weather, name), float)
    }
