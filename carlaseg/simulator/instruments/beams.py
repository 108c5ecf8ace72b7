"""Many beams from one place, read out of depth and instance pictures around it.

Six faces of a cube are looked through, each only as far as beams pass it. Between pixels that show one flat thing depth
is interpolated exactly; at its rim a beam takes the pixel it falls into. So beams and depth cameras see the same
geometry, and what a beam meets is off by half a pixel of its face at most (about a tenth of a degree at 512 pixels).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carlaseg.simulator.actors import Visible
from carlaseg.simulator.instruments import geometry
from carlaseg.simulator.instruments.cameras import belongs
from carlaseg.simulator.instruments.instrument import Surroundings, View
from carlaseg.simulator.poses import compose, rotation_matrix
from carlaseg.simulator.scene import ByteArray, CameraSpec, Pose

Floats = NDArray[np.float64]

_TURNS = (Pose(), Pose(yaw=90.0), Pose(yaw=180.0), Pose(yaw=-90.0), Pose(pitch=90.0), Pose(pitch=-90.0))
_AXES = np.array([np.array(rotation_matrix(turn)).T for turn in _TURNS])
"""Forward, right and up of each face in the sensor's frame, (6, 3, 3)."""
_WIDTHS = (0.25, 0.5, 1.0)
"""Half widths of a face in units of its distance: few, so that the renderer keeps few buffers."""
_ROW_STEP = 32
_BENT = 0.02


@dataclass(frozen=True)
class Hits:
    """What beams met; all arrays have one entry a beam.

    Attributes:
        distance_m: along the beam; infinite where there was nothing.
        tag: semantic tag.
        actor_id: of the actor met, 0 for the town.
        cos_angle: cosine of the angle between the beam and the surface's normal.
        velocity: m/s, world frame, of the actor met; float64 (N, 3).
    """

    distance_m: Floats
    tag: NDArray[np.uint32]
    actor_id: NDArray[np.uint32]
    cos_angle: Floats
    velocity: Floats


class Beams:
    """Beams in fixed or changing directions from a sensor.

    Args:
        pixels: width of a face of 90 degrees.
    """

    def __init__(self, pixels: int) -> None:
        self._pixels = pixels
        self._directions: Floats = np.zeros((0, 3))
        self._looks: list[_Look] = []

    def aim(self, directions: Floats, pose: Pose) -> list[View]:
        """Return the pictures needed for beams along unit vectors (N, 3) of the sensor's frame."""
        self._directions = directions
        self._pose = pose
        self._looks = []
        if not len(directions):
            return []
        face = np.argmax(directions @ _AXES[:, 0].T, axis=1)
        views: list[View] = []
        for number in np.unique(face):
            look = _Look(np.flatnonzero(face == number), directions, int(number), self._pixels)
            self._looks.append(look)
            there = compose(pose, _TURNS[number])
            views.append((CameraSpec("depth", look.size[0], look.size[1], look.fov_deg), there))
            views.append((CameraSpec("instance", look.size[0], look.size[1], look.fov_deg), there))
        return views

    def hits(self, pictures: Sequence[ByteArray], surroundings: Surroundings, range_m: float) -> Hits:
        """Return what the beams met within `range_m`, given the pictures that `aim` asked for."""
        count = len(self._directions)
        distance, cos_angle = np.full(count, np.inf), np.zeros(count)
        shown = np.zeros(count, np.uint32)
        for look, depth, instances in zip(self._looks, pictures[::2], pictures[1::2], strict=True):
            look.read(geometry.depth_m(depth), geometry.identity(instances), distance, shown, cos_angle)
        distance[distance > range_m] = np.inf
        met = np.isfinite(distance)
        tag = np.where(met, shown >> 16 & 0xFF, 0).astype(np.uint32)
        actor_id, velocity = np.zeros(count, np.uint32), np.zeros((count, 3))
        rows = np.array(rotation_matrix(self._pose))
        points = np.zeros((count, 3))
        points[met] = (self._directions[met] * distance[met, None]) @ rows.T
        points += np.array([self._pose.x, self._pose.y, self._pose.z])
        _name_actors(surroundings.visible_by_low_id(), met, shown, tag, points, actor_id, velocity)
        return Hits(distance, tag, actor_id, cos_angle, velocity)


