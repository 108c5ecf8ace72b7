"""The renderer: a town, a weather, cameras, and pictures of the frames it is given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Literal

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
from carlaseg.simulator.scene import CameraKind, CameraSpec, Frame, Pose, Town, Weather

MAX_EDGE_PX = 4096

# Of a BGRA pixel read as one number: whole pixels go four times as fast as a channel on its own.
_ALPHA, _RED = np.uint32(0xFF000000), np.uint32(0xFF0000)

_PassKey = tuple[PassKind, int, int, float]
# Height, width, field of view and place: cameras of one view share their passes.
_View = tuple[int, int, float, Pose]
_Placed = dict[tuple[PassKind, _View], Pass]


def _view(spec: CameraSpec, pose: Pose) -> _View:
    return spec.height, spec.width, spec.fov_deg, pose


def _opaque(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A copy of a BGRA picture with alpha 255."""
    return _as_bgra(pixels.view("<u4")[..., 0] | _ALPHA)


def _red_alone(pixels: NDArray[np.uint8], channel: Literal[2, 3]) -> NDArray[np.uint8]:
    """A BGRA picture whose red is the red or alpha of another, its blue and green zero, its alpha 255."""
    words = pixels.view("<u4")[..., 0] >> np.uint32(8 * (channel - 2))
    words &= _RED
    words |= _ALPHA
    return _as_bgra(words)


def _as_bgra(words: NDArray[np.uint32]) -> NDArray[np.uint8]:
    return words.view(np.uint8).reshape(*words.shape, 4)


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
            self._signals.show(frame.traffic_light_states)
            kinds_at: dict[_View, set[CameraKind]] = {}
            for _, spec, pose in wanted:
                kinds_at.setdefault(_view(spec, pose), set()).add(spec.kind)
            placed = self._place_passes(kinds_at)
            sights = [each.sight() for each in placed.values()]
            ids = any(kind != "color" for kind, _ in placed)
            if ids:
                self._static.add_ids()
            self._actors.show(frame.actors, sights, ids=ids)
            self._engine.draw_only(each.buffer for each in placed.values())
            return {key: self._picture(spec, _view(spec, pose), placed, frame.elapsed_s) for key, spec, pose in wanted}

    def _place_passes(self, kinds_at: Mapping[_View, Set[CameraKind]]) -> _Placed:
        """Puts the passes that each view needs where it is."""
        placed: _Placed = {}
        used: dict[_PassKey, int] = {}
        for view, kinds in kinds_at.items():
            for kind in self._passes_for(kinds):
                key: _PassKey = (kind, *view[:3])
                pool = self._passes.setdefault(key, [])
                index = used.get(key, 0)
                if index == len(pool):
                    pool.append(Pass(self._engine, self._scenes, *key))
                used[key] = index + 1
                pool[index].place(view[3])
                placed[kind, view] = pool[index]
        return placed

    def _passes_for(self, kinds: Set[CameraKind]) -> Iterator[PassKind]:
        """What must be drawn for pictures of these kinds from one place; tags come with colours at no cost."""
        if "rgb" in kinds:
            yield "color"
        if "instance" in kinds or ("semantic" in kinds and "rgb" not in kinds):
            yield "id"
        if "depth" in kinds or ("rgb" in kinds and self._light.fog_per_m > 0):
            yield "depth"

    def _picture(self, spec: CameraSpec, view: _View, placed: _Placed, elapsed_s: float) -> NDArray[np.uint8]:
        def drawn(kind: PassKind) -> NDArray[np.uint8]:
            return placed[kind, view].pixels()

        if spec.kind == "depth":
            return encode_carla(decode_depth_m(drawn("depth")))
        if spec.kind == "rgb":
            pixels = _opaque(drawn("color"))
            if self._light.fog_per_m > 0:
                self._air.add_fog(pixels, decode_depth_m(drawn("depth")), self._light, spec.fov_deg)
            if self._light.rain > 0:
                self._air.add_rain(pixels, self._light, elapsed_s)
            return pixels
        if spec.kind == "instance":
            return _opaque(drawn("id"))
        # Where there are both, from ids: semantic and instance then agree by construction.
        return _red_alone(drawn("id"), 2) if ("id", view) in placed else _red_alone(drawn("color"), 3)

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
