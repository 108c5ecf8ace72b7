"""The town itself in Panda3D: a coloured mesh and a mesh of ids, cut into the same tiles, drawn in the same order."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from panda3d import core

from carlaseg.simulator.renderer import panda
from carlaseg.simulator.renderer.lighting import Light, lamp_light, shade
from carlaseg.simulator.renderer.materials import MATERIALS, paint_texture, texture_name
from carlaseg.simulator.renderer.tiles import TILE_M, Batch, Range, cut_into_tiles, row_keys, welded
from carlaseg.simulator.renderer.vertices import BAKED_VERTEX, ID_VERTEX
from carlaseg.simulator.scene import Town

# How far from a tile's middle its small parts are drawn, and how far all of it; cameras scale it, see `lod_scale`.
NEAR_RANGE_M, FAR_RANGE_M = 170.0, 520.0
# Well before the far plane: what the rasteriser cuts off there, it draws over all that is nearer.
SMALLEST_LOD_SCALE = FAR_RANGE_M / 850.0
_HALF_TILE_M, _SMALLEST_RANGE_M, _M_PER_PX = 68.0, 45.0, 0.25
# Key of the tag by which the depth pass knows how to draw a node: SOLID, or the name of an alpha-tested material.
DEPTH_TAG, SOLID = "depth", "solid"


class Palette:
    """Textures and render states of all materials, shared by town and actors."""

    def __init__(self) -> None:
        self._night = False
        self._textures = {
            name: panda.texture(name, paint_texture(name))
            for name, entry in MATERIALS.items()
            if entry.paint and texture_name(name) == name
        }
        # Same alpha and filters as in colour, white otherwise: the same pixels are cut out, and ids pass unchanged.
        self.alpha_textures = {}
        for name, entry in MATERIALS.items():
            if entry.alpha:
                pixels = paint_texture(name).copy()
                pixels[..., :3] = 255
                self.alpha_textures[name] = panda.texture(name + "-alpha", pixels)

    def set_night(self, night: bool) -> None:
        """Lights or darkens the windows."""
        if night == self._night:
            return
        self._night = night
        for name, entry in MATERIALS.items():
            if entry.glows == "night":
                panda.repaint(self._textures[name], paint_texture(name, night=night))

    def close(self) -> None:
        """Gives back the pixels: Panda3D's table of states may hold on to the textures themselves."""
        for texture in (*self._textures.values(), *self.alpha_textures.values()):
            texture.clearRamImage()

    def color_state(self, material: str, two_sided: bool = False) -> Any:
        """State for the coloured mesh."""
        node = core.NodePath("state")
        texture = self._textures.get(texture_name(material))
        if texture is not None:
            node.setTexture(texture)
        if MATERIALS[material].alpha:
            node.setAttrib(core.AlphaTestAttrib.make(core.RenderAttrib.MGreater, 0.0))
        if MATERIALS[material].glows == "always":
            node.setLightOff(1)
        node.setTwoSided(two_sided)
        return node.getState()

    def id_state(self, material: str, two_sided: bool = False) -> Any:
        """State for the mesh of ids."""
        node = core.NodePath("state")
        if MATERIALS[material].alpha:
            node.setTexture(self.alpha_textures[material])
            node.setAttrib(core.AlphaTestAttrib.make(core.RenderAttrib.MGreater, 0.5))
        node.setTwoSided(two_sided)
        return node.getState()


