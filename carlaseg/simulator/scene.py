"""What the parts of the embedded simulator hand each other: poses, geometry, actors to draw, cameras.

Two frames of reference, never mixed in one array:

* CARLA's world frame, for everything that has a `Pose`: x forward, y right, z up (left-handed), metres; pitch, yaw and
  roll in degrees.
* the town frame, for all mesh arrays: OpenDRIVE's own right-handed frame, x east, y north, z up, metres.
  `y_town = -y_carla`, `heading_rad_town = -radians(yaw_deg_carla)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int32]
ByteArray = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Pose:
    """A place and an attitude in CARLA's world frame: metres and degrees."""

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    pitch: float = 0.0
    yaw: float = 0.0
    roll: float = 0.0


@dataclass(frozen=True)
class MeshPart:
    """Triangles of one material and one semantic tag.

    Attributes:
        material: key into the renderer's table of materials, for example "asphalt" or "facade_brick".
        tag: CARLA 0.9.14 semantic tag, 0-28.
        positions: float32 (N, 3), town frame, metres.
        normals: float32 (N, 3), unit length.
        uvs: float32 (N, 2), texture repeats (1.0 is one whole tile; the material says how many metres).
        colors: uint8 (N, 3), RGB albedo, multiplied with the material's texture.
        triangles: int32 (M, 3), counter-clockwise seen from the front.
        instances: uint16 (N,), 0 for none; equal for all corners of one object (a building, a tree).
        small: true for what is left out far away, where it would be smaller than a pixel.
        stand_in: true for what is drawn only far away, in place of small parts.
        two_sided: true when the back of a face must be drawn as well (leaves, thin sheets).
    """

    material: str
    tag: int
    positions: FloatArray
    normals: FloatArray
    uvs: FloatArray
    colors: ByteArray
    triangles: IntArray
    instances: NDArray[np.uint16]
    small: bool = False
    two_sided: bool = False
    stand_in: bool = False


@dataclass(frozen=True)
class TrafficLightSite:
    """A traffic light: where it stands, whom it stops and with whom it alternates.

    Attributes:
        signal_id: the OpenDRIVE signal's id, as text.
        pose: foot of the pole, CARLA frame. As in CARLA its forward axis lies across the road, to the left of those who
            come: a quarter turn on from where its lamps face.
        trigger_center: middle of what CARLA calls its trigger volume, on the lanes it governs, in `pose`'s frame.
        trigger_extent: half sizes of that box in metres, x across the lanes.
        junction_id: lights of one junction form a group.
        phase: lights of one group with the same phase are green together.
        stop_zones: float32 polygons (K, 2), CARLA frame x, y; a vehicle whose front is inside obeys it.
        head_center_town: town-frame positions of the lamp heads, (L, 3), where the renderer draws the lit lamp.
        head_heading_rad: town-frame heading the lamps face.
    """

    signal_id: str
    pose: Pose
    trigger_center: tuple[float, float, float]
    trigger_extent: tuple[float, float, float]
    junction_id: int
    phase: int
    stop_zones: tuple[FloatArray, ...]
    head_center_town: FloatArray
    head_heading_rad: float


@dataclass(frozen=True, slots=True)
class LevelBox:
    """A static thing of the town as CARLA's `get_level_bbs` reports it: CARLA frame, half sizes in metres."""

    tag: int
    pose: Pose
    extent: tuple[float, float, float]


