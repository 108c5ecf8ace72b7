"""Drawings of one scene graph from one place: colour, ids or depth, with the pinhole of a CARLA camera."""

from __future__ import annotations

from dataclasses import dataclass
from math import atan, degrees, radians, tan
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from panda3d import core

from carlaseg.simulator.renderer import panda
from carlaseg.simulator.renderer.depth import depth_state
from carlaseg.simulator.renderer.placement import camera_matrix
from carlaseg.simulator.renderer.static import DEPTH_TAG, SOLID
from carlaseg.simulator.scene import Pose

NEAR_M = 0.2
FAR_M = 500.0
SKY_TAG = 11

PassKind = Literal["color", "id", "depth"]


@dataclass(frozen=True)
class Scenes:
    """The scene graphs that passes draw."""

    color: Any
    ids: Any
    sky: Any
    alpha_textures: dict[str, Any]


def pinhole(height: int, width: int, fov_deg: float, near_m: float, far_m: float) -> Any:
    """A lens with fx = fy = W / (2 tan(fov / 2)) whose samples lie in the middle of the pixels."""
    lens = core.PerspectiveLens()
    vertical_deg = 2 * degrees(atan(tan(radians(fov_deg) / 2) * height / width))
    lens.setFov(fov_deg, vertical_deg)
    lens.setNearFar(near_m, far_m)
    # The rasteriser samples pixels at their lower edge; half a pixel moves the samples to the middle.
    film = lens.getFilmSize()
    lens.setFilmOffset(-0.5 * film[0] / width, 0.5 * film[1] / height)
    return lens


class Pass:
    """One buffer with one camera in it."""

    def __init__(
        self, engine: panda.Engine, scenes: Scenes, kind: PassKind, height: int, width: int, fov_deg: float
    ) -> None:
        self.buffer = engine.make_buffer(height, width)
        self._nodes = []
        camera = core.Camera(kind)
        camera.setLens(pinhole(height, width, fov_deg, NEAR_M, FAR_M))
        region = self.buffer.output.makeDisplayRegion()
        region.setSort(10)
        if kind == "color":
            self._nodes.append(scenes.color.attachNewNode(camera))
            self._sky_camera = self._add_sky(scenes.sky, height, width, fov_deg)
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

    def _add_sky(self, sky: Any, height: int, width: int, fov_deg: float) -> Any:
        camera = core.Camera("sky")
        camera.setLens(pinhole(height, width, fov_deg, 0.5, 50.0))
        node = sky.attachNewNode(camera)
        region = self.buffer.output.makeDisplayRegion()
        region.setSort(5)
        region.setCamera(node)
        self._nodes.append(node)
        return node

    def place(self, pose: Pose) -> None:
        """Moves the camera."""
        matrix = camera_matrix(pose)
        self._nodes[0].setMat(matrix)
        if self._sky_camera is not None:
            matrix.setRow(3, core.LVecBase4f(0, 0, 0, 1))
            self._sky_camera.setMat(matrix)

    def pixels(self) -> NDArray[np.uint8]:
        """The last drawing: uint8 (H, W, 4) BGRA, top row first, valid until the next drawing."""
        return self.buffer.pixels()

    def remove(self, engine: panda.Engine) -> None:
        """Gives back the buffer and leaves the scene graphs."""
        engine.remove_buffer(self.buffer)
        for node in self._nodes:
            node.removeNode()
