"""A town: OpenDRIVE text in, everything the simulator knows about it out.

The same name, seed and text give the same bytes, in any process: each stage draws from its own generator, and nothing
depends on the order of a set.
"""

from __future__ import annotations

import difflib
import zlib

import numpy as np

from carlaseg.errors import SimulatorError
from carlaseg.simulator.approaches import find_approaches, find_crossings
from carlaseg.simulator.ground import HEIGHT_CELL_M, Ground
from carlaseg.simulator.landscape import shape_landscape
from carlaseg.simulator.markings import build_markings
from carlaseg.simulator.mesh import MeshBuilder
from carlaseg.simulator.opendrive import read_opendrive
from carlaseg.simulator.pavement import Pavement
from carlaseg.simulator.roads_mesh import build_road_surfaces
from carlaseg.simulator.scene import Town
from carlaseg.simulator.scenery import build_scenery
from carlaseg.simulator.spawn_points import build_spawn_points
from carlaseg.simulator.town_opendrive import generate_opendrive
from carlaseg.simulator.town_plan import GENERATED_TOWNS
from carlaseg.simulator.walk_areas import build_walk_areas


def town_names() -> tuple[str, ...]:
    """Names of the towns that need no file; the first is the default."""
    return GENERATED_TOWNS


def build_town(name: str = GENERATED_TOWNS[0], seed: int = 0, opendrive: str | None = None) -> Town:
    """A town, built in a second or two.

    Args:
        name: one of `town_names()`, or any name together with `opendrive`.
        seed: of everything that is drawn: streets of a generated town, buildings, trees, street furniture.
        opendrive: a map's OpenDRIVE text; None generates the map.

    Raises:
        SimulatorError: the name is unknown and no text was given, or the text cannot be read as a map.
    """
    if opendrive is None:
        if name not in GENERATED_TOWNS:
            near = difflib.get_close_matches(name, GENERATED_TOWNS, 1, 0.3)
            raise SimulatorError(
                f"town {name!r}: expected one of {', '.join(GENERATED_TOWNS)} or an OpenDRIVE text with it, "
                "received neither. No town was built.",
                (("nearest", near[0]),) if near else (),
            )
        opendrive = generate_opendrive(name, seed)
    network = read_opendrive(opendrive)
    salt = zlib.crc32(name.encode())

    def stage(number: int) -> np.random.Generator:
        return np.random.default_rng([seed & 0xFFFFFFFF, salt, number])

    pavement = Pavement(network)
    if not pavement.strips:
        raise SimulatorError(f"town {name!r}: expected a map with lanes to drive on, received none. No town was built.")
    approaches = find_approaches(network, stage(1))
    crossings = find_crossings(network, approaches)
    ground = Ground(pavement, stage(2))
    landscape = shape_landscape(pavement, ground, stage(4))
    builder = MeshBuilder()
    build_road_surfaces(builder, pavement, crossings)
    build_markings(builder, network, approaches, crossings)
    ground.mesh(builder, stage(3))
    scenery = build_scenery(builder, pavement, ground, landscape, approaches, network, stage)
    walk_quads, walk_areas = build_walk_areas(network, pavement, crossings)
    return Town(
        name=name,
        seed=seed,
        opendrive=opendrive,
        spawn_points=build_spawn_points(network),
        parts=builder.parts(),
        traffic_lights=scenery.traffic_lights,
        walk_quads=walk_quads,
        walk_areas=walk_areas,
        level_boxes=scenery.level_boxes,
        lamp_positions=scenery.lamp_positions,
        bounds_town=ground.bounds,
        road_height_grid=ground.grid.astype(np.float32),
        road_height_cell_m=HEIGHT_CELL_M,
        deck_height_grid=ground.decks(),
    )
