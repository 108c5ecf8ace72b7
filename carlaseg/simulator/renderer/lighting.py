"""What the weather does to light: sun, sky, fog and rain as numbers, and light baked into vertex colours. NumPy only.

The curves are fitted by eye to daylight, not to CARLA's atmosphere; only the meaning and the units of the weather's
parameters are CARLA's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from carlaseg.simulator.scene import Weather

LAMP_RANGE_M = 18.0
LAMP_COLOR = np.array([1.0, 0.8, 0.52], np.float32)


@dataclass(frozen=True, eq=False)
class Light:
    """The light of one weather. Colours are float32 (3,), linear factors or RGB 0-255 where named `_rgb`.

    Attributes:
        sun_direction: towards the sun (or the moon), town frame, unit length.
        sun: strength of direct light.
        sky: light from above.
        ground: light from below.
        night: 0 by day to 1 by night; above 0.5 windows, lamps and headlights are lit.
        zenith_rgb: sky straight up.
        horizon_rgb: sky at the horizon.
        glow_rgb: added around the sun.
        cloud_rgb: colour of clouds.
        cloud_cover: 0-1.
        fog_per_m: extinction; 0 for none.
        fog_start_m: distance at which fog begins.
        fog_rgb: colour of fog.
        wetness: 0-1, of the ground.
        rain: 0-1.
    """

    sun_direction: NDArray[np.float32]
    sun: NDArray[np.float32]
    sky: NDArray[np.float32]
    ground: NDArray[np.float32]
    night: float
    zenith_rgb: NDArray[np.float32]
    horizon_rgb: NDArray[np.float32]
    glow_rgb: NDArray[np.float32]
    cloud_rgb: NDArray[np.float32]
    cloud_cover: float
    fog_per_m: float
    fog_start_m: float
    fog_rgb: NDArray[np.float32]
    wetness: float
    rain: float

    @property
    def tone(self) -> float:
        """Exponent from light to brightness in the picture.

        The camera lifts shadows by day. Chosen so that roads, grass, leaves and walls have the mean colours that they
        have in CARLA 0.9.10 to 0.9.13 pictures (road 148, 141, 135; leaves 100, 107, 76; pavement 163, 154, 145).
        """
        return 0.56 + 0.34 * self.night

    @property
    def lamps_on(self) -> bool:
        """Whether street lamps, headlights and windows are lit."""
        return self.night > 0.5


def _mix(first: object, second: object, share: float) -> NDArray[np.float32]:
    mixed = np.asarray(first, np.float32) * (1 - share) + np.asarray(second, np.float32) * share
    return mixed.astype(np.float32)


def _ramp(value: float, low: float, high: float) -> float:
    share = min(max((value - low) / (high - low), 0.0), 1.0)
    return share * share * (3 - 2 * share)


def _share(percent: float) -> float:
    return min(max(percent, 0.0), 100.0) / 100


@lru_cache(maxsize=8)
def light_of(weather: Weather) -> Light:
    """The light of a weather; each of its parameters is first limited to the range CARLA documents."""
    cover, rain, fog = _share(weather.cloudiness), _share(weather.precipitation), _share(weather.fog_density)
    dust, deposits = _share(weather.dust_storm), _share(weather.precipitation_deposits)
    altitude = min(max(weather.sun_altitude_angle, -90.0), 90.0)
    day = _ramp(altitude, -7.0, 9.0)
    low_sun = day * (1 - _ramp(altitude, 6.0, 32.0))
    overcast = _ramp(max(cover, 0.85 * rain, min(2.5 * fog, 1.0) * 0.8), 0.25, 1.0)
    sun, sky, ground = _strengths(day, low_sun, overcast)
    zenith, horizon, glow, cloud = _sky_colors(day, low_sun, overcast, 1 - 0.3 * rain, dust)
    # fog_density 100 hides what is beyond some 30 m; CARLA's default of 2 is hardly to be seen.
    extinction = 0.0 if fog < 0.025 else 0.09 * fog**1.3
    extinction += 0.004 * rain + 0.02 * dust
    return Light(
        sun_direction=_sun_direction(altitude, weather.sun_azimuth_angle, day),
        sun=sun * (1 - 0.5 * dust) * (1 - 0.25 * rain),
        sky=sky * (1 - 0.2 * rain),
        ground=ground * (1 - 0.2 * rain),
        night=1 - _ramp(altitude, -5.0, 5.0),
        zenith_rgb=zenith,
        horizon_rgb=horizon,
        glow_rgb=glow,
        cloud_rgb=cloud,
        cloud_cover=max(cover, 0.9 * rain),
        fog_per_m=extinction,
        fog_start_m=max(weather.fog_distance, 0.0),
        fog_rgb=_mix(horizon, np.full(3, float(horizon.mean()), np.float32), 0.4 * (1 - low_sun)),
        wetness=max(_share(weather.wetness), 0.6 * deposits, 0.5 * rain),
        rain=rain,
    )


def _sun_direction(altitude_deg: float, azimuth_deg: float, day: float) -> NDArray[np.float32]:
    """Towards the sun, town frame; by night a faint moon stands where the sun would be at 50 degrees."""
    height = np.radians(max(altitude_deg, 4.0) if day > 0.02 else 50.0)
    azimuth = np.radians(azimuth_deg)
    return np.array([np.cos(height) * np.cos(azimuth), -np.cos(height) * np.sin(azimuth), np.sin(height)], np.float32)


def _strengths(
    day: float, low_sun: float, overcast: float
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Light of the sun, of the sky and from the ground; all arguments 0 to 1."""
    sun = _mix([1.20, 1.09, 0.95], [1.24, 0.88, 0.60], low_sun) * (1 - 0.88 * overcast)
    sky = _mix([0.27, 0.30, 0.36], [0.70, 0.72, 0.76], overcast)
    sky = _mix(sky, [0.44, 0.41, 0.42], 0.85 * low_sun)
    ground = _mix([0.13, 0.12, 0.11], [0.36, 0.36, 0.36], overcast)
    ground = _mix(ground, [0.20, 0.17, 0.16], 0.85 * low_sun)
    return (
        _mix([0.06, 0.07, 0.10], sun, day),
        _mix([0.17, 0.19, 0.27], sky, day),
        _mix([0.12, 0.12, 0.16], ground, day),
    )


