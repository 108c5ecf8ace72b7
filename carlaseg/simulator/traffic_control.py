"""Traffic lights with their poles and stop zones, and signs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from shapely.geometry import Point

from carlaseg.simulator.approaches import LIGHT_TYPE, Approach
from carlaseg.simulator.lots import Lots
from carlaseg.simulator.mesh import MeshBuilder
from carlaseg.simulator.opendrive import RoadNetwork
from carlaseg.simulator.pavement import SIDEWALK_M
from carlaseg.simulator.poses import normalize_deg, rotation_matrix, unrotate
from carlaseg.simulator.scene import LevelBox, Pose, TrafficLightSite
from carlaseg.simulator.sign_models import light_head, sign_model

Array = NDArray[np.float64]

POLE_TAG, LIGHT_TAG, SIGN_TAG = 6, 7, 8
_ZONE_M = 10.0
_TRIGGER_BACK_M, _TRIGGER_HALF_DEPTH_M, _TRIGGER_HALF_HEIGHT_M = 2.0, 1.0, 1.0
_POLE_BACK_M = 0.7
_FROM_KERB_M = 0.45
_POLE_HEIGHT_M = 6.0
_HEAD_HEIGHTS_M = (5.35, 2.9)
_POLE_COLOR = (168, 166, 162)
_SIGN_NAMES = {"206": "stop", "205": "yield", "274": "speed"}


def build_traffic_control(
    builder: MeshBuilder, network: RoadNetwork, approaches: list[Approach], lots: Lots, boxes: list[LevelBox]
) -> tuple[TrafficLightSite, ...]:
    """Add lights and signs where approaches have them, and speed signs where the map does.

    Returns:
        The lights. Opposite approaches of a junction share a phase.
    """
    sites: list[TrafficLightSite] = []
    first_heading: dict[int, float] = {}
    for approach in approaches:
        if approach.control == "lights":
            axis = first_heading.setdefault(approach.junction, approach.heading)
            turned = abs(np.sin(approach.heading - axis)) > np.sin(np.pi / 4)
            sites.append(_light(builder, approach, int(turned), lots, boxes))
        elif approach.control != "none":
            t = approach.road_edge(approach.stop_m)
            t += _FROM_KERB_M * np.sign(t)
            foot = approach.road.points(np.array([approach.s_at(approach.stop_m)]), np.array([t]))[0]
            _sign(builder, approach.control, foot, approach.heading + np.pi, lots, boxes)
    for road in network.roads.values():
        for signal in road.signals:
            if signal.type not in _SIGN_NAMES or signal.type in (LIGHT_TYPE, "205", "206"):
                continue
            heading = float(road.plan.at(np.array([signal.s]))[2][0])
            # A sign on the right side is read by those who drive along the road, on the left by the others.
            faces = heading + np.pi if signal.t < 0 else heading
            foot = road.points(np.array([signal.s]), np.array([signal.t]))[0]
            _sign(builder, f"speed {signal.value:.0f}", foot, faces, lots, boxes)
    return tuple(sites)


def _light(builder: MeshBuilder, approach: Approach, phase: int, lots: Lots, boxes: list[LevelBox]) -> TrafficLightSite:
    road = approach.road
    edge = approach.road_edge(_POLE_BACK_M)
    s = np.array([approach.s_at(_POLE_BACK_M)])
    foot = road.points(s, np.array([edge + _FROM_KERB_M * np.sign(edge)]))[0]
    heading = approach.heading
    inner, outer = approach.edges(_POLE_BACK_M)
    over_lane = road.points(s, np.array([(inner + outer) / 2]), _POLE_HEIGHT_M - 0.15)[0]
    instance = builder.new_instance()
    pole_top = foot + [0.0, 0.0, _POLE_HEIGHT_M]
    for a, b, radii, sides in (
        (foot - [0, 0, 0.3], pole_top, (0.11, 0.08), 8),
        (pole_top - [0, 0, 0.15], over_lane, (0.06, 0.045), 6),
    ):
        builder.tube("pole_metal", POLE_TAG, a, b, *radii, sides, _POLE_COLOR, instance, small=True)
        builder.tube("pole_metal", POLE_TAG, a, b, *radii, 3, _POLE_COLOR, instance, stand_in=True)
    faces = heading + np.pi
    forward = np.array([np.cos(faces), np.sin(faces), 0.0])
    heads = np.stack(
        [
            np.array([*over_lane[:2], foot[2] + _HEAD_HEIGHTS_M[0]]) + 0.12 * forward,
            np.array([*foot[:2], foot[2] + _HEAD_HEIGHTS_M[1]]) + 0.25 * forward,
        ]
    )
    model = light_head()
    builder.stamp(model, heads, np.full(2, faces), instances=np.full(2, instance, np.uint16))
    lots.mark(Point(foot[0], foot[1]).buffer(0.5, quad_segs=1))
    for head in heads:
        boxes.append(_box(LIGHT_TAG, head, faces, (0.2, 0.25, 0.55)))
    boxes.append(_box(POLE_TAG, foot + [0, 0, _POLE_HEIGHT_M / 2], faces, (0.11, 0.11, _POLE_HEIGHT_M / 2)))
    number = approach.signal.id if approach.signal else f"{road.id}{'e' if approach.at_end else 's'}"
    # Source of the quarter turn: CARLA's TrafficLightManager.cpp, SpawnSignals, as its repository has it.
    pose = Pose(float(foot[0]), float(-foot[1]), float(foot[2]), yaw=normalize_deg(90.0 - float(np.degrees(faces))))
    middle, half_width = _trigger(approach)
    return TrafficLightSite(
        signal_id=number,
        pose=pose,
        trigger_center=unrotate(rotation_matrix(pose), (middle.x - pose.x, middle.y - pose.y, middle.z - pose.z)),
        trigger_extent=(half_width, _TRIGGER_HALF_DEPTH_M, _TRIGGER_HALF_HEIGHT_M),
        junction_id=approach.junction,
        phase=phase,
        stop_zones=(_stop_zone(approach),),
        head_center_town=heads.astype(np.float32),
        head_heading_rad=float(faces),
    )


def _trigger(approach: Approach) -> tuple[Pose, float]:
    """Middle of a box across all lanes that a light governs, CARLA frame, and half its width."""
    back_m = min(_TRIGGER_BACK_M, approach.road.length / 2)
    inner, outer = approach.edges(back_m)
    x, y, z = approach.road.points(np.array([approach.s_at(back_m)]), np.array([(inner + outer) / 2]))[0]
    return Pose(float(x), float(-y), float(z) + _TRIGGER_HALF_HEIGHT_M), abs(outer - inner) / 2


def _stop_zone(approach: Approach) -> NDArray[np.float32]:
    """The last metres of the controlled lanes, CARLA frame, (K, 2), along the lanes' edges."""
    back = np.linspace(min(_ZONE_M, approach.road.length * 0.8), 0.0, 5)
    inner, outer = zip(*(approach.edges(float(b)) for b in back), strict=True)
    s = np.array([approach.s_at(float(b)) for b in back])
    there = approach.road.points(s, np.array(inner))
    again = approach.road.points(s, np.array(outer))[::-1]
    ring = np.concatenate([there, again])[:, :2] * [1.0, -1.0]
    return ring.astype(np.float32)


def _sign(builder: MeshBuilder, kind: str, foot: Array, faces: float, lots: Lots, boxes: list[LevelBox]) -> None:
    place = foot + [0.0, 0.0, SIDEWALK_M]
    builder.stamp(sign_model(kind), [place], [faces])
    lots.mark(Point(foot[0], foot[1]).buffer(0.4, quad_segs=1))
    boxes.append(_box(SIGN_TAG, place + [0, 0, 2.4], faces, (0.03, 0.38, 0.38)))
    boxes.append(_box(POLE_TAG, place + [0, 0, 1.25], faces, (0.04, 0.04, 1.25)))


def _box(tag: int, center: Array, heading: float, extent: tuple[float, float, float]) -> LevelBox:
    yaw = normalize_deg(-float(np.degrees(heading)))
    pose = Pose(float(center[0]), float(-center[1]), float(center[2]), yaw=yaw)
    return LevelBox(tag, pose, extent)