@dataclass(frozen=True)
class Town:
    """Everything the simulator knows about one town; made by `carlaseg.simulator.town.build_town`.

    Attributes:
        name: what `carla.Map.name` ends with.
        seed: of the generated content; the same name and seed give the same bytes.
        opendrive: the map as OpenDRIVE XML text, what `carla.Map` gets.
        spawn_points: on driving lanes, heading along the lane, z 0.5 m above the road.
        parts: the static geometry.
        traffic_lights: with their stop zones and phases.
        walk_quads: float32 (Q, 4, 3), CARLA frame; flat quads of about 5 m where pedestrians walk.
        walk_areas: uint8 (Q,), 1 sidewalk, 2 crossing, 3 road, 4 grass.
        level_boxes: static bounding boxes.
        lamp_positions: float32 (L, 3), town frame, street lamps that shine at night.
        bounds_town: (x_min, y_min, x_max, y_max), town frame.
        road_height_grid: float32 (rows, columns), ground height in metres on a regular grid over `bounds_town`.
        road_height_cell_m: its cell size.
        deck_height_grid: float32, of the same grid: what runs above the ground, NaN where nothing does; empty where no
            road is a bridge.
    """

    name: str
    seed: int
    opendrive: str
    spawn_points: tuple[Pose, ...]
    parts: tuple[MeshPart, ...]
    traffic_lights: tuple[TrafficLightSite, ...]
    walk_quads: FloatArray
    walk_areas: ByteArray
    level_boxes: tuple[LevelBox, ...]
    lamp_positions: FloatArray
    bounds_town: tuple[float, float, float, float]
    road_height_grid: FloatArray
    road_height_cell_m: float
    deck_height_grid: FloatArray = field(default_factory=lambda: np.zeros((0, 0), np.float32))


@dataclass(frozen=True, slots=True)
class Weather:
    """CARLA's fourteen weather parameters, in the order and units (percent, degrees) of `carla.WeatherParameters`."""

    cloudiness: float = 10.0
    precipitation: float = 0.0
    precipitation_deposits: float = 0.0
    wind_intensity: float = 5.0
    sun_azimuth_angle: float = 300.0
    sun_altitude_angle: float = 45.0
    fog_density: float = 2.0
    fog_distance: float = 0.75
    fog_falloff: float = 0.1
    wetness: float = 0.0
    scattering_intensity: float = 1.0
    mie_scattering_scale: float = 0.03
    rayleigh_scattering_scale: float = 0.0331
    dust_storm: float = 0.0


BodyKind = Literal["car", "van", "truck", "bus", "motorcycle", "bicycle", "pedestrian", "prop"]


@dataclass(frozen=True, slots=True)
class VisibleActor:
    """One moving thing to draw.

    Attributes:
        actor_id: CARLA's actor id; its low 16 bits are the instance id.
        kind: which body to draw.
        variant: the blueprint id, so that two cars of a kind can differ in shape.
        extent: half sizes x, y, z in metres; the body fills this box.
        pose: of the actor's origin (a vehicle's is on the ground, a walker's at its middle), CARLA frame.
        color: RGB 0-255.
        tag: CARLA 0.9.14 semantic tag of the body.
        steer_deg: of the front wheels.
        travelled_m: turns wheels and swings legs.
        light_state: CARLA's light bits (1 position, 2 low beam, 4 high beam, 8 brake, 16/32 blinkers, 64 reverse).
    """

    actor_id: int
    kind: BodyKind
    variant: str
    extent: tuple[float, float, float]
    pose: Pose
    color: tuple[int, int, int]
    tag: int
    steer_deg: float = 0.0
    travelled_m: float = 0.0
    light_state: int = 0


CameraKind = Literal["rgb", "semantic", "instance", "depth"]


@dataclass(frozen=True, slots=True)
class CameraSpec:
    """A camera's unchanging part: what it draws and its pinhole (fov is horizontal, as in CARLA)."""

    kind: CameraKind
    height: int
    width: int
    fov_deg: float


@dataclass(frozen=True)
class Frame:
    """The moving part of the world at one tick, as the renderer needs it.

    Attributes:
        actors: everything that moves and is visible.
        traffic_light_states: signal id to CARLA's state (0 red, 1 yellow, 2 green, 3 off).
        weather: current weather.
        elapsed_s: simulation time, for clouds and rain.
    """

    actors: tuple[VisibleActor, ...]
    traffic_light_states: Mapping[str, int] = field(default_factory=dict)
    weather: Weather = Weather()
    elapsed_s: float = 0.0
