"""The file that CARLA's client steers walkers by: a Recast/Detour navigation mesh made of the town's walkable quads.

One tile, 32-bit references, convex polygons of four corners, two detail triangles each, no bounding volume tree.
Detour's axes are (x, up, y) of CARLA's. The client keeps the file for ever under its name, so the name has its hash.

Source: Detour's DT_NAVMESH_VERSION 7 tile layout and the MSET container of RecastDemo; area and flag numbers as in
carla 0.9.16, carla::nav::Navigation.
"""

from __future__ import annotations

import hashlib
import struct

import numpy as np
from numpy.typing import NDArray

from carlaseg.errors import SimulatorError

_SET_MAGIC, _SET_VERSION = 0x4D534554, 1
_TILE_MAGIC, _TILE_VERSION = 0x444E4156, 7
_AREA_FLAGS = {1: 0x02, 2: 0x04, 3: 0x08, 4: 0x10}
"""Flags a walker's filter tests, by area: 1 sidewalk, 2 crossing, 3 road, 4 grass."""
_WALKER_HEIGHT_M, _WALKER_RADIUS_M, _CLIMB_M = 1.8, 0.3, 0.3
_QUANTISATION = 1.0 / _WALKER_RADIUS_M
_WELD_M = 0.01
"""Corners nearer than this are one corner; quads are neighbours only where they share two."""
_MIN_AREA_M2 = 1e-3
MAX_CORNERS = 0xFFFE
_TRIANGLE_FLAGS = 0x15
_POLYGON = np.dtype(
    [
        ("first_link", "<u4"),
        ("corners", "<u2", 6),
        ("neighbours", "<u2", 6),
        ("flags", "<u2"),
        ("corner_count", "u1"),
        ("area", "u1"),
    ]
)
_DETAIL = np.dtype(
    [("corner_base", "<u4"), ("triangle_base", "<u4"), ("corners", "u1"), ("triangles", "u1"), ("pad", "<u2")]
)
_LINK_BYTES = 12


def navigation_file_name(town_name: str, content: bytes) -> str:
    """Return the name under which clients ask for a mesh and keep it."""
    return f"Carla/Maps/Nav/{town_name}_{hashlib.sha256(content).hexdigest()[:12]}.bin"


def build_navigation_mesh(quads: NDArray[np.float32], areas: NDArray[np.uint8]) -> bytes:
    """Return the navigation mesh of walkable quads, empty bytes when there are none.

    Args:
        quads: float32 (Q, 4, 3), CARLA frame, metres; corners in order, either way round.
        areas: uint8 (Q,), 1 sidewalk, 2 crossing, 3 road, 4 grass.

    Raises:
        SimulatorError: more corners than a tile can number.
    """
    wound, areas = _wound(np.asarray(quads, np.float64).reshape(-1, 4, 3), np.asarray(areas, np.uint8))
    corners, index = _welded(wound)
    whole = np.array([len(set(row)) == 4 for row in index.tolist()], bool) if len(index) else np.zeros(0, bool)
    index, areas = index[whole], areas[whole]
    if not len(index):
        return b""
    if len(corners) > MAX_CORNERS:
        raise SimulatorError(f"navigation mesh: expected at most {MAX_CORNERS} corners, received {len(corners)}")
    tile = _tile(corners, index, areas)
    polygon_bits = max(1, len(index).bit_length())
    low, high = _bounds(corners)
    parameters = struct.pack("<3fffii", *low, high[0] - low[0] + 1.0, high[2] - low[2] + 1.0, 1, 1 << polygon_bits)
    opening = struct.pack("<iii", _SET_MAGIC, _SET_VERSION, 1)
    return opening + parameters + struct.pack("<Ii", 1 << polygon_bits, len(tile)) + tile


def _bounds(corners: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A metre more than what the corners span."""
    return corners.min(axis=0) - 1.0, corners.max(axis=0) + 1.0


def _tile(corners: NDArray[np.float64], index: NDArray[np.int64], areas: NDArray[np.uint8]) -> bytes:
    """Return a Detour tile of quads: corners (C, 3), each quad's indices into them (Q, 4), areas (Q,)."""
    neighbours = _neighbours(index)
    count = len(index)
    polygons = np.zeros(count, _POLYGON)
    polygons["corners"][:, :4] = index
    polygons["neighbours"][:, :4] = neighbours
    polygons["flags"] = [_AREA_FLAGS.get(int(area), 0x02) for area in areas]
    polygons["corner_count"] = 4
    polygons["area"] = areas  # the two top bits, the polygon's type, stay 0: ground
    details = np.zeros(count, _DETAIL)
    details["triangle_base"] = np.arange(count) * 2
    details["triangles"] = 2
    triangles = np.tile(np.array([[0, 1, 2, _TRIANGLE_FLAGS], [0, 2, 3, _TRIANGLE_FLAGS]], np.uint8), (count, 1))
    max_links = int(np.count_nonzero(neighbours)) + 16
    low, high = _bounds(corners)
    header = struct.pack(
        "<iiiiiIiiiiiiiiifff3f3ff",
        *(_TILE_MAGIC, _TILE_VERSION, 0, 0, 0, 0),
        *(count, len(corners), max_links, count, 0, len(triangles), 0, 0, count),
        *(_WALKER_HEIGHT_M, _WALKER_RADIUS_M, _CLIMB_M, *low, *high, _QUANTISATION),
    )
    return b"".join(
        (
            header,
            corners.astype("<f4").tobytes(),
            polygons.tobytes(),
            bytes(_LINK_BYTES * max_links),
            details.tobytes(),
            triangles.tobytes(),
        )
    )


def _wound(quads: NDArray[np.float64], areas: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Return the quads that have an area, all wound the way Detour needs (the other way, walkers jitter in place)."""
    x, y = quads[..., 0], quads[..., 1]
    signed = 0.5 * np.sum(x * np.roll(y, -1, axis=1) - np.roll(x, -1, axis=1) * y, axis=1)
    quads = quads.copy()
    wrong_way = signed > 0
    quads[wrong_way] = quads[wrong_way, ::-1]
    solid = np.abs(signed) > _MIN_AREA_M2
    return quads[solid], areas[solid]


def _welded(quads: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the distinct corners (C, 3) in Detour's axes and each quad's indices into them (Q, 4)."""
    axes = quads[..., (0, 2, 1)].reshape(-1, 3)
    _, first, inverse = np.unique(
        np.round(axes / _WELD_M).astype(np.int64), axis=0, return_index=True, return_inverse=True
    )
    return axes[first], inverse.reshape(-1, 4)


def _neighbours(index: NDArray[np.int64]) -> NDArray[np.uint16]:
    """Return for each quad and edge the number of the quad beyond it, counted from 1, 0 for none."""
    count = len(index)
    edges = np.sort(np.stack((index, np.roll(index, -1, axis=1)), axis=2).reshape(-1, 2), axis=1)
    order = np.lexsort((edges[:, 1], edges[:, 0]))
    ordered = edges[order]
    same = np.all(ordered[1:] == ordered[:-1], axis=1)
    result = np.zeros(count * 4, np.uint16)
    for place in np.flatnonzero(same):
        one, other = order[place], order[place + 1]
        result[one], result[other] = other // 4 + 1, one // 4 + 1
    return result.reshape(count, 4)
