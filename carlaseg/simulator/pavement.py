"""Where the paved ground is: every lane as a strip, their union, and the edges along which a town is built.

Everything that is placed asks `Pavement` first, so nothing ends up on a road or a sidewalk.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry
from shapely.geometry.polygon import orient

from carlaseg.errors import SimulatorError
from carlaseg.simulator.opendrive import LaneSection, Road, RoadNetwork
from carlaseg.simulator.polygon_mesh import polygons_of

Array = NDArray[np.float64]
Surface = Literal["road", "sidewalk", "median"]

CHORD_ERROR_M = 0.02
# Of all lanes together, some 60 bytes each; CARLA's towns have a hundredth.
MAX_STATIONS = 4_000_000
# How far a sidewalk lies above the road beside it.
SIDEWALK_M = 0.15
STEP_M = 8.0
_ROAD_TYPES = frozenset(
    [
        "driving",
        "bidirectional",
        "shoulder",
        "parking",
        "border",
        "stop",
        "biking",
        "entry",
        "exit",
        "onRamp",
        "offRamp",
        "connectingRamp",
        "restricted",
        "special1",
        "special2",
        "special3",
        "bus",
        "taxi",
        "HOV",
        "slipLane",
    ]
)
_SIDEWALK_TYPES = frozenset(["sidewalk", "curb", "walking"])
_THINNEST_LANE_M = 0.02
# Around junctions without sidewalks of their own, and how wide a gap between sidewalks there is closed, halved.
_CORNER_M, _GAP_M, _NEAR_M = 2.2, 4.2, 6.0
# Slits between what is paved side by side, halved: grass in them would stand before the kerb.
_SLIT_M = 0.05
_HIGHWAY_LANES = 4
_EDGE_STEP_M, _EDGE_ERROR_M = 2.0, 0.02


@dataclass(frozen=True)
class LaneStrip:
    """One lane of one section, between two polylines of equal length in the town frame."""

    road: int
    lane: int
    junction: int
    type: str
    surface: Surface
    section_s: float
    s: Array
    right: Array
    left: Array

    @property
    def inner(self) -> Array:
        """The boundary nearer the reference line, (n, 3)."""
        return self.left if self.lane < 0 else self.right

    @property
    def outer(self) -> Array:
        """The boundary farther from the reference line, (n, 3)."""
        return self.right if self.lane < 0 else self.left

    @cached_property
    def polygon(self) -> Polygon:
        """The lane seen from above."""
        ring = shapely.linearrings(np.concatenate([self.right[:, :2], self.left[::-1, :2]]))
        return shapely.make_valid(shapely.polygons(ring))


class EdgeSamples(NamedTuple):
    """Places along an edge, the pavement to their left.

    Attributes:
        places: float64 (n, 2).
        height: float64 (n,), of the pavement there, a sidewalk's above its road's.
        beside_sidewalk: bool (n,), whether a sidewalk ends there.
        following: integer (n,), index of the next place along the edge.
    """

    places: Array
    height: Array
    beside_sidewalk: NDArray[np.bool_]
    following: NDArray[np.intp]


@dataclass(frozen=True)
class Frontage:
    """An outer edge of a road, outside junctions, along which a town is built.

    Attributes:
        road: id.
        side: 1 left, -1 right of the reference line.
        points: float64 (n, 3), the edge of the pavement.
        outward: float64 (n, 2), unit vectors away from the road.
        distance: float64 (n,), metres along it.
        has_sidewalk: whether the outermost lane is a sidewalk.
        sidewalk_width: metres, 0 without one.
        lanes: driving lanes of the road, a measure of how large it is.
        kind: what the map calls the road: "town", "motorway", "rural" and so on.
    """

    road: int
    side: int
    points: Array
    outward: Array
    distance: Array
    has_sidewalk: bool
    sidewalk_width: float
    lanes: int
    kind: str

    @property
    def length(self) -> float:
        """Metres."""
        return float(self.distance[-1])

    @property
    def is_highway(self) -> bool:
        """Whether it is a road for cars alone: called so by the map, or wide and without a sidewalk."""
        return not self.has_sidewalk and (self.kind == "motorway" or self.lanes >= _HIGHWAY_LANES)

    def at(self, u: float) -> tuple[Array, Array]:
        """The point (3,) and the outward unit vector (2,) at `u` metres along the edge."""
        point = np.array([np.interp(u, self.distance, self.points[:, k]) for k in range(3)])
        out = np.array([np.interp(u, self.distance, self.outward[:, k]) for k in range(2)])
        return point, out / np.linalg.norm(out)


class Pavement:
    """All lanes of a map as strips and polygons.

    Args:
        network: the map.

    Raises:
        SimulatorError: it has more lanes than any town.
    """

    def __init__(self, network: RoadNetwork) -> None:
        self.network = network
        self._stations = 0
        self.strips: list[LaneStrip] = []
        self.frontages: list[Frontage] = []
        for road in network.roads.values():
            self._lay(road)
        self._tree = shapely.STRtree([strip.polygon for strip in self.strips])

    @cached_property
    def _obstacles(self) -> shapely.STRtree:
        """Everything paved: the lanes, and what junctions have between and around theirs."""
        filled = [
            p
            for j in (self.junction_roads, self.junction_sidewalks)
            for shape in j.values()
            for p in polygons_of(shape)
        ]
        return shapely.STRtree([*(strip.polygon for strip in self.strips), *filled])

    def _lay(self, road: Road) -> None:
        """Add a road's lanes, and its edges as frontages."""
        edges: dict[int, list[tuple[LaneStrip, Array]]] = {1: [], -1: []}
        for section in road.sections:
            if section.end_s - section.start_s < 0.05:
                continue
            s = road.stations(section, CHORD_ERROR_M, STEP_M)
            self._stations += len(s) * len(section.lanes)
            if self._stations > MAX_STATIONS:
                raise SimulatorError(
                    f"OpenDRIVE, road {road.id}: expected a map of at most {MAX_STATIONS} places along its lanes, "
                    "received more. No town was built."
                )
            heading = road.plan.at(s)[2]
            for side, outward in edges.items():
                strips = _strips(road, section, s, 1 if side > 0 else -1)
                self.strips.extend(strips)
                if strips:
                    outward.append((strips[-1], side * np.stack([-np.sin(heading), np.cos(heading)], axis=-1)))
        if road.junction != -1:
            return
        driving = sum(lane.type == "driving" for lane in road.sections[0].lanes.values())
        for side, outermost in edges.items():
            frontages = (_frontage(road, side, lane, outward, driving) for lane, outward in outermost)
            self.frontages.extend(one for one in frontages if one is not None)

    @cached_property
    def roads(self) -> BaseGeometry:
        """Everything that is not sidewalk, joined."""
        return shapely.union_all([s.polygon for s in self.strips if s.surface != "sidewalk"], grid_size=1e-4)

    @cached_property
    def junction_roads(self) -> dict[int, BaseGeometry]:
        """Junction id to its road surface: the union of its lanes, with the gaps between them closed."""
        result: dict[int, BaseGeometry] = {}
        for junction, strips in self._in_junctions("road", "median").items():
            joined = shapely.union_all([strip.polygon for strip in strips], grid_size=1e-4)
            result[junction] = _closed(joined, self._around(joined, junction, sidewalks=True))
        return result

    @cached_property
    def junction_sidewalks(self) -> dict[int, BaseGeometry]:
        """Junction id to its sidewalks: its own lanes where not under a road, and corners where it has none."""
        result: dict[int, BaseGeometry] = {}
        lanes = self._in_junctions("sidewalk")
        for junction, roads in self.junction_roads.items():
            around = self._around(roads, junction, sidewalks=True)
            own = shapely.union_all([strip.polygon for strip in lanes.get(junction, [])], grid_size=1e-4)
            own = own.difference(roads).difference(around)
            if self._has_sidewalks_near(roads):
                margin = roads.buffer(_CORNER_M, quad_segs=4).difference(shapely.union_all([roads, around, own]))
                paved = shapely.union_all([roads, around, own], grid_size=1e-4)
                gaps = paved.buffer(_GAP_M, quad_segs=4).buffer(-_GAP_M, quad_segs=4).difference(paved)
                margin = shapely.union_all([margin, gaps.intersection(roads.buffer(_NEAR_M, quad_segs=4))])
                # Only what is wide enough to stand on; the rest are slits between sidewalks that meet.
                margin = margin.buffer(-0.25, join_style="mitre").buffer(0.25, join_style="mitre")
                own = shapely.union_all([own, margin.difference(shapely.union_all([roads, around]))], grid_size=1e-4)
            if not own.is_empty:
                result[junction] = own
        return result

    def _has_sidewalks_near(self, shape: BaseGeometry) -> bool:
        near = self._tree.query(shape, predicate="dwithin", distance=2.0)
        return any(self.strips[k].surface == "sidewalk" for k in near)

    @cached_property
    def sidewalks(self) -> BaseGeometry:
        """All sidewalks joined, without what lies under roads."""
        outside = [s.polygon for s in self.strips if s.surface == "sidewalk" and s.junction == -1]
        joined = shapely.union_all([*outside, *self.junction_sidewalks.values()], grid_size=1e-4)
        return joined.difference(self.roads)

    @cached_property
    def all(self) -> BaseGeometry:
        """Every paved place, joined, junction gaps and slits closed."""
        everything = [self.roads, self.sidewalks, *self.junction_roads.values(), *self.junction_sidewalks.values()]
        joined = shapely.union_all(everything, grid_size=1e-4)
        closed = joined.buffer(_SLIT_M, join_style="mitre").buffer(-_SLIT_M, join_style="mitre")
        # The places themselves once more: buffering moves their edges by some millimetres.
        return shapely.union_all([closed, joined], grid_size=1e-4)

    def is_free(self, shape: BaseGeometry, clearance: float = 0.0) -> bool:
        """Whether a shape stays `clearance` metres from every road and sidewalk."""
        if clearance > 0.0:
            return len(self._obstacles.query(shape, predicate="dwithin", distance=clearance)) == 0
        return len(self._obstacles.query(shape, predicate="intersects")) == 0

    @cached_property
    def edge_samples(self) -> EdgeSamples:
        """Places along the outer edge of everything paved."""
        oriented = [orient(polygon) for polygon in polygons_of(self.all)]
        rings = [
            shapely.get_coordinates(shapely.segmentize(ring, _EDGE_STEP_M))[:-1]
            for polygon in oriented
            for ring in (polygon.exterior, *polygon.interiors)
        ]
        ends = np.cumsum([len(ring) for ring in rings])
        following = np.arange(1, ends[-1] + 1)
        following[ends - 1] = np.concatenate([[0], ends[:-1]])
        places = np.concatenate(rings)
        sidewalks = shapely.STRtree(list(polygons_of(self.sidewalks)))
        beside = np.zeros(len(places), np.bool_)
        beside[sidewalks.query(shapely.points(places), predicate="dwithin", distance=_EDGE_ERROR_M)[0]] = True
        lines = np.array([shapely.linestrings(line) for strip in self.strips for line in (strip.left, strip.right)])
        points = shapely.points(places)
        nearest = lines[shapely.STRtree(lines).nearest(points)]
        surface = shapely.get_z(shapely.line_interpolate_point(nearest, shapely.line_locate_point(nearest, points)))
        return EdgeSamples(places, surface + np.where(beside, SIDEWALK_M, 0.0), beside, following)

    def is_on_road(self, point: Array) -> bool:
        """Whether a place (2,) lies on a lane that is no sidewalk."""
        hits = self._tree.query(shapely.Point(point), predicate="intersects")
        return any(self.strips[k].surface != "sidewalk" for k in hits)

    def near(self, shape: BaseGeometry) -> list[LaneStrip]:
        """The lanes that a shape touches, seen from above."""
        return [self.strips[k] for k in sorted(self._tree.query(shape, predicate="intersects"))]

    def samples(self) -> Array:
        """Points (n, 3) on both edges and the middle of every lane, at most about 4 m apart along it."""
        pieces = []
        for strip in self.strips:
            for line in (strip.left, strip.right, (strip.left + strip.right) / 2):
                pieces.extend([line, (line[1:] + line[:-1]) / 2])
        return np.concatenate(pieces)

    def _in_junctions(self, *surfaces: Surface) -> dict[int, list[LaneStrip]]:
        grouped: dict[int, list[LaneStrip]] = {}
        for strip in self.strips:
            if strip.junction != -1 and strip.surface in surfaces:
                grouped.setdefault(strip.junction, []).append(strip)
        return grouped

    def _around(self, shape: BaseGeometry, junction: int, *, sidewalks: bool) -> BaseGeometry:
        """The union of nearby lanes that do not belong to the junction."""
        near = [self.strips[k] for k in sorted(self._tree.query(shape.envelope.buffer(6.0)))]
        others = [s.polygon for s in near if s.junction != junction and (sidewalks or s.surface != "sidewalk")]
        return shapely.union_all(others, grid_size=1e-4) if others else Polygon()


