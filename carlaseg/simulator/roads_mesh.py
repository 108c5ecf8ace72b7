"""Surfaces of roads, sidewalks, kerbs and junctions as meshes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry
from shapely.geometry.polygon import orient

from carlaseg.simulator.height_field import HeightField
from carlaseg.simulator.mesh import MeshBuilder, strip
from carlaseg.simulator.pavement import SIDEWALK_M, LaneStrip, Pavement
from carlaseg.simulator.polygon_mesh import polygons_of, tessellate

Array = NDArray[np.float64]

ROAD_TAG, SIDEWALK_TAG, GROUND_TAG = 1, 2, 25
_KERB_TOP_M = 0.15
_FOOT_M = -0.35
_CELL_M, _FAR_CELL_M = 8.0, 24.0
# Textures are near white: the hue of a surface is its vertex colour.
_ROAD_COLOR = (194, 184, 174)
_SHOULDER_COLOR = (182, 172, 163)
_JUNCTION_COLOR = (188, 178, 168)
_WALK_COLOR = (196, 190, 180)
_KERB_COLOR = (212, 210, 204)


def build_road_surfaces(builder: MeshBuilder, pavement: Pavement) -> None:
    """Add every paved surface of the map."""
    outermost = {(lane.road, lane.section_s, lane.lane > 0): lane for lane in pavement.strips}
    for lane in pavement.strips:
        if lane.junction != -1:
            continue
        if lane.surface == "sidewalk":
            _sidewalk(builder, lane)
        else:
            _roadway(builder, lane, outermost[lane.road, lane.section_s, lane.lane > 0] is lane)
    _far_roadways(builder, pavement)
    heights = {j: HeightField.of_lanes(strips) for j, strips in _junction_strips(pavement).items()}
    for junction, region in pavement.junction_roads.items():
        _region(builder, "asphalt_junction", ROAD_TAG, region, heights[junction], 0.0, _JUNCTION_COLOR)
        _skirt(builder, region, heights[junction], 0.0)
    for junction, region in pavement.junction_sidewalks.items():
        roads = pavement.junction_roads.get(junction)
        near_road = region.intersection(roads.buffer(_KERB_TOP_M)) if roads is not None else region.difference(region)
        height = heights[junction]
        _region(builder, "kerb", SIDEWALK_TAG, near_road, height, SIDEWALK_M, _KERB_COLOR, small=True)
        rest = region.difference(near_road)
        _region(builder, "paving", SIDEWALK_TAG, rest, height, SIDEWALK_M, _WALK_COLOR, small=True)
        _region(builder, "paving", SIDEWALK_TAG, region, height, SIDEWALK_M, _WALK_COLOR, stand_in=True)
        _skirt(builder, region, height, SIDEWALK_M)


def _roadway(builder: MeshBuilder, lane: LaneStrip, is_outermost: bool) -> None:
    color = _ROAD_COLOR if lane.type in ("driving", "bidirectional") else _SHOULDER_COLOR
    if lane.surface == "median":
        _median(builder, lane)
        return
    builder.quads("asphalt", ROAD_TAG, strip(lane.right, lane.left), colors=color, small=True)
    if is_outermost:
        # Roads without a sidewalk end in the open: close the edge down into the terrain.
        _wall(builder, "asphalt", ROAD_TAG, lane.outer, lane.lane > 0, 0.0, color)


def _median(builder: MeshBuilder, lane: LaneStrip) -> None:
    """A paved island with kerbs all round, a little narrower than its lane: lines are painted on the lane's edges."""
    across = lane.left - lane.right
    width = np.linalg.norm(across, axis=1, keepdims=True)
    builder.quads("asphalt", ROAD_TAG, strip(lane.right, lane.left), colors=_ROAD_COLOR, small=True)
    builder.quads("paving", GROUND_TAG, strip(lane.right, lane.left), colors=_WALK_COLOR, stand_in=True)
    if float(width.min()) < 4 * _KERB_TOP_M:
        return
    inset = across / width * _KERB_TOP_M
    up = np.array([0.0, 0.0, SIDEWALK_M])
    right, left = lane.right + inset, lane.left - inset
    for low, high, material, color in (
        (right, right + inset, "kerb", _KERB_COLOR),
        (right + inset, left - inset, "paving", _WALK_COLOR),
        (left - inset, left, "kerb", _KERB_COLOR),
    ):
        builder.quads(material, GROUND_TAG, strip(low, high) + up, colors=color, small=True)
    ends = np.array([left[0], right[0]]), np.array([right[-1], left[-1]])
    for line, facing_left in ((right, False), (left, True), *((end, False) for end in ends)):
        _wall(builder, "kerb", GROUND_TAG, line, facing_left, SIDEWALK_M, _KERB_COLOR)


