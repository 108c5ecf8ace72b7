"""Generated towns as OpenDRIVE text: streets, crossings with every turn, signals and signs, drawn from a seed.

The text is the only thing a generated town hands on: what follows is built from it as from anybody's file. Streets lie on
a grid whose nodes are shifted, so that streets swing; the grid's four corners are plain bends, its sides T-junctions. All
arms of a junction point along the axes, so that every way through it is a line or a quarter circle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

GENERATED_TOWNS = ("carlaseg_grid", "carlaseg_ring")

# Lane 2 is a narrow gutter at junctions, so that every junction has one size, and widens to a parking lane between.
_GUTTER_M = 0.5
_PARKING_M = 2.2
_PARKING_TAPER_M = 5.0
_STRAIGHT_END_M = 14.0
# Along a street, from the junction's edge: crossing, then stop line. Pedestrians cross in front of waiting cars.
_CROSSWALK_FROM_M, _CROSSWALK_TO_M = 1.2, 4.2
_STOP_LINE_M = 5.4

EAST, NORTH, WEST, SOUTH = range(4)
_DIRECTIONS = np.array([(1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0)])


@dataclass(frozen=True)
class _Shape:
    """What differs between the kinds of generated town."""

    columns: int
    rows: int
    spacing: tuple[float, float]
    shift: float
    corner_radius: tuple[float, float]
    hill: float
    """Highest junction above the lowest, metres."""


_SHAPES = {
    "carlaseg_grid": _Shape(4, 4, (74.0, 104.0), 5.0, (20.0, 32.0), 0.0),
    "carlaseg_ring": _Shape(3, 3, (115.0, 145.0), 3.0, (62.0, 78.0), 4.0),
}


@dataclass
class _Arm:
    """Where a street meets a node: which street, by which of its ends."""

    street: int
    contact: Literal["start", "end"]


@dataclass
class _Node:
    x: float
    y: float
    z: float
    arms: dict[int, _Arm] = field(default_factory=dict)
    control: Literal["lights", "stop", "yield", "none"] = "none"


@dataclass
class _Street:
    """A street between two nodes; `pieces` are (length, curvature)."""

    id: int
    x: float
    y: float
    heading: float
    z: tuple[float, float]
    pieces: list[tuple[float, float]]
    lane_width: float
    parking: bool
    centre: str
    ends: dict[str, tuple[int, int]] = field(default_factory=dict)
    """contact -> (node index, direction of the arm)."""
    crossings: dict[str, bool] = field(default_factory=dict)

    @property
    def length(self) -> float:
        return sum(piece[0] for piece in self.pieces)


def generate_opendrive(name: str, seed: int) -> str:
    """OpenDRIVE 1.4 text of a generated town; the same name and seed give the same text.

    Args:
        name: one of `GENERATED_TOWNS`.
        seed: draws spacing, swings, widths, markings, parking, controls.
    """
    shape = _SHAPES[name]
    rng = np.random.default_rng([seed, GENERATED_TOWNS.index(name), 1])
    return _Plan(name, seed, shape, rng).text()


class _Plan:
    def __init__(self, name: str, seed: int, shape: _Shape, rng: np.random.Generator) -> None:
        self.name, self.seed, self.shape, self.rng = name, seed, shape, rng
        self.half = float(rng.uniform(11.5, 14.0))
        self.sidewalk = float(rng.choice([2.4, 2.8, 3.2]))
        self.speed_kmh = int(rng.choice([30, 40, 50]))
        self.nodes: dict[tuple[int, int], _Node] = {}
        self.streets: list[_Street] = []
        self._lay_nodes()
        self._lay_streets()
        self._choose_controls()

    # --- layout ---

    def _lay_nodes(self) -> None:
        shape, rng = self.shape, self.rng
        gaps_x = rng.uniform(*shape.spacing, shape.columns - 1)
        gaps_y = rng.uniform(*shape.spacing, shape.rows - 1)
        xs = np.concatenate([[0.0], np.cumsum(gaps_x)])
        ys = np.concatenate([[0.0], np.cumsum(gaps_y)])
        xs -= xs[-1] / 2
        ys -= ys[-1] / 2
        for i in range(shape.columns):
            for j in range(shape.rows):
                dx, dy = rng.uniform(-shape.shift, shape.shift, 2)
                z = float(rng.uniform(0.0, shape.hill)) if shape.hill else 0.0
                self.nodes[i, j] = _Node(float(xs[i] + dx), float(ys[j] + dy), z)

    def _is_corner(self, i: int, j: int) -> bool:
        return i in (0, self.shape.columns - 1) and j in (0, self.shape.rows - 1)

    def _lay_streets(self) -> None:
        shape, rng = self.shape, self.rng
        edges = [((i, j), (i + 1, j)) for i in range(shape.columns - 1) for j in range(shape.rows)]
        edges += [((i, j), (i, j + 1)) for i in range(shape.columns) for j in range(shape.rows - 1)]
        inner = [e for e in edges if all(0 < n[0] < shape.columns - 1 and 0 < n[1] < shape.rows - 1 for n in e)]
        if inner and rng.random() < 0.75:
            edges.remove(inner[int(rng.integers(len(inner)))])
        for a, b in edges:
            if not (self._is_corner(*a) or self._is_corner(*b)):
                self._lay_straight(a, b)
        for i in (0, shape.columns - 1):
            for j in (0, shape.rows - 1):
                self._lay_corner(i, j)

    def _new_street(self, x: float, y: float, heading: float, z: tuple[float, float]) -> _Street:
        rng = self.rng
        street = _Street(
            len(self.streets) + 1,
            x,
            y,
            heading,
            z,
            [],
            lane_width=float(rng.choice([3.25, 3.5, 3.5, 3.75])),
            parking=bool(rng.random() < 0.45),
            centre=str(rng.choice(["broken white", "broken yellow", "solid yellow", "solid solid yellow"])),
            crossings={"start": bool(rng.random() < 0.8), "end": bool(rng.random() < 0.8)},
        )
        self.streets.append(street)
        return street

    def _join(self, street: _Street, contact: Literal["start", "end"], node: tuple[int, int], direction: int) -> None:
        self.nodes[node].arms[direction] = _Arm(street.id, contact)
        street.ends[contact] = (list(self.nodes).index(node), direction)

    def _lay_straight(self, a: tuple[int, int], b: tuple[int, int]) -> None:
        """A street between neighbouring nodes: straight ends, and an S of two arcs where they are not in line."""
        direction = EAST if a[1] == b[1] else NORTH
        start, end = self.nodes[a], self.nodes[b]
        forward = _DIRECTIONS[direction]
        left = np.array([-forward[1], forward[0]])
        gap = np.array([end.x - start.x, end.y - start.y])
        along, aside = float(gap @ forward) - 2 * self.half, float(gap @ left)
        x, y = np.array([start.x, start.y]) + self.half * forward
        street = self._new_street(float(x), float(y), direction * math.pi / 2, (start.z, end.z))
        street.pieces = _swing(along, aside)
        self._join(street, "start", a, direction)
        self._join(street, "end", b, (direction + 2) % 4)

    def _lay_corner(self, i: int, j: int) -> None:
        """A street around one corner of the grid: straight, quarter circle, straight; the town lies to one side."""
        a = (i + (1 if i == 0 else -1), j)
        b = (i, j + (1 if j == 0 else -1))
        start, end = self.nodes[a], self.nodes[b]
        heading = WEST if i == 0 else EAST
        turn = 1.0 if (heading == EAST) == (j == 0) else -1.0
        after = (heading + (1 if turn > 0 else 3)) % 4
        radius = float(self.rng.uniform(*self.shape.corner_radius))
        x = start.x + self.half * _DIRECTIONS[heading][0]
        before = abs(end.x - x) - radius
        beyond = abs(end.y - start.y) - self.half - radius
        street = self._new_street(float(x), start.y, heading * math.pi / 2, (start.z, end.z))
        street.pieces = [(before, 0.0), (radius * math.pi / 2, turn / radius), (beyond, 0.0)]
        self._join(street, "start", a, heading)
        self._join(street, "end", b, (after + 2) % 4)

    def _choose_controls(self) -> None:
        """Lights at four-way crossings (at one T-junction where there is none), stop or yield at the stem of a T."""
        nodes = [node for node in self.nodes.values() if node.arms]
        for node in nodes:
            stem_control = self.rng.choice(["stop", "yield"])
            node.control = "lights" if len(node.arms) == 4 else ("stop" if stem_control == "stop" else "yield")
        tees = [node for node in nodes if len(node.arms) == 3]
        if tees:
            tees[int(self.rng.integers(len(tees)))].control = "lights"
        by_index = list(self.nodes.values())
        for street in self.streets:
            for contact, (node, _) in street.ends.items():
                if by_index[node].control == "lights":
                    street.crossings[contact] = True

    # --- text ---

    def text(self) -> str:
        lines = [
            '<?xml version="1.0" encoding="UTF-8"?>',
            "<OpenDRIVE>",
            f'<header revMajor="1" revMinor="4" name="{self.name}" version="{self.seed}" date="2026-01-01T00:00:00" '
            'north="0" south="0" east="0" west="0" vendor="carlaseg">',
            "<geoReference><![CDATA[+lat_0=4.9000000000000000e+1 +lon_0=8.0000000000000000e+0]]></geoReference>",
            "</header>",
        ]
        controllers: list[str] = []
        junctions: list[str] = []
        for street in self.streets:
            lines += self._street_lines(street)
        next_road = len(self.streets) + 1
        for index, node in enumerate(self.nodes.values()):
            if not node.arms:
                continue
            ways, next_road, connections = self._junction_roads(node, 1000 + index, next_road)
            lines += ways
            junctions.append(f'<junction id="{1000 + index}" name="junction{index}">')
            junctions += connections
            if node.control == "lights":
                for phase in (0, 1):
                    ids = [self._signal_id(a.street, a.contact) for d, a in sorted(node.arms.items()) if d % 2 == phase]
                    name = f"{1000 + index}{phase}"
                    controllers.append(f'<controller name="c{name}" id="{name}" sequence="{phase}">')
                    controllers += [f'<control signalId="{i}" type="0"/>' for i in ids]
                    controllers.append("</controller>")
                    junctions.append(f'<controller id="{name}" type="0" sequence="{phase}"/>')
            junctions.append("</junction>")
        return "\n".join([*lines, *controllers, *junctions, "</OpenDRIVE>", ""])

    @staticmethod
    def _signal_id(street: int, contact: str) -> str:
        return str(street * 10 + (1 if contact == "start" else 2))

    def _street_lines(self, street: _Street) -> list[str]:
        length = street.length
        gutter = [(0.0, _GUTTER_M, 0.0, 0.0)]
        if street.parking and length > 2 * _STRAIGHT_END_M + 24.0:
            rise, fall = _STRAIGHT_END_M + 4.0, length - _STRAIGHT_END_M - 4.0 - _PARKING_TAPER_M
            gutter += _eased(rise, _PARKING_TAPER_M, _GUTTER_M, _PARKING_M)
            gutter += _eased(fall, _PARKING_TAPER_M, _PARKING_M, _GUTTER_M)
        kind, _, color = street.centre.rpartition(" ")
        near = _STOP_LINE_M + 12.0
        solid = "solid" if kind == "broken" else kind
        centre = [(0.0, solid, color), (near, kind, color), (max(length - near, near + 1.0), solid, color)]
        edge = "broken" if len(gutter) > 1 else "solid"
        node_ids = {contact: 1000 + node for contact, (node, _) in street.ends.items()}
        lines = [
            f'<road name="street{street.id}" length="{_f(length)}" id="{street.id}" junction="-1">',
            "<link>"
            f'<predecessor elementType="junction" elementId="{node_ids["start"]}"/>'
            f'<successor elementType="junction" elementId="{node_ids["end"]}"/></link>',
            f'<type s="0" type="town"><speed max="{self.speed_kmh}" unit="km/h"/></type>',
            *_plan_lines(street.x, street.y, street.heading, street.pieces),
            *_elevation_lines(street.z, length),
            '<lanes><laneSection s="0">',
        ]
        widths = {1: [(0.0, street.lane_width, 0.0, 0.0)], 2: gutter, 3: [(0.0, self.sidewalk, 0.0, 0.0)]}
        types = {1: "driving", 2: "parking" if len(gutter) > 1 else "shoulder", 3: "sidewalk"}
        marks = {1: [(0.0, edge, "white")], 2: [(0.0, "curb", "white")], 3: [(0.0, "none", "white")]}
        lines.append("<left>")
        lines += [_lane(k, types[k], widths[k], marks[k]) for k in (3, 2, 1)]
        lines += ["</left>", "<center>", _lane(0, "none", [], centre), "</center>", "<right>"]
        lines += [_lane(-k, types[k], widths[k], marks[k]) for k in (1, 2, 3)]
        lines += ["</right>", "</laneSection></lanes>"]
        return [*lines, *self._objects(street), *self._signals(street), "</road>"]

    def _objects(self, street: _Street) -> list[str]:
        lines = ["<objects>"]
        half_width = street.lane_width + _GUTTER_M
        for contact in ("start", "end"):
            if not street.crossings[contact]:
                continue
            mid = (_CROSSWALK_FROM_M + _CROSSWALK_TO_M) / 2
            s = mid if contact == "start" else street.length - mid
            deep = (_CROSSWALK_TO_M - _CROSSWALK_FROM_M) / 2
            lines.append(
                f'<object type="crosswalk" name="crosswalk" id="{self._signal_id(street.id, contact)}" s="{_f(s)}" t="0" '
                f'zOffset="0" hdg="0" roll="0" pitch="0" orientation="none" width="{_f(2 * half_width)}" '
                f'length="{_f(2 * deep)}"><outline>'
            )
            corners = [(-deep, -half_width), (deep, -half_width), (deep, half_width), (-deep, half_width)]
            for u, v in [*corners, corners[0]]:
                lines.append(f'<cornerLocal u="{_f(u)}" v="{_f(v)}" z="0"/>')
            lines.append("</outline></object>")
        return [*lines, "</objects>"]

    def _signals(self, street: _Street) -> list[str]:
        by_index = list(self.nodes.values())
        lines = ["<signals>"]
        for contact in ("start", "end"):
            index, direction = street.ends[contact]
            node = by_index[index]
            lane = -1 if contact == "end" else 1
            s = street.length - _STOP_LINE_M if contact == "end" else _STOP_LINE_M
            t = (street.lane_width + _GUTTER_M + 0.4) * (-1 if contact == "end" else 1)
            number = self._signal_id(street.id, contact)
            stem = len(node.arms) == 3 and (direction + 2) % 4 not in node.arms
            if node.control == "lights":
                lines.append(_signal("Signal_3Light_Post01", number, s, t, lane, "1000001", "-1", -1.0))
            elif stem and node.control == "stop":
                lines.append(_signal("Sign_Stop", number, s, t, lane, "206", "-1", -1.0))
            elif stem:
                lines.append(_signal("Sign_Yield", number, s, t, lane, "205", "-1", -1.0))
            # A speed sign where one drives in: behind the other end's junction, for the lane that leaves it.
            leave = 24.0 if contact == "start" else street.length - 24.0
            if 24.0 < street.length / 2:
                away = (street.lane_width + _GUTTER_M + 0.4) * (1 if contact == "end" else -1)
                lines.append(
                    _signal(
                        f"Speed_{self.speed_kmh}",
                        number + "9",
                        leave,
                        away,
                        -lane,
                        "274",
                        str(self.speed_kmh),
                        self.speed_kmh,
                    )
                )
        return [*lines, "</signals>"]

    def _junction_roads(self, node: _Node, junction: int, next_road: int) -> tuple[list[str], int, list[str]]:
        lines: list[str] = []
        connections: list[str] = []
        streets = {street.id: street for street in self.streets}
        for come in sorted(node.arms):
            heading = (come + 2) % 4
            right, left = (heading + 3) % 4, (heading + 1) % 4
            for leave in sorted(node.arms):
                if leave == come:
                    continue
                arm_in, arm_out = node.arms[come], node.arms[leave]
                road, next_road = next_road, next_road + 1
                edge = _DIRECTIONS[come] * self.half
                length, bend = 2 * self.half, 0.0
                if leave != heading:
                    length, bend = self.half * math.pi / 2, (1.0 if leave == left else -1.0) / self.half
                width_in, width_out = streets[arm_in.street].lane_width, streets[arm_out.street].lane_width
                kerbed = leave == right or (leave == heading and right not in node.arms)
                lane_in = -1 if arm_in.contact == "end" else 1
                lane_out = -1 if arm_out.contact == "start" else 1
                lines += [
                    f'<road name="way{road}" length="{_f(length)}" id="{road}" junction="{junction}">',
                    f'<link><predecessor elementType="road" elementId="{arm_in.street}" contactPoint="{arm_in.contact}"/>'
                    f'<successor elementType="road" elementId="{arm_out.street}" contactPoint="{arm_out.contact}"/></link>',
                    f'<type s="0" type="town"><speed max="{self.speed_kmh}" unit="km/h"/></type>',
                    *_plan_lines(node.x + edge[0], node.y + edge[1], heading * math.pi / 2, [(length, bend)]),
                    *_elevation_lines((node.z, node.z), length),
                    '<lanes><laneSection s="0">',
                    "<center>",
                    _lane(0, "none", [], [(0.0, "none", "white")]),
                    "</center>",
                    "<right>",
                ]
                width = [(0.0, width_in, (width_out - width_in) / length, 0.0)]
                none = [(0.0, "none", "white")]
                lines.append(_lane(-1, "driving", width, none, (lane_in, lane_out)))
                if kerbed:
                    curb = [(0.0, "curb", "white")]
                    lines.append(_lane(-2, "shoulder", [(0.0, _GUTTER_M, 0.0, 0.0)], curb, (2 * lane_in, 2 * lane_out)))
                    lines.append(
                        _lane(-3, "sidewalk", [(0.0, self.sidewalk, 0.0, 0.0)], none, (3 * lane_in, 3 * lane_out))
                    )
                lines += ["</right>", "</laneSection></lanes>", "<objects></objects>", "<signals></signals>", "</road>"]
                connections += [
                    f'<connection id="{len(connections) // 3}" incomingRoad="{arm_in.street}" connectingRoad="{road}" '
                    'contactPoint="start">',
                    f'<laneLink from="{lane_in}" to="-1"/>',
                    "</connection>",
                ]
        return lines, next_road, connections


def _swing(along: float, aside: float) -> list[tuple[float, float]]:
    """Pieces that run `along` metres ahead and end `aside` metres to the left on the same heading."""
    if abs(aside) < 0.05:
        aside = math.copysign(0.05, aside)
    middle = along - 2 * _STRAIGHT_END_M
    angle = 2 * math.atan2(abs(aside), middle)
    radius = middle / (2 * math.sin(angle))
    bend = math.copysign(1 / radius, aside)
    return [(_STRAIGHT_END_M, 0.0), (radius * angle, bend), (radius * angle, -bend), (_STRAIGHT_END_M, 0.0)]


def _eased(start: float, length: float, low: float, high: float) -> list[tuple[float, float, float, float]]:
    """Width records (sOffset, a, c, d) that ease from `low` to `high` over `length`, then hold."""
    rise = high - low
    return [(start, low, 3 * rise / length**2, -2 * rise / length**3), (start + length, high, 0.0, 0.0)]


def _f(value: float) -> str:
    """Twelve decimals: a curvature must not move the end of a long arc."""
    return f"{value:.12f}".rstrip("0").rstrip(".") if value else "0"


def _plan_lines(x: float, y: float, heading: float, pieces: list[tuple[float, float]]) -> list[str]:
    lines = ["<planView>"]
    s = 0.0
    for length, bend in pieces:
        shape = f'<arc curvature="{_f(bend)}"/>' if bend else "<line/>"
        lines.append(
            f'<geometry s="{_f(s)}" x="{_f(x)}" y="{_f(y)}" hdg="{_f(heading)}" length="{_f(length)}">{shape}</geometry>'
        )
        after = heading + bend * length
        if bend:
            x += (math.sin(after) - math.sin(heading)) / bend
            y += (math.cos(heading) - math.cos(after)) / bend
        else:
            x += length * math.cos(heading)
            y += length * math.sin(heading)
        s, heading = s + length, after
    return [*lines, "</planView>"]


def _elevation_lines(z: tuple[float, float], length: float) -> list[str]:
    """Level at both ends, eased between."""
    rise, level = z[1] - z[0], _STRAIGHT_END_M if length > 3 * _STRAIGHT_END_M else 0.0
    span = length - 2 * level
    records = [(0.0, z[0], 0.0, 0.0)]
    if rise:
        records += [(level, z[0], 3 * rise / span**2, -2 * rise / span**3), (length - level, z[1], 0.0, 0.0)]
    texts = [f'<elevation s="{_f(s)}" a="{_f(a)}" b="0" c="{_f(c)}" d="{_f(d)}"/>' for s, a, c, d in records]
    return ["<elevationProfile>", *texts, "</elevationProfile>"]


def _lane(
    number: int,
    kind: str,
    widths: list[tuple[float, float, float, float]],
    marks: list[tuple[float, str, str]],
    link: tuple[int, int] | None = None,
) -> str:
    """One `<lane>`. Driving lanes' widths are linear (third number is b); parking lanes' are cubic (c and d)."""
    inside = ""
    if link is not None:
        inside = f'<link><predecessor id="{link[0]}"/><successor id="{link[1]}"/></link>'
    linear = kind == "driving"
    for s, a, third, fourth in widths:
        b, c, d = (third, 0.0, 0.0) if linear else (0.0, third, fourth)
        inside += f'<width sOffset="{_f(s)}" a="{_f(a)}" b="{_f(b)}" c="{_f(c)}" d="{_f(d)}"/>'
    for s, mark, color in marks:
        inside += f'<roadMark sOffset="{_f(s)}" type="{mark}" weight="standard" color="{color}" width="0.15" laneChange="none"/>'
    return f'<lane id="{number}" type="{kind}" level="false">{inside}</lane>'


def _signal(name: str, number: str, s: float, t: float, lane: int, kind: str, subtype: str, value: float) -> str:
    """One `<signal>`. Orientation follows CARLA's files, where "-" is for negative lanes; `validity` says it exactly."""
    light = kind == "1000001"
    unit = ' unit="km/h"' if kind == "274" else ""
    return (
        f'<signal name="{name}" id="{number}" s="{_f(s)}" t="{_f(t)}" zOffset="0" hOffset="0" roll="0" pitch="0" '
        f'orientation="{"-" if lane < 0 else "+"}" dynamic="{"yes" if light else "no"}" country="OpenDRIVE" '
        f'type="{kind}" subtype="{subtype}" value="{_f(value)}"{unit} text="" height="0.8" width="0.8">'
        f'<validity fromLane="{lane}" toLane="{lane}"/></signal>'
    )
