"""Bodies as they look from far away: what is finer than a cell of a grid is merged. NumPy only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from carlaseg.simulator.scene import MeshPart


def coarsened(parts: tuple[MeshPart, ...], cell_m: float) -> tuple[MeshPart, ...]:
    """The same shape with fewer corners: all that lie in one cell become one, and faces that shrink to a line go.

    One part a tag, drawn as "plain"; what glows keeps its material.

    Args:
        parts: in the actor's own frame.
        cell_m: edge of the cells, metres.
    """
    groups: dict[tuple[int, str], list[MeshPart]] = {}
    for part in parts:
        groups.setdefault((part.tag, part.material if part.material == "lamp_glass" else "plain"), []).append(part)
    made = (_merged(members, tag, material, cell_m) for (tag, material), members in sorted(groups.items()))
    return tuple(part for part in made if len(part.triangles))


def _merged(members: list[MeshPart], tag: int, material: str, cell_m: float) -> MeshPart:
    positions = np.concatenate([part.positions for part in members]).astype(np.float64)
    normals = np.concatenate([part.normals for part in members]).astype(np.float64)
    colors = np.concatenate([part.colors for part in members])
    starts = np.cumsum([0, *(len(part.positions) for part in members[:-1])])
    triangles = np.concatenate([part.triangles + start for part, start in zip(members, starts, strict=True)])
    cells = np.unique(np.floor(positions / cell_m + 0.5).astype(np.int64), axis=0, return_inverse=True)[1].ravel()
    middles = _means(positions, cells)
    corners = cells[triangles]
    alive = (corners[:, 0] != corners[:, 1]) & (corners[:, 1] != corners[:, 2]) & (corners[:, 2] != corners[:, 0])
    triangles, corners = triangles[alive], corners[alive]
    # A face keeps its colour and turns as it lies now; equal faces, front over front, are one.
    _, first = np.unique(np.sort(corners, axis=1), axis=0, return_index=True)
    first = np.sort(first)
    triangles, corners = triangles[first], corners[first]
    facing = normals[triangles].mean(axis=1)
    tone = colors[triangles[:, 0]].astype(np.int64)
    octant = np.rint(facing * 1.2).astype(np.int64) + 2
    key = ((tone[:, 0] * 256 + tone[:, 1]) * 256 + tone[:, 2]) * 64 + (octant * [1, 4, 16]).sum(axis=1)
    joined = np.stack([corners.ravel(), np.repeat(key, 3)], axis=1)
    kept, index = np.unique(joined, axis=0, return_inverse=True)
    index = index.reshape(-1, 3)
    smooth = np.zeros((len(kept), 3))
    np.add.at(smooth, index.ravel(), np.repeat(facing, 3, axis=0))
    smooth /= np.maximum(np.linalg.norm(smooth, axis=1, keepdims=True), 1e-9)
    rgb = kept[:, 1] // 64
    return MeshPart(
        material=material,
        tag=tag,
        positions=middles[kept[:, 0]].astype(np.float32),
        normals=smooth.astype(np.float32),
        uvs=np.zeros((len(kept), 2), np.float32),
        colors=np.stack([rgb >> 16, rgb >> 8 & 255, rgb & 255], axis=1).astype(np.uint8),
        triangles=index.astype(np.int32),
        instances=np.zeros(len(kept), np.uint16),
        two_sided=True,
    )


def _means(values: NDArray[np.float64], groups: NDArray[np.intp]) -> NDArray[np.float64]:
    """Midpoint of the extremes of each group: merged corners must not shrink the body."""
    count = int(groups.max()) + 1 if len(groups) else 0
    low, high = np.full((count, values.shape[1]), np.inf), np.full((count, values.shape[1]), -np.inf)
    np.minimum.at(low, groups, values)
    np.maximum.at(high, groups, values)
    middle: NDArray[np.float64] = (low + high) / 2
    return middle
