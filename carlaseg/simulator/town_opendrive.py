"""Generated towns as OpenDRIVE 1.4 text: roads, every way through each junction, signals, signs, crossings.

The text is the only thing a generated town hands on: all else is built from it as from anybody's file.
"""

from __future__ import annotations

import math

from carlaseg.simulator.opendrive.writing import (
    eased,
    elevation_lines,
    lane_line,
    number_text,
    plan_lines,
    signal_line,
)
from carlaseg.simulator.town_highway import HighwayPlan, carriageway_lines, ramp_lines
from carlaseg.simulator.town_plan import (
    CROSSWALK_FROM_M,
    CROSSWALK_TO_M,
    DIRECTIONS,
    GUTTER_M,
    HIGHWAY,
    PARKING_M,
    PARKING_TAPER_M,
    STOP_LINE_M,
    STRAIGHT_END_M,
    Arm,
    Layout,
    Node,
    Street,
    TownPlan,
)


def generate_opendrive(name: str, seed: int) -> str:
    """OpenDRIVE 1.4 text of a generated town; the same name and seed give the same text.

    Args:
        name: one of `GENERATED_TOWNS`.
        seed: of its layout.
    """
    plan: Layout = HighwayPlan(seed) if name == HIGHWAY else TownPlan(name, seed)
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        "<OpenDRIVE>",
        f'<header revMajor="1" revMinor="4" name="{plan.name}" version="{plan.seed}" date="2026-01-01T00:00:00" '
        'north="0" south="0" east="0" west="0" vendor="carlaseg">',
        "<geoReference><![CDATA[+lat_0=4.9000000000000000e+1 +lon_0=8.0000000000000000e+0]]></geoReference>",
        "</header>",
    ]
    controllers: list[str] = []
    junctions: list[str] = []
    for street in plan.streets:
        if street.ramp:
            (node_index,) = (index for index, _ in street.ends.values())
            lines += ramp_lines(street, node_index, _signals(plan, street))
        else:
            lines += _street_lines(plan, street)
    next_road = len(plan.streets) + 1
    for index, node in enumerate(plan.nodes.values()):
        if not node.arms:
            continue
        ways, next_road, connections = _junction_roads(plan, node, 1000 + index, next_road)
        lines += ways
        junctions.append(f'<junction id="{1000 + index}" name="junction{index}">')
        junctions += connections
        if node.control == "lights":
            for phase in (0, 1):
                arms = [a for d, a in sorted(node.arms.items()) if d % 2 == phase and not _leads_out(plan, a)]
                ids = [_signal_id(a.street, a.contact) for a in arms]
                name = f"{1000 + index}{phase}"
                controllers.append(f'<controller name="c{name}" id="{name}" sequence="{phase}">')
                controllers += [f'<control signalId="{i}" type="0"/>' for i in ids]
                controllers.append("</controller>")
                junctions.append(f'<controller id="{name}" type="0" sequence="{phase}"/>')
        junctions.append("</junction>")
    if isinstance(plan, HighwayPlan):
        carriageways, forks = carriageway_lines(plan, next_road)
        lines += carriageways
        junctions += forks
    return "\n".join([*lines, *controllers, *junctions, "</OpenDRIVE>", ""])


def _signal_id(street: int, contact: str) -> str:
    return str(street * 10 + (1 if contact == "start" else 2))


def _leads_out(plan: Layout, arm: Arm) -> bool:
    """Whether nobody comes in by an arm, since it is a ramp to a highway."""
    return plan.streets[arm.street - 1].ramp == "on"


def _parks(street: Street) -> bool:
    """Whether its gutters widen to parking lanes, as they have done where its speed signs stand."""
    return street.parking and street.length > 2 * STRAIGHT_END_M + 24.0


