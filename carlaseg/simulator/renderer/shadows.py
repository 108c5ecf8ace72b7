"""Outlines of shadows and pools of light, as soft polygons to be laid over the ground. NumPy, OpenCV and Shapely only.

The software renderer casts no shadows: what stands on the ground is projected along the light, and its outline darkens
what is below. That is right on flat ground, which is where it is used.
"""

from __future__ import annotations

import cv2
import mapbox_earcut
import numpy as np
import shapely
from numpy.typing import NDArray

from carlaseg.simulator.renderer.lighting import Light
from carlaseg.simulator.renderer.vertices import BAKED_VERTEX
from carlaseg.simulator.scene import MeshPart, Town

# A setting sun would throw shadows across the whole town.
LONGEST_SHADOW = 2.5
# How far beyond a vehicle its headlights reach.
BEAM_M = 19.0
# Under an overcast sky there is no shadow to be seen.
FAINTEST = 0.1
# Not 0: in thin triangles the rasteriser's alpha undershoots, and below 0 it wraps around to opaque.
_EDGE_ALPHA = 3
_BUILDING_TAG, _VEGETATION_TAG = 3, 9
# Flat: less than this between the lowest and the highest of so many cells of the town's height grid.
_FLAT_M, _FLAT_CELLS = 0.6, 5

Mesh = tuple[NDArray[np.void], NDArray[np.int32]]


def slope_of(light: Light) -> NDArray[np.float64]:
    """How far a shadow moves, town x and y, for each metre of height."""
    sun = light.sun_direction.astype(float)
    across = np.hypot(sun[0], sun[1])
    length = min(across / max(float(sun[2]), 1e-3), LONGEST_SHADOW)
    return np.zeros(2) if across < 1e-6 else -sun[:2] / across * length


def darkness_of(light: Light) -> float:
    """Opacity of a shadow: how much of the light on flat ground is the sun's."""
    direct = float(light.sun.mean()) * float(light.sun_direction[2])
    return 0.85 * direct / (direct + float(light.sky.mean()) + 1e-6)


