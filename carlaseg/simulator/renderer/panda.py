"""Panda3D as the rest of the renderer sees it: an engine, picture buffers, and textures and geometry made from arrays.

Nothing here knows towns, actors or weather. Every `Engine` is a Panda3D graphics engine of its own, so that several
renderers can live in one process, and closing one gives back everything it held. The software renderer inside the
Panda3D wheel draws: no GPU, no display.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from panda3d import core

# Transforms are neither kept nor made one: Panda3D takes two that differ by less than a millionth for the one it met
# first, so that a picture would depend on those drawn before it. Things that move gain nothing by it either.
core.loadPrcFileData(
    "carlaseg",
    "load-display p3tinydisplay\nwindow-type none\naudio-library-name null\n"
    "notify-level-display fatal\nnotify-level-device fatal\nsync-video 0\n"
    "transform-cache 0\nuniquify-transforms 0\n",
)

# Panda3D keeps one table of states and one clock for the process: two threads must not draw at once.
PROCESS_LOCK = threading.RLock()

# Cull bins, drawn in this order. Static geometry is drawn in the order of the scene graph, the same in every pass:
# on equal depth the first drawn wins, so equal order is what makes colours and ids agree at every pixel.
ACTOR_BIN, TOWN_BIN, DECAL_BIN = "carlaseg-actors", "carlaseg-town", "carlaseg-decals"


def _register_bins() -> None:
    bins = core.CullBinManager.getGlobalPtr()
    for name, sort in ((ACTOR_BIN, 11), (TOWN_BIN, 12), (DECAL_BIN, 13)):
        if bins.findBin(name) == -1:
            bins.addBin(name, core.CullBinManager.BTUnsorted, sort)


@cache
def _wide(names: tuple[str, ...]) -> tuple[np.dtype[Any], Any]:
    """How vertices with these columns lie in the renderer's memory, for NumPy and for Panda3D.

    Positions and colours are four floats on a 16-byte boundary, which the renderer reads in place; from anything else
    it converts every corner of every drawing (an eighth of the time of a small picture, by a profile).
    """
    columns = {
        "position": (core.InternalName.getVertex(), 4, core.Geom.CPoint),
        "color": (core.InternalName.getColor(), 4, core.Geom.CColor),
        "normal": (core.InternalName.getNormal(), 3, core.Geom.CNormal),
        "uv": (core.InternalName.getTexcoord(), 2, core.Geom.CTexcoord),
    }
    present = [name for name in columns if name in names]
    widths = [columns[name][1] for name in present]
    starts = [4 * sum(widths[:index]) for index in range(len(widths))]
    stride = -(-4 * sum(widths) // 16) * 16
    array_format = core.GeomVertexArrayFormat()
    for name, start in zip(present, starts, strict=True):
        internal_name, width, contents = columns[name]
        array_format.addColumn(internal_name, width, core.Geom.NTFloat32, contents, start)
    array_format.setStride(stride)
    vertex_format = core.GeomVertexFormat()
    vertex_format.addArray(array_format)
    formats = [("<f4", width) for width in widths]
    layout = np.dtype({"names": present, "formats": formats, "offsets": starts, "itemsize": stride})
    return layout, core.GeomVertexFormat.registerFormat(vertex_format)


def _widened(vertices: NDArray[Any]) -> NDArray[Any]:
    layout, _ = _wide(vertices.dtype.names or ())
    wide = np.zeros(len(vertices), layout)
    wide["position"][:, :3], wide["position"][:, 3] = vertices["position"], 1
    # The renderer rounds 16 bits down to 8, also after a product with white, which is not quite one there. In the
    # middle of what gives a byte without and with the product, every byte but 255 comes out as itself.
    wide["color"] = (vertices["color"] * np.float32(256.5) + np.float32(128)) * np.float32(1 / 65535)
    for name in vertices.dtype.names or ():
        if name in ("normal", "uv"):
            wide[name] = vertices[name]
    return wide


def geometry(vertices: NDArray[Any], triangles: NDArray[np.integer[Any]]) -> Any:
    """A `Geom` of triangles.

    Args:
        vertices: (N,) of one of the types of `vertices`; colours are RGBA, 0-255.
        triangles: (M, 3) indices into `vertices`, counter-clockwise seen from the front.
    """
    rows = core.GeomVertexData("town", _wide(vertices.dtype.names or ())[1], core.Geom.UHStatic)
    rows.uncleanSetNumRows(len(vertices))
    rows.modifyArrayHandle(0).copyDataFrom(_widened(vertices).tobytes())
    primitive = core.GeomTriangles(core.Geom.UHStatic)
    if len(vertices) < 65536:
        indices = triangles.astype("<u2")
    else:
        primitive.setIndexType(core.Geom.NTUint32)
        indices = triangles.astype("<u4")
    index_array = primitive.modifyVertices()
    index_array.uncleanSetNumRows(indices.size)
    index_array.modifyHandle().copyDataFrom(indices.tobytes())
    geom = core.Geom(rows)
    geom.addPrimitive(primitive)
    return geom


def rewrite_vertices(node: Any, index: int, vertices: NDArray[Any]) -> None:
    """Replaces the vertices of one geom of a GeomNode by as many others of the same layout."""
    node.modifyGeom(index).modifyVertexData().modifyArrayHandle(0).copyDataFrom(_widened(vertices).tobytes())


def texture(name: str, pixels: NDArray[np.uint8], *, mipmaps: bool = True) -> Any:
    """A repeating texture of uint8 (H, W, 3) RGB or (H, W, 4) RGBA pixels, top row first."""
    made = core.Texture(name)
    height, width, channels = pixels.shape
    pixel_format = core.Texture.FRgb if channels == 3 else core.Texture.FRgba
    made.setup2dTexture(width, height, core.Texture.TUnsignedByte, pixel_format)
    # Clamping would force the renderer's slow path.
    made.setWrapU(core.SamplerState.WMRepeat)
    made.setWrapV(core.SamplerState.WMRepeat)
    made.setMagfilter(core.SamplerState.FTNearest)
    made.setMinfilter(core.SamplerState.FTNearestMipmapNearest if mipmaps else core.SamplerState.FTNearest)
    repaint(made, pixels)
    return made


def repaint(target: Any, pixels: NDArray[np.uint8]) -> None:
    """Replaces a texture's pixels by others of the same size and number of channels."""
    order = [2, 1, 0] if pixels.shape[2] == 3 else [2, 1, 0, 3]
    target.setRamImage(np.ascontiguousarray(pixels[::-1, :, order]).tobytes())
    if pixels.shape[2] == 4:
        _cut_out(target)


