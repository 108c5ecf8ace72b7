"""Cameras: those that show what the renderer draws, and those whose pictures are computed from depth or colour."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from carlaseg.labels import SCHEMES
from carlaseg.simulator.actors import Sensor, Visible
from carlaseg.simulator.blueprints import TAG_RIDER, is_true
from carlaseg.simulator.instruments import geometry
from carlaseg.simulator.instruments.instrument import Instrument, Surroundings, View
from carlaseg.simulator.scene import ByteArray, CameraKind, CameraSpec, Pose
from carlaseg.wire.sensor_payloads import DVS_EVENT, events_parts, flow_parts, image_parts
from carlaseg.wire.stream import Buffer

_SKY_M = 1e6
_MAX_FLOW = 2.0


class Camera(Instrument):
    """A pinhole; `kinds` are the pictures it needs."""

    is_camera = True
    kinds: tuple[CameraKind, ...] = ()

    def __init__(self, sensor: Sensor, surroundings: Surroundings) -> None:
        super().__init__(sensor, surroundings)
        self.fov_deg = self.number("fov", 90.0)
        self.size = int(self.number("image_size_y", 600)), int(self.number("image_size_x", 800))
        self._specs = [CameraSpec(kind, *self.size, self.fov_deg) for kind in self.kinds]

    def views(self, elapsed_s: float) -> Sequence[View]:
        """Return its pictures, from where it is."""
        return [(spec, self.sensor.pose) for spec in self._specs]


class PlainCamera(Camera):
    """Shows what the renderer draws."""

    needs_only_pictures = True

    def __init__(self, sensor: Sensor, surroundings: Surroundings) -> None:
        kind = sensor.blueprint.camera
        assert kind is not None  # by the table of instruments
        self.kinds = (kind,)
        super().__init__(sensor, surroundings)

    def messages(self, pictures: Sequence[ByteArray]) -> Iterator[tuple[Buffer, ...]]:
        """Return the picture."""
        yield image_parts(pictures[0], self.fov_deg)


class NormalsCamera(Camera):
    """World normals: (n + 1) / 2 of x, y and z in R, G and B; the sky is 128, 128, 128."""

    kinds = ("depth", "instance")

    def messages(self, pictures: Sequence[ByteArray]) -> Iterator[tuple[Buffer, ...]]:
        """Return the picture."""
        found = geometry.normals(geometry.depth_m(pictures[0]), geometry.identity(pictures[1]), self.fov_deg)
        world = geometry.in_world(found, self.sensor.pose)
        image = np.full((*self.size, 4), 255, np.uint8)
        image[..., :3] = np.clip(np.rint((world[..., ::-1] + 1.0) * 127.5), 0, 255)
        yield image_parts(image, self.fov_deg)


class CosmosCamera(Camera):
    """What is where for a generative model: labels in CityScapes colours, black where one thing ends.

    CARLA draws this camera's picture with a material of its own and does not document it.
    """

    kinds = ("instance",)

    def messages(self, pictures: Sequence[ByteArray]) -> Iterator[tuple[Buffer, ...]]:
        """Return the picture."""
        tags, shown = pictures[0][..., 2], geometry.identity(pictures[0])
        image = np.full((*self.size, 4), 255, np.uint8)
        image[..., :3] = SCHEMES["carla-0.9.14"].colorize(tags)[..., ::-1]
        edge = np.zeros(self.size, bool)
        edge[:, 1:] |= shown[:, 1:] != shown[:, :-1]
        edge[1:] |= shown[1:] != shown[:-1]
        image[edge, :3] = 0
        yield image_parts(image, self.fov_deg)


class FlowCamera(Camera):
    """How far what each pixel shows has moved in the picture since the last measurement.

    x is 1 for half a width to the right, y is 1 for half a height up.

    Source: CARLA documentation, optical flow camera (range -2 to 2); scale and signs as its users have measured them,
    github.com/carla-simulator/carla, issues 4795 and 8492.
    """

    kinds = ("depth", "instance")

    def __init__(self, sensor: Sensor, surroundings: Surroundings) -> None:
        super().__init__(sensor, surroundings)
        self._before: tuple[Pose, dict[int, Pose]] | None = None

    def messages(self, pictures: Sequence[ByteArray]) -> Iterator[tuple[Buffer, ...]]:
        """Return the flow; zero everywhere in the first picture."""
        pose = self.sensor.pose
        actors = self.surroundings.visible_by_low_id()
        before, self._before = self._before, (pose, {low: actor.pose for low, actor in actors.items()})
        if before is None:
            yield flow_parts(np.zeros((*self.size, 2), np.float32), self.fov_deg)
            return
        depth = geometry.depth_m(pictures[0]).astype(np.float64)
        depth[depth >= geometry.NOTHING_M] = _SKY_M
        a, b = (grid.astype(np.float64) for grid in np.meshgrid(*geometry.offsets(self.size, self.fov_deg)))
        points = geometry.in_world(np.stack([depth, depth * a, depth * b], axis=-1), pose)
        points += np.array([pose.x, pose.y, pose.z])
        self._undo_motion(points, pictures[1], actors, before[1])
        there = geometry.seen_from(points, before[0])
        ahead = np.maximum(there[..., 0], 0.01)
        across = 1.0 / math.tan(math.radians(self.fov_deg) / 2)
        up = -across * self.size[1] / self.size[0]
        flow = np.stack([(a - there[..., 1] / ahead) * across, (b - there[..., 2] / ahead) * up], axis=-1)
        yield flow_parts(np.clip(flow, -_MAX_FLOW, _MAX_FLOW).astype(np.float32), self.fov_deg)

    def _undo_motion(
        self, points: NDArray[np.float64], instances: ByteArray, actors: dict[int, Visible], before: dict[int, Pose]
    ) -> None:
        low = instances[..., 1].astype(np.int32) | instances[..., 0].astype(np.int32) << 8
        for number in np.unique(low):
            actor, was = actors.get(int(number)), before.get(int(number))
            if actor is None or was is None or was == actor.pose:
                continue
            its = (low == number) & belongs(actor, points, instances[..., 2])
            points[its] = geometry.moved_back(points[its], actor.pose, was)


def belongs(actor: Visible, points: NDArray[np.float64], tags: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return which of the points (..., 3) can be an actor's: static things share its numbers, not its place and tag."""
    center = np.array([actor.pose.x, actor.pose.y, actor.pose.z + actor.center[2]])
    reach = 1.2 * float(np.linalg.norm(actor.extent)) + 0.5
    near = np.sum((points - center) ** 2, axis=-1) < reach * reach
    result: NDArray[np.bool_] = near & ((tags == actor.tag) | (tags == TAG_RIDER))
    return result


