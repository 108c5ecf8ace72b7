"""The generated town with a highway: a loop, an interchange with ramps and a bridge, two blocks of houses beside it.

Each carriageway is a road of its own with two lanes; where ramps leave or join, a junction lies across it. No road
begins and ends at one junction: the client's `carla.Map` does not find the way into such a road.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from carlaseg.simulator.opendrive.writing import elevation_lines, end_of, lane_line, number_text, plan_lines
from carlaseg.simulator.town_plan import (
    EAST,
    GUTTER_M,
    HIGHWAY,
    NORTH,
    SOUTH,
    WEST,
    Layout,
    Node,
    Shape,
    Street,
    swing,
)

_SHAPE = Shape(0, 0, (0.0, 0.0), 0.0, (0.0, 0.0), 0.0, lane_widths=(3.5,), parking=0.6)
_LANE_M, _INNER_SHOULDER_M, _SHOULDER_M = 3.5, 1.0, 2.5
_FORK_M, _RAMP_LANE_M = 60.0, 3.75
# Past the fork a ramp's lane begins right beside the shoulder.
_RAMP_ASIDE_M = 2 * _LANE_M + _SHOULDER_M - _LANE_M
_BRIDGE_M, _STREET_M = 6.2, 2.8
_SPEED_KMH, _RAMP_SPEED_KMH = 90, 50
_NO_MARK = [(0.0, "none", "white")]


@dataclass(frozen=True)
class Carriageway:
    """One direction of the highway, seen along its travel past the interchange.

    Attributes:
        y: of its reference line, the left edge of its left lane.
        travel: +1 when it passes the interchange eastward, -1 westward.
        radius: of the bends at both ends of the loop.
        terminal: the node that its ramps lead to.
    """

    y: float
    travel: int
    radius: float
    terminal: tuple[int, int]

    @property
    def heading(self) -> float:
        """Radians, past the interchange."""
        return 0.0 if self.travel > 0 else math.pi


class HighwayPlan(Layout):
    """The highway's measures, and the streets and ramps around it.

    Args:
        seed: of all measures.

    Attributes:
        straight: half the length of the loop's straights, metres.
        fork: from the interchange's middle to where ramps leave and join, metres.
        carriageways: both; the first is the outer one and passes the interchange eastward.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(HIGHWAY, seed, _SHAPE)
        rng = self.rng
        radius, self._median = float(rng.uniform(165.0, 180.0)), float(rng.uniform(5.0, 8.0))
        self.fork = float(rng.uniform(215.0, 240.0))
        self.straight = self.fork + 20.0
        self._away = float(rng.uniform(78.0, 86.0))
        half = self._median / 2
        self.carriageways = (
            Carriageway(-radius - half, 1, radius + half, (0, 2)),
            Carriageway(-radius + half, -1, radius - half, (0, 3)),
        )
        stems, blocks = rng.uniform(68.0, 80.0, 2), rng.uniform(80.0, 100.0, 2)
        south, north = -radius - self._away, -radius + self._away
        out, inside = south - 2 * self.half - float(stems[0]), north + 2 * self.half + float(stems[1])
        rows = (out - float(blocks[0]), out, south, north, inside, inside + float(blocks[1]))
        for row, y in enumerate(rows):
            self.nodes[0, row] = Node(0.0, y, _STREET_M if row in (2, 3) else 0.0)
            self.nodes[0, row].control = "yield" if row in (0, 5) else "lights"
        for row in range(5):
            self._lay_north(row)
        self.streets[2].crest = _BRIDGE_M
        for direction in (EAST, WEST):
            self._lay_around(1, 0, direction)
            self._lay_around(4, 5, direction)
        for carriageway in self.carriageways:
            self._lay_ramps(carriageway)
        self.cross_at_lights()

    def _lay_north(self, row: int) -> None:
        """A straight street from one node to the next."""
        start, end = self.nodes[0, row], self.nodes[0, row + 1]
        street = self.new_street(0.0, start.y + self.half, math.pi / 2, (start.z, end.z))
        street.parking = False
        street.pieces = [(end.y - start.y - 2 * self.half, 0.0)]
        self.join(street, "start", (0, row), NORTH)
        self.join(street, "end", (0, row + 1), SOUTH)

    def _lay_around(self, near: int, far: int, direction: int) -> None:
        """A street that leaves one node eastward or westward and reaches another, north or south of it, in a U."""
        start, end = self.nodes[0, near], self.nodes[0, far]
        sign = 1.0 if direction == EAST else -1.0
        street = self.new_street(sign * self.half, start.y, 0.0 if sign > 0 else math.pi, (start.z, end.z))
        reach, radius = float(self.rng.uniform(45.0, 65.0)), float(self.rng.uniform(24.0, 30.0))
        turn = sign * math.copysign(1.0, end.y - start.y)
        quarter = (radius * math.pi / 2, turn / radius)
        street.pieces = [
            (reach, 0.0), quarter, (abs(end.y - start.y) - 2 * radius, 0.0), quarter, (reach, 0.0)
        ]  # fmt: skip
        self.join(street, "start", (0, near), direction)
        self.join(street, "end", (0, far), direction)

    def _lay_ramps(self, carriageway: Carriageway) -> None:
        """An S from the fork down to the street, and one back up."""
        way, node = carriageway.travel, self.nodes[carriageway.terminal]
        along = self.fork - _FORK_M - self.half
        aside = abs(node.y - carriageway.y) - 2 * _LANE_M - _SHOULDER_M
        off = self.new_street(-way * (self.fork - _FORK_M), node.y + way * aside, carriageway.heading, (0.0, node.z))
        off.ramp, off.pieces = "off", swing(along, -aside)
        self.join(off, "end", carriageway.terminal, WEST if way > 0 else EAST)
        on = self.new_street(way * self.half, node.y, carriageway.heading, (node.z, 0.0))
        on.ramp, on.pieces = "on", swing(along, aside)
        self.join(on, "start", carriageway.terminal, EAST if way > 0 else WEST)
        for ramp in (off, on):
            ramp.lane_width, ramp.crossings = _RAMP_LANE_M, {"start": False, "end": False}


