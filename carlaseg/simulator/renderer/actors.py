"""Moving things in Panda3D: one node an actor in each scene graph, meshes shared between actors that look the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from panda3d import core

from carlaseg.simulator import bodies
from carlaseg.simulator.bodies.coarse import coarsened
from carlaseg.simulator.renderer import panda
from carlaseg.simulator.renderer.decals import BEAMS, DECAL_RANGE_M, ActorDecals, DecalKey
from carlaseg.simulator.renderer.kept import Kept
from carlaseg.simulator.renderer.lighting import Light
from carlaseg.simulator.renderer.materials import MATERIALS
from carlaseg.simulator.renderer.placement import Sight, body_matrix
from carlaseg.simulator.renderer.shadows import BEAM_M, LONGEST_SHADOW, ground_height
from carlaseg.simulator.renderer.static import DEPTH_TAG, FAR_RANGE_M, SOLID, Palette
from carlaseg.simulator.renderer.vertices import ID_VERTEX, LIT_VERTEX
from carlaseg.simulator.scene import MeshPart, Pose, Town, VisibleActor

_GROUNDED_M = 0.7
# How far an actor is drawn with all its details, before cameras scale it (see `static.lod_scale`).
_DETAIL_RANGE_M = 40.0
# More than an actor's origin is off the point its distance is measured to, scaled.
_MARGIN_M = 2.0
# Meshes kept, some 0.1 MB each. A car's wheels have 68 positions; those in sight use a few dozen at a time.
_KEPT_LOOKS, _KEPT_LIMBS = 600, 200
# What is merged beyond: of cars, and of people and what has their size.
_CELL_M = {"pedestrian": 0.17, "bicycle": 0.2, "motorcycle": 0.22, "car": 0.4, "van": 0.5, "truck": 0.6, "bus": 0.7}
_DEFAULT_CELL_M = 0.3

# GeomNodes, each with the one colour it is drawn in, or None for the colours of its corners.
_Drawn = tuple[tuple[Any, Any], ...]


@dataclass
class _Mesh:
    """One shared look: a coloured GeomNode, a GeomNode of bare shape for each tag, and all corners (N, 3)."""

    color: Any
    shapes: tuple[tuple[int, Any], ...]
    corners: NDArray[np.float32]

    def colored(self) -> _Drawn:
        return ((self.color, None),)

    def identified(self, actor_id: int) -> _Drawn:
        return tuple((shape, flat_identity(tag, actor_id)) for tag, shape in self.shapes)


class _Figure:
    """An actor in one scene graph: a node with its shell and limbs, seen from near, and its whole, seen from afar."""

    def __init__(self, top: Any, actor_id: int) -> None:
        # Sorted by id: the order in which actors came must not show in the picture.
        self._place = top, actor_id & 0x7FFFFFFF
        self.node = core.NodePath(f"actor-{actor_id}")
        switch = core.LODNode("detail")
        switch.addSwitch(_DETAIL_RANGE_M, 0)
        switch.addSwitch(FAR_RANGE_M, _DETAIL_RANGE_M)
        attached = self.node.attachNewNode(switch)
        self._near, self._far = attached.attachNewNode("near"), attached.attachNewNode("far")
        self._shell_nodes: list[Any] = []
        self._limb_nodes: list[Any] = []
        self._far_nodes: list[Any] = []
        self._is_shown = False
        self.shell: bodies.ShellKey | None = None
        self.limbs: bodies.LimbsKey | None = None
        self.pose: Pose | None = None

    def take_shell(self, shell: bodies.ShellKey, near: _Drawn, far: _Drawn) -> None:
        self.shell = shell
        _put(self._near, self._shell_nodes, near)
        _put(self._far, self._far_nodes, far)

    def take_limbs(self, limbs: bodies.LimbsKey, drawn: _Drawn) -> None:
        self.limbs = limbs
        _put(self._near, self._limb_nodes, drawn)

    def move(self, pose: Pose) -> None:
        self.pose = pose
        self.node.setMat(body_matrix(pose))

    def show(self, is_shown: bool) -> None:
        """Puts the actor into the scene or takes it out: what no camera can see need not be kept up to date."""
        if is_shown != self._is_shown:
            self._is_shown = is_shown
            if is_shown:
                self.node.reparentTo(*self._place)
            else:
                self.node.detachNode()


def _put(parent: Any, nodes: list[Any], drawn: _Drawn) -> None:
    """Fills nodes below a parent with geometry, in the place of what they held: wheels turn in every frame."""
    while len(nodes) > len(drawn):
        nodes.pop().removeNode()
    while len(nodes) < len(drawn):
        nodes.append(parent.attachNewNode(core.GeomNode("shape")))
    for node, (geoms, color) in zip(nodes, drawn, strict=True):
        node.node().removeAllGeoms()
        node.node().addGeomsFrom(geoms)
        if color is not None:
            node.setAttrib(color)


@dataclass
class _Shade:
    """What an actor throws on the ground."""

    is_relit: bool = True
    pose: Pose | None = None
    key: DecalKey | None = None
    node: Any = None


def flat_identity(tag: int, instance: int) -> Any:
    """A flat colour that reads back exactly as (tag, low byte, high byte): the renderer rounds down."""
    low, high = instance & 255, instance >> 8 & 255
    return core.ColorAttrib.makeFlat(core.LColor((tag + 0.5) / 256, (low + 0.5) / 256, (high + 0.5) / 256, 1))


def _distances(actors: Sequence[VisibleActor], sights: Sequence[Sight]) -> list[float]:
    """Scaled distance of each actor from the nearest camera that may see it or its shadow, infinite if none does."""
    places = np.array([(actor.pose.x, -actor.pose.y, actor.pose.z) for actor in actors]).reshape(-1, 3)
    extents = np.array([actor.extent for actor in actors]).reshape(-1, 3)
    reach_m = np.sqrt((extents**2).sum(axis=1)) + LONGEST_SHADOW * 2 * extents[:, 2]
    reach_m += np.array([BEAM_M if actor.light_state & BEAMS else 0.0 for actor in actors])
    nearest = np.full(len(places), np.inf)
    for sight in sights:
        nearest = np.minimum(nearest, sight.distances(places, reach_m))
    distances: list[float] = nearest.tolist()
    return distances


def _white_material() -> Any:
    """A material that leaves paint to the vertex colours; without one those would count twice, and their alpha too."""
    material = core.Material()
    material.setAmbient(core.LColor(1, 1, 1, 1))
    material.setDiffuse(core.LColor(1, 1, 1, 1))
    return material


class ActorScene:
    """All actors of the frame that was shown last."""

    def __init__(self, town: Town, palette: Palette, color_root: Any, id_root: Any) -> None:
        self._town = town
        self._palette = palette
        self._decals = ActorDecals()
        self._looks: Kept[_Mesh] = Kept(_KEPT_LOOKS)
        self._moving: Kept[_Mesh] = Kept(_KEPT_LIMBS)
        self._colored: dict[int, _Figure] = {}
        self._identified: dict[int, _Figure] = {}
        self._shades: dict[int, _Shade] = {}
        self._color_top, self._id_top = color_root.attachNewNode("actors"), id_root.attachNewNode("actors")
        for top in (self._color_top, self._id_top):
            top.setBin(panda.ACTOR_BIN, 0)
        self._color_top.setAttrib(core.ColorAttrib.makeVertex())
        self._color_top.setMaterial(_white_material())
        self._id_top.setAttrib(core.ShadeModelAttrib.make(core.ShadeModelAttrib.MFlat))
        self._id_top.setTag(DEPTH_TAG, SOLID)
        self._sun, self._sky = core.DirectionalLight("sun"), core.DirectionalLight("sky")
        self._ambient = core.AmbientLight("ambient")
        self._sun_node = color_root.attachNewNode(self._sun)
        sky_node = color_root.attachNewNode(self._sky)
        sky_node.lookAt(core.Point3(0, 0, -1), core.Vec3(0, 1, 0))
        for node in (self._sun_node, sky_node, color_root.attachNewNode(self._ambient)):
            self._color_top.setLight(node)

    def set_light(self, light: Light) -> None:
        """Lights the actors like the town: sun, sky from above, and what the ground throws back."""
        self._decals.set_light(light)
        for shade in self._shades.values():
            shade.is_relit = True
        sun = light.sun_direction
        self._sun_node.lookAt(core.Point3(*(-float(value) for value in sun)), core.Vec3(0, 0.01, 1))
        base = (light.sky + light.ground) / 2
        if light.lamps_on:
            base = base + np.float32(0.12 * light.night)
        # The tone of the town, for lights that are added up: each is what it adds to the brightness of a face in the
        # shade. Paint has the colour that it is named by.
        shaded = base**light.tone
        sunny, open_to_sky = (light.sun + base) ** light.tone, np.maximum(light.sky, base) ** light.tone
        self._sun.setColor(core.LColor(*map(float, sunny - shaded), 1))
        self._sky.setColor(core.LColor(*map(float, open_to_sky - shaded), 1))
        self._ambient.setColor(core.LColor(*map(float, shaded), 1))

    def show(self, actors: Sequence[VisibleActor], sights: Sequence[Sight], *, ids: bool) -> None:
        """Moves, adds and removes actors so that exactly these are there, as far as they can be seen.

        Args:
            actors: all of the frame.
            sights: what will be drawn from; what none of them can see may stay as it was, out of the scene.
            ids: whether the scene of ids will be drawn; without, it may stay as it was.
        """
        for actor, distance_m in zip(actors, _distances(actors, sights), strict=True):
            is_seen = distance_m < FAR_RANGE_M + _MARGIN_M
            # A newcomer's look is made at once: made when it comes into sight, it would hold up a picture of a drive.
            if is_seen or actor.actor_id not in self._colored or (ids and actor.actor_id not in self._identified):
                shell = bodies.shell_key(actor)
                limbs = bodies.limbs_key(actor) if distance_m < _DETAIL_RANGE_M + _MARGIN_M else None
                self._show_colored(actor, shell, limbs, distance_m < DECAL_RANGE_M + _MARGIN_M)
                if ids:
                    self._show_identified(actor, shell, limbs)
            for figures in (self._colored, self._identified):
                if actor.actor_id in figures:
                    figures[actor.actor_id].show(is_seen)
        here = {actor.actor_id for actor in actors}
        for figures in (self._colored, self._identified):
            for gone in figures.keys() - here:
                figures.pop(gone).node.removeNode()
                self._shades.pop(gone, None)

    def _show_colored(
        self, actor: VisibleActor, shell: bodies.ShellKey, limbs: bodies.LimbsKey | None, has_decals: bool
    ) -> None:
        figure = self._colored.get(actor.actor_id)
        if figure is None:
            figure = self._colored[actor.actor_id] = _Figure(self._color_top, actor.actor_id)
            self._shades[actor.actor_id] = _Shade()
        shade = self._shades[actor.actor_id]
        if shell != figure.shell:
            figure.take_shell(shell, self._shell(shell).colored(), self._far_mesh(shell, actor).colored())
            shade.is_relit = True
        if limbs is not None and limbs != figure.limbs:
            figure.take_limbs(limbs, self._limbs(limbs).colored())
        if has_decals and (actor.pose != shade.pose or shade.is_relit):
            self._lay_decals(actor, figure, shade)
        if actor.pose != figure.pose:
            figure.move(actor.pose)

    def _show_identified(self, actor: VisibleActor, shell: bodies.ShellKey, limbs: bodies.LimbsKey | None) -> None:
        number = actor.actor_id
        figure = self._identified.get(number)
        if figure is None:
            figure = self._identified[number] = _Figure(self._id_top, number)
        if shell != figure.shell:
            near, far = self._shell(shell), self._far_mesh(shell, actor)
            figure.take_shell(shell, near.identified(number), far.identified(number))
        if limbs is not None and limbs != figure.limbs:
            figure.take_limbs(limbs, self._limbs(limbs).identified(number))
        if actor.pose != figure.pose:
            figure.move(actor.pose)

    def _lay_decals(self, actor: VisibleActor, figure: _Figure, shade: _Shade) -> None:
        """Only under actors that stand on the ground: the shadow of one in the air would hang below it."""
        foot = actor.pose.z - (actor.extent[2] if actor.kind == "pedestrian" else 0.0)
        grounded = abs(foot - ground_height(self._town, actor.pose.x, -actor.pose.y)) < _GROUNDED_M
        key = self._decals.key(actor, figure.shell) if grounded else None
        shade.pose = actor.pose
        if key == shade.key and not shade.is_relit:
            return
        shade.key, shade.is_relit = key, False
        if shade.node is not None:
            shade.node.removeNode()
            shade.node = None
        if key is not None and figure.shell is not None:
            shade.node = self._decals.attach(figure.node, key, actor, self._far_mesh(figure.shell, actor).corners)

    def _far_mesh(self, shell: bodies.ShellKey, actor: VisibleActor) -> _Mesh:
        """The whole body in few faces, its limbs at rest; `corners` are those of all its faces."""

        def make() -> _Mesh:
            limbs = bodies.limbs_key(actor)
            resting = () if limbs is None else bodies.build_limbs(limbs._replace(step=1, steer=0))
            whole = bodies.build_shell(shell) + resting
            mesh = make_mesh(coarsened(whole, _CELL_M.get(shell.kind, _DEFAULT_CELL_M)), self._palette)
            mesh.corners = np.concatenate([part.positions for part in whole])
            return mesh

        return self._looks.get(("far", shell), make)

    def _shell(self, key: bodies.ShellKey) -> _Mesh:
        return self._looks.get(key, lambda: make_mesh(bodies.build_shell(key), self._palette))

    def _limbs(self, key: bodies.LimbsKey) -> _Mesh:
        return self._moving.get(key, lambda: make_mesh(bodies.build_limbs(key), self._palette))


def make_mesh(parts: tuple[MeshPart, ...], palette: Palette) -> _Mesh:
    """A look from its geometry; materials with an alpha test are drawn solid."""
    color = core.GeomNode("body")
    by_tag: dict[int, list[MeshPart]] = {}
    order = list(MATERIALS)
    for part in sorted(parts, key=lambda part: (part.tag, order.index(part.material))):
        vertices = np.zeros(len(part.positions), LIT_VERTEX)
        vertices["position"], vertices["normal"], vertices["uv"] = part.positions, part.normals, part.uvs
        vertices["color"][:, :3] = part.colors
        vertices["color"][:, 3] = part.tag
        color.addGeom(panda.geometry(vertices, part.triangles), palette.color_state(part.material, part.two_sided))
        by_tag.setdefault(part.tag, []).append(part)
    shapes = []
    for tag, members in by_tag.items():
        node = core.GeomNode("shape")
        for part in members:
            vertices = np.zeros(len(part.positions), ID_VERTEX)
            vertices["position"] = part.positions
            node.addGeom(panda.geometry(vertices, part.triangles), palette.id_state("plain", part.two_sided))
        shapes.append((tag, node))
    return _Mesh(color, tuple(shapes), np.concatenate([part.positions for part in parts]))
