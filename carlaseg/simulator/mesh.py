"""Collects triangles of a town by material and semantic tag, and stamps copies of small models at many places.

All arrays are in the town frame (right-handed, z up, metres). Colours are albedo: light is the renderer's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from carlaseg.simulator.scene import MeshPart

Array = NDArray[np.float64]
Model = tuple[MeshPart, ...]
"""A small object around its own origin, its foot at z 0, looking along x."""

# How many metres one repeat of a material's texture covers; agreed with the renderer's table of materials.
TILE_M = {"facade_brick": 12.0, "facade_plaster": 12.0, "facade_glass": 12.0, "facade_panel": 12.0}
TILE_M |= {"leaves": 2.0, "hedge": 2.0, "bark": 2.0}
_DEFAULT_TILE_M = 4.0
_LAID_BY_PLACE = frozenset(("asphalt", "asphalt_junction", "grass", "kerb", "paving", "soil", "water"))

WHITE = (255, 255, 255)


@dataclass(frozen=True, slots=True)
class _Key:
    material: str
    tag: int
    small: bool
    two_sided: bool
    stand_in: bool


class MeshBuilder:
    """Grows the parts of a mesh. Calls may come in any order; `parts` sorts them by material and tag."""

    def __init__(self) -> None:
        self._chunks: dict[_Key, list[tuple[NDArray[np.generic], ...]]] = {}
        self._last_instance = 0

    def new_instances(self, count: int) -> NDArray[np.uint16]:
        """Numbers for `count` further objects, uint16 (count,), never 0; they start over after 65535."""
        numbers = (np.arange(self._last_instance, self._last_instance + count) % 65535 + 1).astype(np.uint16)
        self._last_instance += count
        return numbers

    def new_instance(self) -> int:
        """The number of one further object."""
        return int(self.new_instances(1)[0])

    def add(
        self,
        material: str,
        tag: int,
        positions: ArrayLike,
        triangles: ArrayLike,
        normals: ArrayLike,
        uvs: ArrayLike,
        colors: ArrayLike = WHITE,
        instances: ArrayLike = 0,
        *,
        small: bool = False,
        two_sided: bool = False,
        stand_in: bool = False,
    ) -> None:
        """Add vertices (n, 3) and triangles (m, 3) into them; colours and instances may be single values."""
        p = np.asarray(positions, np.float32)
        if len(p) == 0:
            return
        t = np.asarray(triangles, np.int32)
        n = np.asarray(normals, np.float32)
        uv = np.asarray(uvs, np.float32)
        c = np.array(np.broadcast_to(np.clip(np.asarray(colors), 0, 255).astype(np.uint8), (len(p), 3)))
        i = np.array(np.broadcast_to(np.asarray(instances, np.uint16), (len(p),)))
        self._chunks.setdefault(_Key(material, tag, small, two_sided, stand_in), []).append((p, t, n, uv, c, i))

    def quads(
        self,
        material: str,
        tag: int,
        corners: ArrayLike,
        uvs: ArrayLike | None = None,
        colors: ArrayLike = WHITE,
        instances: ArrayLike = 0,
        *,
        normals: ArrayLike | None = None,
        small: bool = False,
        two_sided: bool = False,
        stand_in: bool = False,
    ) -> None:
        """Add quads.

        Args:
            material: key of the renderer's table.
            tag: CARLA 0.9.14 tag.
            corners: (n, 4, 3), counter-clockwise seen from the front.
            uvs: (n, 4, 2) texture repeats; None lays the texture on the ground plane by place.
            colors: (3,), (n, 3) or (n, 4, 3).
            instances: a number, or (n,).
            normals: (n, 4, 3); None takes each quad's own.
            small: leave out far away.
            two_sided: draw the back as well.
            stand_in: draw only far away.
        """
        q = np.asarray(corners, np.float64).reshape(-1, 4, 3)
        count = len(q)
        if count == 0:
            return
        if normals is None:
            flat = _crossed(q[:, 2] - q[:, 0], q[:, 3] - q[:, 1])
            flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
            normals = np.repeat(flat[:, None], 4, axis=1)
        if uvs is None:
            uv = ground_uvs(q, material)
        else:
            uv = np.asarray(uvs, np.float64) + _repeats_at(q.mean(axis=1, keepdims=True), material)
        c = np.asarray(colors)
        if c.ndim == 2:
            c = np.repeat(c[:, None], 4, axis=1)
        c = np.broadcast_to(c, (count, 4, 3)).reshape(-1, 3)
        i = np.asarray(instances)
        i = np.repeat(i, 4) if i.ndim == 1 else i
        base = 4 * np.arange(count)[:, None]
        triangles = np.concatenate([base + [0, 1, 2], base + [0, 2, 3]])
        self.add(
            material,
            tag,
            q.reshape(-1, 3),
            triangles,
            np.asarray(normals).reshape(-1, 3),
            uv.reshape(-1, 2),
            c,
            i,
            small=small,
            two_sided=two_sided,
            stand_in=stand_in,
        )

    def flat_triangles(
        self,
        material: str,
        tag: int,
        corners: ArrayLike,
        uvs: ArrayLike | None = None,
        colors: ArrayLike = WHITE,
        instances: ArrayLike = 0,
        *,
        small: bool = False,
        stand_in: bool = False,
    ) -> None:
        """Add triangles (n, 3, 3) with their own normals; arguments as in `quads`."""
        p = np.asarray(corners, np.float64).reshape(-1, 3, 3)
        if len(p) == 0:
            return
        n = _crossed(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0])
        n /= np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-12)
        uv = ground_uvs(p, material) if uvs is None else np.asarray(uvs, np.float64)
        uv = np.broadcast_to(uv, (len(p), 3, 2))
        c = np.asarray(colors)
        c = np.repeat(c, 3, axis=0) if c.ndim == 2 else c
        i = np.asarray(instances)
        i = np.repeat(i, 3) if i.ndim == 1 else i
        order = np.arange(3 * len(p)).reshape(-1, 3)
        normals = np.repeat(n, 3, axis=0)
        self.add(
            material, tag, p.reshape(-1, 3), order, normals, uv.reshape(-1, 2), c, i, small=small, stand_in=stand_in
        )

    def box(
        self,
        material: str,
        tag: int,
        center: Sequence[float],
        half: Sequence[float],
        heading: float = 0.0,
        colors: ArrayLike = WHITE,
        instance: int = 0,
        *,
        bottom: bool = False,
        small: bool = False,
    ) -> None:
        """Add a box: half sizes along its own axes, turned by `heading` radians; without a bottom unless asked for."""
        cos, sin = np.cos(heading), np.sin(heading)
        hx, hy, hz = half
        plan = np.array([[-hx, -hy], [hx, -hy], [hx, hy], [-hx, hy]]) @ np.array([[cos, sin], [-sin, cos]])
        plan += np.asarray(center[:2])
        low, high = center[2] - hz, center[2] + hz
        self.walls(material, tag, plan, low, high, colors, instance, small=small)
        faces = [[(*p, high) for p in plan]]
        if bottom:
            faces.append([(*p, low) for p in plan[::-1]])
        tile = TILE_M.get(material, _DEFAULT_TILE_M)
        uv = np.array([[0, 0], [2 * hx, 0], [2 * hx, 2 * hy], [0, 2 * hy]]) / tile
        self.quads(material, tag, faces, uv, colors, instance, small=small)

    def walls(
        self,
        material: str,
        tag: int,
        ring: ArrayLike,
        low: ArrayLike,
        high: ArrayLike,
        colors: ArrayLike = WHITE,
        instance: int = 0,
        *,
        small: bool = False,
    ) -> None:
        """Add upright faces around a counter-clockwise ring (n, 2); `low` and `high` are heights, one or (n,)."""
        r = np.asarray(ring, np.float64)
        a, b = r, np.roll(r, -1, axis=0)
        real = np.linalg.norm(b - a, axis=1) > 1e-4
        lo = np.broadcast_to(np.asarray(low, np.float64), (len(r),))
        hi = np.broadcast_to(np.asarray(high, np.float64), (len(r),))
        corners = np.stack(
            [
                np.column_stack([a, lo]),
                np.column_stack([b, np.roll(lo, -1)]),
                np.column_stack([b, np.roll(hi, -1)]),
                np.column_stack([a, hi]),
            ],
            axis=1,
        )
        tile = TILE_M.get(material, _DEFAULT_TILE_M)
        width = np.linalg.norm(b - a, axis=1) / tile
        height = (hi - lo) / tile
        zero = np.zeros_like(width)
        uv = np.stack(
            [
                np.column_stack([zero, zero]),
                np.column_stack([width, zero]),
                np.column_stack([width, height]),
                np.column_stack([zero, height]),
            ],
            axis=1,
        )
        self.quads(material, tag, corners[real], uv[real], colors, instance, small=small)

    def tube(
        self,
        material: str,
        tag: int,
        foot: ArrayLike,
        top: ArrayLike,
        radius: float,
        top_radius: float | None = None,
        sides: int = 6,
        colors: ArrayLike = WHITE,
        instance: int = 0,
        *,
        small: bool = False,
        stand_in: bool = False,
    ) -> None:
        """Add a round rod from `foot` to `top`, smooth-shaded, open at both ends."""
        a, b = np.asarray(foot, np.float64), np.asarray(top, np.float64)
        axis = (b - a) / np.linalg.norm(b - a)
        across = np.cross(axis, [1.0, 0.0, 0.0] if abs(axis[0]) < 0.9 else [0.0, 1.0, 0.0])
        across /= np.linalg.norm(across)
        other = np.cross(axis, across)
        angle = np.linspace(0.0, 2 * np.pi, sides + 1)
        out = np.cos(angle)[:, None] * across + np.sin(angle)[:, None] * other
        low, high = a + radius * out, b + (radius if top_radius is None else top_radius) * out
        corners = np.stack([low[:-1], low[1:], high[1:], high[:-1]], axis=1)
        normals = np.stack([out[:-1], out[1:], out[1:], out[:-1]], axis=1)
        tile = TILE_M.get(material, _DEFAULT_TILE_M)
        u = np.arange(sides + 1) / sides * 0.5
        v = np.linalg.norm(b - a) / tile
        uv = np.stack([np.stack([u[:-1], u[1:], u[1:], u[:-1]], 1), np.tile([0.0, 0.0, v, v], (sides, 1))], axis=-1)
        self.quads(material, tag, corners, uv, colors, instance, normals=normals, small=small, stand_in=stand_in)

    def stamp(
        self,
        model: Model,
        positions: ArrayLike,
        headings: ArrayLike,
        scales: ArrayLike = 1.0,
        tints: ArrayLike | None = None,
        instances: NDArray[np.uint16] | Literal["new"] = "new",
    ) -> None:
        """Add a copy of `model` at each place.

        Args:
            model: parts around an origin.
            positions: (k, 3).
            headings: radians, (k,).
            scales: one, (k,) or (k, 3).
            tints: (k, 3), factors on the model's colours; None leaves them.
            instances: an object number a copy; "new" draws them.
        """
        at = np.asarray(positions, np.float64).reshape(-1, 3)
        count = len(at)
        if count == 0:
            return
        numbers = self.new_instances(count) if isinstance(instances, str) else instances
        s = np.asarray(scales, np.float64)
        s = np.broadcast_to(s[:, None] if s.ndim == 1 else s, (count, 3))
        turn = np.broadcast_to(np.asarray(headings, np.float64), (count,))
        cos, sin = np.cos(turn)[:, None], np.sin(turn)[:, None]
        for part in model:
            local = part.positions[None] * s[:, None]
            x, y = local[..., 0] * cos - local[..., 1] * sin, local[..., 0] * sin + local[..., 1] * cos
            placed = np.stack([x, y, local[..., 2]], axis=-1) + at[:, None]
            # Normals of a stretched model need the inverse scale.
            bent = part.normals[None] / s[:, None]
            nx, ny = bent[..., 0] * cos - bent[..., 1] * sin, bent[..., 0] * sin + bent[..., 1] * cos
            normals = np.stack([nx, ny, bent[..., 2]], axis=-1)
            normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
            vertices = len(part.positions)
            colors = np.broadcast_to(part.colors.astype(np.float64)[None], (count, vertices, 3))
            if tints is not None:
                colors = colors * np.asarray(tints, np.float64)[:, None]
            triangles = part.triangles[None] + vertices * np.arange(count)[:, None, None]
            self.add(
                part.material,
                part.tag,
                placed.reshape(-1, 3),
                triangles.reshape(-1, 3),
                normals.reshape(-1, 3),
                (part.uvs + _repeats_at(at[:, None], part.material)).reshape(-1, 2),
                colors.reshape(-1, 3),
                np.repeat(numbers, vertices),
                small=part.small,
                two_sided=part.two_sided,
                stand_in=part.stand_in,
            )

    def parts(self) -> tuple[MeshPart, ...]:
        """What was added, one part per material, tag and flags, in a fixed order."""
        result = []
        for key in sorted(self._chunks, key=lambda k: (k.material, k.tag, k.small, k.two_sided, k.stand_in)):
            chunks = self._chunks[key]
            starts = np.cumsum([0, *(len(chunk[0]) for chunk in chunks[:-1])])
            triangles = [chunk[1] + start for chunk, start in zip(chunks, starts, strict=True)]
            p, _, n, uv, c, i = (np.concatenate(column) for column in zip(*chunks, strict=True))
            result.append(
                MeshPart(
                    key.material,
                    key.tag,
                    p.astype(np.float32),
                    n.astype(np.float32),
                    uv.astype(np.float32),
                    c.astype(np.uint8),
                    np.concatenate(triangles).astype(np.int32),
                    i.astype(np.uint16),
                    key.small,
                    key.two_sided,
                    key.stand_in,
                )
            )
        return tuple(result)


def ground_uvs(corners: Array, material: str) -> Array:
    """Texture repeats by place on the plane, (n, k, 2): faces that share a corner share its coordinates too."""
    result: Array = corners[..., :2] / TILE_M.get(material, _DEFAULT_TILE_M)
    return result


def _crossed(a: Array, b: Array) -> Array:
    """Cross products of rows (n, 3); for a few rows several times faster than NumPy's own."""
    x = a[:, 1] * b[:, 2] - a[:, 2] * b[:, 1]
    y = a[:, 2] * b[:, 0] - a[:, 0] * b[:, 2]
    return np.column_stack([x, y, a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]])


def _repeats_at(places: Array, material: str) -> Array:
    """Whole repeats to add to texture coordinates, (n, 1, 2), where others of the material are laid by place.

    The picture is the same, and the coordinates of everything in one place are near each other.
    """
    if material not in _LAID_BY_PLACE:
        return np.zeros((len(places), 1, 2))
    repeats: Array = np.floor(ground_uvs(places, material))
    return repeats


def strip(right: Array, left: Array) -> Array:
    """Quads (n - 1, 4, 3) between two polylines (n, 3), facing up where `left` lies left of `right`."""
    return np.stack([right[:-1], right[1:], left[1:], left[:-1]], axis=1)