class StaticScene:
    """The town's geometry in the two scene graphs; in that of ids after `add_ids`."""

    def __init__(self, town: Town, palette: Palette, color_root: Any, id_root: Any) -> None:
        self._lamps = np.asarray(town.lamp_positions, np.float32).reshape(-1, 3)
        self._batches = cut_into_tiles(town.parts)
        self._baked: list[tuple[Any, int, NDArray[Any]]] = []
        self._lamp_light: NDArray[np.float32] | None = None
        color_top, id_top = color_root.attachNewNode("town"), id_root.attachNewNode("town")
        for top in (color_top, id_top):
            top.setBin(panda.TOWN_BIN, 0)
            top.setAttrib(core.ColorAttrib.makeVertex())
        id_top.setAttrib(core.ShadeModelAttrib.make(core.ShadeModelAttrib.MFlat))
        self._palette, self._id_top, self._has_ids = palette, id_top, False
        self._heights: dict[tuple[int, int], float] = {}
        for batch in self._batches:
            self._heights.setdefault(batch.tile, float(batch.positions[:, 2].mean()))
        for members in self._groups():
            self._add_colors(members, palette, self._parent(color_top, members[0]))
        self._normals = _concatenate([b.normals for b in self._batches], 3)
        self._positions = _concatenate([b.positions for b in self._batches], 3)
        self._albedo = _concatenate([b.albedo for b in self._batches], 3)
        self._soaks = np.concatenate([b.soaks for b in self._batches] or [np.zeros(0, np.float32)])
        self._glows = np.concatenate([b.glows for b in self._batches] or [np.zeros(0, np.int8)])
        self._slices = np.cumsum([0, *(len(b.positions) for b in self._batches)])

    def _groups(self) -> Iterator[list[Batch]]:
        """The batches of one tile and range, in drawing order."""
        for _, members in groupby(self._batches, lambda batch: (batch.tile, batch.range)):
            yield list(members)

    def _parent(self, top: Any, batch: Batch) -> Any:
        # The same centre and range in both meshes: a prop is in both passes or in neither.
        switch = core.LODNode("range")
        switch.addSwitch(*((NEAR_RANGE_M, 0) if batch.range is Range.NEAR else (FAR_RANGE_M, NEAR_RANGE_M)))
        column, row = batch.tile
        switch.setCenter(core.Point3((column + 0.5) * TILE_M, (row + 0.5) * TILE_M, self._heights[batch.tile]))
        return top.attachNewNode(switch).attachNewNode("content")

    def add_ids(self) -> None:
        """Makes the mesh of ids if it is not there yet: pairs of RGB and semantic pictures do without."""
        if self._has_ids:
            return
        self._has_ids = True
        for members in self._groups():
            _add_ids(members, self._palette, self._parent(self._id_top, members[0]))

    def _add_colors(self, members: list[Batch], palette: Palette, parent: Any) -> None:
        node = core.GeomNode("colors")
        for batch in members:
            vertices = np.zeros(len(batch.positions), BAKED_VERTEX)
            vertices["position"], vertices["uv"] = batch.positions, batch.uvs
            vertices["color"][:, 3] = batch.identity[:, 0]
            self._baked.append((node, node.getNumGeoms(), vertices))
            node.addGeom(panda.geometry(vertices, batch.triangles), palette.color_state(batch.texture, batch.two_sided))
        parent.attachNewNode(node)

    def set_light(self, light: Light) -> None:
        """Bakes the light into the vertex colours."""
        strength = shade(self._normals, light)
        if light.lamps_on:
            if self._lamp_light is None:
                self._lamp_light = lamp_light(self._positions, self._normals, self._lamps)
            strength += self._lamp_light * np.float32(light.night)
        strength *= (1 - np.float32(0.45) * light.wetness * self._soaks)[:, None]
        unshaded = (self._glows == 2) | ((self._glows == 1) & light.lamps_on)
        strength[unshaded] = 1.0
        albedo = self._albedo
        if light.lamps_on:
            # Lit windows keep their own colour: by night the wall's tint is all but gone.
            albedo = albedo.copy()
            albedo[self._glows == 1] = 0.3 * albedo[self._glows == 1] + 0.7 * 255
        lit = np.clip(albedo * strength, 0, 255) / np.float32(255)
        lit[~unshaded] **= np.float32(light.tone)
        colors = (lit * np.float32(255)).astype(np.uint8)
        for index, (node, geom, vertices) in enumerate(self._baked):
            vertices["color"][:, :3] = colors[self._slices[index] : self._slices[index + 1]]
            panda.rewrite_vertices(node, geom, vertices)


def lod_scale(focal_px: float) -> float:
    """What a camera scales distances by: what is left out or simplified is then some two pixels large."""
    scale = NEAR_RANGE_M / (_HALF_TILE_M + max(_SMALLEST_RANGE_M, _M_PER_PX * focal_px))
    return max(scale, SMALLEST_LOD_SCALE)


def _add_ids(members: list[Batch], palette: Palette, parent: Any) -> None:
    """Neighbours in drawing order with one state become one geom."""
    start = 0
    while start < len(members):
        first = members[start]
        alpha = MATERIALS[first.texture].alpha
        end = start
        while end < len(members) and _id_key(members[end]) == _id_key(first):
            end += 1
        run = members[start:end]
        vertices = np.zeros(sum(len(b.positions) for b in run), BAKED_VERTEX if alpha else ID_VERTEX)
        vertices["position"] = np.concatenate([b.positions for b in run])
        identity = np.concatenate([b.identity for b in run])
        if alpha:
            vertices["uv"] = np.concatenate([b.uvs for b in run])
        vertices["color"][:, :3], vertices["color"][:, 3] = identity, 255
        offsets = np.cumsum([0] + [len(b.positions) for b in run])
        triangles = np.concatenate([b.triangles + offset for b, offset in zip(run, offsets[:-1], strict=True)])
        columns = [vertices["position"], identity.astype(np.float32)] + ([vertices["uv"]] if alpha else [])
        corners, triangles = welded(row_keys(*columns), triangles)
        vertices = vertices[corners]
        node = core.GeomNode("ids")
        node.addGeom(panda.geometry(vertices, triangles))
        attached = parent.attachNewNode(node)
        # On the node, not on the geom: the depth pass replaces it by the node's tag.
        attached.setState(palette.id_state(first.texture, first.two_sided))
        attached.setTag(DEPTH_TAG, first.texture if alpha else SOLID)
        start = end


def _id_key(batch: Batch) -> tuple[str, bool]:
    return (batch.texture if MATERIALS[batch.texture].alpha else "", batch.two_sided)


def _concatenate(arrays: list[NDArray[np.float32]], width: int) -> NDArray[np.float32]:
    return np.concatenate(arrays) if arrays else np.zeros((0, width), np.float32)
