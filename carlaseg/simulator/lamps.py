"""Street lamps as the client's light manager knows them. They shine by the sun's height; what clients set is kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from carlaseg.simulator.scene import Town, Weather
from carlaseg.wire.values import Color, StreetLamp, Vector3

STREET_GROUP = 2
_WARM = Color(255, 214, 170)
_INTENSITY = 5000.0


class StreetLamps:
    """The lamps of one town."""

    def __init__(self, town: Town) -> None:
        self._lamps = {
            number: StreetLamp(number, Vector3(float(x), -float(y), float(z)), _INTENSITY, STREET_GROUP, _WARM, False)
            for number, (x, y, z) in enumerate(town.lamp_positions.tolist(), start=1)
        }
        self._switched: set[int] = set()

    def states(self, weather: Weather) -> list[StreetLamp]:
        """Return all lamps; one that no client has set is on when the sun is down."""
        night = weather.sun_altitude_angle < 0.0
        return [
            lamp if number in self._switched else replace(lamp, active=night) for number, lamp in self._lamps.items()
        ]

    def update(self, lamps: Iterable[StreetLamp]) -> None:
        """Keep what a client has set; lamps it made up are ignored."""
        for lamp in lamps:
            known = self._lamps.get(lamp.id)
            if known is not None:
                self._lamps[lamp.id] = replace(lamp, location=known.location)
                self._switched.add(lamp.id)

    def follow_sun(self) -> None:
        """Let the sun's height decide about every lamp again."""
        self._switched.clear()
