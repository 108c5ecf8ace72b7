"""Vehicles that stand in parking lanes and belong to the town: no actors, they never move."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from carlaseg.simulator import bodies
from carlaseg.simulator.bodies.coarse import coarsened
from carlaseg.simulator.mesh import MeshBuilder, Model
from carlaseg.simulator.pavement import LaneStrip, Pavement
from carlaseg.simulator.poses import normalize_deg
from carlaseg.simulator.roads_mesh import ROAD_TAG
from carlaseg.simulator.scene import BodyKind, LevelBox, Pose, VisibleActor

CAR_TAG = 14
_GAP_M, _OCCUPIED = 6.6, 0.55
_SLACK_M = 0.1
_FAR_CELL_M = 0.4
# Above the asphalt, below the car: what keeps the light away from the road.
_SHADE_LIFT_M, _SHADE_COLOR = 0.012, (58, 54, 50)
# Variant, half sizes and colours. Sizes are CARLA's, rounded.
_CARS: tuple[tuple[BodyKind, str, tuple[float, float, float], tuple[int, int, int]], ...] = (
    ("car", "vehicle.audi.a2", (1.85, 0.90, 0.78), (196, 198, 200)),
    ("car", "vehicle.seat.leon", (2.10, 0.91, 0.74), (150, 30, 32)),
    ("car", "vehicle.toyota.prius", (2.26, 1.00, 0.76), (226, 226, 222)),
    ("car", "vehicle.nissan.micra", (1.82, 0.92, 0.76), (44, 74, 130)),
    ("car", "vehicle.audi.tt", (2.09, 1.00, 0.70), (30, 31, 33)),
    ("car", "vehicle.citroen.c3", (1.99, 0.93, 0.81), (186, 150, 70)),
)


def park_vehicles(builder: MeshBuilder, pavement: Pavement, boxes: list[LevelBox], rng: np.random.Generator) -> None:
    """Fill parking lanes, where they are wide enough, about half."""
    places: list[list[tuple[NDArray[np.float64], float]]] = [[] for _ in _CARS]
    for lane in pavement.strips:
        if lane.type == "parking" and lane.junction == -1:
            _park_along(lane, places, rng)
    for (_, _, extent, _), model, spots in zip(_CARS, map(_model, range(len(_CARS))), places, strict=True):
        if not spots:
            continue
        builder.stamp(model, np.array([place for place, _ in spots]), np.array([turn for _, turn in spots]))
        for (x, y, z), turn in spots:
            pose = Pose(float(x), float(-y), float(z) + extent[2], yaw=normalize_deg(-float(np.degrees(turn))))
            boxes.append(LevelBox(CAR_TAG, pose, extent))


def _park_along(
    lane: LaneStrip, places: list[list[tuple[NDArray[np.float64], float]]], rng: np.random.Generator
) -> None:
    middle = (lane.left + lane.right) / 2
    width = np.linalg.norm(lane.left - lane.right, axis=1)
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(middle[:, :2], axis=0), axis=1))])
    for u in np.arange(_GAP_M / 2, float(length[-1]) - _GAP_M / 2, _GAP_M):
        number = int(rng.integers(len(_CARS)))
        extent = _CARS[number][2]
        ends = np.array([u - extent[0] - 0.3, u, u + extent[0] + 0.3])
        taken = rng.random() < _OCCUPIED
        if not taken or np.interp(ends, length, width).min() < 2 * (extent[1] + _SLACK_M):
            continue
        rear, place, front = np.stack([np.interp(ends, length, middle[:, k]) for k in range(3)], axis=1)
        turn = float(np.arctan2(front[1] - rear[1], front[0] - rear[0]))
        # Cars stand the way their side of the road is driven.
        places[number].append((place, turn if lane.lane < 0 else turn + np.pi))


def _model(number: int) -> Model:
    kind, variant, extent, color = _CARS[number]
    actor = VisibleActor(0, kind, variant, extent, Pose(), color, CAR_TAG)
    limbs = bodies.limbs_key(actor)
    parts = bodies.build_shell(bodies.shell_key(actor)) + (bodies.build_limbs(limbs) if limbs else ())
    near = tuple(replace(part, small=True) for part in parts)
    far = tuple(replace(part, stand_in=True) for part in coarsened(parts, _FAR_CELL_M))
    shade = MeshBuilder()
    x, y = 0.95 * extent[0], 0.95 * extent[1]
    corners = [[(-x, -y, _SHADE_LIFT_M), (x, -y, _SHADE_LIFT_M), (x, y, _SHADE_LIFT_M), (-x, y, _SHADE_LIFT_M)]]
    shade.quads("plain", ROAD_TAG, corners, colors=_SHADE_COLOR, small=True)
    return (*near, *far, *shade.parts())
