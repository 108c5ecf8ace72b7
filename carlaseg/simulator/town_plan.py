"""The layout of a generated town, drawn from a seed: where streets run, what they look like, who governs a junction.

Streets lie on a grid whose nodes are shifted, so that streets swing; the grid's four corners are plain bends, its sides
T-junctions. All arms of a junction point along the axes, so that every way through it is a line or a quarter circle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

HIGHWAY = "carlaseg_highway"
GENERATED_TOWNS = ("carlaseg_grid", "carlaseg_ring", HIGHWAY, "carlaseg_village")

# Lane 2 is a narrow gutter at junctions, so that every junction has one size, and widens to a parking lane between.
GUTTER_M = 0.5
PARKING_M = 2.2
PARKING_TAPER_M = 5.0
STRAIGHT_END_M = 14.0
# Along a street, from the junction's edge: crossing, then stop line. Pedestrians cross in front of waiting cars.
CROSSWALK_FROM_M, CROSSWALK_TO_M = 1.2, 4.2
STOP_LINE_M = 5.4
BRIDGE_HALF_M = 16.0

EAST, NORTH, WEST, SOUTH = range(4)
DIRECTIONS = np.array([(1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0)])


@dataclass(frozen=True)
class Shape:
    """What differs between the kinds of generated town on a grid."""

    columns: int
    rows: int
    spacing: tuple[float, float]
    shift: float
    corner_radius: tuple[float, float]
    hill: float
    """Highest junction above the lowest, metres."""
    lane_widths: tuple[float, ...] = (3.25, 3.5, 3.5, 3.75)
    sidewalks: tuple[float, ...] = (2.4, 2.8, 3.2)
    speeds_kmh: tuple[int, ...] = (30, 40, 50)
    parking: float = 0.45
    """Share of streets with parking lanes."""
    kind: str = "town"
    """What the map calls its streets; houses along rural ones are low."""
    centres: tuple[str, ...] = ("broken white", "broken yellow", "solid yellow", "solid solid yellow")


_SHAPES = {
    "carlaseg_grid": Shape(4, 4, (74.0, 104.0), 5.0, (20.0, 32.0), 0.0),
    "carlaseg_ring": Shape(3, 3, (115.0, 145.0), 3.0, (62.0, 78.0), 4.0),
    "carlaseg_village": Shape(
        4,
        3,
        (100.0, 150.0),
        14.0,
        (30.0, 45.0),
        6.0,
        lane_widths=(3.0, 3.25),
        sidewalks=(1.8, 2.0),
        speeds_kmh=(30,),
        parking=0.0,
        kind="rural",
        centres=("broken white", "none white"),
    ),
}


@dataclass
class Arm:
    """Where a street meets a node: which street, by which of its ends."""

    street: int
    contact: Literal["start", "end"]


@dataclass
class Node:
    """A place of the grid: a junction where streets meet, nothing where they only bend."""

    x: float
    y: float
    z: float
    arms: dict[int, Arm] = field(default_factory=dict)
    control: Literal["lights", "stop", "yield", "none"] = "none"


@dataclass
class Street:
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
    crest: float | None = None
    """Height of a bridge in its middle, metres."""
    ramp: Literal["on", "off"] | None = None
    """Of a ramp: whether it leads onto the highway or off it. Its other end is the highway's."""

    @property
    def length(self) -> float:
        """Metres along the reference line."""
        return sum(piece[0] for piece in self.pieces)

    @property
    def levels(self) -> list[tuple[float, float]]:
        """Heights along it, (s, z): level at both ends and on a bridge."""
        length = self.length
        straight = STRAIGHT_END_M if length > 3 * STRAIGHT_END_M else 0.0
        ends = [(straight, self.z[0]), (length - straight, self.z[1])]
        if self.crest is not None:
            ends[1:1] = [(length / 2 + side * BRIDGE_HALF_M, self.crest) for side in (-1, 1)]
        elif self.z[0] == self.z[1]:
            return [(0.0, self.z[0])]
        return [(0.0, self.z[0]), *ends] if straight else ends