def _street_lines(plan: Layout, street: Street) -> list[str]:
    length = street.length
    gutter = [(0.0, GUTTER_M, 0.0, 0.0)]
    if _parks(street):
        rise, fall = STRAIGHT_END_M + 4.0, length - STRAIGHT_END_M - 4.0 - PARKING_TAPER_M
        gutter += eased(rise, PARKING_TAPER_M, GUTTER_M, PARKING_M)
        gutter += eased(fall, PARKING_TAPER_M, PARKING_M, GUTTER_M)
    kind, _, color = street.centre.rpartition(" ")
    near = STOP_LINE_M + 12.0
    solid = "solid" if kind == "broken" else kind
    centre = [(0.0, solid, color), (near, kind, color), (max(length - near, near + 1.0), solid, color)]
    edge = "broken" if len(gutter) > 1 else "solid"
    node_ids = {contact: 1000 + node for contact, (node, _) in street.ends.items()}
    lines = [
        f'<road name="street{street.id}" length="{number_text(length)}" id="{street.id}" junction="-1">',
        "<link>"
        f'<predecessor elementType="junction" elementId="{node_ids["start"]}"/>'
        f'<successor elementType="junction" elementId="{node_ids["end"]}"/></link>',
        f'<type s="0" type="{plan.shape.kind}"><speed max="{plan.speed_kmh}" unit="km/h"/></type>',
        *plan_lines(street.x, street.y, street.heading, street.pieces),
        *elevation_lines(street.levels),
        '<lanes><laneSection s="0">',
    ]
    widths = {1: [(0.0, street.lane_width, 0.0, 0.0)], 2: gutter, 3: [(0.0, plan.sidewalk, 0.0, 0.0)]}
    types = {1: "driving", 2: "parking" if len(gutter) > 1 else "shoulder", 3: "sidewalk"}
    marks = {1: [(0.0, edge, "white")], 2: [(0.0, "curb", "white")], 3: [(0.0, "none", "white")]}
    lines.append("<left>")
    lines += [lane_line(k, types[k], widths[k], marks[k]) for k in (3, 2, 1)]
    lines += ["</left>", "<center>", lane_line(0, "none", [], centre), "</center>", "<right>"]
    lines += [lane_line(-k, types[k], widths[k], marks[k]) for k in (1, 2, 3)]
    lines += ["</right>", "</laneSection></lanes>"]
    return [*lines, *_objects(street), *_signals(plan, street), "</road>"]


def _objects(street: Street) -> list[str]:
    lines = ["<objects>"]
    half_width = street.lane_width + GUTTER_M
    for contact in ("start", "end"):
        if not street.crossings[contact]:
            continue
        mid = (CROSSWALK_FROM_M + CROSSWALK_TO_M) / 2
        s = mid if contact == "start" else street.length - mid
        deep = (CROSSWALK_TO_M - CROSSWALK_FROM_M) / 2
        lines.append(
            f'<object type="crosswalk" name="crosswalk" id="{_signal_id(street.id, contact)}" s="{number_text(s)}" '
            f't="0" zOffset="0" hdg="0" roll="0" pitch="0" orientation="none" width="{number_text(2 * half_width)}" '
            f'length="{number_text(2 * deep)}"><outline>'
        )
        corners = [(-deep, -half_width), (deep, -half_width), (deep, half_width), (-deep, half_width)]
        for u, v in [*corners, corners[0]]:
            lines.append(f'<cornerLocal u="{number_text(u)}" v="{number_text(v)}" z="0"/>')
        lines.append("</outline></object>")
    return [*lines, "</objects>"]


def _signals(plan: Layout, street: Street) -> list[str]:
    by_index = list(plan.nodes.values())
    lines = ["<signals>"]
    for contact, (index, direction) in street.ends.items():
        node = by_index[index]
        lane = -1 if contact == "end" else 1
        s = street.length - STOP_LINE_M if contact == "end" else STOP_LINE_M
        t = (street.lane_width + GUTTER_M + 0.4) * (-1 if contact == "end" else 1)
        number = _signal_id(street.id, contact)
        stem = len(node.arms) == 3 and (direction + 2) % 4 not in node.arms
        if street.ramp == "on":
            continue
        if node.control == "lights":
            lines.append(signal_line("Signal_3Light_Post01", number, s, t, lane, "1000001", "-1", -1.0))
        elif stem and node.control == "stop":
            lines.append(signal_line("Sign_Stop", number, s, t, lane, "206", "-1", -1.0))
        elif stem:
            lines.append(signal_line("Sign_Yield", number, s, t, lane, "205", "-1", -1.0))
        # A speed sign where one drives in: behind the other end's junction, for the lane that leaves it.
        leave = 24.0 if contact == "start" else street.length - 24.0
        if street.length / 2 > 24.0 and not street.ramp:
            outer = PARKING_M if _parks(street) else GUTTER_M
            away = (street.lane_width + outer + 0.4) * (1 if contact == "end" else -1)
            lines.append(
                signal_line(
                    f"Speed_{plan.speed_kmh}",
                    number + "9",
                    leave,
                    away,
                    -lane,
                    "274",
                    str(plan.speed_kmh),
                    plan.speed_kmh,
                )
            )
    return [*lines, "</signals>"]


