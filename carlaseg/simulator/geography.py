"""Where on Earth a town is: latitude and longitude of its places, exactly as CARLA's client computes them.

Source: carla 0.9.16 client, `Map.transform_to_geolocation`, measured at several places and references: a transverse
Mercator projection of a sphere with UTM's scale whatever the reference says, +y to the north, and (42, 2) for maps
without a reference.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

EARTH_RADIUS_M = 6378137.0
SCALE = 0.9996
_NUMBER = r"(-?[0-9.]+(?:e[-+]?\d+)?)"


@dataclass(frozen=True, slots=True)
class GeoReference:
    """Latitude and longitude of the map's origin, in degrees."""

    latitude_deg: float = 42.0
    longitude_deg: float = 2.0

    def locate(self, x: float, y: float) -> tuple[float, float]:
        """Return (latitude, longitude) in degrees of a place in CARLA's frame."""
        north = y / (EARTH_RADIUS_M * SCALE) + math.radians(self.latitude_deg)
        east = x / (EARTH_RADIUS_M * SCALE)
        latitude = math.degrees(math.asin(math.sin(north) / math.cosh(east)))
        longitude = self.longitude_deg + math.degrees(math.atan2(math.sinh(east), math.cos(north)))
        return latitude, longitude


def read_geo_reference(opendrive: str) -> GeoReference:
    """Return the reference of an OpenDRIVE text, CARLA's default when it names none."""
    latitude = re.search(r"\+lat_0=" + _NUMBER, opendrive)
    longitude = re.search(r"\+lon_0=" + _NUMBER, opendrive)
    if latitude is None or longitude is None:
        return GeoReference()
    return GeoReference(float(latitude[1]), float(longitude[1]))
