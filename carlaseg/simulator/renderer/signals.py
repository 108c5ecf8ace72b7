"""Lit lamps of traffic lights, in colours and in ids. The dark heads they sit in belong to the town."""

from __future__ import annotations

from collections.abc import Mapping
from math import cos, pi, sin
from typing import Any

import numpy as np
from numpy.typing import NDArray
from panda3d import core

from carlaseg.simulator.renderer import panda
from carlaseg.simulator.renderer.static import DEPTH_TAG, SOLID, Palette
from carlaseg.simulator.renderer.vertices import BAKED_VERTEX, ID_VERTEX
from carlaseg.simulator.scene import Town, TrafficLightSite

TRAFFIC_LIGHT_TAG = 7
# CARLA's state to height over the middle of the head and colour. Lamps sit a centimetre before the town's dark ones.
_LAMPS = {0: (0.31, (255, 52, 40)), 1: (0.0, (255, 196, 40)), 2: (-0.31, (60, 255, 130))}
# Before cameras scale it, see `static.lod_scale`.
_RANGE_M = 110.0
_RADIUS_M, _FORWARD_M, _SIDES = 0.12, 0.147, 10


def _lamps(site: TrafficLightSite, state: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Discs (N, 3) and triangles (M, 3) of one state, town frame, one disc a head."""
    angles = np.arange(_SIDES) * (2 * pi / _SIDES)
    forward = np.array([cos(site.head_heading_rad), sin(site.head_heading_rad), 0.0])
    left = np.array([-forward[1], forward[0], 0.0])
    upward = np.array([0.0, 0.0, 1.0])
    disc = _RADIUS_M * (np.cos(angles)[:, None] * left + np.sin(angles)[:, None] * upward)
    disc = np.concatenate([np.zeros((1, 3)), disc]) + _FORWARD_M * forward + _LAMPS[state][0] * upward
    rim = np.arange(_SIDES)
    fan = np.stack([np.zeros(_SIDES, int), rim + 1, (rim + 1) % _SIDES + 1], axis=1)
    heads = np.asarray(site.head_center_town, float).reshape(-1, 3)
    points = (heads[:, None] + disc).reshape(-1, 3)
    triangles = (fan + np.arange(len(heads))[:, None, None] * len(disc)).reshape(-1, 3)
    return points.astype(np.float32), triangles.astype(np.int32)


def _instance_of(site: TrafficLightSite, town: Town) -> int:
    """The instance number of the head that the town drew where this light is; 0 if it drew none."""
    best, nearest = 0, 1.0
    for part in town.parts:
        if part.tag == TRAFFIC_LIGHT_TAG and len(part.positions):
            squared = ((part.positions - np.asarray(site.head_center_town, np.float32).reshape(-1, 3)[0]) ** 2).sum(
                axis=1
            )
            index = int(squared.argmin())
            if squared[index] < nearest:
                best, nearest = int(part.instances[index]), float(squared[index])
    return best


def _within_range(top: Any, site: TrafficLightSite) -> Any:
    """A node that is drawn from near only: farther away a lamp is less than a pixel."""
    switch = core.LODNode("lamps")
    switch.addSwitch(_RANGE_M, 0)
    switch.setCenter(core.Point3(*map(float, np.asarray(site.head_center_town).reshape(-1, 3)[0])))
    return top.attachNewNode(switch).attachNewNode("states")


class SignalLamps:
    """One node for each traffic light and state, of which at most one a light is shown."""

    def __init__(self, town: Town, palette: Palette, color_root: Any, id_root: Any) -> None:
        self._nodes: dict[str, dict[int, tuple[Any, Any]]] = {}
        color_top, id_top = color_root.attachNewNode("signals"), id_root.attachNewNode("signals")
        for top in (color_top, id_top):
            top.setBin(panda.ACTOR_BIN, 0)
            top.setAttrib(core.ColorAttrib.makeVertex())
        id_top.setTag(DEPTH_TAG, SOLID)
        for site in town.traffic_lights:
            if len(site.head_center_town) == 0:
                continue
            instance = _instance_of(site, town)
            states = self._nodes.setdefault(site.signal_id, {})
            parents = [_within_range(top, site) for top in (color_top, id_top)]
            for state, (_, rgb) in _LAMPS.items():
                points, triangles = _lamps(site, state)
                colored = np.zeros(len(points), BAKED_VERTEX)
                colored["position"], colored["color"] = points, (*rgb, TRAFFIC_LIGHT_TAG)
                shapes = np.zeros(len(points), ID_VERTEX)
                shapes["position"] = points
                shapes["color"] = (TRAFFIC_LIGHT_TAG, instance & 255, instance >> 8, 255)
                pair = []
                for parent, vertices in zip(parents, (colored, shapes), strict=True):
                    node = core.GeomNode("lamps")
                    node.addGeom(panda.geometry(vertices, triangles), palette.color_state("lamp_glass"))
                    attached = parent.attachNewNode(node)
                    attached.stash()
                    pair.append(attached)
                states[state] = (pair[0], pair[1])
        self._shown: dict[str, int] = {}

    def show(self, states: Mapping[str, int]) -> None:
        """Lights the lamps of these states; a light that is not named is dark."""
        for signal_id, nodes in self._nodes.items():
            state, before = states.get(signal_id, -1), self._shown.get(signal_id, -1)
            if state == before:
                continue
            self._shown[signal_id] = state
            for node in nodes.get(before, ()):
                node.stash()
            for node in nodes.get(state, ()):
                node.unstash()
