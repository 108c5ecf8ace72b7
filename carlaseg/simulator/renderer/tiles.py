"""Static geometry cut into square tiles, so that what a camera does not see costs nothing. NumPy only.

The order of the batches is part of the result: colour and id meshes are both drawn in it (see `panda.TOWN_BIN`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from functools import cache

import numpy as np
from numpy.typing import NDArray

from carlaseg.simulator.renderer.materials import MATERIALS, paint_texture, texture_name
from carlaseg.simulator.scene import MeshPart

# Measured best between 96 and 160 m: smaller tiles are too many draws, larger ones too many vertices out of view.
TILE_M = 96.0
_GLOWS = {"never": 0, "night": 1, "always": 2}


class Range(IntEnum):
    """From where a batch is drawn: each tile is there twice, in full and as it looks from far away."""

    NEAR = 0
    FAR = 1


@dataclass
class Batch:
    """The triangles of one tile that are drawn with one state.

    Attributes:
        tile: column and row of the tile.
        texture: name of the material in `MATERIALS` that brings the texture.
        range: from where it is drawn.
        two_sided: backs of faces are drawn too.
        positions: float32 (N, 3), town frame, metres.
        normals: float32 (N, 3).
        albedo: float32 (N, 3), 0-255.
        uvs: float32 (N, 2), shifted by whole repeats so that they stay small.
        identity: uint8 (N, 3): tag, low byte and high byte of the instance.
        soaks: float32 (N,), `Material.soaks`.
        glows: int8 (N,), 1 for what glows by night, 2 for what always does, else 0.
        triangles: int32 (M, 3).
    """

    tile: tuple[int, int]
    texture: str
    range: Range
    two_sided: bool
    positions: NDArray[np.float32]
    normals: NDArray[np.float32]
    albedo: NDArray[np.float32]
    uvs: NDArray[np.float32]
    identity: NDArray[np.uint8]
    soaks: NDArray[np.float32]
    glows: NDArray[np.int8]
    triangles: NDArray[np.int32]


def cut_into_tiles(parts: Iterable[MeshPart], tile_m: float = TILE_M) -> list[Batch]:
    """Batches in drawing order: by tile, by range, opaque before alpha-tested, then by texture.

    From far away small parts are left out and stand-ins drawn, and only what needs a texture has one: the rest of a
    tile, in the mean colours of its textures, is one batch.

    Args:
        parts: static geometry; a material missing from `MATERIALS` is drawn as "plain".
        tile_m: edge of a tile in metres.
    """
    parts = tuple(parts)
    numbers = _drawable_numbers(parts)
    ranks = {name: rank for rank, name in enumerate(MATERIALS)}
    groups: dict[tuple[str, Range, bool], list[MeshPart]] = {}
    for part in parts:
        if len(part.triangles):
            texture = texture_name(part.material if part.material in MATERIALS else "plain")
            two_sided = part.two_sided and MATERIALS[texture].alpha
            if not part.stand_in:
                groups.setdefault((texture, Range.NEAR, two_sided), []).append(part)
            if not part.small:
                seen = texture if _keeps_texture(texture) else "plain"
                groups.setdefault((seen, Range.FAR, two_sided), []).append(part)
    batches: list[Batch] = []
    for (texture, reach, two_sided), members in groups.items():
        batches.extend(_cut_group(texture, reach, two_sided, members, numbers, tile_m))
    batches.sort(key=lambda b: (b.tile, b.range, MATERIALS[b.texture].alpha, ranks[b.texture], b.two_sided))
    return batches


def _keeps_texture(texture: str) -> bool:
    """Whether a texture shows from far away: windows and leaves do."""
    return MATERIALS[texture].alpha or MATERIALS[texture].glows == "night"


@cache
def _mean_color(texture: str) -> NDArray[np.float32]:
    if MATERIALS[texture].paint is None:
        return np.ones(3, np.float32)
    mean: NDArray[np.float32] = paint_texture(texture)[..., :3].mean(axis=(0, 1)).astype(np.float32) / 255
    return mean


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
    texture: str,
    reach: Range,
    two_sided: bool,
    members: list[MeshPart],
    numbers: NDArray[np.uint16],
    tile_m: float,
) -> Iterable[Batch]:
    offsets = np.cumsum([0] + [len(part.positions) for part in members])
    positions = np.concatenate([part.positions for part in members]).astype(np.float32)
    # Rounded, so that faces that all but lie in one plane can share corners.
    rounded = np.round(np.concatenate([part.normals for part in members]), 2)
    normals: NDArray[np.float32] = rounded.astype(np.float32)
    albedo = np.concatenate([part.colors for part in members]).astype(np.float32)
    if texture == "plain":
        own = [_mean_color(texture_name(part.material if part.material in MATERIALS else "plain")) for part in members]
        albedo = np.round(albedo * np.repeat(np.array(own, np.float32), np.diff(offsets), axis=0))
    uvs = np.concatenate([part.uvs for part in members]).astype(np.float64)
    if texture == "plain":
        uvs[:] = 0.0
    identity = np.empty((len(positions), 3), np.uint8)
    identity[:, 0] = np.repeat([part.tag for part in members], np.diff(offsets))
    instances = numbers[np.concatenate([part.instances for part in members])]
    identity[:, 1], identity[:, 2] = instances & 255, instances >> 8
    faces = []
    for part, offset in zip(members, offsets[:-1], strict=True):
        faces.append(part.triangles + offset)
        if part.two_sided and not two_sided:
            # The back as faces of its own: one state less.
            faces.append(part.triangles[:, ::-1] + offset)
    triangles = np.concatenate(faces)
    cells = np.floor(positions[triangles].mean(axis=1)[:, :2] / tile_m).astype(np.int64)
    keys = cells[:, 0] * 100_003 + cells[:, 1]
    counts = np.diff(offsets)
    entries = [MATERIALS.get(part.material, MATERIALS["plain"]) for part in members]
    soaks = np.repeat(np.array([entry.soaks for entry in entries], np.float32), counts)
    glows = np.repeat(np.array([_GLOWS[entry.glows] for entry in entries], np.int8), counts)
    surface = np.stack([soaks, glows.astype(np.float32)], axis=1)
    keys_of_corners = row_keys(positions, normals, albedo, uvs.astype(np.float32), identity.astype(np.float32), surface)
    order = np.argsort(keys, kind="stable")
    for chosen in np.split(order, np.flatnonzero(np.diff(keys[order])) + 1):
        corners, local = welded(keys_of_corners, triangles[chosen])
        tile_uvs = uvs[corners]
        # By whole repeats, so that they stay small.
        tile_uvs = tile_uvs - np.floor(tile_uvs.min(axis=0))
        yield Batch(
            tile=(int(cells[chosen[0], 0]), int(cells[chosen[0], 1])),
            texture=texture,
            range=reach,
            two_sided=two_sided,
            positions=positions[corners],
            normals=normals[corners],
            albedo=albedo[corners],
            uvs=tile_uvs.astype(np.float32),
            identity=identity[corners],
            soaks=soaks[corners],
            glows=glows[corners],
            triangles=local.reshape(-1, 3).astype(np.int32),
        )


def row_keys(*columns: NDArray[np.float32]) -> NDArray[np.int64]:
    """A number for each row of arrays (N, k), int64 (N,): equal rows have equal numbers, others in practice not."""
    bits = np.concatenate(
        [(np.ascontiguousarray(column, np.float32) + np.float32(0)).view(np.uint32) for column in columns], axis=1
    )
    odd = np.random.default_rng(0).integers(0, 2**63, bits.shape[1], np.uint64) * np.uint64(2) + np.uint64(1)
    mixed = (bits.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)) * odd
    mixed ^= mixed >> np.uint64(29)
    keys: NDArray[np.int64] = (mixed * odd).sum(axis=1, dtype=np.uint64).view(np.int64)
    return keys


def welded(keys: NDArray[np.int64], triangles: NDArray[np.integer]) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """Corners that are needed, each once, (N,) indices into what `triangles` index; and triangles into those.

    The renderer's cost is mostly that of its corners. They keep the order in which triangles use them first.
    """
    used, local = np.unique(triangles, return_inverse=True)
    _, first, same = np.unique(keys[used], return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return used[first[order]], place[same[local.ravel()]].reshape(-1, 3).astype(np.int32)
