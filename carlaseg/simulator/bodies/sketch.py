"""A pad to sketch bodies on: boxes, tubes, ellipsoids, lofts and panels that become `MeshPart`s. NumPy only.

Bodies are modelled in the actor's own right-handed frame: x forward, y left, z up, metres.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from math import cos, pi, sin, sqrt

import numpy as np
from numpy.typing import NDArray

from carlaseg.simulator.scene import MeshPart

Point = tuple[float, float, float]
Color = tuple[int, int, int]
Corners = NDArray[np.float64]


def scaled(color: Color, factor: float) -> Color:
    """A color made darker or lighter, kept within 0-255."""
    red, green, blue = (max(0, min(255, round(channel * factor))) for channel in color)
    return red, green, blue


class Sketch:
    """Collects faces; `parts` gives them as geometry."""

    def __init__(self, tag: int) -> None:
        self.tag = tag
        self._faces: dict[tuple[str, int, int], list[tuple[Corners, Corners, Color]]] = {}

    def face(self, corners: Corners, color: Color, material: str = "plain", normals: Corners | None = None) -> None:
        """A flat triangle or quad, (3 or 4, 3), anticlockwise seen from outside."""
        if normals is None:
            # In plain numbers: thousands of faces a body, and NumPy's cross product takes its time with each.
            points: list[list[float]] = corners.tolist()
            a, b, c, last = points[0], points[1], points[2], points[-1]
            ux, uy, uz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
            vx, vy, vz = last[0] - b[0], last[1] - b[1], last[2] - b[2]
            x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
            length = sqrt(x * x + y * y + z * z)
            if length < 1e-9:
                return
            normals = np.array([(x / length, y / length, z / length)] * len(corners))
        self._faces.setdefault((material, self.tag, len(corners)), []).append((corners, normals, color))

    def quad(self, a: Point, b: Point, c: Point, d: Point, color: Color, material: str = "plain") -> None:
        """A flat quad, anticlockwise seen from outside."""
        self.face(np.array([a, b, c, d], float), color, material)

    def box(self, center: Point, half: Point, color: Color, material: str = "plain", taper: float = 1.0) -> None:
        """A box; `taper` scales its top."""
        x, y, z = center
        hx, hy, hz = half
        low = [(x + sx * hx, y + sy * hy, z - hz) for sx, sy in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
        high = [(x + sx * hx * taper, y + sy * hy * taper, z + hz) for sx, sy in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
        for i in range(4):
            j = (i + 1) % 4
            self.quad(low[i], low[j], high[j], high[i], color, material)
        self.quad(high[0], high[1], high[2], high[3], color, material)
        self.quad(low[3], low[2], low[1], low[0], color, material)

    def tube(
        self,
        start: Point,
        end: Point,
        radii: tuple[float, float],
        color: Color,
        sides: int = 7,
        cap: Color | None = None,
    ) -> None:
        """A round limb from `start` to `end`, shaded smoothly, with flat ends of colour `cap`."""
        first, last = np.array(start, float), np.array(end, float)
        axis = (last - first) / np.linalg.norm(last - first)
        across = np.cross(axis, (0.0, 0.0, 1.0) if abs(axis[2]) < 0.9 else (1.0, 0.0, 0.0))
        across /= np.linalg.norm(across)
        upward = np.cross(axis, across)
        angles = np.arange(sides) * (2 * pi / sides)
        out = np.cos(angles)[:, None] * across + np.sin(angles)[:, None] * upward
        bottom, top = first + radii[0] * out, last + radii[1] * out
        for i in range(sides):
            j = (i + 1) % sides
            corners = np.stack([bottom[i], bottom[j], top[j], top[i]])
            self.face(corners, color, normals=np.stack([out[i], out[j], out[j], out[i]]))
            end_color = cap or color
            self.face(np.stack([last, top[i], top[j]]), end_color)
            self.face(np.stack([first, bottom[j], bottom[i]]), end_color)

    def ellipsoid(self, center: Point, radii: Point, color: Color, rings: int = 6, sides: int = 8) -> None:
        """A round body, shaded smoothly."""
        middle, radius = np.array(center, float), np.array(radii, float)
        latitudes = np.linspace(-pi / 2, pi / 2, rings + 1)
        longitudes = np.linspace(0, 2 * pi, sides + 1)
        unit = np.array([[(cos(v) * cos(u), cos(v) * sin(u), sin(v)) for u in longitudes] for v in latitudes])
        normals = unit / radius
        normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
        points = middle + unit * radius
        for i in range(rings):
            for j in range(sides):
                loop = [(i, j), (i, j + 1), (i + 1, j + 1), (i + 1, j)]
                if i == 0:
                    loop = [loop[0], loop[2], loop[3]]
                elif i == rings - 1:
                    loop = loop[:3]
                rows, columns = zip(*loop, strict=True)
                self.face(points[rows, columns], color, normals=normals[rows, columns])

    def loft(self, rings: Sequence[Corners], color: Color, capped: bool = True) -> None:
        """A skin over cross-sections of equally many points, each anticlockwise seen from the last one."""
        count = len(rings[0])
        for back, front in itertools.pairwise(rings):
            for i in range(count):
                j = (i + 1) % count
                self.face(np.stack([back[i], front[i], front[j], back[j]])[::-1], color)
        if capped:
            for ring, sign in ((rings[0], -1), (rings[-1], 1)):
                loop = ring if sign > 0 else ring[::-1]
                middle = loop.mean(axis=0)
                for i in range(count):
                    self.face(np.stack([middle, loop[i], loop[(i + 1) % count]]), color)

    def panel(
        self, corners: Sequence[Point], frame: Color, inner: Sequence[tuple[float, float, float, float, Color, str]]
    ) -> None:
        """A quad with smaller quads let into it, so that nothing lies on anything and nothing can flicker.

        Args:
            corners: four points, anticlockwise seen from outside; the first edge is the lower one.
            frame: colour of what the insets leave.
            inner: insets as (left, right, bottom, top, colour, material) in shares of the quad, ordered from left
                to right without overlap.
        """
        a, b, c, d = (np.array(corner, float) for corner in corners)

        def at(u: float, v: float) -> Corners:
            point: Corners = (a * (1 - u) + b * u) * (1 - v) + (d * (1 - u) + c * u) * v
            return point

        def patch(u0: float, u1: float, v0: float, v1: float, color: Color, material: str) -> None:
            if u1 - u0 > 1e-6 and v1 - v0 > 1e-6:
                self.face(np.stack([at(u0, v0), at(u1, v0), at(u1, v1), at(u0, v1)]), color, material)

        edge = 0.0
        for left, right, bottom, top, color, material in inner:
            patch(edge, left, 0, 1, frame, "plain")
            patch(left, right, 0, bottom, frame, "plain")
            patch(left, right, bottom, top, color, material)
            patch(left, right, top, 1, frame, "plain")
            edge = right
        patch(edge, 1, 0, 1, frame, "plain")

    def wheel(self, center: Point, radius: float, half_width: float, turn_rad: float, steer_rad: float = 0.0) -> None:
        """A tyre with a spoked rim on both faces; spokes show how far it has turned."""
        tyre, rim, hub = (24, 24, 26), (150, 152, 156), (70, 72, 76)
        sides = 12
        angles = np.arange(sides) * (2 * pi / sides)
        circle = np.stack([np.cos(angles), np.zeros(sides), np.sin(angles)], axis=1)
        turn = np.array([[cos(steer_rad), -sin(steer_rad), 0], [sin(steer_rad), cos(steer_rad), 0], [0, 0, 1]])
        middle = np.array(center, float)

        def ring(share: float, y: float) -> Corners:
            placed: Corners = (circle * radius * share + (0, y, 0)) @ turn.T + middle
            return placed

        left, right = ring(1, half_width), ring(1, -half_width)
        for i in range(sides):
            j = (i + 1) % sides
            self.face(np.stack([left[i], left[j], right[j], right[i]]), tyre)
        phase = round(turn_rad / (2 * pi / sides)) % 4
        for side in (1.0, -1.0):
            outer, inner = ring(1, side * half_width), ring(0.66, side * half_width)
            pole = ring(0, side * half_width)[0]
            for i in range(sides):
                j = (i + 1) % sides
                spoke = rim if (i - phase) % 4 < 2 else hub
                wall = np.stack([outer[i], inner[i], inner[j], outer[j]])
                slice_ = np.stack([pole, inner[j], inner[i]])
                self.face(wall if side > 0 else wall[::-1], tyre)
                self.face(slice_ if side > 0 else slice_[::-1], spoke)

    def parts(self) -> tuple[MeshPart, ...]:
        """Everything sketched so far: one part for each material and tag."""
        merged: dict[tuple[str, int], list[tuple[Corners, Corners, Color]]] = {}
        for (material, tag, _), faces in sorted(self._faces.items()):
            merged.setdefault((material, tag), []).extend(faces)
        return tuple(_part(material, tag, faces) for (material, tag), faces in merged.items())


def _part(material: str, tag: int, faces: list[tuple[Corners, Corners, Color]]) -> MeshPart:
    counts = np.array([len(corners) for corners, _, _ in faces])
    positions = np.concatenate([corners for corners, _, _ in faces]).astype(np.float32)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    quads = first[counts == 4]
    triangles = np.concatenate([first[:, None] + np.array([0, 1, 2]), quads[:, None] + np.array([0, 2, 3])]).astype(
        np.int32
    )
    return MeshPart(
        material=material,
        tag=tag,
        positions=positions,
        normals=np.concatenate([normals for _, normals, _ in faces]).astype(np.float32),
        uvs=np.zeros((len(positions), 2), np.float32),
        colors=np.repeat(np.array([color for _, _, color in faces], np.uint8), counts, axis=0),
        triangles=triangles,
        instances=np.zeros(len(positions), np.uint16),
    )
