"""Draws the embedded simulator's world with Panda3D's software renderer. The only package that imports panda3d.

What is where: `drawing` is the door; `static` and `actors` hold the two halves of the world; `passes` draw them;
`tiles`, `materials`, `lighting`, `sky`, `shadows`, `air` and `vertices` are arrays without Panda3D; `panda` and
`placement` hide it.
"""

from __future__ import annotations

from carlaseg.simulator.renderer.drawing import MAX_EDGE_PX, Renderer

__all__ = ["MAX_EDGE_PX", "Renderer"]
