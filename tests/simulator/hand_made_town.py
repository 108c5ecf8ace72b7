"""A town of a few quads and boxes, small enough that a test knows every pixel's answer."""

from __future__ import annotations

import numpy as np

from carlaseg.simulator.scene import MeshPart, Pose, Town, TrafficLightSite


def quads(
    material: str, tag: int, corners: object, color: tuple[int, int, int] = (128, 128, 128), **more: object
) -> MeshPart:
    """A part of flat quads (Q, 4, 3), anticlockwise seen from the front."""
    points = np.asarray(corners, np.float32).reshape(-1, 4, 3)
    normals = np.cross(points[:, 2] - points[:, 0], points[:, 3] - points[:, 1])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    count = len(points)
    first = np.arange(count)[:, None] * 4
    triangles = np.concatenate([first + [0, 1, 2], first + [0, 2, 3]], axis=1).reshape(-1, 3)
    instance = more.pop("instance", 0)
    return MeshPart(
        material=material,
        tag=tag,
        positions=points.reshape(-1, 3),
        normals=np.repeat(normals, 4, axis=0).astype(np.float32),
        uvs=(points.reshape(-1, 3)[:, :2] / 4 + points.reshape(-1, 3)[:, 2:] / 12).astype(np.float32),
        colors=np.tile(np.array(color, np.uint8), (count * 4, 1)),
        triangles=triangles.astype(np.int32),
        instances=np.full(count * 4, instance, np.uint16),
        **more,
    )


def floor(
    material: str, tag: int, x: tuple[float, float], y: tuple[float, float], z: float = 0.0, step: float = 10.0
) -> MeshPart:
    """A horizontal floor of quads of `step` metres."""
    xs, ys = np.meshgrid(np.arange(*x, step), np.arange(*y, step))
    xs, ys = xs.ravel(), ys.ravel()
    height = np.full_like(xs, z)
    corner = [np.stack([xs + dx * step, ys + dy * step, height], axis=1) for dx, dy in ((0, 0), (1, 0), (1, 1), (0, 1))]
    return quads(material, tag, np.stack(corner, axis=1), color=(112, 130, 72) if tag == 10 else (141, 141, 144))


def box(
    material: str, tag: int, center: tuple[float, float, float], half: tuple[float, float, float], **more: object
) -> MeshPart:
    """An upright box in the town frame."""
    (x, y, z), (hx, hy, hz) = center, half
    low = [(x + sx * hx, y + sy * hy, z - hz) for sx, sy in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    high = [(px, py, z + hz) for px, py, _ in low]
    sides = [[low[i], low[(i + 1) % 4], high[(i + 1) % 4], high[i]] for i in range(4)]
    return quads(material, tag, [*sides, high, low[::-1]], **more)


def town_of(*parts: MeshPart, lights: tuple[TrafficLightSite, ...] = (), lamps: object = ()) -> Town:
    """A town with just this geometry."""
    return Town(
        name="hand_made", seed=0, opendrive="", spawn_points=(Pose(),), parts=parts, traffic_lights=lights,
        walk_quads=np.zeros((0, 4, 3), np.float32), walk_areas=np.zeros(0, np.uint8), level_boxes=(),
        lamp_positions=np.asarray(lamps, np.float32).reshape(-1, 3), bounds_town=(-120.0, -120.0, 120.0, 120.0),
        road_height_grid=np.zeros((2, 2), np.float32), road_height_cell_m=240.0,
    )  # fmt: skip


def street() -> Town:
    """A road along x with a lane line, pavements, houses, a few trees and a fence."""
    crowns = []
    for x in range(-60, 100, 20):
        crowns.append([(x - 2, 11, 2), (x + 2, 11, 2), (x + 2, 11, 6), (x - 2, 11, 6)])
        crowns.append([(x, 9, 2), (x, 13, 2), (x, 13, 6), (x, 9, 6)])
    houses = [box("facade_brick", 3, (x, side * 22, 6), (8, 6, 6), color=(186, 139, 116), instance=300 + x)
              for x in range(-40, 90, 24) for side in (1, -1)]  # fmt: skip
    crown = quads("leaves", 9, crowns, color=(90, 130, 60), instance=77, two_sided=True)
    unit_uvs = np.tile(np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32), (len(crowns), 1))
    crown = MeshPart(**{**crown.__dict__, "uvs": unit_uvs})
    dashes = [[(x, -0.1, 0.015), (x + 3, -0.1, 0.015), (x + 3, 0.1, 0.015), (x, 0.1, 0.015)] for x in range(-60, 90, 9)]
    return town_of(
        floor("asphalt", 1, (-80, 110), (-5, 5), step=5.0),
        quads("road_paint", 24, dashes, color=(240, 240, 240)),
        floor("paving", 2, (-80, 110), (5, 10), 0.15, 5.0),
        floor("paving", 2, (-80, 110), (-10, -5), 0.15, 5.0),
        floor("grass", 10, (-120, 120), (-120, -10), 0.0),
        floor("grass", 10, (-120, 120), (10, 120), 0.0),
        quads(
            "fence_mesh", 5, [[(0, -10, 0), (20, -10, 0), (20, -10, 1.5), (0, -10, 1.5)]], two_sided=True, small=True
        ),
        *houses,
        crown,
        lamps=[(10.0, 6.0, 6.0)],
    )
