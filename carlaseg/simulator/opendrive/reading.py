"""OpenDRIVE XML to a `RoadNetwork`. Source: ASAM OpenDRIVE 1.4 (element and attribute names)."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from xml.etree.ElementTree import Element

import numpy as np

from carlaseg.errors import SimulatorError
from carlaseg.simulator.opendrive.curves import Curve, PlanView
from carlaseg.simulator.opendrive.network import (
    Connection,
    Crosswalk,
    Cubics,
    Junction,
    Lane,
    LaneSection,
    Road,
    RoadEnd,
    RoadMark,
    RoadNetwork,
    Signal,
)

# Longer than any town's, one road and all together: a client's file must not fill the server's memory.
MAX_ROAD_M, MAX_NETWORK_M = 1e5, 2e6
_DEFAULT_MARK_WIDTH_M = 0.12


def read_opendrive(text: str) -> RoadNetwork:
    """The road network that an OpenDRIVE text describes.

    Raises:
        SimulatorError: the text is not XML, has no `<road>`, or a road lacks what its geometry needs, or there is
            more of them than a town has.
    """
    if "<!ENTITY" in text:
        # A few of them, one in the other, unfold to gigabytes.
        raise SimulatorError("OpenDRIVE: expected XML without entities of its own, received some. No town was built.")
    try:
        root = ElementTree.fromstring(text.encode())
    except ElementTree.ParseError as error:
        raise SimulatorError(
            f"OpenDRIVE: expected XML, received text that fails at {error}. No town was built."
        ) from error
    roads: dict[int, Road] = {}
    for element in root.findall("road"):
        name = element.get("id")
        try:
            road = _road(element)
        except (KeyError, ValueError, TypeError) as error:
            raise SimulatorError(
                f"OpenDRIVE, road {name!r}: expected plan view, lanes and numbers in them, received {error!r}. "
                "No town was built."
            ) from error
        roads[road.id] = road
    if not roads:
        raise SimulatorError(
            f"OpenDRIVE: expected at least one <road>, received <{root.tag}> with none. No town was built."
        )
    total_m = sum(curve.length for road in roads.values() for curve in road.plan.curves)
    if total_m > MAX_NETWORK_M:
        raise SimulatorError(
            f"OpenDRIVE: expected at most {MAX_NETWORK_M / 1e3:g} km of roads, received {total_m / 1e3:.6g}. "
            "No town was built."
        )
    junctions = [_junction(element) for element in root.findall("junction")]
    return RoadNetwork(roads, {junction.id: junction for junction in junctions})


def _number(element: Element, key: str, default: float | None = None) -> float:
    text = element.get(key)
    if text is None or not text.strip():
        if default is None:
            raise KeyError(f"<{element.tag}> without {key}")
        return default
    value = float(text)
    if not np.isfinite(value):
        raise ValueError(f"<{element.tag} {key}={text!r}>")
    return value


def _length(element: Element) -> float:
    value = _number(element, "length")
    if not 0.0 <= value <= MAX_ROAD_M:
        raise ValueError(f"<{element.tag} length={value:g}>, expected 0 to {MAX_ROAD_M:g} m")
    return value


def _cubics(elements: Iterable[Element], start: str = "s") -> Cubics:
    rows = sorted([_number(e, start, 0.0), *(_number(e, k, 0.0) for k in "abcd")] for e in elements)
    table = np.array(rows, dtype=np.float64).reshape(-1, 5)
    return Cubics(table[:, 0], table[:, 1:])


def _curve(element: Element) -> Curve:
    s, x, y, heading = (_number(element, key) for key in ("s", "x", "y", "hdg"))
    length = _length(element)
    for shape in element:
        if shape.tag == "line":
            return Curve("line", s, x, y, heading, length)
        if shape.tag == "arc":
            bend = _number(shape, "curvature")
            return Curve("arc", s, x, y, heading, length, (bend, bend))
        if shape.tag == "spiral":
            ends = _number(shape, "curvStart"), _number(shape, "curvEnd")
            return Curve("spiral", s, x, y, heading, length, ends)
        if shape.tag == "poly3":
            v = (_number(shape, "a"), _number(shape, "b"), _number(shape, "c"), _number(shape, "d"))
            return Curve("poly3", s, x, y, heading, length, v=v, parameter_end=length)
        if shape.tag == "paramPoly3":
            u = (_number(shape, "aU"), _number(shape, "bU"), _number(shape, "cU"), _number(shape, "dU"))
            v = (_number(shape, "aV"), _number(shape, "bV"), _number(shape, "cV"), _number(shape, "dV"))
            end = length if shape.get("pRange") == "arcLength" else 1.0
            return Curve("paramPoly3", s, x, y, heading, length, u=u, v=v, parameter_end=end)
    raise ValueError(f"a <geometry> at s {s:g} of no known shape")


def _mark(element: Element) -> RoadMark:
    color = element.get("color", "white")
    return RoadMark(
        _number(element, "sOffset", 0.0),
        element.get("type", "none"),
        "white" if color == "standard" else color,
        _number(element, "width", _DEFAULT_MARK_WIDTH_M),
    )


def _lane(element: Element) -> Lane:
    def linked(tag: str) -> int | None:
        found = element.find(f"link/{tag}")
        return None if found is None else int(found.attrib["id"])

    marks = sorted((_mark(mark) for mark in element.findall("roadMark")), key=lambda mark: mark.start_offset)
    return Lane(
        int(element.attrib["id"]),
        element.get("type", "none"),
        _cubics(element.findall("width"), "sOffset"),
        _cubics(element.findall("border"), "sOffset"),
        tuple(marks),
        linked("predecessor"),
        linked("successor"),
    )


def _end(element: Element, tag: str) -> RoadEnd | None:
    found = element.find(f"link/{tag}")
    if found is None:
        return None
    return RoadEnd(found.get("elementType", "road"), int(found.attrib["elementId"]), found.get("contactPoint"))


def _signal(element: Element) -> Signal:
    validity = element.find("validity")
    lanes = None
    if validity is not None:
        ends = sorted((int(validity.get("fromLane", "0")), int(validity.get("toLane", "0"))))
        # CARLA's own files write 0 to 0, which names no lane.
        lanes = None if ends == [0, 0] else (ends[0], ends[1])
    return Signal(
        element.attrib["id"],
        element.get("name", ""),
        _number(element, "s"),
        _number(element, "t"),
        _number(element, "zOffset", 0.0),
        element.get("type", ""),
        element.get("subtype", ""),
        _number(element, "value", -1.0),
        element.get("orientation", "none"),
        _number(element, "hOffset", 0.0),
        element.get("dynamic", "no") == "yes",
        lanes,
    )


def _crosswalk(element: Element) -> Crosswalk | None:
    corners = element.findall(".//cornerLocal")
    if len(corners) < 3:
        return None
    turn = _number(element, "hdg", 0.0)
    local = np.array([[_number(c, "u"), _number(c, "v")] for c in corners])
    cos, sin = np.cos(turn), np.sin(turn)
    # Crossings are short beside the bends they may lie on, so local axes stand for s and t.
    return Crosswalk(local @ np.array([[cos, sin], [-sin, cos]]) + [_number(element, "s"), _number(element, "t", 0.0)])


def _road(element: Element) -> Road:
    length = _length(element)
    plan = PlanView([_curve(g) for g in element.findall("planView/geometry")])
    if not plan.curves:
        raise ValueError("no <geometry>")
    starts = [_number(section, "s") for section in element.findall("lanes/laneSection")]
    sections = []
    for k, section in enumerate(element.findall("lanes/laneSection")):
        end = starts[k + 1] if k + 1 < len(starts) else length
        lanes = [_lane(lane) for lane in section.iter("lane")]
        sections.append(LaneSection(starts[k], end, {lane.id: lane for lane in lanes}))
    crosswalks = [_crosswalk(o) for o in element.findall("objects/object") if o.get("type", "").lower() == "crosswalk"]
    return Road(
        int(element.attrib["id"]),
        length,
        int(element.get("junction", "-1")),
        plan,
        _cubics(element.findall("elevationProfile/elevation")),
        _cubics(element.findall("lateralProfile/superelevation")),
        _cubics(element.findall("lanes/laneOffset")),
        tuple(sections),
        _end(element, "predecessor"),
        _end(element, "successor"),
        tuple(_signal(s) for s in element.findall("signals/signal")),
        tuple(c for c in crosswalks if c is not None),
        kind.get("type", "town") if (kind := element.find("type")) is not None else "town",
    )


def _junction(element: Element) -> Junction:
    connections = [
        Connection(
            int(c.get("incomingRoad", "-1")),
            int(c.get("connectingRoad", "-1")),
            c.get("contactPoint", "start"),
            tuple((int(link.attrib["from"]), int(link.attrib["to"])) for link in c.findall("laneLink")),
        )
        for c in element.findall("connection")
    ]
    return Junction(int(element.attrib["id"]), tuple(connections))
