"""Where on Earth a town is: latitude and longitude of its places, as CARLA's client computes them.

Source: carla 0.9.16, carla::geom::GeoLocation (spherical Mercator around the map's reference).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

EARTH_RADIUS_M = 6378137.0


@dataclass(frozen=True, slots=True)
class GeoReference:
    """Latitude and longitude of the map's origin, in degrees."""

    latitude_deg: float = 0.0
    longitude_deg: float = 0.0

    def locate(self, x: float, y: float) -> tuple[float, float]:
        """Return (latitude, longitude) in degrees of a place in CARLA's frame."""
        scale = math.cos(math.radians(self.latitude_deg))
        east = scale * math.radians(self.longitude_deg) * EARTH_RADIUS_M + x
        north = scale * EARTH_RADIUS_M * math.log(math.tan(math.radians(90.0 + self.latitude_deg) / 2)) - y
        longitude = math.degrees(east / (EARTH_RADIUS_M * scale))
        latitude = 2 * math.degrees(math.atan(math.exp(north / (EARTH_RADIUS_M * scale)))) - 90.0
        return latitude, longitude


def read_geo_reference(opendrive: str) -> GeoReference:
    """Return the reference of an OpenDRIVE text; (0, 0) when it names none."""
    found = [re.search(rf"\+{name}=(-?[0-9.]+(?:e[-+]?\d+)?)", opendrive) for name in ("lat_0", "lon_0")]
    latitude, longitude = (float(match.group(1)) if match else 0.0 for match in found)
    return GeoReference(latitude, longitude)
