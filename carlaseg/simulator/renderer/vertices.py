"""Corners of triangles as arrays: what `panda.geometry` takes. NumPy only, so that what makes them needs no Panda3D."""

from __future__ import annotations

import numpy as np

ID_VERTEX = np.dtype([("position", "<f4", 3), ("color", "u1", 4)])
BAKED_VERTEX = np.dtype([("position", "<f4", 3), ("color", "u1", 4), ("uv", "<f4", 2)])
LIT_VERTEX = np.dtype([("position", "<f4", 3), ("normal", "<f4", 3), ("color", "u1", 4), ("uv", "<f4", 2)])