class EventCamera(Camera):
    """Where brightness has changed since the last measurement, as events.

    Source: CARLA documentation, dynamic vision sensor: contrast thresholds on log intensity. The events of one
    measurement are spread evenly over its time; noise of the thresholds is left out.
    """

    kinds = ("rgb",)

    def __init__(self, sensor: Sensor, surroundings: Surroundings) -> None:
        super().__init__(sensor, surroundings)
        self._level: NDArray[np.float32] | None = None
        self._elapsed_s = 0.0

    def views(self, elapsed_s: float) -> Sequence[View]:
        """Return its picture."""
        self._elapsed_s = elapsed_s
        return super().views(elapsed_s)

    def messages(self, pictures: Sequence[ByteArray]) -> Iterator[tuple[Buffer, ...]]:
        """Return the events; none for the first picture, nor a message when there are none, as in CARLA."""
        bright = pictures[0][..., :3].astype(np.float32) @ np.array([0.114, 0.587, 0.299], np.float32)
        if is_true(self.sensor.attributes, "use_log", True):
            # Without the logarithm thresholds are of 0-255. Source: CARLA's DVSCamera.cpp.
            bright = np.log(np.float32(self.number("log_eps", 0.001)) + bright / np.float32(255))
        if self._level is None:
            self._level = bright
            return
        change = bright - self._level
        rises = np.floor(np.maximum(change, 0) / max(self.number("positive_threshold", 0.3), 0.01)).astype(np.int32)
        falls = np.floor(np.maximum(-change, 0) / max(self.number("negative_threshold", 0.3), 0.01)).astype(np.int32)
        self._level = self._level + rises * np.float32(max(self.number("positive_threshold", 0.3), 0.01))
        self._level -= falls * np.float32(max(self.number("negative_threshold", 0.3), 0.01))
        events = self._events(rises, falls)
        if len(events):
            yield events_parts(events, self.size, self.fov_deg)

    def _events(self, rises: NDArray[np.int32], falls: NDArray[np.int32]) -> NDArray[np.void]:
        counts = rises + falls
        rows, columns = np.nonzero(counts)
        number = counts[rows, columns]
        each = np.repeat(np.arange(len(rows)), number)
        turn = np.arange(len(each)) - np.repeat(np.cumsum(number) - number, number) + 1
        now_ns = self.surroundings.world.elapsed_s * 1e9
        events = np.zeros(len(each), DVS_EVENT)
        events["x"], events["y"] = columns[each], rows[each]
        events["t_ns"] = now_ns - self._elapsed_s * 1e9 * (1.0 - turn / (number[each] + 1))
        events["polarity"] = rises[rows, columns][each] > 0
        return events[np.argsort(events["t_ns"], kind="stable")]
