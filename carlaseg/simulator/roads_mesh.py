"""Surfaces of roads, sidewalks, kerbs and junctions as meshes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from carlaseg.simulator.approaches import Crossing, clear_of
from carlaseg.simulator.height_field import HeightField
from carlaseg.simulator.mesh import MeshBuilder, strip
from carlaseg.simulator.pavement import SIDEWALK_M, LaneStrip, Pavement
from carlaseg.simulator.polygon_mesh import rim, tessellate

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


def build_road_surfaces(builder: MeshBuilder, pavement: Pavement, crossings: list[Crossing]) -> None:
    """Add every paved surface of the map; medians leave zebra crossings clear."""
    sides: dict[tuple[int, float, bool], list[LaneStrip]] = {}
    for lane in pavement.strips:
        sides.setdefault((lane.road, lane.section_s, lane.lane > 0), []).append(lane)
    for lane in pavement.strips:
        if lane.junction != -1:
            continue
        if lane.surface == "sidewalk":
            _sidewalk(builder, lane)
        elif lane.surface == "median":
            _median(builder, lane, [crossing for crossing in crossings if crossing.road.id == lane.road])
        else:
            left_of_road = lane.lane > 0
            side = sides[lane.road, lane.section_s, left_of_road]
            alone = (lane.road, lane.section_s, not left_of_road) not in sides
            _roadway(builder, lane, open_outside=side[-1] is lane, open_inside=alone and side[0] is lane)
    _far_roadways(builder, pavement)
    heights = {j: HeightField.of_lanes(strips) for j, strips in _junction_strips(pavement).items()}
    for junction, region in pavement.junction_roads.items():
        triangles = tessellate(region, _CELL_M)
        _surface(builder, "asphalt_junction", ROAD_TAG, triangles, heights[junction], 0.0, _JUNCTION_COLOR)
        _skirt(builder, triangles, heights[junction], 0.0)
    for junction, region in pavement.junction_sidewalks.items():
        _junction_sidewalk(builder, region, pavement.junction_roads.get(junction), heights[junction])


def _junction_sidewalk(
    builder: MeshBuilder, region: BaseGeometry, roads: BaseGeometry | None, height: HeightField
) -> None:
    """A junction's sidewalk: kerbstones where it meets the road, slabs behind, kerbs down all around."""
    near_road = region.intersection(roads.buffer(_KERB_TOP_M)) if roads is not None else region.difference(region)
    kerb = tessellate(near_road, _CELL_M)
    slabs = tessellate(region.difference(near_road), _CELL_M)
    _surface(builder, "kerb", SIDEWALK_TAG, kerb, height, SIDEWALK_M, _KERB_COLOR, small=True)
    _surface(builder, "paving", SIDEWALK_TAG, slabs, height, SIDEWALK_M, _WALK_COLOR, small=True)
    # From far away there is no texture, which large faces would tear.
    far = tessellate(region, _FAR_CELL_M)
    _surface(builder, "paving", SIDEWALK_TAG, far, height, SIDEWALK_M, _WALK_COLOR, stand_in=True)
    _skirt(builder, np.concatenate([kerb, slabs]), height, SIDEWALK_M)


def _roadway(builder: MeshBuilder, lane: LaneStrip, *, open_outside: bool, open_inside: bool) -> None:
    """A lane of asphalt. Where no other is beside it, its edge goes down into the terrain."""
    color = _ROAD_COLOR if lane.type in ("driving", "bidirectional") else _SHOULDER_COLOR
    builder.quads("asphalt", ROAD_TAG, strip(lane.right, lane.left), colors=color, small=True)
    for is_open, line, facing_left in (
        (open_outside, lane.outer, lane.lane > 0),
        (open_inside, lane.inner, lane.lane < 0),
    ):
        if is_open:
            _wall(builder, "asphalt", ROAD_TAG, line, facing_left, 0.0, color)
    _ends(builder, "asphalt", ROAD_TAG, lane.right, lane.left, 0.0, color)


def _median(builder: MeshBuilder, lane: LaneStrip, crossings: list[Crossing]) -> None:
    """Paved islands on a lane of asphalt, which shows where people cross."""
    builder.quads("asphalt", ROAD_TAG, strip(lane.right, lane.left), colors=_ROAD_COLOR, small=True)
    _ends(builder, "asphalt", ROAD_TAG, lane.right, lane.left, 0.0, _ROAD_COLOR)
    start, end = float(lane.s[0]), float(lane.s[-1])
    islands = clear_of(crossings, start, end)
    for a, b in islands:
        _island(builder, *_stretch(lane, a, b))
    edges = [start, *(s for island in islands for s in island), end]
    for a, b in zip(edges[::2], edges[1::2], strict=True):
        if b > a:
            builder.quads("asphalt", ROAD_TAG, strip(*_stretch(lane, a, b)), colors=_ROAD_COLOR, stand_in=True)


