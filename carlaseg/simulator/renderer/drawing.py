"""The renderer: a town, a weather, cameras, and pictures of the frames it is given."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from panda3d import core

from carlaseg.errors import SimulatorError
from carlaseg.simulator.renderer import panda
from carlaseg.simulator.renderer.actors import ActorScene
from carlaseg.simulator.renderer.air import Air
from carlaseg.simulator.renderer.decals import TownDecals
from carlaseg.simulator.renderer.depth import decode_depth_m, encode_carla
from carlaseg.simulator.renderer.lighting import light_of
from carlaseg.simulator.renderer.passes import Pass, PassKind, Scenes
from carlaseg.simulator.renderer.signals import SignalLamps
from carlaseg.simulator.renderer.sky import dome, paint_sky
from carlaseg.simulator.renderer.static import Palette, StaticScene
from carlaseg.simulator.scene import CameraSpec, Frame, Pose, Town, Weather

MAX_EDGE_PX = 4096

_PassKey = tuple[PassKind, int, int, float]


class Renderer:
    """Draws one town. What it draws depends on its arguments alone, to the byte; one thread at a time may use it.

    Args:
        town: the static world.
        weather: until the first frame says otherwise.
    """

    def __init__(self, town: Town, weather: Weather = Weather()) -> None:  # noqa: B008 (frozen)
        with panda.PROCESS_LOCK:
            self._engine = panda.Engine()
            self._color, self._ids, self._sky = (core.NodePath(name) for name in ("color", "ids", "sky"))
            self._palette = Palette()
            # Actors stand before the town in the graph and are drawn first in every pass.
            self._actors = ActorScene(town, self._palette, self._color, self._ids)
            self._signals = SignalLamps(town, self._palette, self._color, self._ids)
            self._static = StaticScene(town, self._palette, self._color, self._ids)
            self._decals = TownDecals(town, self._color)
            self._scenes = Scenes(self._color, self._ids, self._sky, self._palette.alpha_textures)
            self._weather = weather
            self._light = light_of(weather)
            self._air = Air()
            self._sky_texture = panda.texture("sky", paint_sky(self._light), mipmaps=False)
            self._add_dome()
        self._cameras: dict[int, CameraSpec] = {}
        self._next_key = 1
        self._passes: dict[_PassKey, list[Pass]] = {}
        self._closed = False
        self._apply_light()

    def _add_dome(self) -> None:
        node = core.GeomNode("dome")
        node.addGeom(panda.geometry(*dome()))
        attached = self._sky.attachNewNode(node)
        attached.setTexture(self._sky_texture)
        attached.setTwoSided(True)
        attached.setDepthWrite(False)
        attached.setDepthTest(False)

    def _apply_light(self) -> None:
        with panda.PROCESS_LOCK:
            self._palette.set_night(self._light.lamps_on)
            self._static.set_light(self._light)
            self._decals.set_light(self._light)
            self._actors.set_light(self._light)

    def set_weather(self, weather: Weather) -> None:
        """Re-lights the town now. `render` does so too when its frame has another weather; this spares it the wait."""
        if weather == self._weather:
            return
        self._weather = weather
        self._light = light_of(weather)
        with panda.PROCESS_LOCK:
            panda.repaint(self._sky_texture, paint_sky(self._light))
        self._apply_light()

    def add_camera(self, spec: CameraSpec) -> int:
        """The key under which `render` knows a camera from now on.

        Raises:
            SimulatorError: for a size outside 1 to 4096 pixels or a field of view outside 1 to 175 degrees.
        """
        for name, value in (("height", spec.height), ("width", spec.width)):
            if not 1 <= value <= MAX_EDGE_PX:
                raise SimulatorError(
                    f"camera {spec.kind}: expected a {name} from 1 to {MAX_EDGE_PX} pixels, received {value}. "
                    "No camera was made; the others go on."
                )
        if not 1.0 <= spec.fov_deg <= 175.0:
            raise SimulatorError(
                f"camera {spec.kind}: expected a field of view from 1 to 175 degrees, received {spec.fov_deg:g}. "
                "No camera was made; the others go on."
            )
        key = self._next_key
        self._next_key += 1
        self._cameras[key] = spec
        return key

    def remove_camera(self, key: int) -> None:
        """Forgets a camera and gives back what only it needed.

        Raises:
            SimulatorError: for a key that `add_camera` did not give or that was removed before.
        """
        spec = self._spec(key)
        del self._cameras[key]
        pinhole = (spec.height, spec.width, spec.fov_deg)
        if any((other.height, other.width, other.fov_deg) == pinhole for other in self._cameras.values()):
            return
        with panda.PROCESS_LOCK:
            for pass_key in [pass_key for pass_key in self._passes if pass_key[1:] == pinhole]:
                for unused in self._passes.pop(pass_key):
                    unused.remove(self._engine)

    def _spec(self, key: int) -> CameraSpec:
        try:
            return self._cameras[key]
        except KeyError:
            known = ", ".join(map(str, self._cameras)) or "none"
            raise SimulatorError(f"renderer: expected the key of a camera ({known}), received {key}.") from None

    def render(self, views: Sequence[tuple[int, Pose]], frame: Frame) -> dict[int, NDArray[np.uint8]]:
        """Pictures of a frame: for each camera key uint8 (H, W, 4) BGRA, top row first, alpha 255.

        rgb is what it says. semantic has the tag in R, zero in G and B. instance has the tag in R and the low and high
        byte of the actor id in G and B. depth is CARLA's 24-bit code of planar depth, 1000 m for the sky. Pictures from
        one pose agree with each other at every pixel.

        Args:
            views: camera keys with the poses of this frame; a key at most once.
            frame: what moves, and the weather.

        Raises:
            SimulatorError: for an unknown key or a closed renderer.
        """
        if self._closed:
            raise SimulatorError("renderer: expected an open renderer, received a call after close().")
        wanted = [(key, self._spec(key), pose) for key, pose in views]
        self.set_weather(frame.weather)
        with panda.PROCESS_LOCK:
            self._actors.show(frame.actors)
            self._signals.show(frame.traffic_light_states)
            placed = self._place_passes(wanted)
            self._engine.draw_only(each.buffer for each in placed.values())
            pictures: dict[int, NDArray[np.uint8]] = {}
            for key, spec, pose in wanted:
                pictures[key] = self._picture(spec, pose, placed, frame.elapsed_s)
            return pictures

    def _place_passes(self, wanted: list[tuple[int, CameraSpec, Pose]]) -> dict[tuple[_PassKey, Pose], Pass]:
        """Puts one pass of each kind, pinhole and pose where it is needed."""
        placed: dict[tuple[_PassKey, Pose], Pass] = {}
        used: dict[_PassKey, int] = {}
        for _, spec, pose in wanted:
            for kind in self._kinds(spec):
                key: _PassKey = (kind, spec.height, spec.width, spec.fov_deg)
                if (key, pose) in placed:
                    continue
                pool = self._passes.setdefault(key, [])
                index = used.get(key, 0)
                if index == len(pool):
                    pool.append(Pass(self._engine, self._scenes, *key))
                used[key] = index + 1
                pool[index].place(pose)
                placed[key, pose] = pool[index]
        return placed

    def _kinds(self, spec: CameraSpec) -> tuple[PassKind, ...]:
        if spec.kind == "rgb":
            return ("color", "depth") if self._light.fog_per_m > 0 else ("color",)
        return ("depth",) if spec.kind == "depth" else ("id",)

    def _picture(
        self, spec: CameraSpec, pose: Pose, placed: dict[tuple[_PassKey, Pose], Pass], elapsed_s: float
    ) -> NDArray[np.uint8]:
        def drawn(kind: PassKind) -> NDArray[np.uint8]:
            return placed[(kind, spec.height, spec.width, spec.fov_deg), pose].pixels()

        if spec.kind == "depth":
            return encode_carla(decode_depth_m(drawn("depth")))
        if spec.kind == "rgb":
            pixels = drawn("color").copy()
            if self._light.fog_per_m > 0:
                self._air.add_fog(pixels, decode_depth_m(drawn("depth")), self._light, spec.fov_deg)
            if self._light.rain > 0:
                self._air.add_rain(pixels, self._light, elapsed_s)
            pixels[..., 3] = 255
            return pixels
        pixels = drawn("id").copy()
        if spec.kind == "semantic":
            pixels[..., :2] = 0
        pixels[..., 3] = 255
        return pixels

    def close(self) -> None:
        """Gives everything back. A closed renderer draws no more; closing it again does nothing."""
        if self._closed:
            return
        self._closed = True
        with panda.PROCESS_LOCK:
            for pool in self._passes.values():
                for unused in pool:
                    unused.remove(self._engine)
            self._passes.clear()
            self._cameras.clear()
            self._engine.close()
            for root in (self._color, self._ids, self._sky):
                root.getChildren().detach()
                root.removeNode()
            self._palette.close()
            self._sky_texture.clearRamImage()
