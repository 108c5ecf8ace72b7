"""What an OpenDRIVE file says, as records: roads, lanes, marks, junctions, signals.

Lane ids are OpenDRIVE's: negative to the right of the reference line, positive to the left, 0 the line itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from carlaseg.simulator.opendrive.curves import PlanView

Array = NDArray[np.float64]
# Steeper than any velodrome: what is beyond is a mistake in a file.
_STEEPEST_RAD = 0.9


@dataclass(frozen=True)
class Cubics:
    """A function of distance in cubic pieces.

    Attributes:
        starts: float64 (n,), rising, where each piece begins.
        coefficients: float64 (n, 4), a, b, c, d of a + b ds + c ds^2 + d ds^3.
    """

    starts: Array
    coefficients: Array

    def at(self, s: Array) -> Array:
        """Values of the shape of `s`; zero where there are no pieces."""
        if len(self.starts) == 0:
            return np.zeros_like(s)
        k = np.clip(np.searchsorted(self.starts, s + 1e-9, side="right") - 1, 0, len(self.starts) - 1)
        c = self.coefficients[k]
        ds = s - self.starts[k]
        result: Array = c[..., 0] + ds * (c[..., 1] + ds * (c[..., 2] + ds * c[..., 3]))
        return result

    @property
    def is_constant(self) -> bool:
        """Whether the value never changes."""
        return len(self.starts) == 0 or (
            not np.any(self.coefficients[:, 1:]) and bool(np.all(self.coefficients[:, 0] == self.coefficients[0, 0]))
        )


@dataclass(frozen=True, slots=True)
class RoadMark:
    """The marking on a lane's outer boundary from `start_offset` metres into the section on."""

    start_offset: float
    kind: str
    color: str
    width: float


@dataclass(frozen=True)
class Lane:
    """One lane of one section; `width` counts from the section's start.

    A lane that is described by its outer border's place instead has no `width` and a `border`.
    """

    id: int
    type: str
    width: Cubics
    border: Cubics
    marks: tuple[RoadMark, ...]
    predecessor: int | None
    successor: int | None


@dataclass(frozen=True)
class LaneSection:
    """A stretch of road with a fixed set of lanes."""

    start_s: float
    end_s: float
    lanes: Mapping[int, Lane]

    def outward(self, side: Literal[-1, 1]) -> list[Lane]:
        """The lanes of one side (-1 right, 1 left) from the reference line outward."""
        return sorted((lane for lane in self.lanes.values() if lane.id * side > 0), key=lambda lane: abs(lane.id))


@dataclass(frozen=True, slots=True)
class RoadEnd:
    """What a road's end touches: a "road" (at that road's "start" or "end") or a "junction"."""

    element: str
    id: int
    contact: str | None


@dataclass(frozen=True, slots=True)
class Signal:
    """A traffic light or sign. `lanes` are the first and last lane it is for, None where the file does not say."""

    id: str
    name: str
    s: float
    t: float
    z_offset: float
    type: str
    subtype: str
    value: float
    orientation: str
    h_offset: float
    dynamic: bool
    lanes: tuple[int, int] | None


@dataclass(frozen=True)
class Crosswalk:
    """A zebra crossing. `outline` is float64 (n, 2), its corners as s and t of the road it lies on."""

    outline: Array


@dataclass(frozen=True)
class Connection:
    """One way through a junction; `lane_links` are pairs (lane of the incoming road, lane of the connecting road)."""

    incoming: int
    connecting: int
    contact: str
    lane_links: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Junction:
    """A junction and the ways through it."""

    id: int
    connections: tuple[Connection, ...]


@dataclass(frozen=True)
class Road:
    """One road. `junction` is -1 for a road between junctions; `kind` is its type's name where it begins."""

    id: int
    length: float
    junction: int
    plan: PlanView
    elevation: Cubics
    superelevation: Cubics
    lane_offset: Cubics
    sections: tuple[LaneSection, ...]
    predecessor: RoadEnd | None
    successor: RoadEnd | None
    signals: tuple[Signal, ...]
    crosswalks: tuple[Crosswalk, ...]
    kind: str = "town"

    def points(self, s: Array, t: Array, lift: float = 0.0) -> Array:
        """Places `t` metres left of the reference line at `s`: float64 (..., 3), `lift` metres above the surface.

        A banked road is as wide from above as a level one: the client's `carla.Map` leaves the bank out, and lanes
        must lie where it says.
        """
        x, y, heading = self.plan.at(s)
        z = self.elevation.at(s) + lift
        if len(self.superelevation.starts):
            z = z + t * np.tan(np.clip(self.superelevation.at(s), -_STEEPEST_RAD, _STEEPEST_RAD))
        return np.stack([x - t * np.sin(heading), y + t * np.cos(heading), z], axis=-1)

    def section_at(self, s: float) -> LaneSection:
        """The lane section that holds `s`."""
        held = [section for section in self.sections if section.start_s <= s + 1e-6]
        return held[-1] if held else self.sections[0]

    def boundaries(self, section: LaneSection, s: Array) -> dict[int, Array]:
        """Outer boundary of each lane, and of the centre under 0: lane id to t, metres, each of the shape of `s`."""
        centre = self.lane_offset.at(s)
        result = {0: centre}
        for side in (1, -1):
            edge = centre
            for lane in section.outward(1 if side > 0 else -1):
                if len(lane.width.starts) == 0 and len(lane.border.starts):
                    beyond = side * (centre + lane.border.at(s - section.start_s) - edge)
                else:
                    beyond = lane.width.at(s - section.start_s)
                edge = edge + side * np.maximum(beyond, 0.0)
                result[lane.id] = edge
        return result

    def stations(self, section: LaneSection, chord_error: float, step: float) -> Array:
        """Distances at which straight strips follow this section: bends, slopes and widths; float64 (n,)."""
        s = self.plan.stations(section.start_s, section.end_s, chord_error, step)
        starts = np.concatenate([self.elevation.starts, self.superelevation.starts])
        bends = [np.clip(starts, section.start_s, section.end_s)]
        finest = step
        banks = len(self.superelevation.starts) and not self.superelevation.is_constant
        if banks or np.any(np.abs(self.elevation.coefficients[:, 2:]) > 1e-6):
            finest = min(finest, 4.0)
        for width in [self.lane_offset, *(w for k in section.lanes.values() for w in (k.width, k.border))]:
            if not width.is_constant:
                offset = 0.0 if width is self.lane_offset else section.start_s
                bends.append(np.clip(width.starts + offset, section.start_s, section.end_s))
                if np.any(np.abs(width.coefficients[:, 2:]) > 1e-7):
                    finest = min(finest, 2.0)
        s = np.unique(np.concatenate([s, *bends]))
        keep = np.concatenate([np.diff(s) > 0.01, [True]])
        s = s[keep]
        s[0] = section.start_s
        if finest < step:
            counts = np.maximum(1, np.ceil(np.diff(s) / finest - 1e-9).astype(int))
            pieces = [np.linspace(a, b, n, endpoint=False) for a, b, n in zip(s[:-1], s[1:], counts, strict=True)]
            s = np.concatenate([*pieces, s[-1:]])
        return s


@dataclass(frozen=True)
class RoadNetwork:
    """A whole map."""

    roads: Mapping[int, Road]
    junctions: Mapping[int, Junction]