def _strips(road: Road, section: LaneSection, s: Array, side: Literal[-1, 1]) -> list[LaneStrip]:
    """The paved lanes of one side of a section, from the middle of the road outward."""
    bounds = road.boundaries(section, s)
    strips = []
    for lane in section.outward(side):
        inner, outer = bounds[lane.id - side], bounds[lane.id]
        surface = _surface(lane.type)
        if surface is None or np.max(np.abs(outer - inner)) < _THINNEST_LANE_M:
            continue
        right, left = (road.points(s, edge) for edge in ((inner, outer) if side > 0 else (outer, inner)))
        strips.append(LaneStrip(road.id, lane.id, road.junction, lane.type, surface, section.start_s, s, right, left))
    return strips


def _frontage(road: Road, side: int, lane: LaneStrip, outward: Array, driving: int) -> Frontage | None:
    """The outer edge of a road's outermost lane, None where it is too short to build along."""
    points = lane.outer
    distance = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points[:, :2], axis=0), axis=1))])
    if distance[-1] <= 3.0 or not np.all(np.diff(distance) > 0):
        return None
    walk = lane.surface == "sidewalk"
    width = float(np.median(np.linalg.norm(lane.left - lane.right, axis=1))) if walk else 0.0
    return Frontage(road.id, side, points, outward, distance, walk, width, driving, road.kind)


def _surface(lane_type: str) -> Surface | None:
    if lane_type in _ROAD_TYPES:
        return "road"
    if lane_type in _SIDEWALK_TYPES:
        return "sidewalk"
    return "median" if lane_type == "median" else None


def _closed(joined: BaseGeometry, neighbours: BaseGeometry) -> BaseGeometry:
    """A junction's lanes with slits and small islands between them filled, without growing over its neighbours."""
    grown = joined.buffer(1.5, quad_segs=4).buffer(-1.5, quad_segs=4)
    filled = [
        Polygon(p.exterior, [hole for hole in p.interiors if Polygon(hole).area > 60.0]) for p in polygons_of(grown)
    ]
    # The lanes themselves once more: buffering moves their edges by some millimetres.
    return shapely.union_all([*(f.difference(neighbours) for f in filled), joined], grid_size=1e-4)