def outline(points: NDArray[np.floating], slope: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convex outline (K, 2), anticlockwise, of points (N, 3) brought down to z = 0 along `slope` a metre of height."""
    if len(points) < 3:
        return np.zeros((0, 2))
    flat = (points[:, :2] + points[:, 2:3] * slope).astype(np.float32)
    # Without corners a hand's breadth apart, whose edges would point anywhere.
    hull = cv2.approxPolyDP(cv2.convexHull(flat), 0.03, True)[:, 0].astype(float)
    ahead = np.roll(hull, -1, axis=0)
    area = (hull[:, 0] * ahead[:, 1] - hull[:, 1] * ahead[:, 0]).sum()
    return hull if area >= 0 else hull[::-1]


def soft_polygon(
    hull: NDArray[np.float64], z: float, rgb: tuple[int, int, int], opacity: float, feather_m: float
) -> Mesh:
    """A convex polygon (K, 2) whose edge fades out over `feather_m`, half inside and half outside."""
    count = len(hull)
    edges = np.roll(hull, -1, axis=0) - hull
    outward = np.stack([edges[:, 1], -edges[:, 0]], axis=1)
    outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-9)
    corner = outward + np.roll(outward, 1, axis=0)
    corner /= np.maximum(np.linalg.norm(corner, axis=1, keepdims=True), 1e-9)
    middle = hull.mean(axis=0)
    radius = np.linalg.norm(hull - middle, axis=1, keepdims=True)
    inner = hull - corner * np.minimum(feather_m / 2, 0.5 * radius)
    outer = hull + corner * feather_m / 2
    vertices = np.zeros(1 + 2 * count, BAKED_VERTEX)
    vertices["position"][:, :2] = np.concatenate([middle[None], inner, outer])
    vertices["position"][:, 2] = z
    vertices["color"] = (*rgb, round(255 * opacity))
    vertices["color"][1 + count :, 3] = _EDGE_ALPHA
    here = np.arange(count)
    there = (here + 1) % count
    triangles = np.concatenate(
        [
            np.stack([np.zeros(count, int), 1 + here, 1 + there], axis=1),
            np.stack([1 + here, 1 + count + here, 1 + count + there], axis=1),
            np.stack([1 + here, 1 + count + there, 1 + there], axis=1),
        ]
    )
    return vertices, triangles.astype(np.int32)


def light_pool(radius_m: float, rgb: tuple[int, int, int], opacity: float) -> Mesh:
    """A round pool of light at the origin, brightest in the middle."""
    sides, shares = 14, np.array([0.18, 0.45, 0.75, 1.0])
    strengths = np.array([0.92, 0.55, 0.18, 0.0])
    angles = np.arange(sides) * (2 * np.pi / sides)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    vertices = np.zeros(1 + sides * len(shares), BAKED_VERTEX)
    vertices["position"][1:, :2] = (radius_m * shares[:, None, None] * circle).reshape(-1, 2)
    vertices["color"][:, :3] = rgb
    vertices["color"][0, 3] = round(255 * opacity)
    vertices["color"][1:, 3] = np.repeat(np.maximum(np.round(255 * opacity * strengths), _EDGE_ALPHA), sides)
    here = np.arange(sides)
    there = (here + 1) % sides
    triangles = [np.stack([np.zeros(sides, int), 1 + here, 1 + there], axis=1)]
    for ring in range(len(shares) - 1):
        low, high = 1 + ring * sides, 1 + (ring + 1) * sides
        triangles.append(np.stack([low + here, high + here, high + there], axis=1))
        triangles.append(np.stack([low + here, high + there, low + there], axis=1))
    return vertices, np.concatenate(triangles).astype(np.int32)


def headlight_beam(half_length_m: float, half_width_m: float) -> Mesh:
    """What the headlights of a vehicle throw on the ground before it, in the vehicle's frame."""
    columns = np.array([-1.0, -0.6, 0.0, 0.6, 1.0])
    rows = np.array([0.2, 2.0, 6.0, 11.0, 18.0])
    strengths = np.array([0.1, 0.42, 0.5, 0.26, 0.0])
    sideways = np.array([0.0, 0.8, 1.0, 0.8, 0.0])
    vertices = np.zeros((len(rows), len(columns)), BAKED_VERTEX)
    vertices["position"][..., 0] = half_length_m + rows[:, None]
    vertices["position"][..., 1] = columns * (half_width_m + 0.16 * rows[:, None])
    vertices["position"][..., 2] = 0.04
    vertices["color"][..., :3] = (255, 240, 205)
    vertices["color"][..., 3] = np.maximum(np.round(255 * 0.75 * strengths[:, None] * sideways), _EDGE_ALPHA)
    corner = (np.arange(len(rows) - 1)[:, None] * len(columns) + np.arange(len(columns) - 1)).ravel()
    above = corner + len(columns)
    triangles = np.concatenate(
        [np.stack([corner, above, above + 1], axis=1), np.stack([corner, above + 1, corner + 1], axis=1)]
    )
    return vertices.ravel(), triangles.astype(np.int32)


def casters(town: Town) -> list[tuple[NDArray[np.float32], float]]:
    """Corners (N, 3) of each building and tree that stands on flat ground, heights over that ground, and its height."""
    groups: dict[int, list[NDArray[np.float32]]] = {}
    for part in town.parts:
        if part.tag in (_BUILDING_TAG, _VEGETATION_TAG) and not _is_ground_cover(part):
            order = np.argsort(part.instances, kind="stable")
            numbers = part.instances[order]
            for chosen in np.split(order, np.flatnonzero(np.diff(numbers)) + 1):
                if len(chosen) and part.instances[chosen[0]]:
                    groups.setdefault(int(part.instances[chosen[0]]), []).append(part.positions[chosen])
    around = np.ones((_FLAT_CELLS, _FLAT_CELLS), np.uint8)
    spread = cv2.dilate(town.road_height_grid, around) - cv2.erode(town.road_height_grid, around)
    things = [np.concatenate(members) for _, members in sorted(groups.items())]
    middles = np.array([points[:, :2].mean(axis=0) for points in things]).reshape(-1, 2)
    found = []
    grounds, spreads = _look_up(town, town.road_height_grid, middles), _look_up(town, spread, middles)
    for points, height, spread_m in zip(things, grounds, spreads, strict=True):
        if spread_m < _FLAT_M:
            ground = round(float(height), 1)
            raised = points - np.array([0, 0, ground], np.float32)
            raised[:, 2] = np.maximum(raised[:, 2], 0)
            found.append((raised, ground))
    return found


def _is_ground_cover(part: MeshPart) -> bool:
    return part.material in ("grass", "soil")


def _look_up(town: Town, grid: NDArray[np.float32], places: NDArray[np.floating]) -> NDArray[np.float32]:
    """Values of a grid like `Town.road_height_grid` at places (N, 2)."""
    x_min, y_min = town.bounds_town[:2]
    columns = np.clip(np.rint((places[:, 0] - x_min) / town.road_height_cell_m).astype(int), 0, grid.shape[1] - 1)
    rows = np.clip(np.rint((places[:, 1] - y_min) / town.road_height_cell_m).astype(int), 0, grid.shape[0] - 1)
    values: NDArray[np.float32] = grid[rows, columns]
    return values


def ground_height(town: Town, x: float, y: float) -> float:
    """Height of the ground at a place of the town frame, metres."""
    rows, columns = town.road_height_grid.shape
    column = round((x - town.bounds_town[0]) / town.road_height_cell_m)
    row = round((y - town.bounds_town[1]) / town.road_height_cell_m)
    return float(town.road_height_grid[min(max(row, 0), rows - 1), min(max(column, 0), columns - 1)])


def town_shadow(town: Town, things: list[tuple[NDArray[np.float32], float]], light: Light) -> Mesh | None:
    """One mesh that darkens the ground where buildings and trees keep the sun away; None where nothing does.

    Shadows that would lie on slopes are left out: they would float or sink.
    """
    opacity = darkness_of(light)
    if opacity < FAINTEST:
        return None
    slope = slope_of(light)
    outlines = [(outline(points, slope), ground) for points, ground in things]
    outlines = [(hull, ground) for hull, ground in outlines if len(hull) > 2]
    if not outlines:
        return None
    below = _look_up(town, town.road_height_grid, np.concatenate([hull for hull, _ in outlines]))
    starts = np.cumsum([0] + [len(hull) for hull, _ in outlines[:-1]])
    spreads = np.maximum.reduceat(below, starts) - np.minimum.reduceat(below, starts)
    levels: dict[float, list[NDArray[np.float64]]] = {}
    for (hull, ground), spread in zip(outlines, spreads, strict=True):
        if spread < _FLAT_M:
            levels.setdefault(ground, []).append(hull)
    meshes = []
    for level, hulls in sorted(levels.items()):
        merged = shapely.union_all([shapely.Polygon(hull) for hull in hulls])
        for polygon in getattr(merged, "geoms", [merged]):
            meshes.append(_fill(polygon, level + _LIFT_M, opacity))
    return _join(meshes) if meshes else None


# Over kerbs and pavements, which stand 15 cm above the road.
_LIFT_M = 0.19


def _fill(polygon: shapely.Polygon, z: float, opacity: float) -> Mesh:
    rings = [np.asarray(ring.coords)[:-1] for ring in (polygon.exterior, *polygon.interiors)]
    corners = np.concatenate(rings)
    triangles = mapbox_earcut.triangulate_float64(corners, np.cumsum([len(ring) for ring in rings]).astype(np.uint32))
    vertices = np.zeros(len(corners), BAKED_VERTEX)
    vertices["position"][:, :2], vertices["position"][:, 2] = corners, z
    vertices["color"][:, 3] = round(255 * opacity)
    return vertices, np.asarray(triangles).reshape(-1, 3).astype(np.int32)


def _join(meshes: list[Mesh]) -> Mesh:
    offsets = np.cumsum([0] + [len(vertices) for vertices, _ in meshes])
    triangles = [faces + offset for (_, faces), offset in zip(meshes, offsets[:-1], strict=True)]
    return np.concatenate([vertices for vertices, _ in meshes]), np.concatenate(triangles).astype(np.int32)


def lamp_pools(town: Town) -> Mesh | None:
    """Pools of light under all street lamps; None without lamps."""
    lamps = np.asarray(town.lamp_positions, float).reshape(-1, 3)
    if not len(lamps):
        return None
    vertices, triangles = light_pool(8.0, (255, 206, 140), 0.42)
    meshes = []
    for (x, y, _), z in zip(lamps, _look_up(town, town.road_height_grid, lamps[:, :2]), strict=True):
        placed = vertices.copy()
        placed["position"] += np.array([x, y, z + _LIFT_M], np.float32)
        meshes.append((placed, triangles))
    return _join(meshes)
