"""The navigation mesh file, read back by the layout Detour defines."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from carlaseg.errors import SimulatorError
from carlaseg.simulator import navigation_mesh
from carlaseg.simulator.navigation_mesh import build_navigation_mesh, navigation_file_name

STRIP = np.array([[(x, 0, 0), (x + 5, 0, 0), (x + 5, 2, 0), (x, 2, 0)] for x in range(0, 50, 5)], np.float32)
AREAS = np.array([1] * 9 + [2], np.uint8)


def read(content):
    assert struct.unpack_from("<iii", content) == (0x4D534554, 1, 1)
    *_, max_tiles, max_polygons = struct.unpack_from("<3fffii", content, 12)
    reference, size = struct.unpack_from("<Ii", content, 40)
    header = struct.unpack_from("<iiiiiIiiiiiiiiifff3f3ff", content, 48)
    count, corners, links, details, _, triangles = header[6:12]
    at = 48 + 100
    points = np.frombuffer(content, "<f4", corners * 3, at).reshape(-1, 3)
    at += corners * 12
    polygons = np.frombuffer(content, navigation_mesh._POLYGON, count, at)
    at += count * 32 + links * 12 + details * 12 + triangles * 4
    assert at == len(content) == 48 + size
    assert max_tiles == 1
    assert count < max_polygons == reference
    return points, polygons


@pytest.mark.parametrize("turned", [False, True])
def test_strip_is_a_chain_of_neighbours_wound_the_right_way_whichever_way_it_came(turned):
    points, polygons = read(build_navigation_mesh(STRIP[:, ::-1] if turned else STRIP, AREAS))
    assert len(points) == 22, "shared corners are one"
    assert len(polygons) == 10
    neighbours = [sorted(set(row) - {0}) for row in polygons["neighbours"].tolist()]
    assert neighbours == [[i for i in (k, k + 2) if 1 <= i <= 10] for k in range(10)]
    for polygon in polygons:
        x, y = points[polygon["corners"][:4]][:, (0, 2)].T
        assert np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) < 0
    assert polygons["flags"].tolist() == [0x02] * 9 + [0x04]
    assert polygons["area"].tolist() == AREAS.tolist()


def test_quads_without_area_are_left_out_and_nothing_gives_nothing():
    flat = np.zeros((3, 4, 3), np.float32)
    assert build_navigation_mesh(flat, np.ones(3, np.uint8)) == b""
    assert build_navigation_mesh(np.zeros((0, 4, 3), np.float32), np.zeros(0, np.uint8)) == b""
    _, polygons = read(build_navigation_mesh(np.concatenate([STRIP, flat]), np.ones(13, np.uint8)))
    assert len(polygons) == 10


def test_file_name_changes_with_the_content():
    one, other = build_navigation_mesh(STRIP, AREAS), build_navigation_mesh(STRIP + 1, AREAS)
    assert navigation_file_name("town", one) == navigation_file_name("town", build_navigation_mesh(STRIP, AREAS))
    assert navigation_file_name("town", one) != navigation_file_name("town", other)


def test_more_corners_than_a_tile_can_number_are_refused(monkeypatch):
    monkeypatch.setattr(navigation_mesh, "MAX_CORNERS", 20)
    with pytest.raises(SimulatorError, match="at most 20 corners, received 22"):
        build_navigation_mesh(STRIP, AREAS)
