"""Surfaces of roads, sidewalks and medians: nothing is seen through their seams, nothing stands on a crossing."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import shapely

from carlaseg.simulator.approaches import Crossing
from carlaseg.simulator.mesh import MeshBuilder
from carlaseg.simulator.opendrive import read_opendrive
from carlaseg.simulator.pavement import Pavement
from carlaseg.simulator.polygon_mesh import rim, tessellate
from carlaseg.simulator.renderer import Renderer
from carlaseg.simulator.roads_mesh import GROUND_TAG, ROAD_TAG, build_road_surfaces
from carlaseg.simulator.scene import CameraSpec, Frame, MeshPart
from carlaseg.simulator.town import build_town

PAVED_TAGS, SKY_TAG = (1, 2, 24, 25), 11


def way_around(edges: np.ndarray) -> float:
    return float(np.linalg.norm(edges[:, 1] - edges[:, 0], axis=1).sum())


def test_rim_of_triangles_is_the_outline_of_their_region() -> None:
    region = shapely.box(0, 0, 20, 20).difference(shapely.Point(9, 11).buffer(4.0))
    edges = rim(tessellate(region, 8.0))
    assert way_around(edges) == pytest.approx(region.length)
    middles, along = edges.mean(axis=1), edges[:, 1] - edges[:, 0]
    left = np.column_stack([-along[:, 1], along[:, 0]]) * 1e-3
    assert shapely.contains_xy(region, *(middles + left).T).all()
    assert not shapely.contains_xy(region, *(middles - left).T).any()


def test_rim_has_the_edges_of_a_seam_with_different_corners_and_keeps_those_beside_slivers() -> None:
    below = np.array([[(0.0, 0.0), (4.0, 0.0), (2.0, 2.0)]])
    above = np.array([[(0.0, 0.0), (-1.0, -2.0), (1.5, 0.0)], [(1.5, 0.0), (3.0, -2.0), (4.0, 0.0)]])
    seam = [edge for edge in rim(np.concatenate([below, above])).tolist() if edge[0][1] == edge[1][1] == 0.0]
    assert len(seam) == 3, "the long edge, and the two short ones that lie on it"
    sliver = np.array([[(0.0, 0.0), (4.0, -2e-5), (4.0, -1e-5)]])
    assert way_around(rim(np.concatenate([below, sliver]))) == pytest.approx(way_around(rim(below)), abs=1e-4)


MEDIAN = (
    '<OpenDRIVE><road length="40" id="1"><planView><geometry s="0" x="0" y="0" hdg="0" length="40"><line/></geometry>'
    '</planView><lanes><laneSection s="0"><right>'
    '<lane id="-1" type="driving"><width sOffset="0" a="4" b="0" c="0" d="0"/></lane>'
    '<lane id="-2" type="median"><width sOffset="0" a="2" b="0" c="0" d="0"/></lane>'
    '<lane id="-3" type="driving"><width sOffset="0" a="4" b="0" c="0" d="0"/></lane>'
    "</right></laneSection></lanes></road></OpenDRIVE>"
)


@pytest.mark.parametrize("stand_in", [False, True])
def test_median_leaves_a_crossing_clear_and_its_asphalt_shows_there(stand_in: bool) -> None:
    network = read_opendrive(MEDIAN)
    builder = MeshBuilder()
    build_road_surfaces(builder, Pavement(network), [Crossing(network.roads[1], 20.0, 24.0)])

    def covers(tag: int, x: float) -> bool:
        def has(part: MeshPart) -> bool:
            flat = shapely.polygons(part.positions[part.triangles][:, [0, 1, 2, 0], :2].astype(np.float64))
            return bool(shapely.intersects(flat, shapely.Point(x, -5.0)).any())

        return any(has(part) for part in builder.parts() if part.tag == tag and part.stand_in == stand_in)

    assert [covers(GROUND_TAG, x) for x in (5.0, 19.0, 20.5, 23.5, 25.0, 35.0)] == [
        True,
        True,
        False,
        False,
        True,
        True,
    ]
    assert covers(ROAD_TAG, 22.0)


def test_road_with_lanes_on_one_side_alone_has_faces_down_on_both_of_its_edges_and_ends() -> None:
    builder = MeshBuilder()
    build_road_surfaces(builder, Pavement(read_opendrive(MEDIAN)), [])
    edges = set()
    for part in builder.parts():
        upright = np.abs(part.normals[part.triangles[:, 0], 2]) < 0.1
        for middle, normal in zip(
            part.positions[part.triangles[upright]].mean(axis=1),
            part.normals[part.triangles[upright, 0]],
            strict=True,
        ):
            if part.tag == ROAD_TAG and middle[2] < 0.0:
                edges.add((*(round(float(value)) + 0 for value in normal[:2]), round(float(abs(middle @ normal)), 1)))
    assert {(0, 1, 0.0), (0, -1, 10.0), (-1, 0, 0.0), (1, 0, 40.0)} <= edges


@pytest.mark.slow
@pytest.mark.parametrize(("name", "seed"), [("carlaseg_ring", 2), ("carlaseg_village", 1)])
def test_the_sky_is_not_seen_through_the_ground(name: str, seed: int) -> None:
    town = build_town(name, seed)
    renderer = Renderer(town)
    key = renderer.add_camera(CameraSpec("semantic", 240, 320, 90.0))
    for spawn in town.spawn_points[::3]:
        yaw = np.radians(spawn.yaw)
        x, y = spawn.x + 8.0 * float(np.cos(yaw)), spawn.y + 8.0 * float(np.sin(yaw))
        eye = dataclasses.replace(spawn, x=x, y=y, z=spawn.z + 1.1, pitch=spawn.pitch - 6.0)
        tags = renderer.render([(key, eye)], Frame(()))[key][..., 2]
        paved, sky = np.isin(tags, PAVED_TAGS), tags == SKY_TAG
        assert not (sky[1:-1] & paved[:-2] & paved[2:]).any(), spawn
    renderer.close()