def _name_actors(
    actors: dict[int, Visible],
    met: NDArray[np.bool_],
    shown: NDArray[np.uint32],
    tag: NDArray[np.uint32],
    points: Floats,
    actor_id: NDArray[np.uint32],
    velocity: Floats,
) -> None:
    low = (shown >> 8 & 0xFF) | (shown & 0xFF) << 8
    for number in np.unique(low[met]):
        actor = actors.get(int(number))
        if actor is None:
            continue
        its = np.flatnonzero(met & (low == number))
        its = its[belongs(actor, points[its], tag[its])]
        actor_id[its] = actor.actor_id
        velocity[its] = actor.velocity


class _Look:
    """The beams that pass one face, and the picture they are read from."""

    def __init__(self, beams: NDArray[np.intp], directions: Floats, face: int, pixels: int) -> None:
        forward, right, up = _AXES[face]
        along = directions[beams] @ forward
        self._beams = beams
        self._along = along
        self._a = directions[beams] @ right / along
        self._b = -(directions[beams] @ up) / along
        widest = float(np.max(np.abs(self._a)))
        self._half = next((width for width in _WIDTHS if widest <= width), 1.0)
        width = max(int(pixels * self._half), 8)
        focal = width / (2 * self._half)
        rows = math.ceil((2 * float(np.max(np.abs(self._b))) * focal + 4) / _ROW_STEP) * _ROW_STEP
        self.size = min(rows, width), width
        self.fov_deg = 2 * math.degrees(math.atan(self._half))
        self._focal = focal

    def read(
        self,
        depth: NDArray[np.float32],
        shown: NDArray[np.uint32],
        distance: Floats,
        what: NDArray[np.uint32],
        cos_angle: Floats,
    ) -> None:
        """Fill in distance, identity and incidence of its beams."""
        height, width = self.size
        x, y = self._a * self._focal + width / 2, self._b * self._focal + height / 2
        column = np.clip(np.floor(x - 0.5).astype(np.intp), 0, max(width - 2, 0))
        row = np.clip(np.floor(y - 0.5).astype(np.intp), 0, max(height - 2, 0))
        fx, fy = np.clip(x - 0.5 - column, 0.0, 1.0), np.clip(y - 0.5 - row, 0.0, 1.0)
        corners = [(row, column), (row, column + 1), (row + 1, column), (row + 1, column + 1)]
        inverse = [1.0 / np.maximum(depth[corner].astype(np.float64), 1e-3) for corner in corners]
        seen = [shown[corner] for corner in corners]
        mean = (inverse[0] + inverse[1] + inverse[2] + inverse[3]) / 4
        flat = (seen[0] == seen[1]) & (seen[0] == seen[2]) & (seen[0] == seen[3])
        flat &= np.abs(inverse[0] + inverse[3] - inverse[1] - inverse[2]) < _BENT * mean
        smooth = (inverse[0] * (1 - fx) + inverse[1] * fx) * (1 - fy) + (inverse[2] * (1 - fx) + inverse[3] * fx) * fy
        own = (np.minimum(np.floor(y).astype(np.intp), height - 1), np.minimum(np.floor(x).astype(np.intp), width - 1))
        value = np.where(flat, smooth, 1.0 / np.maximum(depth[own].astype(np.float64), 1e-3))
        what[self._beams] = np.where(flat, seen[0], shown[own])
        planar = 1.0 / value
        distance[self._beams] = np.where(planar < geometry.NOTHING_M, planar / self._along, np.inf)
        across = (inverse[1] - inverse[0] + inverse[3] - inverse[2]) / 2 * self._focal
        down = (inverse[2] - inverse[0] + inverse[3] - inverse[1]) / 2 * self._focal
        into = value - self._a * across - self._b * down
        length = np.sqrt(into**2 + across**2 + down**2)
        cos_angle[self._beams] = np.clip(value * self._along / np.maximum(length, 1e-12), 0.0, 1.0)