def _junction_roads(plan: Layout, node: Node, junction: int, next_road: int) -> tuple[list[str], int, list[str]]:
    """Roads of every way through a junction, the number of the next road, and the junction's connections."""
    lines: list[str] = []
    connections: list[str] = []
    for come in sorted(node.arms):
        for leave in sorted(node.arms):
            arm_in, arm_out = node.arms[come], node.arms[leave]
            ramps = plan.streets[arm_in.street - 1].ramp, plan.streets[arm_out.street - 1].ramp
            if leave == come or ramps[0] == "on" or ramps[1] == "off":
                continue
            lines += _way_lines(plan, node, junction, next_road, come, leave)
            connections += [
                f'<connection id="{len(connections) // 3}" incomingRoad="{arm_in.street}" connectingRoad="{next_road}" '
                'contactPoint="start">',
                f'<laneLink from="{_lane_in(arm_in)}" to="-1"/>',
                "</connection>",
            ]
            next_road += 1
    return lines, next_road, connections


def _lane_in(arm: Arm) -> int:
    """The lane of a street by which one comes into the junction at its end."""
    return -1 if arm.contact == "end" else 1


def _way_lines(plan: Layout, node: Node, junction: int, road: int, come: int, leave: int) -> list[str]:
    """The `<road>` from one arm of a junction to another: straight on, or a quarter circle."""
    heading = (come + 2) % 4
    right, left = (heading + 3) % 4, (heading + 1) % 4
    arm_in, arm_out = node.arms[come], node.arms[leave]
    street_in, street_out = plan.streets[arm_in.street - 1], plan.streets[arm_out.street - 1]
    edge = DIRECTIONS[come] * plan.half
    length, bend = 2 * plan.half, 0.0
    if leave != heading:
        length, bend = plan.half * math.pi / 2, (1.0 if leave == left else -1.0) / plan.half
    width_in, width_out = street_in.lane_width, street_out.lane_width
    lane_in, lane_out = _lane_in(arm_in), -_lane_in(arm_out)
    none, curb = [(0.0, "none", "white")], [(0.0, "curb", "white")]
    width = [(0.0, width_in, (width_out - width_in) / length, 0.0)]
    lanes = [lane_line(-1, "driving", width, none, (lane_in, lane_out))]
    is_outermost = leave == right or (leave == heading and right not in node.arms)
    if is_outermost and not (street_in.ramp or street_out.ramp):
        gutter, walk = [(0.0, GUTTER_M, 0.0, 0.0)], [(0.0, plan.sidewalk, 0.0, 0.0)]
        lanes.append(lane_line(-2, "shoulder", gutter, curb, (2 * lane_in, 2 * lane_out)))
        lanes.append(lane_line(-3, "sidewalk", walk, none, (3 * lane_in, 3 * lane_out)))
    return [
        f'<road name="way{road}" length="{number_text(length)}" id="{road}" junction="{junction}">',
        f'<link><predecessor elementType="road" elementId="{arm_in.street}" contactPoint="{arm_in.contact}"/>'
        f'<successor elementType="road" elementId="{arm_out.street}" contactPoint="{arm_out.contact}"/></link>',
        f'<type s="0" type="{plan.shape.kind}"><speed max="{plan.speed_kmh}" unit="km/h"/></type>',
        *plan_lines(node.x + edge[0], node.y + edge[1], heading * math.pi / 2, [(length, bend)]),
        *elevation_lines([(0.0, node.z)]),
        '<lanes><laneSection s="0">',
        *("<center>", lane_line(0, "none", [], none), "</center>"),
        *("<right>", *lanes, "</right>"),
        *("</laneSection></lanes>", "<objects></objects>", "<signals></signals>", "</road>"),
    ]
