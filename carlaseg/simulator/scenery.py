"""What stands beside the road: buildings first, then everything smaller, each only where the ground is still free."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carlaseg.simulator.approaches import Approach
from carlaseg.simulator.bridges import build_bridges
from carlaseg.simulator.buildings import build_buildings
from carlaseg.simulator.ground import Ground
from carlaseg.simulator.landscape import Landscape, build_landscape
from carlaseg.simulator.lots import Lots
from carlaseg.simulator.mesh import MeshBuilder
from carlaseg.simulator.opendrive import RoadNetwork
from carlaseg.simulator.parked import park_vehicles
from carlaseg.simulator.pavement import Pavement
from carlaseg.simulator.plants import Planting, plant_open_ground
from carlaseg.simulator.scene import LevelBox, TrafficLightSite
from carlaseg.simulator.street_furniture import furnish
from carlaseg.simulator.traffic_control import build_traffic_control


@dataclass(frozen=True)
class Scenery:
    """What the rest of the simulator must know of the scenery.

    Attributes:
        traffic_lights: with their stop zones.
        level_boxes: one a building, tree, pole, light, sign.
        lamp_positions: float32 (L, 3), town frame.
    """

    traffic_lights: tuple[TrafficLightSite, ...]
    level_boxes: tuple[LevelBox, ...]
    lamp_positions: NDArray[np.float32]


def build_scenery(
    builder: MeshBuilder,
    pavement: Pavement,
    ground: Ground,
    landscape: Landscape,
    approaches: list[Approach],
    network: RoadNetwork,
    stage: Callable[[int], np.random.Generator],
) -> Scenery:
    """Add everything beside the road and report what others need.

    Args:
        builder: receives the geometry.
        pavement: what must stay free.
        ground: where feet stand.
        landscape: what was shaped into the ground.
        approaches: ways into junctions, for lights and signs.
        network: for signals that are not at junctions.
        stage: a generator of its own for each step.
    """
    lots = Lots(pavement)
    boxes: list[LevelBox] = []
    lights = build_traffic_control(builder, network, approaches, lots, boxes)
    build_landscape(builder, landscape, pavement, ground, lots, boxes, stage(14))
    build_bridges(builder, pavement, ground, lots)
    build_buildings(builder, pavement, ground, lots, boxes, stage(10))
    planting = Planting(lots)
    lamps = furnish(builder, pavement, ground, lots, planting, boxes, stage(11))
    plant_open_ground(planting, pavement, ground, stage(12))
    planting.stamp(builder, ground, boxes)
    park_vehicles(builder, pavement, boxes, stage(13))
    return Scenery(lights, tuple(boxes), lamps)
