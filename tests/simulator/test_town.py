"""Generated towns and towns from files: driven on with the real `carla.Map`, searched for misplaced things."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from carlaseg.errors import SimulatorError
from carlaseg.simulator.elevation import Elevation
from carlaseg.simulator.opendrive import read_opendrive
from carlaseg.simulator.pavement import Pavement
from carlaseg.simulator.poses import compose
from carlaseg.simulator.renderer.tiles import cut_into_tiles
from carlaseg.simulator.scene import MeshPart, Pose, Town
from carlaseg.simulator.town import build_town, town_names
from carlaseg.simulator.town_opendrive import generate_opendrive

MAPS = Path(__file__).resolve().parents[3] / "shared" / "data" / "opendrive" / "carla"
TALLEST_TRUCK_M = 4.5
# Towns for the tests that look at everything in one; the larger two take their time.
TOWNS = ["carlaseg_grid", "carlaseg_ring"]
TOWNS += [pytest.param(name, marks=pytest.mark.slow) for name in ("carlaseg_highway", "carlaseg_village")]


@cache
def town(name: str = "carlaseg_grid", seed: int = 0) -> Town:
    return build_town(name, seed)


@cache
def real_map(name: str = "carlaseg_grid", seed: int = 0) -> Any:
    carla = pytest.importorskip("carla")
    return carla.Map(name, town(name, seed).opendrive)


def digest(built: Town) -> str:
    """A hash of everything in a town."""
    total = hashlib.sha256()
    for field in fields(built):
        value = getattr(built, field.name)
        if field.name == "parts":
            for part in value:
                for attribute in fields(MeshPart):
                    item = getattr(part, attribute.name)
                    total.update(item.tobytes() if isinstance(item, np.ndarray) else repr(item).encode())
        elif isinstance(value, np.ndarray):
            total.update(value.tobytes())
        elif field.name == "traffic_lights":
            for light in value:
                total.update(repr((light.signal_id, light.pose, light.phase, light.head_heading_rad)).encode())
                total.update(b"".join(zone.tobytes() for zone in light.stop_zones) + light.head_center_town.tobytes())
        else:
            total.update(repr(value).encode())
    return total.hexdigest()


def test_the_same_name_and_seed_give_the_same_bytes_in_another_process() -> None:
    script = (
        "import sys; sys.path.insert(0, 'tests/simulator'); "
        "from test_town import build_town, digest; print(digest(build_town('carlaseg_grid', 0)))"
    )
    root = Path(__file__).resolve().parents[2]
    salt = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    said = subprocess.run(
        [sys.executable, "-c", script],
        cwd=root,
        env={**os.environ, "PYTHONHASHSEED": salt},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout.strip()
    assert said == digest(town())


def test_another_seed_gives_another_town() -> None:
    assert digest(town()) != digest(town(seed=1))
    assert generate_opendrive("carlaseg_grid", 0) != generate_opendrive("carlaseg_grid", 1)


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(SimulatorError, match="carlaseg_grid") as caught:
        build_town("carlaseg_gird")
    assert caught.value.next_steps == (("nearest", "carlaseg_grid"),)


@pytest.mark.parametrize("name", TOWNS)
def test_every_array_is_what_the_contract_says(name: str) -> None:
    built = town(name)
    assert len(built.spawn_points) >= 40 or name != "carlaseg_grid"
    for part in built.parts:
        n = len(part.positions)
        assert part.positions.dtype == part.normals.dtype == part.uvs.dtype == np.float32
        assert part.positions.shape == part.normals.shape == (n, 3)
        assert part.uvs.shape == (n, 2)
        assert part.colors.dtype == np.uint8
        assert part.colors.shape == (n, 3)
        assert part.instances.dtype == np.uint16
        assert part.instances.shape == (n,)
        assert part.triangles.dtype == np.int32
        assert part.triangles.min() >= 0
        assert part.triangles.max() < n
        assert np.isfinite(part.positions).all()
        assert np.isfinite(part.uvs).all()
        assert np.abs(np.linalg.norm(part.normals, axis=1) - 1.0).max() < 1e-3
        assert 0 <= part.tag <= 28
    assert {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 24} <= {part.tag for part in built.parts}
    # Large coordinates would tear textures: each tile brings its own back to nought.
    assert max(float(np.abs(batch.uvs).max()) for batch in cut_into_tiles(built.parts)) < 64.0
    assert 30_000 < sum(len(part.triangles) for part in built.parts) < 400_000


@pytest.mark.parametrize("name", TOWNS)
def test_faces_turn_the_way_their_normals_point(name: str) -> None:
    for part in town(name).parts:
        if part.two_sided:
            continue
        a, b, c = (part.positions[part.triangles[:, k]].astype(np.float64) for k in range(3))
        face = np.cross(b - a, c - a)
        size = np.linalg.norm(face, axis=1)
        agreement = np.sum(face * part.normals[part.triangles].mean(axis=1), axis=1)
        assert np.all(agreement[size > 1e-4] > 0), (part.material, part.tag)


@pytest.mark.parametrize("name", town_names())
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_real_map_accepts_every_generated_town(name: str, seed: int) -> None:
    carla = pytest.importorskip("carla")
    made = carla.Map(name, generate_opendrive(name, seed))
    assert len(made.get_topology()) > 20
    assert len(made.get_crosswalks()) > 20
    assert len(made.get_all_landmarks_of_type("1000001")) >= 3


@pytest.mark.parametrize("name", TOWNS)
def test_spawn_points_lie_on_driving_lanes_and_head_along_them(name: str) -> None:
    carla = pytest.importorskip("carla")
    points = town(name).spawn_points
    for point in points:
        place = carla.Location(point.x, point.y, point.z)
        waypoint = real_map(name).get_waypoint(place, project_to_road=False)
        assert waypoint is not None
        assert waypoint.lane_type == carla.LaneType.Driving
        assert not waypoint.is_junction
        centre = waypoint.transform
        # The client finds the distance along a lane to some centimetres only; across it must agree.
        off = np.array([point.x - centre.location.x, point.y - centre.location.y])
        right = centre.get_right_vector()
        assert abs(off @ [right.x, right.y]) < 0.01
        assert np.linalg.norm(off) < 0.2
        assert point.z - centre.location.z == pytest.approx(0.5, abs=0.01)
        assert np.cos(np.radians(centre.rotation.yaw - point.yaw)) > 0.9999
    places = np.array([(p.x, p.y) for p in points])
    gaps = np.linalg.norm(places[:, None] - places[None], axis=-1) + 1e6 * np.eye(len(places))
    assert gaps.min() >= 12.0


@pytest.mark.parametrize("name", TOWNS)
def test_one_can_drive_two_kilometres_from_every_spawn_point(name: str) -> None:
    carla = pytest.importorskip("carla")
    chooser = random.Random(7)
    junctions = set()
    for point in town(name).spawn_points[::3]:
        waypoint = real_map(name).get_waypoint(carla.Location(point.x, point.y, point.z))
        for _ in range(500):
            following = waypoint.next(4.0)
            assert following, f"dead end on road {waypoint.road_id}"
            step = chooser.choice(following)
            assert step.transform.location.distance(waypoint.transform.location) < 5.0
            waypoint = step
            junctions.add(waypoint.junction_id)
    assert len(junctions - {-1}) >= 4


@pytest.mark.parametrize("name", TOWNS)
def test_the_asphalt_ends_where_the_real_lanes_end(name: str) -> None:
    """Vertices of street surfaces lie on the boundaries that the real map's waypoints give."""
    asphalt = np.concatenate(
        [part.positions for part in town(name).parts if part.material == "asphalt" and not part.stand_in]
    )
    network = read_opendrive(town(name).opendrive)
    tree = shapely.STRtree(shapely.points(asphalt[:, :2].astype(np.float64)))
    checked = 0
    for road in network.roads.values():
        if road.junction != -1:
            continue
        for s in road.stations(road.sections[0], 0.02, 8.0)[1:-1]:
            for lane in (lane for lane in (-1, 1) if road.sections[0].lanes[lane].type == "driving"):
                waypoint = real_map(name).get_waypoint_xodr(road.id, lane, float(s))
                side = waypoint.transform.get_right_vector()
                middle = waypoint.transform.location
                for half in (waypoint.lane_width / 2, -waypoint.lane_width / 2):
                    edge = shapely.Point(middle.x + side.x * half, -(middle.y + side.y * half))
                    nearest = tree.geometries[tree.nearest(edge)]
                    assert edge.distance(nearest) < 0.01
                    checked += 1
    assert checked > 100


