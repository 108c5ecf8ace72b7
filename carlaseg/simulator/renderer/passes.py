"""Drawings of one scene graph from one place: colour, ids or depth, with the pinhole of a CARLA camera."""

from __future__ import annotations

from dataclasses import dataclass
from math import atan, degrees, hypot, radians, tan
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from panda3d import core

from carlaseg.simulator.renderer import panda
from carlaseg.simulator.renderer.depth import depth_state
from carlaseg.simulator.renderer.placement import Sight, camera_matrix
from carlaseg.simulator.renderer.sky import DOME_RADIUS_M, SKY_TAG
from carlaseg.simulator.renderer.static import DEPTH_TAG, SMALLEST_LOD_SCALE, SOLID, lod_scale
from carlaseg.simulator.scene import Pose

NEAR_M = 0.2
# Farther than anything is drawn, see `static.FAR_RANGE_M`.
FAR_M = 1000.0
_ABOVE_ALL_M = 60.0
# The depth buffer counts NEAR_M / distance, 2^20 for 1: with such a near plane, the dome's nearest corner lies behind
# all that is drawn (850 m away: 37 counts) and before nothing at all (0). The far plane hardly counts.
_SKY_DEPTH, _SKY_FAR_M, _SMALLEST_CORNER = 30 / 2**20, 1e4, 0.1

# "color" carries the tag in alpha; "id" has it in red, and the instance in green and blue.
PassKind = Literal["color", "id", "depth"]


@dataclass(frozen=True)
class Scenes:
    """The scene graphs that passes draw."""

    color: Any
    ids: Any
    sky: Any
    alpha_textures: dict[str, Any]


def pinhole(size: tuple[int, int], drawn: tuple[int, int], fov_deg: float, near_m: float, far_m: float) -> Any:
    """A lens with fx = fy = W / (2 tan(fov / 2)) that puts a point (u, v) of CARLA's picture into its pixel.

    The rasteriser maps a film onto half a pixel less than it has (measured, and so in TinyGL's viewport), snaps corners
    to whole pixels and fills edges on both sides. Film and offset undo the first, so that an edge is less than a pixel
    off, and that outwards, everywhere in the picture.

    Args:
        size: height and width of the camera's picture.
        drawn: those of the buffer, of which the picture is the upper left corner.
        fov_deg: horizontal, of the picture.
        near_m: what is nearer is not drawn.
        far_m: what is farther is not drawn.
    """
    (height, width), (film_height, film_width) = size, (drawn[0] - 0.5, drawn[1] - 0.5)
    focal = width / (2 * tan(radians(fov_deg) / 2))
    lens = core.PerspectiveLens()
    lens.setFov(degrees(2 * atan(film_width / 2 / focal)), degrees(2 * atan(film_height / 2 / focal)))
    lens.setNearFar(near_m, far_m)
    film = lens.getFilmSize()
    across, down = width / film_width - 1, height / film_height - 1
    lens.setFilmOffset(-film[0] * across / 2, film[1] * down / 2)
    return lens


class Pass:
    """One buffer with one camera in it."""

    def __init__(
        self, engine: panda.Engine, scenes: Scenes, kind: PassKind, height: int, width: int, fov_deg: float
    ) -> None:
        self._size = height, width
        # The rasteriser draws nothing into a film of half a pixel.
        drawn = max(height, 2), max(width, 2)
        self.buffer = engine.make_buffer(*drawn)
        self._nodes = []
        camera = core.Camera(kind)
        focal_px = width / (2 * tan(radians(fov_deg) / 2))
        camera.setLens(pinhole(self._size, drawn, fov_deg, NEAR_M, FAR_M))
        self._camera, self._own_lod_scale = camera, lod_scale(focal_px)
        self._pose, self._lod_scale, self._half_sides = (
            Pose(),
            self._own_lod_scale,
            (width / 2 / focal_px, height / 2 / focal_px),
        )
        region = self.buffer.output.makeDisplayRegion()
        region.setSort(10)
        if kind == "color":
            self._nodes.append(scenes.color.attachNewNode(camera))
            corner = 1 / hypot(1, height / 2 / focal_px, width / 2 / focal_px)
            # Wider cameras see less far, and their sky may be nearer.
            behind = DOME_RADIUS_M * max(corner, _SMALLEST_CORNER) * _SKY_DEPTH
            self._sky_camera = self._add_sky(scenes.sky, pinhole(self._size, drawn, fov_deg, behind, _SKY_FAR_M))
            # The dome ends well below the horizon.
            self.buffer.output.setClearColor(core.LColor(0.41, 0.41, 0.41, SKY_TAG / 255))
        else:
            self._nodes.append(scenes.ids.attachNewNode(camera))
            self._sky_camera = None
            clear = (SKY_TAG / 255, 0, 0, 1) if kind == "id" else (1, 1, 1, 1)
            self.buffer.output.setClearColor(core.LColor(*clear))
        if kind == "depth":
            # Tag states alone: an initial state would be merged with them, texture by texture.
            camera.setTagStateKey(DEPTH_TAG)
            camera.setTagState(SOLID, depth_state())
            for material, alpha_texture in sorted(scenes.alpha_textures.items()):
                camera.setTagState(material, depth_state(alpha_texture))
        region.setCamera(self._nodes[0])

    def _add_sky(self, sky: Any, lens: Any) -> Any:
        camera = core.Camera("sky")
        camera.setLens(lens)
        node = sky.attachNewNode(camera)
        region = self.buffer.output.makeDisplayRegion()
        # After the town, where nothing else is: the dome is larger than what is seen of it.
        region.setSort(15)
        region.setCamera(node)
        self._nodes.append(node)
        return node

    def place(self, pose: Pose) -> None:
        """Moves the camera."""
        self._pose = pose
        # From above nothing hides what is far.
        self._lod_scale = SMALLEST_LOD_SCALE if pose.z > _ABOVE_ALL_M else self._own_lod_scale
        # Panda3D multiplies squares of distances by it.
        self._camera.setLodScale(self._lod_scale**2)
        matrix = camera_matrix(pose)
        self._nodes[0].setMat(matrix)
        if self._sky_camera is not None:
            matrix.setRow(3, core.LVecBase4f(0, 0, 0, 1))
            self._sky_camera.setMat(matrix)

    def sight(self) -> Sight:
        """What is seen from where it was placed."""
        return Sight(self._pose, self._lod_scale, *self._half_sides)

    def pixels(self) -> NDArray[np.uint8]:
        """The last drawing: uint8 (H, W, 4) BGRA, top row first, valid until the next drawing."""
        return self.buffer.pixels()[: self._size[0], : self._size[1]]

    def remove(self, engine: panda.Engine) -> None:
        """Gives back the buffer and leaves the scene graphs."""
        engine.remove_buffer(self.buffer)
        for node in self._nodes:
            node.removeNode()
