"""OpenDRIVE text in, a `RoadNetwork` out: plain records with the few sums that geometry needs.

The right-handed frame of the file throughout: x east, y north, z up, metres, radians. No meshes and no CARLA here.
"""

from __future__ import annotations

from carlaseg.simulator.opendrive.curves import PlanView
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
from carlaseg.simulator.opendrive.reading import read_opendrive

__all__ = [
    "Connection",
    "Crosswalk",
    "Cubics",
    "Junction",
    "Lane",
    "LaneSection",
    "PlanView",
    "Road",
    "RoadEnd",
    "RoadMark",
    "RoadNetwork",
    "Signal",
    "read_opendrive",
]
