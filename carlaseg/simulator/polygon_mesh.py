"""Polygons to triangles, cut along a square grid so that no triangle is larger than a cell."""

from __future__ import annotations

from collections.abc import Iterator

import mapbox_earcut
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

Array = NDArray[np.float64]
_TILE_CELLS = 8


def polygons_of(shape: BaseGeometry, least_area: float = 1e-4) -> Iterator[Polygon]:
    """The polygons in any shapely geometry, without specks below `least_area` square metres."""
    for part in shapely.get_parts(shape):
        if isinstance(part, Polygon):
            if part.area >= least_area:
                yield part
        elif hasattr(part, "geoms"):
            yield from polygons_of(part, least_area)


def triangulate(polygon: Polygon) -> Array:
    """Triangles (n, 3, 2) that fill a polygon with its holes left out, counter-clockwise."""
    rings = [np.asarray(polygon.exterior.coords)[:-1], *(np.asarray(hole.coords)[:-1] for hole in polygon.interiors)]
    corners = np.concatenate(rings)[:, :2]
    ends = np.cumsum([len(ring) for ring in rings]).astype(np.uint32)
    index = mapbox_earcut.triangulate_float64(np.ascontiguousarray(corners), ends).reshape(-1, 3)
    triangles: Array = corners[index]
    a, b = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    twice_area = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    flipped = twice_area < 0
    triangles[flipped] = triangles[flipped][:, ::-1]
    return triangles[np.abs(twice_area) > 1e-9]


def rim(triangles: Array) -> Array:
    """Edges (m, 2, 2) beyond which there is no other triangle; their own is to the left.

    They have every corner that triangles have there: faces hung from them leave no crack, nor do those inside, where
    two triangles have one edge between them and a third has a corner on it.

    Args:
        triangles: float64 (n, 3, 2), counter-clockwise.
    """
    edges = np.stack([triangles, np.roll(triangles, -1, axis=1)], axis=2).reshape(-1, 2, 2)
    corners, ends = np.unique(np.round(edges.reshape(-1, 2), 4), axis=0, return_inverse=True)
    low, high = np.sort(ends.reshape(-1, 2), axis=1).T
    # Neighbours run along their edge in opposite ways, and so do the two long sides of a sliver.
    way = np.where(ends.reshape(-1, 2)[:, 0] == low, 1, -1) * (low != high)
    _, which = np.unique(low * len(corners) + high, return_inverse=True)
    left_over = np.bincount(which.ravel(), way).astype(int)[which.ravel()]
    alone = np.flatnonzero(way * left_over > 0)
    _, first = np.unique(which.ravel()[alone], return_index=True)
    result: Array = edges[alone[first]]
    return result


def tessellate(region: BaseGeometry, cell: float) -> Array:
    """Triangles (n, 3, 2) that fill `region`, none reaching over a line of the square grid of `cell` metres."""
    pieces: list[Array] = []
    for x, y, whole in _cells(region, cell):
        if whole is None:
            a, b, c, d = (x, y), (x + cell, y), (x + cell, y + cell), (x, y + cell)
            pieces.append(np.array([[a, b, c], [a, c, d]]))
        else:
            pieces.extend(triangulate(polygon) for polygon in polygons_of(whole))
    return np.concatenate(pieces) if pieces else np.zeros((0, 3, 2))


def _cells(region: BaseGeometry, cell: float) -> Iterator[tuple[float, float, BaseGeometry | None]]:
    """(x, y, piece) for every grid cell that the region touches; piece is None for a cell that it fills."""
    if region.is_empty:
        return
    x0, y0, x1, y1 = np.asarray(region.bounds) / cell
    tile = _TILE_CELLS
    for i in range(int(np.floor(x0)), int(np.ceil(x1)), tile):
        for j in range(int(np.floor(y0)), int(np.ceil(y1)), tile):
            # Clipping costs the size of what is clipped, so a coarse cut comes first.
            part = _clipped(region, i * cell, j * cell, tile * cell)
            if part.is_empty:
                continue
            for k in range(i, i + tile):
                for m in range(j, j + tile):
                    piece = _clipped(part, k * cell, m * cell, cell)
                    area = piece.area
                    if area > cell * cell * (1 - 1e-9):
                        yield k * cell, m * cell, None
                    elif area > 1e-4:
                        yield k * cell, m * cell, piece


def _clipped(shape: BaseGeometry, x: float, y: float, size: float) -> BaseGeometry:
    """What of a shape lies in a square."""
    try:
        return shapely.clip_by_rect(shape, x, y, x + size, y + size)
    except shapely.errors.GEOSException:
        # The fast cut gives up on rings that shrink to a line; the general one does not.
        return shape.intersection(shapely.box(x, y, x + size, y + size))