def fork_id(street: Street) -> int:
    """The junction where a ramp meets the highway."""
    return 2000 + street.id


def ramp_lines(street: Street, node_index: int, signals: list[str]) -> list[str]:
    """A `<road>` of one lane and a shoulder on either side."""
    highway = f'elementType="junction" elementId="{fork_id(street)}"'
    terminal = f'elementType="junction" elementId="{1000 + node_index}"'
    before, after = (highway, terminal) if street.ramp == "off" else (terminal, highway)
    return [
        f'<road name="ramp{street.id}" length="{number_text(street.length)}" id="{street.id}" junction="-1">',
        f"<link><predecessor {before}/><successor {after}/></link>",
        f'<type s="0" type="motorway"><speed max="{_RAMP_SPEED_KMH}" unit="km/h"/></type>',
        *plan_lines(street.x, street.y, street.heading, street.pieces),
        *elevation_lines(street.levels),
        '<lanes><laneSection s="0">',
        "<left>",
        lane_line(1, "shoulder", [(0.0, GUTTER_M, 0.0, 0.0)], _NO_MARK),
        "</left>",
        "<center>",
        lane_line(0, "none", [], [(0.0, "solid", "white")]),
        "</center>",
        "<right>",
        lane_line(-1, "driving", [(0.0, street.lane_width, 0.0, 0.0)], [(0.0, "solid", "white")]),
        lane_line(-2, "shoulder", [(0.0, GUTTER_M, 0.0, 0.0)], _NO_MARK),
        "</right>",
        "</laneSection></lanes>",
        "<objects></objects>",
        *signals,
        "</road>",
    ]


def carriageway_lines(plan: HighwayPlan, next_road: int) -> tuple[list[str], list[str]]:
    """The highway's roads and its junctions, numbered from `next_road` on."""
    roads: list[str] = []
    junctions: list[str] = []
    for carriageway in plan.carriageways:
        off, on = (
            next(s for s in plan.streets if s.ramp == kind and s.ends[end][0] == carriageway.terminal[1])
            for kind, end in (("off", "end"), ("on", "start"))
        )
        loop, passing = next_road, next_road + 1
        ways = {"off": (next_road + 2, next_road + 3), "on": (next_road + 4, next_road + 5)}
        next_road += 6
        way, y, heading = carriageway.travel, carriageway.y, carriageway.heading
        start = (-way * plan.fork, y, heading)
        apart = 2 * (plan.fork - _FORK_M)
        bend = (carriageway.radius * math.pi, way / carriageway.radius)
        near = plan.straight - plan.fork
        round_trip = [(near, 0.0), bend, (2 * plan.straight, 0.0), bend, (near, 0.0)]
        roads += _main_road(loop, (way * plan.fork, y, heading), round_trip, fork_id(on), fork_id(off))
        roads += _main_road(passing, end_of(*start, [(_FORK_M, 0.0)]), [(apart, 0.0)], fork_id(off), fork_id(on))
        roads += _through(ways["off"][0], fork_id(off), start, loop, passing)
        roads += _through(ways["on"][0], fork_id(on), (way * (plan.fork - _FORK_M), y, heading), passing, loop)
        roads += _ramp_way(ways["off"][1], off, (-way * plan.fork, y - way * _LANE_M, heading), loop)
        roads += _ramp_way(ways["on"][1], on, end_of(on.x, on.y, on.heading, on.pieces), loop)
        for ramp, incoming, second in ((off, loop, loop), (on, passing, on.id)):
            straight, swung = ways[ramp.ramp or "on"]
            links = [(-1, -1), (-2, -2)], [(-2 if ramp is off else -1, -1)]
            junctions.append(f'<junction id="{fork_id(ramp)}" name="fork{ramp.id}">')
            for k, (source, way_id, pairs) in enumerate(((incoming, straight, links[0]), (second, swung, links[1]))):
                junctions.append(
                    f'<connection id="{k}" incomingRoad="{source}" connectingRoad="{way_id}" contactPoint="start">'
                )
                junctions += [f'<laneLink from="{a}" to="{b}"/>' for a, b in pairs]
                junctions.append("</connection>")
            junctions.append("</junction>")
    return roads, junctions


