"""Static geometry cut into square tiles, so that what a camera does not see costs nothing. NumPy only.

The order of the batches is part of the result: colour and id meshes are both drawn in it (see `panda.TOWN_BIN`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carlaseg.simulator.renderer.materials import MATERIALS
from carlaseg.simulator.scene import MeshPart

# Measured best between 96 and 160 m: smaller tiles are too many draws, larger ones too many vertices out of view.
TILE_M = 96.0


@dataclass
class Batch:
    """The triangles of one tile that are drawn with one state.

    Attributes:
        tile: column and row of the tile.
        material: name in `MATERIALS`.
        small: may be left out beyond `static.SMALL_PROP_RANGE_M`.
        two_sided: backs of faces are drawn too.
        positions: float32 (N, 3), town frame, metres.
        normals: float32 (N, 3).
        albedo: float32 (N, 3), 0-255.
        uvs: float32 (N, 2), shifted by whole repeats so that they stay small.
        identity: uint8 (N, 3): tag, low byte and high byte of the instance.
        triangles: int32 (M, 3).
    """

    tile: tuple[int, int]
    material: str
    small: bool
    two_sided: bool
    positions: NDArray[np.float32]
    normals: NDArray[np.float32]
    albedo: NDArray[np.float32]
    uvs: NDArray[np.float32]
    identity: NDArray[np.uint8]
    triangles: NDArray[np.int32]


def cut_into_tiles(parts: Iterable[MeshPart], tile_m: float = TILE_M) -> list[Batch]:
    """Batches in drawing order: by tile, large before small, opaque before alpha-tested, then by material.

    Args:
        parts: static geometry; a material missing from `MATERIALS` is drawn as "plain".
        tile_m: edge of a tile in metres.
    """
    parts = tuple(parts)
    numbers = _drawable_numbers(parts)
    ranks = {name: rank for rank, name in enumerate(MATERIALS)}
    groups: dict[tuple[str, bool, bool], list[MeshPart]] = {}
    for part in parts:
        if len(part.triangles):
            material = part.material if part.material in MATERIALS else "plain"
            groups.setdefault((material, part.small, part.two_sided), []).append(part)
    batches: list[Batch] = []
    for (material, small, two_sided), members in groups.items():
        batches.extend(_cut_group(material, small, two_sided, members, numbers, tile_m))
    batches.sort(key=lambda b: (b.tile, b.small, MATERIALS[b.material].alpha, ranks[b.material], b.two_sided))
    return batches


def _drawable_numbers(parts: tuple[MeshPart, ...]) -> NDArray[np.uint16]:
    """A table from instance numbers to those that are drawn, uint16 (65536,).

    Alpha-tested geometry cannot be drawn with a byte of 255. Numbers that have one give way to numbers nothing has.
    """
    table = np.arange(65536, dtype=np.uint16)
    has_full_byte = (table & 255 == 255) | (table >> 8 == 255)
    taken = np.zeros(65536, bool)
    for part in parts:
        taken[part.instances] = True
    refused = np.flatnonzero(taken & has_full_byte)
    free = np.flatnonzero(~taken & ~has_full_byte)
    free = free[free > 0][: len(refused)]
    table[refused[: len(free)]] = free
    return table


def _cut_group(
    material: str,
    small: bool,
    two_sided: bool,
    members: list[MeshPart],
    numbers: NDArray[np.uint16],
    tile_m: float,
) -> Iterable[Batch]:
    offsets = np.cumsum([0] + [len(part.positions) for part in members])
    positions = np.concatenate([part.positions for part in members]).astype(np.float32)
    normals = np.concatenate([part.normals for part in members]).astype(np.float32)
    albedo = np.concatenate([part.colors for part in members]).astype(np.float32)
    uvs = np.concatenate([part.uvs for part in members]).astype(np.float64)
    identity = np.empty((len(positions), 3), np.uint8)
    identity[:, 0] = np.repeat([part.tag for part in members], np.diff(offsets))
    instances = numbers[np.concatenate([part.instances for part in members])]
    identity[:, 1], identity[:, 2] = instances & 255, instances >> 8
    triangles = np.concatenate([part.triangles + offset for part, offset in zip(members, offsets[:-1], strict=True)])
    cells = np.floor(positions[triangles].mean(axis=1)[:, :2] / tile_m).astype(np.int64)
    keys = cells[:, 0] * 100_003 + cells[:, 1]
    order = np.argsort(keys, kind="stable")
    for chosen in np.split(order, np.flatnonzero(np.diff(keys[order])) + 1):
        corners, local = np.unique(triangles[chosen], return_inverse=True)
        tile_uvs = uvs[corners]
        tile_uvs = tile_uvs - np.floor(tile_uvs.min(axis=0))
        yield Batch(
            tile=(int(cells[chosen[0], 0]), int(cells[chosen[0], 1])),
            material=material,
            small=small,
            two_sided=two_sided,
            positions=positions[corners],
            normals=normals[corners],
            albedo=albedo[corners],
            uvs=tile_uvs.astype(np.float32),
            identity=identity[corners],
            triangles=local.reshape(-1, 3).astype(np.int32),
        )