def _stretch(lane: LaneStrip, start: float, end: float) -> tuple[Array, Array]:
    """The right and the left edge of a part of a lane, each (n, 3)."""
    s = np.concatenate([[start], lane.s[(lane.s > start) & (lane.s < end)], [end]])
    right, left = (
        np.stack([np.interp(s, lane.s, line[:, k]) for k in range(3)], axis=-1) for line in (lane.right, lane.left)
    )
    return right, left


def _island(builder: MeshBuilder, right: Array, left: Array) -> None:
    """Paving with kerbs all round, a little narrower than its lane: lines are painted on the lane's edges."""
    across = left - right
    width = np.linalg.norm(across, axis=1, keepdims=True)
    builder.quads("paving", GROUND_TAG, strip(right, left), colors=_WALK_COLOR, stand_in=True)
    if float(width.min()) < 4 * _KERB_TOP_M:
        return
    inset = across / width * _KERB_TOP_M
    up = np.array([0.0, 0.0, SIDEWALK_M])
    right, left = right + inset, left - inset
    for low, high, material, color in (
        (right, right + inset, "kerb", _KERB_COLOR),
        (right + inset, left - inset, "paving", _WALK_COLOR),
        (left - inset, left, "kerb", _KERB_COLOR),
    ):
        builder.quads(material, GROUND_TAG, strip(low, high) + up, colors=color, small=True)
    for line, facing_left in ((right, False), (left, True)):
        _wall(builder, "kerb", GROUND_TAG, line, facing_left, SIDEWALK_M, _KERB_COLOR)
    _ends(builder, "kerb", GROUND_TAG, right, left, SIDEWALK_M, _KERB_COLOR)


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
    _ends(builder, "kerb", SIDEWALK_TAG, lane.right, lane.left, SIDEWALK_M, _KERB_COLOR)


def _ends(
    builder: MeshBuilder, material: str, tag: int, right: Array, left: Array, top: float, color: tuple[int, int, int]
) -> None:
    """Upright faces across both ends of a strip.

    The next piece of road has other corners along the seam, and corners are drawn on whole pixels: through the cracks
    one must not see below the ground.
    """
    for line in (np.array([left[0], right[0]]), np.array([right[-1], left[-1]])):
        _wall(builder, material, tag, line, False, top, color)


def _wall(
    builder: MeshBuilder,
    material: str,
    tag: int,
    line: Array,
    facing_left: bool,
    top: float,
    color: tuple[int, int, int],
) -> None:
    """Upright faces along a polyline (n, 3)."""
    edges = np.stack([line[1:], line[:-1]] if facing_left else [line[:-1], line[1:]], axis=1)
    _upright(builder, material, tag, edges, top, color)


def _upright(
    builder: MeshBuilder, material: str, tag: int, edges: Array, top: float, color: tuple[int, int, int]
) -> None:
    """Faces on edges (n, 2, 3), to the right of each, from below the terrain to `top` above the road."""
    a, b = edges[:, 0], edges[:, 1]
    face = np.stack([a + [0, 0, _FOOT_M], b + [0, 0, _FOOT_M], b + [0, 0, top], a + [0, 0, top]], axis=1)
    length = np.linalg.norm(b - a, axis=1) / 4.0
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


def _surface(
    builder: MeshBuilder,
    material: str,
    tag: int,
    triangles: Array,
    height: HeightField,
    lift: float,
    color: tuple[int, int, int],
    *,
    small: bool = False,
    stand_in: bool = False,
) -> None:
    """Triangles (n, 3, 2) of the plane, `lift` metres above the road's height."""
    if len(triangles) == 0:
        return
    z = height(triangles.reshape(-1, 2)) + lift
    corners = np.column_stack([triangles.reshape(-1, 2), z]).reshape(-1, 3, 3)
    builder.flat_triangles(material, tag, corners, colors=color, small=small, stand_in=stand_in)


def _skirt(builder: MeshBuilder, triangles: Array, height: HeightField, lift: float) -> None:
    """Faces around a surface, outward, down into the terrain: kerbs of a sidewalk, the open edge of a road."""
    material, tag = ("kerb", SIDEWALK_TAG) if lift > 0 else ("asphalt", ROAD_TAG)
    edges = rim(triangles)
    z = height(edges.reshape(-1, 2)).reshape(-1, 2, 1)
    _upright(builder, material, tag, np.concatenate([edges, z], axis=2), lift, _KERB_COLOR)