def _far_roadways(builder: MeshBuilder, pavement: Pavement) -> None:
    """From far away all lanes that lie side by side are one strip."""
    sections: dict[tuple[int, float], list[LaneStrip]] = {}
    for lane in pavement.strips:
        if lane.junction == -1 and lane.surface == "road":
            sections.setdefault((lane.road, lane.section_s), []).append(lane)
    for lanes in sections.values():
        lanes.sort(key=lambda lane: -lane.lane)
        first = 0
        for k, lane in enumerate(lanes):
            if k + 1 == len(lanes) or not np.allclose(lane.right, lanes[k + 1].left, atol=0.02):
                far = strip(lane.right, lanes[first].left)
                builder.quads("asphalt", ROAD_TAG, far, colors=_ROAD_COLOR, stand_in=True)
                first = k + 1


def _sidewalk(builder: MeshBuilder, lane: LaneStrip) -> None:
    width = np.linalg.norm(lane.outer - lane.inner, axis=1, keepdims=True)
    share = np.minimum(_KERB_TOP_M / np.maximum(width, 1e-6), 0.5)
    middle = lane.inner + (lane.outer - lane.inner) * share
    up = np.array([0.0, 0.0, SIDEWALK_M])
    left_of_road = lane.lane > 0
    kerb = strip(lane.inner, middle) if left_of_road else strip(middle, lane.inner)
    rest = strip(middle, lane.outer) if left_of_road else strip(lane.outer, middle)
    builder.quads("kerb", SIDEWALK_TAG, kerb + up, colors=_KERB_COLOR, small=True)
    builder.quads("paving", SIDEWALK_TAG, rest + up, colors=_WALK_COLOR, small=True)
    # From far away it rises from the road without a kerb: no face to draw, and no gap.
    far = strip(lane.inner, lane.outer + up) if left_of_road else strip(lane.outer + up, lane.inner)
    builder.quads("paving", SIDEWALK_TAG, far, colors=_WALK_COLOR, stand_in=True)
    for line, facing_left in ((lane.left, True), (lane.right, False)):
        _wall(builder, "kerb", SIDEWALK_TAG, line, facing_left, SIDEWALK_M, _KERB_COLOR)


def _wall(
    builder: MeshBuilder,
    material: str,
    tag: int,
    line: Array,
    facing_left: bool,
    top: float,
    color: tuple[int, int, int],
) -> None:
    """Upright faces along a polyline (n, 3), from below the terrain to `top` above the road."""
    face = strip(line + [0, 0, _FOOT_M], line + [0, 0, top])
    face = face[:, [1, 0, 3, 2]] if facing_left else face
    length = np.linalg.norm(line[1:] - line[:-1], axis=1) / 4.0
    tall = np.full_like(length, (top - _FOOT_M) / 4.0)
    zero = np.zeros_like(length)
    uv = np.stack([np.stack([zero, length, length, zero], 1), np.stack([zero, zero, tall, tall], 1)], axis=-1)
    builder.quads(material, tag, face, uv, color, small=True)


def _junction_strips(pavement: Pavement) -> dict[int, list[LaneStrip]]:
    grouped: dict[int, list[LaneStrip]] = {}
    for lane in pavement.strips:
        if lane.junction != -1:
            grouped.setdefault(lane.junction, []).append(lane)
    return grouped


def _region(
    builder: MeshBuilder,
    material: str,
    tag: int,
    region: BaseGeometry,
    height: HeightField,
    lift: float,
    color: tuple[int, int, int],
    *,
    small: bool = False,
    stand_in: bool = False,
) -> None:
    # From far away there is no texture, which large faces would tear.
    triangles = tessellate(region, _FAR_CELL_M if stand_in else _CELL_M)
    if len(triangles) == 0:
        return
    z = height(triangles.reshape(-1, 2)) + lift
    corners = np.column_stack([triangles.reshape(-1, 2), z]).reshape(-1, 3, 3)
    builder.flat_triangles(material, tag, corners, colors=color, small=small, stand_in=stand_in)


def _skirt(builder: MeshBuilder, region: BaseGeometry, height: HeightField, lift: float) -> None:
    """Faces around a region, outward, down into the terrain: kerbs of a sidewalk, the open edge of a road."""
    material, tag = ("kerb", SIDEWALK_TAG) if lift > 0 else ("asphalt", ROAD_TAG)
    for polygon in polygons_of(region, 0.05):
        # Counter-clockwise outside, clockwise inside: `walls` then faces away from the surface.
        oriented = orient(polygon)
        for ring in (oriented.exterior, *oriented.interiors):
            points = np.asarray(ring.coords)[:-1, :2]
            z = height(points)
            builder.walls(material, tag, points, z + _FOOT_M, z + lift, _KERB_COLOR, small=True)
