"""Where vehicles may appear: on driving lanes, along the traffic, away from junctions and from each other."""

from __future__ import annotations

import numpy as np
import shapely

from carlaseg.simulator.opendrive import RoadNetwork
from carlaseg.simulator.scene import Pose

_APART_M = 12.5
_STEP_M = 13.0
_FROM_JUNCTION_M = 6.0
_ABOVE_ROAD_M = 0.5


def build_spawn_points(network: RoadNetwork) -> tuple[Pose, ...]:
    """Poses in CARLA's frame, half a metre above the road, at least 12 m apart, in the order of roads and lanes."""
    places: list[tuple[float, float, float, float, float]] = []
    for road in network.roads.values():
        if road.junction != -1:
            continue
        for section in road.sections:
            for lane in section.lanes.values():
                if lane.type != "driving":
                    continue
                first = max(section.start_s, _FROM_JUNCTION_M) + (abs(lane.id) % 2) * _STEP_M / 4
                # The other direction is shifted by half a step, so that neighbours keep their distance.
                first += _STEP_M / 2 if lane.id > 0 else 0.0
                s = np.arange(first, min(section.end_s, road.length - _FROM_JUNCTION_M), _STEP_M)
                if len(s) == 0:
                    continue
                side = 1 if lane.id > 0 else -1
                bounds = road.boundaries(section, s)
                wide = np.abs(bounds[lane.id] - bounds[lane.id - side]) > 2.0
                points = road.points(s, (bounds[lane.id] + bounds[lane.id - side]) / 2)
                heading = road.plan.at(s)[2] + (np.pi if lane.id > 0 else 0.0)
                slope = (road.elevation.at(s + 0.5) - road.elevation.at(s - 0.5)) * (-1.0 if lane.id > 0 else 1.0)
                places.extend((*p, h, g) for p, h, g in zip(points[wide], heading[wide], slope[wide], strict=True))
    kept = _spread(np.array(places).reshape(-1, 5))
    return tuple(
        Pose(
            float(x),
            float(-y),
            float(z) + _ABOVE_ROAD_M,
            pitch=float(np.degrees(np.arctan(g))),
            yaw=float((-np.degrees(h) + 180.0) % 360.0 - 180.0),
        )
        for x, y, z, h, g in kept
    )


def _spread(
    places: np.ndarray[tuple[int, int], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Those of the places (n, 5) that keep their distance from all kept before them."""
    if len(places) == 0:
        return places
    points = shapely.points(places[:, :2])
    a, b = shapely.STRtree(points).query(points, predicate="dwithin", distance=_APART_M)
    near: dict[int, list[int]] = {}
    for i, j in zip(a.tolist(), b.tolist(), strict=True):
        near.setdefault(i, []).append(j)
    dropped = np.zeros(len(places), dtype=bool)
    kept = np.zeros(len(places), dtype=bool)
    for i in range(len(places)):
        if not dropped[i]:
            kept[i] = True
            dropped[near[i]] = True
    return places[kept]