@pytest.mark.parametrize("name", TOWNS)
@pytest.mark.parametrize("seed", [0, 3])
def test_nothing_that_stands_reaches_over_a_driving_lane(name: str, seed: int) -> None:
    built = town(name, seed)
    network = read_opendrive(built.opendrive)
    driving = [strip.polygon for strip in Pavement(network).strips if strip.type == "driving"]
    lanes = shapely.union_all(driving).buffer(-0.01)
    shapely.prepare(lanes)
    for part in built.parts:
        if part.tag not in (3, 4, 5, 6, 7, 8, 9, 20, 28):
            continue
        corners = part.positions[part.triangles].astype(np.float64)
        ground = heights(built, corners.reshape(-1, 3)).reshape(-1, 3)
        low = (corners[..., 2] - ground).min(axis=1) < TALLEST_TRUCK_M
        flat = shapely.polygons(shapely.linearrings(corners[low][:, [0, 1, 2, 0], :2]))
        assert not shapely.intersects(lanes, shapely.make_valid(flat)).any(), (part.material, part.tag)


def test_buildings_and_trees_stay_off_the_sidewalks() -> None:
    built = town()
    sidewalks = Pavement(read_opendrive(built.opendrive)).sidewalks
    shapely.prepare(sidewalks)
    for part in built.parts:
        if part.tag == 3 or part.material == "bark":
            wide = 0.5 if part.tag == 3 else 0.0
            feet = part.positions[:, :2].astype(np.float64)
            inside = shapely.contains_xy(sidewalks.buffer(-0.02 - wide), feet[:, 0], feet[:, 1])
            assert not inside.any(), (part.material, part.tag)