def _sky_colors(
    day: float, low_sun: float, overcast: float, dimming: float, dust: float
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """The sky straight up and at the horizon, what the sun adds around itself, and clouds; all arguments 0 to 1."""
    zenith = _mix([96, 126, 158], [158, 162, 166], overcast)
    zenith = _mix(zenith, [74, 92, 140], 0.8 * low_sun * (1 - 0.6 * overcast))
    horizon = _mix([222, 226, 224], [216, 216, 212], overcast)
    horizon = _mix(horizon, [247, 208, 168], 0.85 * low_sun * (1 - 0.7 * overcast))
    cloud = _mix([240, 237, 230], [150, 152, 156], max(overcast - 0.25, 0.0) * 0.9)
    cloud = _mix(cloud, [247, 205, 172], 0.7 * low_sun * (1 - 0.6 * overcast))
    by_night = ([8, 14, 34], [26, 34, 58], [22, 26, 42])
    dusty = np.array([196, 158, 108], np.float32) * (0.1 + 0.9 * day)
    zenith, horizon, cloud = (
        _mix(_mix(dark, light, day) * dimming, dusty, 0.8 * dust)
        for dark, light in zip(by_night, (zenith, horizon, cloud), strict=True)
    )
    glow = _mix([255, 248, 225], [255, 170, 90], low_sun) * day * (1 - overcast)
    return zenith, horizon, glow * dimming * (1 - dust), cloud


def shade(normals: NDArray[np.float32], light: Light) -> NDArray[np.float32]:
    """Sun and sky light that falls on faces with these normals: float32 (N, 3), about 0-1.5."""
    direct = np.clip(normals @ light.sun_direction, 0, None)[:, None] * light.sun
    up = (normals[:, 2:3] + 1) / 2
    strength: NDArray[np.float32] = (direct + up * light.sky + (1 - up) * light.ground).astype(np.float32)
    return strength


def lamp_light(
    positions: NDArray[np.float32], normals: NDArray[np.float32], lamps: NDArray[np.float32]
) -> NDArray[np.float32]:
    """What street lamps add at each vertex: float32 (N, 3)."""
    added = np.zeros((len(positions), 3), np.float32)
    order = np.argsort(positions[:, 0], kind="stable")
    sorted_x = positions[order, 0]
    for lamp in np.asarray(lamps, np.float32).reshape(-1, 3):
        first, last = np.searchsorted(sorted_x, [lamp[0] - LAMP_RANGE_M, lamp[0] + LAMP_RANGE_M])
        near = order[first:last]
        near = near[np.abs(positions[near, 1] - lamp[1]) < LAMP_RANGE_M]
        to_lamp = lamp - positions[near]
        squared = (to_lamp**2).sum(axis=1)
        facing = np.clip((normals[near] * to_lamp).sum(axis=1) / np.sqrt(np.maximum(squared, 1e-6)), 0, 1)
        falloff = np.clip(1 - squared / LAMP_RANGE_M**2, 0, 1) ** 2
        added[near] += (1.4 * facing * falloff)[:, None] * LAMP_COLOR
    return added
