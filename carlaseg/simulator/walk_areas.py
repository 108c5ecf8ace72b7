"""Where pedestrians walk: quads along sidewalks and over crossings, sharing corners so that they join into one mesh."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from carlaseg.simulator.approaches import Crossing
from carlaseg.simulator.markings import roadway
from carlaseg.simulator.opendrive import LaneSection, Road, RoadNetwork
from carlaseg.simulator.pavement import SIDEWALK_M, Pavement

Array = NDArray[np.float64]

SIDEWALK_AREA, CROSSING_AREA = 1, 2
_QUAD_M = 5.0
_RAMP_M = 0.5
_SAME_PLACE_M = 0.005
_LEAST_AREA_M2 = 0.2


def build_walk_areas(
    network: RoadNetwork, pavement: Pavement, crossings: list[Crossing]
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Navigation quads.

    Returns:
        float32 (Q, 4, 3), CARLA frame, in the winding that CARLA's navigation meshes use; neighbours share two corners
        exactly. And uint8 (Q,): 1 sidewalk, 2 crossing.
    """
    quads: list[Array] = []
    areas: list[int] = []
    for road in network.roads.values():
        here = [c for c in crossings if c.road is road]
        for section in road.sections:
            for quad in _sidewalk_quads(road, section, here):
                # A junction's sidewalk may be drawn across its roads in foreign maps: nobody walks there.
                if road.junction == -1 or _mostly_off_road(quad, pavement):
                    quads.append(quad)
                    areas.append(SIDEWALK_AREA)
        for crossing in here:
            new = _crossing_quads(crossing)
            quads.extend(new)
            areas.extend([CROSSING_AREA] * len(new))
    if not quads:
        return np.zeros((0, 4, 3), np.float32), np.zeros(0, np.uint8)
    town = _welded(np.array(quads))
    # (right near, right far, left far, left near) in the town frame turns the other way round in CARLA's.
    carla = town * np.array([1.0, -1.0, 1.0])
    return carla.astype(np.float32), np.array(areas, np.uint8)


def _sidewalk_quads(road: Road, section: LaneSection, crossings: list[Crossing]) -> list[Array]:
    cuts = [section.start_s, section.end_s]
    for crossing in crossings:
        cuts += [s for s in (crossing.from_s, crossing.to_s) if section.start_s + 0.3 < s < section.end_s - 0.3]
    knots = np.unique(np.array(cuts))
    counts = np.maximum(1, np.round(np.diff(knots) / _QUAD_M).astype(int))
    pieces = [np.linspace(a, b, n, endpoint=False) for a, b, n in zip(knots[:-1], knots[1:], counts, strict=True)]
    s = np.concatenate([*pieces, knots[-1:]])
    bounds = road.boundaries(section, s)
    result: list[Array] = []
    for lane in section.lanes.values():
        if lane.type not in ("sidewalk", "walking"):
            continue
        side = 1 if lane.id > 0 else -1
        low, high = sorted_edges(bounds[lane.id - side], bounds[lane.id], side)
        right, left = road.points(s, low, SIDEWALK_M), road.points(s, high, SIDEWALK_M)
        corners = np.stack([right[:-1], right[1:], left[1:], left[:-1]], axis=1)
        area = np.linalg.norm(corners[:, 1] - corners[:, 0], axis=1) * np.linalg.norm(
            corners[:, 3] - corners[:, 0], axis=1
        )
        result.extend(corners[area > _LEAST_AREA_M2])
    return result


def sorted_edges(inner: Array, outer: Array, side: int) -> tuple[Array, Array]:
    """The right and the left of a lane's two edges."""
    return (inner, outer) if side > 0 else (outer, inner)


def _crossing_quads(crossing: Crossing) -> list[Array]:
    """From kerb to kerb in four: down a short ramp, to the middle, on, and up."""
    low, high = roadway(crossing)
    middle = (low + high) / 2
    ramp = min(_RAMP_M, (high - low) / 4)
    ts = np.array([low, low + ramp, middle, high - ramp, high])
    lifts = np.array([SIDEWALK_M, 0.0, 0.0, 0.0, SIDEWALK_M])
    near = crossing.road.points(np.full(5, crossing.from_s), ts) + lifts[:, None] * [0, 0, 1]
    far = crossing.road.points(np.full(5, crossing.to_s), ts) + lifts[:, None] * [0, 0, 1]
    return [np.stack([near[k], far[k], far[k + 1], near[k + 1]]) for k in range(4)]


def _mostly_off_road(quad: Array, pavement: Pavement) -> bool:
    return not pavement.is_on_road(quad.mean(axis=0)[:2])


def _welded(quads: Array) -> Array:
    """The same quads with corners that nearly meet moved onto one another."""
    corners = quads.reshape(-1, 3)
    points = shapely.points(corners[:, :2])
    a, b = shapely.STRtree(points).query(points, predicate="dwithin", distance=_SAME_PLACE_M)
    level = np.abs(corners[a, 2] - corners[b, 2]) < 0.05
    first = np.arange(len(corners))
    np.minimum.at(first, a[level], b[level])
    return np.round(corners[first], 3).reshape(-1, 4, 3)