class Layout:
    """Streets between nodes.

    Args:
        name: one of `GENERATED_TOWNS`.
        seed: of all that is drawn.
        shape: what streets may look like.

    Attributes:
        half: from a junction's middle to its edge, metres.
        sidewalk: width of all sidewalks, metres.
        speed_kmh: the limit.
        nodes: by column and row; those without arms are no junctions.
        streets: in the order of their ids, which count from 1.
    """

    def __init__(self, name: str, seed: int, shape: Shape) -> None:
        self.name, self.seed, self.shape = name, seed, shape
        self.rng = rng = np.random.default_rng([seed & 0xFFFFFFFF, GENERATED_TOWNS.index(name), 1])
        self.half = float(rng.uniform(11.5, 14.0))
        self.sidewalk = float(rng.choice(shape.sidewalks))
        self.speed_kmh = int(rng.choice(shape.speeds_kmh))
        self.nodes: dict[tuple[int, int], Node] = {}
        self.streets: list[Street] = []

    def new_street(self, x: float, y: float, heading: float, z: tuple[float, float]) -> Street:
        """A street that begins here, its course still to be laid."""
        rng, shape = self.rng, self.shape
        street = Street(
            len(self.streets) + 1,
            x,
            y,
            heading,
            z,
            [],
            lane_width=float(rng.choice(shape.lane_widths)),
            parking=bool(rng.random() < shape.parking),
            centre=str(rng.choice(shape.centres)),
            crossings={"start": bool(rng.random() < 0.8), "end": bool(rng.random() < 0.8)},
        )
        self.streets.append(street)
        return street

    def join(self, street: Street, contact: Literal["start", "end"], node: tuple[int, int], direction: int) -> None:
        """Let a street's end be an arm of a node."""
        self.nodes[node].arms[direction] = Arm(street.id, contact)
        street.ends[contact] = (list(self.nodes).index(node), direction)

    def cross_at_lights(self) -> None:
        """Have crossings wherever there are lights."""
        by_index = list(self.nodes.values())
        for street in self.streets:
            for contact, (index, _) in street.ends.items():
                if by_index[index].control == "lights":
                    street.crossings[contact] = True


class TownPlan(Layout):
    """A town on a grid.

    Args:
        name: one of `GENERATED_TOWNS`, not the highway.
        seed: draws spacing, swings, widths, markings, parking, controls.
    """

    def __init__(self, name: str, seed: int) -> None:
        super().__init__(name, seed, _SHAPES[name])
        self._lay_nodes()
        self._lay_streets()
        self._choose_controls()

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
                self.nodes[i, j] = Node(float(xs[i] + dx), float(ys[j] + dy), z)

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

    def _lay_straight(self, a: tuple[int, int], b: tuple[int, int]) -> None:
        """A street between neighbouring nodes: straight ends, and an S of two arcs where they are not in line."""
        direction = EAST if a[1] == b[1] else NORTH
        start, end = self.nodes[a], self.nodes[b]
        forward = DIRECTIONS[direction]
        left = np.array([-forward[1], forward[0]])
        gap = np.array([end.x - start.x, end.y - start.y])
        along, aside = float(gap @ forward) - 2 * self.half, float(gap @ left)
        x, y = np.array([start.x, start.y]) + self.half * forward
        street = self.new_street(float(x), float(y), direction * math.pi / 2, (start.z, end.z))
        street.pieces = swing(along, aside)
        self.join(street, "start", a, direction)
        self.join(street, "end", b, (direction + 2) % 4)

    def _lay_corner(self, i: int, j: int) -> None:
        """A street around one corner of the grid: straight, quarter circle, straight; the town lies to one side."""
        a = (i + (1 if i == 0 else -1), j)
        b = (i, j + (1 if j == 0 else -1))
        start, end = self.nodes[a], self.nodes[b]
        heading = WEST if i == 0 else EAST
        turn = 1.0 if (heading == EAST) == (j == 0) else -1.0
        after = (heading + (1 if turn > 0 else 3)) % 4
        radius = float(self.rng.uniform(*self.shape.corner_radius))
        x = start.x + self.half * DIRECTIONS[heading][0]
        before = abs(end.x - x) - radius
        beyond = abs(end.y - start.y) - self.half - radius
        street = self.new_street(float(x), start.y, heading * math.pi / 2, (start.z, end.z))
        street.pieces = [(before, 0.0), (radius * math.pi / 2, turn / radius), (beyond, 0.0)]
        self.join(street, "start", a, heading)
        self.join(street, "end", b, (after + 2) % 4)

    def _choose_controls(self) -> None:
        """Lights at four-way crossings (at one T-junction where there is none), stop or yield at the stem of a T."""
        nodes = [node for node in self.nodes.values() if node.arms]
        for node in nodes:
            stem_control = self.rng.choice(["stop", "yield"])
            node.control = "lights" if len(node.arms) == 4 else ("stop" if stem_control == "stop" else "yield")
        tees = [node for node in nodes if len(node.arms) == 3]
        if tees:
            tees[int(self.rng.integers(len(tees)))].control = "lights"
        self.cross_at_lights()


def swing(along: float, aside: float) -> list[tuple[float, float]]:
    """Pieces that run `along` metres ahead and end `aside` metres to the left on the same heading."""
    if abs(aside) < 0.05:
        aside = math.copysign(0.05, aside)
    middle = along - 2 * STRAIGHT_END_M
    angle = 2 * math.atan2(abs(aside), middle)
    radius = middle / (2 * math.sin(angle))
    bend = math.copysign(1 / radius, aside)
    return [(STRAIGHT_END_M, 0.0), (radius * angle, bend), (radius * angle, -bend), (STRAIGHT_END_M, 0.0)]