def test_every_kerb_at_a_junction_faces_away_from_its_sidewalk() -> None:
    """Where a face is missing or turned round, one looks through the ground into the sky."""
    built = town()
    pavement = Pavement(read_opendrive(built.opendrive))
    kerbs = next(p for p in built.parts if p.material == "kerb" and p.tag == 2 and p.small)
    corners = kerbs.positions[kerbs.triangles].astype(np.float64)
    normals = kerbs.normals[kerbs.triangles[:, 0]]
    upright = np.abs(normals[:, 2]) < 0.1
    faces = shapely.STRtree(shapely.linestrings(corners[upright][:, [0, 1, 2, 0], :2]))
    assert pavement.junction_sidewalks
    for region in pavement.junction_sidewalks.values():
        for ring in shapely.get_rings(shapely.get_parts(region)):
            places = shapely.get_coordinates(shapely.segmentize(ring, 1.0))
            middles = (places[1:] + places[:-1]) / 2
            along = places[1:] - places[:-1]
            outward = np.column_stack([along[:, 1], -along[:, 0]])
            outward[shapely.contains_xy(region, *(middles + 0.01 * outward).T)] *= -1
            place, face = faces.query(shapely.points(middles), predicate="dwithin", distance=0.01)
            looks_out = (normals[upright][face][:, :2] * outward[place]).sum(axis=1) > 0
            assert set(place[looks_out]) == set(range(len(middles)))


def heights(built: Town, places: np.ndarray) -> np.ndarray:
    """Ground height under places (n, 3) by the town's own grid, nearest cell."""
    x0, y0 = built.bounds_town[:2]
    rows, columns = built.road_height_grid.shape
    i = np.clip(((places[:, 0] - x0) / built.road_height_cell_m).round().astype(int), 0, columns - 1)
    j = np.clip(((places[:, 1] - y0) / built.road_height_cell_m).round().astype(int), 0, rows - 1)
    result: np.ndarray = built.road_height_grid[j, i]
    return result


@pytest.mark.parametrize("name", TOWNS)
def test_the_height_grid_follows_the_roads(name: str) -> None:
    built = town(name)
    elevation = Elevation(built)
    for point in built.spawn_points:
        assert elevation.height(point.x, point.y, point.z - 0.5) == pytest.approx(point.z - 0.5, abs=0.1)


@pytest.mark.parametrize("name", TOWNS)
def test_a_light_governs_the_lane_before_it_and_shares_its_phase_with_the_opposite_one(name: str) -> None:
    carla = pytest.importorskip("carla")
    lights = town(name).traffic_lights
    assert len(lights) >= 3
    for light in lights:
        (zone,) = light.stop_zones
        shape = shapely.Polygon(zone)
        assert shape.is_valid
        assert 20.0 < shape.area < 60.0
        waypoint = real_map(name).get_waypoint(carla.Location(*map(float, zone.mean(axis=0))), project_to_road=False)
        assert waypoint is not None
        assert not waypoint.is_junction
        ahead = waypoint.next(10.0)
        assert all(w.is_junction and w.junction_id == light.junction_id for w in ahead)
        # Its lamps look against the traffic, its own axis lies across the road, to the left.
        heading_deg = waypoint.transform.rotation.yaw
        assert np.cos(light.head_heading_rad + np.radians(heading_deg)) < -0.99
        assert np.cos(np.radians(heading_deg - 90.0 - light.pose.yaw)) > 0.99
        assert -180.0 <= light.pose.yaw <= 180.0
        middle = compose(light.pose, Pose(*light.trigger_center))
        assert shape.contains(shapely.Point(middle.x, middle.y))
        assert light.trigger_extent[0] == pytest.approx(waypoint.lane_width / 2, abs=0.3)
    for one in lights:
        for other in lights:
            if one.junction_id == other.junction_id:
                aligned = abs(np.cos(one.head_heading_rad - other.head_heading_rad)) > 0.7
                assert (one.phase == other.phase) == aligned
    landmarks = {mark.id for mark in real_map(name).get_all_landmarks_of_type("1000001")}
    assert landmarks == {light.signal_id for light in lights}


