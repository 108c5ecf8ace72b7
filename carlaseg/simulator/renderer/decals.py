"""Shadows and pools of light in Panda3D: blended over the ground after everything solid, in colours only."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from math import atan2, cos, degrees, radians, sin
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from panda3d import core

from carlaseg.simulator.renderer import panda, shadows
from carlaseg.simulator.renderer.kept import Kept
from carlaseg.simulator.renderer.lighting import Light
from carlaseg.simulator.scene import Town, VisibleActor

_LIFT_M = 0.03
# How far actors have shadows, before cameras scale it.
DECAL_RANGE_M = 110.0
_TOWN_RANGE_M, _TILE_M = 300.0, 96.0
# A shadow is made again when the sun has turned this far around the actor.
_TURN_STEP_DEG = 10
# Of all looks together, a few kB each.
_KEPT_SHADOWS = 1000
# Low and high beam among CARLA's light bits.
BEAMS = 6


class DecalKey(NamedTuple):
    """Actors with equal keys throw the same shadow: their look, the sun around them in steps, and headlights."""

    look: Hashable
    turned: int
    beams: bool


def _decal(mesh: shadows.Mesh) -> Any:
    """A GeomNode of one mesh."""
    node = core.GeomNode("decal")
    node.addGeom(panda.geometry(*mesh))
    return node


def _blend(top: Any) -> None:
    """Makes everything under a node a decal."""
    top.setBin(panda.DECAL_BIN, 0, 10)
    top.setAttrib(core.ColorAttrib.makeVertex())
    top.setTransparency(core.TransparencyAttrib.MAlpha)
    # The picture's alpha is the tag of what the decal lies on.
    channels = core.ColorWriteAttrib
    top.setAttrib(channels.make(channels.CRed | channels.CGreen | channels.CBlue))
    # Neighbouring triangles both draw their common edge: written depth keeps the second from darkening it again. Decals
    # must therefore be drawn from the lowest to the highest.
    top.setDepthWrite(True)
    top.setTwoSided(True)
    top.setLightOff(10)


def _tiles(vertices: NDArray[np.void], triangles: NDArray[np.int32]) -> Iterator[shadows.Mesh]:
    """A mesh cut into squares, so that only what is near is drawn."""
    cells = np.floor(vertices["position"][triangles].mean(axis=1)[:, :2] / _TILE_M)
    for cell in np.unique(cells, axis=0):
        used, local = np.unique(triangles[(cells == cell).all(axis=1)], return_inverse=True)
        yield vertices[used], local.reshape(-1, 3).astype(np.int32)


class TownDecals:
    """Shadows of buildings and trees by day, pools under street lamps by night."""

    def __init__(self, town: Town, color_root: Any) -> None:
        self._town = town
        self._top = color_root.attachNewNode("decals")
        _blend(self._top)
        self._casters: list[tuple[NDArray[np.float32], float]] | None = None

    def set_light(self, light: Light) -> None:
        """Lays out the decals of this light."""
        self._top.getChildren().detach()
        if light.lamps_on:
            mesh = shadows.lamp_pools(self._town)
        else:
            if self._casters is None:
                self._casters = shadows.casters(self._town)
            mesh = shadows.town_shadow(self._town, self._casters, light)
        if mesh is not None:
            for tile in _tiles(*mesh):
                switch = core.LODNode("decals")
                switch.addSwitch(_TOWN_RANGE_M, 0)
                switch.setCenter(core.Point3(*map(float, tile[0]["position"].mean(axis=0))))
                self._top.attachNewNode(switch).attachNewNode(_decal(tile))


class ActorDecals:
    """The shadow and the headlights of each look, made when first needed and shared."""

    def __init__(self) -> None:
        self._light: Light | None = None
        self._made: Kept[tuple[Any, ...]] = Kept(_KEPT_SHADOWS)

    def set_light(self, light: Light) -> None:
        """Forgets the shadows of the light before."""
        self._light = light
        self._made.clear()

    def key(self, actor: VisibleActor, look: Hashable) -> DecalKey | None:
        """Changes when the decals of an actor must be made again; None before the first light."""
        light = self._light
        if light is None:
            return None
        turned = round((degrees(atan2(*light.sun_direction[1::-1])) + actor.pose.yaw) / _TURN_STEP_DEG)
        beams = light.lamps_on and bool(actor.light_state & BEAMS)
        return DecalKey(look, turned % (360 // _TURN_STEP_DEG), beams)

    def attach(self, parent: Any, key: DecalKey, actor: VisibleActor, points: NDArray[np.float32]) -> Any:
        """Puts the decals under the actor's node.

        Args:
            parent: the actor's node in the scene of colours.
            key: from `key`.
            actor: whose decals.
            points: float32 (N, 3), the look's corners in the actor's frame.
        """
        switch = core.LODNode("decals")
        switch.addSwitch(DECAL_RANGE_M, 0)
        below = parent.attachNewNode(switch)
        top = below.attachNewNode("decals")
        _blend(below)
        light = self._light
        if light is not None:
            for node in self._made.get(key, lambda: tuple(map(_decal, self._make(light, key, actor, points)))):
                top.attachNewNode(node)
        return below

    def _make(
        self, light: Light, key: DecalKey, actor: VisibleActor, points: NDArray[np.float32]
    ) -> list[shadows.Mesh]:
        foot = -actor.extent[2] if actor.kind == "pedestrian" else 0.0
        standing = points - np.array([0, 0, foot], np.float32)
        z = foot + _LIFT_M
        size = min(actor.extent[0], actor.extent[1])
        ambient = 0.30 if light.lamps_on else 0.42
        contact = shadows.outline(standing[standing[:, 2] < actor.extent[2]], np.zeros(2))
        meshes = []
        if len(contact) > 2:
            meshes.append(shadows.soft_polygon(contact, z, (0, 0, 0), ambient, min(0.6 * size, 0.5)))
        if not light.lamps_on and shadows.darkness_of(light) > shadows.FAINTEST:
            # The sun as the actor sees it: the town turned back by the actor's heading.
            turn = radians(key.turned * _TURN_STEP_DEG)
            length = float(np.hypot(*shadows.slope_of(light)))
            slope = -length * np.array([cos(turn), sin(turn)])
            cast = shadows.outline(standing, slope)
            meshes.append(shadows.soft_polygon(cast, z + 0.005, (0, 0, 0), shadows.darkness_of(light), 0.06))
        if key.beams:
            meshes.append(shadows.headlight_beam(actor.extent[0], 0.8 * actor.extent[1]))
        return meshes
