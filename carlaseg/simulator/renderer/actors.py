"""Moving things in Panda3D: one node an actor in each scene graph, meshes shared between actors that look the same."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from panda3d import core

from carlaseg.simulator import bodies
from carlaseg.simulator.bodies.coarse import coarsened
from carlaseg.simulator.renderer import panda
from carlaseg.simulator.renderer.decals import ActorDecals, DecalKey
from carlaseg.simulator.renderer.lighting import Light
from carlaseg.simulator.renderer.materials import MATERIALS
from carlaseg.simulator.renderer.placement import body_matrix
from carlaseg.simulator.renderer.shadows import ground_height
from carlaseg.simulator.renderer.static import DEPTH_TAG, FAR_RANGE_M, SOLID, Palette
from carlaseg.simulator.scene import MeshPart, Pose, Town, VisibleActor

_GROUNDED_M = 0.7
# How far an actor is drawn with all its details, before cameras scale it (see `static.lod_scale`).
_DETAIL_RANGE_M = 40.0
# What is merged beyond: of cars, and of people and what has their size.
_CELL_M = {"pedestrian": 0.17, "bicycle": 0.2, "motorcycle": 0.22, "car": 0.4, "van": 0.5, "truck": 0.6, "bus": 0.7}
_DEFAULT_CELL_M = 0.3
# Of the paint: contrast like that of the town's by day.
_TONE = 1.4


@dataclass
class _Mesh:
    """One shared look: a coloured GeomNode, a GeomNode of bare shape for each tag, and all corners (N, 3)."""

    color: Any
    shapes: tuple[tuple[int, Any], ...]
    corners: NDArray[np.float32]


@dataclass
class _Shown:
    """An actor that is in the scene graphs."""

    color_node: Any
    id_node: Any
    color_near: Any
    id_near: Any
    color_far: Any
    id_far: Any
    far_nodes: list[Any] = field(default_factory=list)
    shell_nodes: list[Any] = field(default_factory=list)
    limb_nodes: list[Any] = field(default_factory=list)
    is_relit: bool = False
    shell: Hashable = None
    limbs: Hashable = None
    pose: Pose | None = None
    decals: DecalKey | None = None
    decal_node: Any = None


def flat_identity(tag: int, instance: int) -> Any:
    """A flat colour that reads back exactly as (tag, low byte, high byte): the renderer rounds down."""
    low, high = instance & 255, instance >> 8 & 255
    return core.ColorAttrib.makeFlat(core.LColor((tag + 0.5) / 256, (low + 0.5) / 256, (high + 0.5) / 256, 1))


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
        self._meshes: dict[Hashable, _Mesh] = {}
        self._shown: dict[int, _Shown] = {}
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
        for shown in self._shown.values():
            shown.is_relit = True
        sun = light.sun_direction
        self._sun_node.lookAt(core.Point3(*(-float(value) for value in sun)), core.Vec3(0, 0.01, 1))
        base = (light.sky + light.ground) / 2
        if light.lamps_on:
            base = base + np.float32(0.12 * light.night)
        # The tone of the town: of the whole light here, of the paint in `make_mesh`, since their product is drawn.
        whole = float((light.sun * light.sun_direction[2] + light.sky).mean())
        gain = np.float32(max(whole, 0.05) ** (light.tone - 1))
        self._sun.setColor(core.LColor(*map(float, light.sun * gain), 1))
        self._sky.setColor(core.LColor(*map(float, (light.sky - light.ground) / 2 * gain), 1))
        self._ambient.setColor(core.LColor(*map(float, base * gain), 1))

    def show(self, actors: Iterable[VisibleActor]) -> None:
        """Moves, adds and removes actors so that exactly these are there."""
        wanted = set()
        for actor in actors:
            wanted.add(actor.actor_id)
            self._show_one(actor)
        for actor_id in self._shown.keys() - wanted:
            gone = self._shown.pop(actor_id)
            gone.color_node.removeNode()
            gone.id_node.removeNode()

    def _show_one(self, actor: VisibleActor) -> None:
        shown = self._shown.get(actor.actor_id)
        if shown is None:
            # Sorted by id: the order in which actors came must not show in the picture.
            name, order = f"actor-{actor.actor_id}", actor.actor_id & 0x7FFFFFFF
            color, ids = self._color_top.attachNewNode(name, order), self._id_top.attachNewNode(name, order)
            near, far = zip(_near_and_far(color), _near_and_far(ids), strict=True)
            shown = _Shown(color, ids, *near, *far)
            self._shown[actor.actor_id] = shown
        shell, limbs = bodies.shell_key(actor), bodies.limbs_key(actor)
        if shell != shown.shell:
            shown.shell = shell
            near = shown.color_near, shown.id_near
            self._swap(shown.shell_nodes, near, self._mesh(shell, bodies.build_shell), actor.actor_id)
            far = shown.color_far, shown.id_far
            self._swap(shown.far_nodes, far, self._far_mesh(shell, limbs), actor.actor_id)
            shown.is_relit = True
        if limbs is not None and limbs != shown.limbs:
            shown.limbs = limbs
            near = shown.color_near, shown.id_near
            self._swap(shown.limb_nodes, near, self._mesh(limbs, bodies.build_limbs), actor.actor_id)
        if actor.pose != shown.pose or shown.is_relit:
            shown.pose = actor.pose
            self._lay_decals(actor, shown)
            matrix = body_matrix(actor.pose)
            shown.color_node.setMat(matrix)
            shown.id_node.setMat(matrix)

    def _swap(self, nodes: list[Any], parents: tuple[Any, Any], mesh: _Mesh, actor_id: int) -> None:
        """Puts a mesh in the place of what was there before."""
        color, ids = parents
        for node in nodes:
            node.removeNode()
        nodes[:] = [color.attachNewNode(mesh.color)]
        for tag, shape in mesh.shapes:
            nodes.append(ids.attachNewNode(shape))
            nodes[-1].setAttrib(flat_identity(tag, actor_id))

    def _lay_decals(self, actor: VisibleActor, shown: _Shown) -> None:
        """Only under actors that stand on the ground: the shadow of one in the air would hang below it."""
        foot = actor.pose.z - (actor.extent[2] if actor.kind == "pedestrian" else 0.0)
        grounded = abs(foot - ground_height(self._town, actor.pose.x, -actor.pose.y)) < _GROUNDED_M
        key = self._decals.key(actor, shown.shell) if grounded else None
        if key == shown.decals and not shown.is_relit:
            return
        shown.decals, shown.is_relit = key, False
        if shown.decal_node is not None:
            shown.decal_node.removeNode()
            shown.decal_node = None
        if key is not None:
            looks = [self._meshes[look].corners for look in (shown.shell, shown.limbs) if look is not None]
            shown.decal_node = self._decals.attach(shown.color_node, key, actor, np.concatenate(looks))

    def _far_mesh(self, shell: bodies.ShellKey, limbs: bodies.LimbsKey | None) -> _Mesh:
        """The whole body in few faces, its limbs at rest."""
        key = ("far", shell)
        mesh = self._meshes.get(key)
        if mesh is None:
            resting = () if limbs is None else bodies.build_limbs(limbs._replace(step=1, steer=0))
            parts = coarsened(bodies.build_shell(shell) + resting, _CELL_M.get(shell.kind, _DEFAULT_CELL_M))
            mesh = self._meshes[key] = make_mesh(parts, self._palette)
        return mesh

    def _mesh(self, key: Any, build: Any) -> _Mesh:
        mesh = self._meshes.get(key)
        if mesh is None:
            mesh = self._meshes[key] = make_mesh(build(key), self._palette)
        return mesh


def _near_and_far(node: Any) -> tuple[Any, Any]:
    """Two nodes below one, of which cameras see the first from near and the second from afar."""
    switch = core.LODNode("detail")
    switch.addSwitch(_DETAIL_RANGE_M, 0)
    switch.addSwitch(FAR_RANGE_M, _DETAIL_RANGE_M)
    attached = node.attachNewNode(switch)
    return attached.attachNewNode("near"), attached.attachNewNode("far")


def make_mesh(parts: tuple[MeshPart, ...], palette: Palette) -> _Mesh:
    """A look from its geometry; materials with an alpha test are drawn solid."""
    color = core.GeomNode("body")
    by_tag: dict[int, list[MeshPart]] = {}
    order = list(MATERIALS)
    for part in sorted(parts, key=lambda part: (part.tag, order.index(part.material))):
        vertices = np.zeros(len(part.positions), panda.LIT_VERTEX)
        vertices["position"], vertices["normal"], vertices["uv"] = part.positions, part.normals, part.uvs
        vertices["color"][:, :3] = 255 * (part.colors / 255) ** (1.0 if part.material == "lamp_glass" else _TONE)
        vertices["color"][:, 3] = part.tag
        color.addGeom(panda.geometry(vertices, part.triangles), palette.color_state(part.material, part.two_sided))
        by_tag.setdefault(part.tag, []).append(part)
    shapes = []
    for tag, members in by_tag.items():
        node = core.GeomNode("shape")
        for part in members:
            vertices = np.zeros(len(part.positions), panda.ID_VERTEX)
            vertices["position"] = part.positions
            node.addGeom(panda.geometry(vertices, part.triangles), palette.id_state("plain", part.two_sided))
        shapes.append((tag, node))
    return _Mesh(color, tuple(shapes), np.concatenate([part.positions for part in parts]))