Place = tuple[float, float, float]
"""x, y, heading."""


def _road(number: int, junction: int, place: Place, pieces: list[tuple[float, float]], link: str) -> list[str]:
    length = sum(piece[0] for piece in pieces)
    return [
        f'<road name="highway{number}" length="{number_text(length)}" id="{number}" junction="{junction}">',
        f"<link>{link}</link>",
        f'<type s="0" type="motorway"><speed max="{_SPEED_KMH}" unit="km/h"/></type>',
        *plan_lines(*place, pieces),
        *elevation_lines([(0.0, 0.0)]),
        '<lanes><laneSection s="0">',
    ]


def _lanes(*, linked: bool, painted: bool) -> list[str]:
    """Two lanes and two shoulders; those of a way through a junction are linked to the same lanes at both ends."""

    def line(number: int, kind: str, width: float, mark: str) -> str:
        link = (number, number) if linked else (None, None)
        marks = [(0.0, mark if painted else "none", "white")]
        change = "both" if mark == "broken" and painted else "none"
        widths = [(0.0, width, 0.0, 0.0)] if width else []
        return lane_line(number, kind, widths, marks, link if width else (None, None), change)

    return [
        "<left>",
        line(1, "shoulder", _INNER_SHOULDER_M, "none"),
        "</left>",
        "<center>",
        line(0, "none", 0.0, "solid"),
        "</center>",
        "<right>",
        line(-1, "driving", _LANE_M, "broken"),
        line(-2, "driving", _LANE_M, "solid"),
        line(-3, "shoulder", _SHOULDER_M, "none"),
        "</right>",
        "</laneSection></lanes>",
        "<objects></objects>",
        "<signals></signals>",
        "</road>",
    ]


def _main_road(number: int, place: Place, pieces: list[tuple[float, float]], before: int, after: int) -> list[str]:
    link = (
        f'<predecessor elementType="junction" elementId="{before}"/>'
        f'<successor elementType="junction" elementId="{after}"/>'
    )
    return [*_road(number, -1, place, pieces, link), *_lanes(linked=False, painted=True)]


def _through(number: int, junction: int, place: Place, before: int, after: int) -> list[str]:
    link = (
        f'<predecessor elementType="road" elementId="{before}" contactPoint="end"/>'
        f'<successor elementType="road" elementId="{after}" contactPoint="start"/>'
    )
    return [*_road(number, junction, place, [(_FORK_M, 0.0)], link), *_lanes(linked=True, painted=False)]


def _ramp_way(number: int, ramp: Street, place: Place, highway: int) -> list[str]:
    """The way between the highway's right lane and a ramp's."""
    leaves = ramp.ramp == "off"
    aside = _RAMP_ASIDE_M
    ends = (highway, ramp.id) if leaves else (ramp.id, highway)
    lanes = (-2, -1) if leaves else (-1, -2)
    link = (
        f'<predecessor elementType="road" elementId="{ends[0]}" contactPoint="end"/>'
        f'<successor elementType="road" elementId="{ends[1]}" contactPoint="start"/>'
    )
    wide = (_LANE_M, _RAMP_LANE_M) if leaves else (_RAMP_LANE_M, _LANE_M)
    pieces = swing(_FORK_M, -aside if leaves else aside)
    length = sum(piece[0] for piece in pieces)
    width = [(0.0, wide[0], (wide[1] - wide[0]) / length, 0.0)]
    return [
        *_road(number, fork_id(ramp), place, pieces, link),
        "<center>",
        lane_line(0, "none", [], _NO_MARK),
        "</center>",
        "<right>",
        lane_line(-1, "driving", width, _NO_MARK, lanes),
        "</right>",
        "</laneSection></lanes>",
        "<objects></objects>",
        "<signals></signals>",
        "</road>",
    ]