@pytest.mark.parametrize("name", TOWNS)
def test_sidewalks_and_crossings_are_one_connected_area(name: str) -> None:
    built = town(name)
    quads = built.walk_quads
    assert len(quads) == len(built.walk_areas)
    assert {1, 2} == set(built.walk_areas.tolist())
    corners: dict[bytes, int] = {}
    edges: dict[frozenset[int], list[int]] = {}
    for k, quad in enumerate(quads):
        ids = [corners.setdefault(corner.tobytes(), len(corners)) for corner in quad]
        for a, b in zip(ids, ids[1:] + ids[:1], strict=True):
            edges.setdefault(frozenset((a, b)), []).append(k)
    assert max(len(sharing) for sharing in edges.values()) == 2
    neighbours: dict[int, set[int]] = {k: set() for k in range(len(quads))}
    for sharing in edges.values():
        for k in sharing:
            neighbours[k].update(sharing)
    reached, todo = {0}, [0]
    while todo:
        for k in sorted(neighbours[todo.pop()] - reached):
            reached.add(k)
            todo.append(k)
    # Nobody walks across a highway's ramps: its two sides are areas of their own.
    assert len(reached) > (0.4 if name == "carlaseg_highway" else 0.6) * len(quads)


def test_walk_quads_are_wound_as_carlas_navigation_meshes_are() -> None:
    quads = town().walk_quads.astype(np.float64)
    a, b = quads[:, 1, :2] - quads[:, 0, :2], quads[:, 2, :2] - quads[:, 0, :2]
    assert np.all(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0] < 0)


@pytest.mark.parametrize("name", ["Town01", pytest.param("Town03", marks=pytest.mark.slow)])
def test_a_town_is_built_from_carlas_own_map(name: str) -> None:
    path = MAPS / f"{name}.xodr"
    if not path.exists():
        pytest.skip(f"needs the shared map {path.name}")
    built = build_town(name, 0, path.read_text())
    assert len(built.spawn_points) > 100
    assert len(built.traffic_lights) > 10
    assert {1, 2, 3, 6, 7, 9, 10, 24} <= {part.tag for part in built.parts}
    assert all(np.isfinite(part.positions).all() for part in built.parts)


def test_what_stands_and_lies_in_a_driving_scene_is_in_the_small_towns_already() -> None:
    """All tags but those of actors (12, 13, 15, 16, 18, 19), of the sky (11), of bridges (26) and barriers (28)."""
    tags = {part.tag for name in ("carlaseg_grid", "carlaseg_ring") for part in town(name).parts}
    assert tags >= {*range(1, 11), 14, 17, 20, 21, 22, 23, 24, 25, 27}


@pytest.mark.slow
def test_a_highway_has_bridges_barriers_and_ramps_that_are_driven_on() -> None:
    built = town("carlaseg_highway")
    assert {26, 28} <= {part.tag for part in built.parts}
    decks = built.deck_height_grid
    assert decks.shape == built.road_height_grid.shape
    above = decks - built.road_height_grid
    assert np.nanmax(above) > TALLEST_TRUCK_M


@cache
def paved() -> shapely.Geometry:
    return Pavement(read_opendrive(town().opendrive)).all


def test_no_slit_is_left_between_what_is_paved() -> None:
    """Terrain fills what is not paved, a little beyond its edges: in a slit it would stand before the kerb."""
    holes = [hole for region in shapely.get_parts(paved()) for hole in region.interiors]
    assert len(holes) >= 6, "the blocks between the streets"
    for hole in holes:
        assert not shapely.Polygon(hole).buffer(-0.04, join_style="mitre").is_empty


def test_water_fills_its_basin_and_stays_off_the_pavement() -> None:
    built = town()
    (water,) = (part for part in built.parts if part.tag == 23)
    level = water.positions[0, 2]
    assert np.all(water.positions[:, 2] == level)
    middle = water.positions.mean(axis=0, keepdims=True)
    assert heights(built, middle)[0] < level
    assert not shapely.contains_xy(paved(), *water.positions[:, :2].T.astype(np.float64)).any()
