"""The ways into junctions: which lanes, who governs them, where they stop and where people cross.

A map may say all of it (signals, crosswalk objects) or nothing; what it leaves open is filled in by rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from carlaseg.simulator.opendrive import Crosswalk, Road, RoadNetwork, Signal

Array = NDArray[np.float64]
Control = Literal["lights", "stop", "yield", "none"]

# Source: CARLA's traffic-light and sign types in OpenDRIVE signals (German catalogue numbers).
LIGHT_TYPE = "1000001"
_SIGN_CONTROLS: dict[str, Control] = {LIGHT_TYPE: "lights", "206": "stop", "205": "yield"}
_RULE_STOP_M = 5.4
_RULE_CROSSING_M = (1.2, 4.2)
_SHORTEST_M = 16.0
_BESIDE_CROSSING_M, _SHORTEST_STRETCH_M = 0.2, 0.3


@dataclass(frozen=True)
class Crossing:
    """A zebra crossing between two distances along a road, from edge to edge of its roadway."""

    road: Road
    from_s: float
    to_s: float


@dataclass(frozen=True)
class Approach:
    """The end of a road that runs into a junction.

    Attributes:
        road: the road.
        at_end: whether the junction is at the road's end (else at its start).
        lanes: ids of the driving lanes that lead in, from the middle outward.
        junction: id.
        control: who governs them.
        signal: the signal that says so, None where control came by rule.
        stop_m: from the junction's edge back to the stop line.
    """

    road: Road
    at_end: bool
    lanes: tuple[int, ...]
    junction: int
    control: Control
    signal: Signal | None
    stop_m: float

    def s_at(self, back_m: float) -> float:
        """Distance along the road at `back_m` metres before the junction."""
        back = min(back_m, self.road.length)
        return self.road.length - back if self.at_end else back

    @property
    def heading(self) -> float:
        """Direction of travel into the junction, radians, town frame."""
        heading = float(self.road.plan.at(np.array([self.s_at(0.01)]))[2][0])
        return heading if self.at_end else heading + np.pi

    def edges(self, back_m: float) -> tuple[float, float]:
        """T of the inner and the outer edge of the controlled lanes at `back_m` metres before the junction."""
        s = self.s_at(back_m)
        bounds = self.road.boundaries(self.road.section_at(s), np.array([s]))
        side = 1 if self.lanes[0] > 0 else -1
        known = [lane for lane in self.lanes if lane in bounds] or [side]
        inner, outer = min(known, key=abs) - side, max(known, key=abs)
        return float(bounds[inner][0]), float(bounds.get(outer, bounds[0])[0])

    def road_edge(self, back_m: float) -> float:
        """T of the outer edge of the roadway on the controlled lanes' side, where sidewalk or verge begins."""
        s = self.s_at(back_m)
        section = self.road.section_at(s)
        bounds = self.road.boundaries(section, np.array([s]))
        edge = float(bounds[0][0])
        for lane in section.outward(1 if self.lanes[0] > 0 else -1):
            if lane.type in ("sidewalk", "none", "walking", "curb"):
                break
            edge = float(bounds[lane.id][0])
        return edge


def find_approaches(network: RoadNetwork, rng: np.random.Generator) -> list[Approach]:
    """Every approach of every junction, with its control.

    Signals decide where the map has any; a map without gets lights at junctions of four and more approaches and signs
    at the others.
    """
    found: list[Approach] = []
    has_signals = any(s.type in _SIGN_CONTROLS for road in network.roads.values() for s in road.signals)
    for road in network.roads.values():
        if road.junction != -1:
            continue
        for at_end, touched in ((False, road.predecessor), (True, road.successor)):
            if touched is None or touched.element != "junction" or touched.id not in network.junctions:
                continue
            section = road.sections[-1] if at_end else road.sections[0]
            lanes = tuple(lane.id for lane in section.outward(-1 if at_end else 1) if lane.type == "driving")
            if not lanes:
                continue
            signal = _governing(road, at_end)
            control = _SIGN_CONTROLS[signal.type] if signal else "none"
            back = _RULE_STOP_M
            if signal:
                back = float(np.clip(road.length - signal.s if at_end else signal.s, 0.5, 12.0))
            found.append(Approach(road, at_end, lanes, touched.id, control, signal, min(back, road.length / 2)))
    return found if has_signals else _controlled_by_rule(found, rng)


def find_crossings(network: RoadNetwork, approaches: list[Approach]) -> list[Crossing]:
    """Zebra crossings: the map's own, or, where it has none, one before each junction on roads with two sidewalks."""
    result: list[Crossing] = []
    for road in network.roads.values():
        result.extend(_crossing(road, crosswalk) for crosswalk in road.crosswalks)
    if result:
        return result
    for approach in approaches:
        section = approach.road.section_at(approach.s_at(2.0))
        sidewalks = {np.sign(lane.id) for lane in section.lanes.values() if lane.type == "sidewalk"}
        if len(sidewalks) == 2 and approach.road.length > _SHORTEST_M and approach.control in ("lights", "stop"):
            a, b = (approach.s_at(back) for back in _RULE_CROSSING_M)
            result.append(Crossing(approach.road, min(a, b), max(a, b)))
    return result


def clear_of(crossings: list[Crossing], start: float, end: float) -> list[tuple[float, float]]:
    """The stretches of a road from `start` to `end` that leave its zebra crossings clear."""
    stretches = [(start, end)]
    for crossing in crossings:
        low, high = crossing.from_s - _BESIDE_CROSSING_M, crossing.to_s + _BESIDE_CROSSING_M
        stretches = [piece for a, b in stretches for piece in ((a, min(b, low)), (max(a, high), b))]
    return [(a, b) for a, b in stretches if b - a > _SHORTEST_STRETCH_M]


def _crossing(road: Road, crosswalk: Crosswalk) -> Crossing:
    s = np.clip(crosswalk.outline[:, 0], 0.0, road.length)
    return Crossing(road, float(s.min()), float(s.max()))


def _governing(road: Road, at_end: bool) -> Signal | None:
    """The light or sign nearest this end of the road that is meant for the lanes running into it."""
    best: Signal | None = None
    for signal in road.signals:
        if signal.type not in _SIGN_CONTROLS:
            continue
        if signal.lanes is not None:
            for_right = signal.lanes[0] < 0
            if for_right != at_end and signal.lanes[0] * signal.lanes[1] > 0:
                continue
        back = road.length - signal.s if at_end else signal.s
        if back > max(12.0, road.length / 2):
            continue
        light_first = best is None or (signal.type == LIGHT_TYPE) >= (best.type == LIGHT_TYPE)
        if light_first:
            best = signal
    return best


def _controlled_by_rule(approaches: list[Approach], rng: np.random.Generator) -> list[Approach]:
    by_junction: dict[int, list[Approach]] = {}
    for approach in approaches:
        by_junction.setdefault(approach.junction, []).append(approach)
    result = []
    for junction in sorted(by_junction):
        here = by_junction[junction]
        crossing_ways = len({round(a.heading / (np.pi / 2)) % 2 for a in here}) == 2
        draw = rng.random()
        if len(here) >= 3 and crossing_ways and (len(here) >= 4 or draw < 0.5):
            control: Control = "lights"
        elif len(here) >= 3 and crossing_ways:
            control = "stop" if draw < 0.75 else "yield"
        else:
            control = "none"
        for a in here:
            long_enough = a.road.length > _SHORTEST_M
            chosen: Control = control if long_enough else "none"
            result.append(Approach(a.road, a.at_end, a.lanes, a.junction, chosen, None, a.stop_m))
    return result
