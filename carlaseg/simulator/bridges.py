"""What a raised road needs: an underside, edges, railings at its drops, and pillars where nothing else is below."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from shapely.geometry import Point

from carlaseg.simulator.ground import BRIDGE_M, Ground
from carlaseg.simulator.lots import Lots
from carlaseg.simulator.mesh import MeshBuilder, strip
from carlaseg.simulator.pavement import LaneStrip, Pavement

Array = NDArray[np.float64]

BRIDGE_TAG, GUARD_RAIL_TAG = 26, 28
_DECK_M = 0.9
_RAIL_M = 0.9
_PILLAR_GAP_M, _PILLAR_HALF_M, _SHORTEST_PILLAR_M = 22.0, 0.7, 3.0
_CONCRETE = (196, 190, 180)


def build_bridges(builder: MeshBuilder, pavement: Pavement, ground: Ground, lots: Lots) -> None:
    """Add them wherever a road runs well above the ground."""
    edges: dict[tuple[int, float], list[LaneStrip]] = {}
    for lane in pavement.strips:
        edges.setdefault((lane.road, lane.section_s), []).append(lane)
    since_pillar = np.inf
    for lanes in edges.values():
        left = max(lanes, key=lambda lane: lane.lane).left
        right = min(lanes, key=lambda lane: lane.lane).right
        clear = np.minimum(left[:, 2] - ground.height(left[:, :2]), right[:, 2] - ground.height(right[:, :2]))
        raised = clear > BRIDGE_M
        span = raised[:-1] & raised[1:]
        if not span.any():
            continue
        _deck(builder, right, left, span, railed=lanes[0].junction == -1)
        for k in np.flatnonzero(span):
            if clear[k] < _SHORTEST_PILLAR_M:
                continue
            since_pillar += float(np.linalg.norm(left[k + 1, :2] - left[k, :2]))
            if since_pillar > _PILLAR_GAP_M and _pillar(builder, (left[k] + right[k]) / 2, ground, pavement, lots):
                since_pillar = 0.0


def _deck(builder: MeshBuilder, right: Array, left: Array, span: NDArray[np.bool_], *, railed: bool) -> None:
    down, up = np.array([0.0, 0.0, -_DECK_M]), np.array([0.0, 0.0, _RAIL_M])
    under = strip(left + down, right + down)[span]
    instance = builder.new_instance()
    builder.quads("kerb", BRIDGE_TAG, under, colors=_CONCRETE, instances=instance)
    for line, outward in ((left, 1.0), (right, -1.0)):
        face = strip(line + down, line)[span]
        face = face[:, [1, 0, 3, 2]] if outward > 0 else face
        builder.quads("kerb", BRIDGE_TAG, face, np.zeros((4, 2)), _CONCRETE, instance)
        if railed:
            rail = strip(line, line + up)[span]
            builder.quads("metal", GUARD_RAIL_TAG, rail, np.zeros((4, 2)), (186, 190, 192), instance, two_sided=True)


def _pillar(builder: MeshBuilder, top: Array, ground: Ground, pavement: Pavement, lots: Lots) -> bool:
    """Put one below a deck if no road, sidewalk or building is in its way; say whether there was room."""
    below = [
        k
        for k in pavement.near(Point(top[0], top[1]).buffer(_PILLAR_HALF_M + 0.6))
        if float(np.median(k.left[:, 2])) < top[2] - BRIDGE_M
    ]
    spot = Point(top[0], top[1]).buffer(_PILLAR_HALF_M)
    if below or not lots.is_open(spot, 0.2):
        return False
    lots.mark(spot)
    foot = float(ground.height(top[None, :2])[0]) - 0.5
    high = float(top[2]) - _DECK_M
    center = (float(top[0]), float(top[1]), (foot + high) / 2)
    half = (_PILLAR_HALF_M, _PILLAR_HALF_M, (high - foot) / 2)
    builder.box("kerb", BRIDGE_TAG, center, half, 0.0, _CONCRETE, builder.new_instance())
    return True
