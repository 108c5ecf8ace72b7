"""Paint on roads: lane lines from the map's mark records, stop lines, zebra crossings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from carlaseg.simulator.approaches import Approach, Crossing, clear_of
from carlaseg.simulator.mesh import MeshBuilder, strip
from carlaseg.simulator.opendrive import LaneSection, Road, RoadNetwork
from carlaseg.simulator.pavement import CHORD_ERROR_M, STEP_M

Array = NDArray[np.float64]

LINE_TAG = 24
# The renderer's depth buffer needs a centimetre between paint and asphalt to tell them apart at 400 m.
LIFT_M = 0.015
_DASH_M, _GAP_M = 3.0, 6.0
_DOUBLE_GAP_M = 0.12
_COLORS = {
    "yellow": (226, 178, 52),
    "blue": (60, 90, 190),
    "red": (190, 50, 40),
    "green": (60, 140, 70),
    "orange": (230, 140, 40),
}
_WHITE = (226, 226, 220)
# Offsets are in units of the gap between double lines: positive is to the left.
_LINES: dict[str, tuple[tuple[float, bool], ...]] = {
    "solid": ((0.0, True),),
    "broken": ((0.0, False),),
    "solid solid": ((1.0, True), (-1.0, True)),
    "broken broken": ((1.0, False), (-1.0, False)),
    "solid broken": ((-1.0, True), (1.0, False)),
    "broken solid": ((-1.0, False), (1.0, True)),
    "botts dots": ((0.0, False),),
}


def build_markings(
    builder: MeshBuilder, network: RoadNetwork, approaches: list[Approach], crossings: list[Crossing]
) -> None:
    """Add all paint."""
    for road in network.roads.values():
        if road.junction == -1:
            for section in road.sections:
                _lane_lines(builder, road, section, [c for c in crossings if c.road is road])
    for approach in approaches:
        if approach.control in ("lights", "stop"):
            _stop_line(builder, approach, solid=True)
        elif approach.control == "yield":
            _stop_line(builder, approach, solid=False)
    for crossing in crossings:
        _zebra(builder, crossing)


def _lane_lines(builder: MeshBuilder, road: Road, section: LaneSection, crossings: list[Crossing]) -> None:
    length = section.end_s - section.start_s
    if length < 0.3:
        return
    # The same stations as the asphalt below: between them both are straight, and paint cannot sink into it.
    stations = road.stations(section, CHORD_ERROR_M, STEP_M)
    bounds = road.boundaries(section, stations)
    for lane in section.lanes.values():
        for k, mark in enumerate(lane.marks):
            lines = _LINES.get(mark.kind)
            if lines is None:
                continue
            start = section.start_s + max(mark.start_offset, 0.0)
            last = k + 1 == len(lane.marks)
            end = section.start_s + (length if last else min(lane.marks[k + 1].start_offset, length))
            color = _COLORS.get(mark.color, _WHITE)
            width = float(np.clip(mark.width, 0.1, 0.4))
            for offset, solid in lines:
                # The outermost boundary of a lane belongs to the lane: its line lies inside.
                edge = bounds[lane.id] - np.sign(lane.id) * width / 2 + offset * _DOUBLE_GAP_M
                for a, b in clear_of(crossings, start, end):
                    if solid:
                        inside = stations[(stations > a + 0.05) & (stations < b - 0.05)]
                        s = np.concatenate([[a], inside, [b]])
                        quads = _ribbon(road, s, np.interp(s, stations, edge), width)
                    else:
                        quads = _dashes(road, a, b, stations, edge, width)
                    # From far away a dash is less than a pixel wide and high.
                    builder.quads("road_paint", LINE_TAG, quads, colors=color, small=not solid)


def _ribbon(road: Road, s: Array, t: Array, width: float) -> Array:
    return strip(road.points(s, t - width / 2, LIFT_M), road.points(s, t + width / 2, LIFT_M))


def _dashes(road: Road, start: float, end: float, stations: Array, edge: Array, width: float) -> Array:
    """Quads (n, 4, 3), one a dash, or several where the road is not level."""
    begin = np.arange(start + _GAP_M / 2, end - 1.0, _DASH_M + _GAP_M)
    s = np.linspace(begin, np.minimum(begin + _DASH_M, end), _pieces(road, _DASH_M) + 1)
    t = np.interp(s, stations, edge)
    right, left = road.points(s, t - width / 2, LIFT_M), road.points(s, t + width / 2, LIFT_M)
    return np.stack([right[:-1], right[1:], left[1:], left[:-1]], axis=2).reshape(-1, 4, 3)


def _pieces(road: Road, length: float) -> int:
    """Into how many pieces paint of this length is cut: over a crest a long straight piece would sink into the road."""
    return 1 if road.elevation.is_constant else max(1, round(length))


def _paint(builder: MeshBuilder, right: Array, left: Array, color: tuple[int, int, int]) -> None:
    builder.quads("road_paint", LINE_TAG, strip(right, left), colors=color)


def _stop_line(builder: MeshBuilder, approach: Approach, *, solid: bool) -> None:
    inner, outer = approach.edges(approach.stop_m)
    low, high = sorted((inner, outer))
    low, high = low + 0.12, high - 0.12
    width = 0.4
    s = np.sort([approach.s_at(approach.stop_m), approach.s_at(approach.stop_m + width)])
    pieces = [(low, high)] if solid else [(t, min(t + 0.5, high)) for t in np.arange(low, high - 0.2, 0.8)]
    for a, b in pieces:
        right = approach.road.points(s, np.full(2, a), LIFT_M)
        left = approach.road.points(s, np.full(2, b), LIFT_M)
        _paint(builder, right, left, _WHITE)


def _zebra(builder: MeshBuilder, crossing: Crossing) -> None:
    low, high = roadway(crossing)
    pieces = _pieces(crossing.road, crossing.to_s - crossing.from_s)
    s = np.linspace(crossing.from_s, crossing.to_s, pieces + 1)
    count = max(1, int((high - low) // 1.0))
    start = (low + high) / 2 - count / 2 + 0.25
    for t in start + np.arange(count):
        right = crossing.road.points(s, np.full_like(s, t), LIFT_M)
        left = crossing.road.points(s, np.full_like(s, t + 0.5), LIFT_M)
        _paint(builder, right, left, _WHITE)


def roadway(crossing: Crossing) -> tuple[float, float]:
    """T of the right and left edges of what people walk across: the road without its sidewalks, metres."""
    s = np.array([(crossing.from_s + crossing.to_s) / 2])
    section = crossing.road.section_at(float(s[0]))
    bounds = crossing.road.boundaries(section, s)
    edges = {-1: float(bounds[0][0]), 1: float(bounds[0][0])}
    for side in (-1, 1):
        for lane in section.outward(1 if side > 0 else -1):
            if lane.type in ("sidewalk", "none", "walking", "curb"):
                break
            edges[side] = float(bounds[lane.id][0])
    return edges[-1], edges[1]