def _cut_out(target: Any) -> None:
    """Makes each pixel of a texture's mipmaps opaque or transparent, nothing in between.

    The colour pass draws tags as alpha: a texture must either pass them on or leave the pixel out.
    """
    target.generateRamMipmapImages()
    for level in range(target.getNumRamMipmapImages()):
        alpha = np.frombuffer(target.modifyRamMipmapImage(level), np.uint8)[3::4]
        alpha[:] = np.where(alpha > 127, 255, 0)


class Buffer:
    """A picture that an `Engine` draws into memory whenever it is active."""

    def __init__(self, output: Any) -> None:
        self.output = output
        self._texture = core.Texture()
        output.addRenderTexture(self._texture, core.GraphicsOutput.RTMCopyRam)
        output.setClearColorActive(True)
        output.setClearDepthActive(True)
        output.setActive(False)

    def pixels(self) -> NDArray[np.uint8]:
        """What was drawn last: uint8 (H, W, 4) BGRA, top row first, read-only and valid until the next drawing."""
        height, width = self._texture.getYSize(), self._texture.getXSize()
        return np.frombuffer(self._texture.getRamImage(), np.uint8).reshape(height, width, 4)[::-1]


class Engine:
    """One Panda3D graphics engine with the software renderer."""

    def __init__(self) -> None:
        _register_bins()
        self._engine = core.GraphicsEngine()
        self._pipe = core.GraphicsPipeSelection.getGlobalPtr().makePipe("TinyOffscreenGraphicsPipe")
        self._properties = core.FrameBufferProperties()
        self._properties.setRgbaBits(8, 8, 8, 8)
        self._properties.setDepthBits(24)
        # All buffers share this one's graphics state, so textures and geometry are prepared once.
        self._host = self._make_output(1, 1, ())
        self._host.setActive(False)
        self._buffers: list[Buffer] = []

    def _make_output(self, height: int, width: int, shared: tuple[Any, ...]) -> Any:
        size = core.WindowProperties.size(width, height)
        flags = core.GraphicsPipe.BFRefuseWindow | core.GraphicsPipe.BFResizeable
        return self._engine.makeOutput(self._pipe, "camera", 0, self._properties, size, flags, *shared)

    def make_buffer(self, height: int, width: int) -> Buffer:
        """A new, inactive buffer."""
        buffer = Buffer(self._make_output(height, width, (self._host.getGsg(), self._host)))
        self._buffers.append(buffer)
        return buffer

    def remove_buffer(self, buffer: Buffer) -> None:
        """Gives a buffer's memory back."""
        self._buffers.remove(buffer)
        self.draw_only(())
        # The software renderer keeps the pixels of a closed buffer for ever; those of a shrunken one it frees.
        buffer.output.clearRenderTextures()
        buffer.output.setSize(1, 1)
        buffer.output.setActive(True)
        self._engine.renderFrame()
        self._engine.removeWindow(buffer.output)

    def draw_only(self, buffers: Iterable[Buffer]) -> None:
        """Draws these buffers, and the others not."""
        for idle in self._buffers:
            idle.output.setActive(False)
        active = False
        for buffer in buffers:
            buffer.output.setActive(True)
            active = True
        if active:
            self._engine.renderFrame()
            # As Panda3D's own main loop does. Without it every transform that ever was is kept: 10 kB and
            # more a frame of a moving car.
            core.TransformState.garbageCollect()
            core.RenderState.garbageCollect()

    def close(self) -> None:
        """Gives back all buffers and what was prepared for drawing."""
        for buffer in tuple(self._buffers):
            self.remove_buffer(buffer)
        self._host.getGsg().getPreparedObjects().releaseAll()
        self._host.setActive(True)
        self._engine.renderFrame()
        self._engine.removeAllWindows()
