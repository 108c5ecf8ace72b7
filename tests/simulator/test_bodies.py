"""Bodies of moving things: they fill their boxes, have closed and outward faces, and move as the actor does."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import shapely

from carlaseg.simulator import bodies
from carlaseg.simulator.renderer.materials import MATERIALS
from carlaseg.simulator.scene import MeshPart, Pose, VisibleActor

ACTORS = {
    "sedan": VisibleActor(1, "car", "vehicle.tesla.model3", (2.40, 1.08, 0.74), Pose(), (180, 30, 30), 14),
    "hatchback": VisibleActor(1, "car", "vehicle.mini.cooper_s", (1.90, 0.99, 0.74), Pose(), (180, 30, 30), 14),
    "estate": VisibleActor(1, "car", "vehicle.audi.etron", (2.43, 1.02, 0.82), Pose(), (180, 30, 30), 14),
    "coupe": VisibleActor(1, "car", "vehicle.ford.mustang", (2.36, 0.95, 0.65), Pose(), (180, 30, 30), 14),
    "van": VisibleActor(1, "van", "vehicle.mercedes.sprinter", (2.96, 0.99, 1.28), Pose(), (60, 90, 160), 14),
    "ambulance": VisibleActor(1, "van", "vehicle.ford.ambulance", (3.18, 1.18, 1.22), Pose(), (235, 235, 230), 14),
    "police": VisibleActor(1, "car", "vehicle.dodge.charger_police", (2.49, 1.02, 0.77), Pose(), (30, 30, 32), 14),
    "truck": VisibleActor(1, "truck", "vehicle.carlamotors.firetruck", (4.23, 1.45, 1.91), Pose(), (190, 30, 20), 15),
    "bus": VisibleActor(1, "bus", "vehicle.mitsubishi.fusorosa", (5.14, 1.97, 2.13), Pose(), (230, 200, 60), 16),
    "motorcycle": VisibleActor(1, "motorcycle", "vehicle.yamaha.yzf", (1.10, 0.43, 0.88), Pose(), (30, 60, 190), 18),
    "bicycle": VisibleActor(1, "bicycle", "vehicle.bh.crossbike", (0.74, 0.43, 0.90), Pose(), (30, 120, 60), 19),
    "pedestrian": VisibleActor(
        1, "pedestrian", "walker.pedestrian.0012", (0.19, 0.19, 0.93), Pose(), (180, 160, 60), 12
    ),
    "cone": VisibleActor(1, "prop", "static.prop.trafficcone01", (0.2, 0.2, 0.35), Pose(), (200, 90, 30), 20),
    "bench": VisibleActor(1, "prop", "static.prop.bench01", (0.8, 0.3, 0.45), Pose(), (120, 90, 60), 20),
    "box": VisibleActor(1, "prop", "static.prop.box01", (0.3, 0.3, 0.3), Pose(), (150, 120, 80), 20),
}


def parts_of(actor: VisibleActor) -> tuple[MeshPart, ...]:
    limbs = bodies.limbs_key(actor)
    return bodies.build_shell(bodies.shell_key(actor)) + (bodies.build_limbs(limbs) if limbs else ())


@pytest.mark.parametrize("name", list(ACTORS))
def test_a_body_fills_its_box_and_stays_in_it(name: str) -> None:
    actor = ACTORS[name]
    corners = np.concatenate([part.positions for part in parts_of(actor)])
    low, high = corners.min(axis=0), corners.max(axis=0)
    foot = -actor.extent[2] if actor.kind == "pedestrian" else 0.0
    assert abs(low[2] - foot) < 0.05
    assert 0.93 * 2 * actor.extent[2] < high[2] - foot < 1.05 * 2 * actor.extent[2]
    if actor.kind != "pedestrian":
        # A stride reaches beyond the narrow box of a walker; everything else keeps to its length and width.
        assert 1.85 * actor.extent[0] < high[0] - low[0] < 2.06 * actor.extent[0]
        assert high[1] - low[1] < 2.06 * actor.extent[1]
    assert abs(high[1] + low[1]) < 0.15 * actor.extent[1] + 0.03


@pytest.mark.parametrize("name", list(ACTORS))
def test_faces_look_outwards_as_their_normals_say(name: str) -> None:
    for part in parts_of(ACTORS[name]):
        corners = part.positions[part.triangles].astype(float)
        facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        area = np.linalg.norm(facing, axis=1)
        normals = part.normals[part.triangles].mean(axis=1)
        agreement = (facing * normals).sum(axis=1)[area > 1e-9] / area[area > 1e-9]
        assert (agreement > 0.2).all()
        assert np.allclose(np.linalg.norm(part.normals, axis=1), 1.0, atol=1e-4)


@pytest.mark.parametrize("name", list(ACTORS))
def test_a_body_uses_known_materials_and_its_own_tag(name: str) -> None:
    actor = ACTORS[name]
    tags = {part.tag for part in parts_of(actor)}
    assert tags == ({actor.tag, 13} if actor.kind in ("motorcycle", "bicycle") else {actor.tag})
    assert {part.material for part in parts_of(actor)} <= set(MATERIALS)
    assert sum(len(part.triangles) for part in parts_of(actor)) < 1500


def test_legs_swing_with_the_distance_walked_and_stand_still_without() -> None:
    walker = ACTORS["pedestrian"]
    later = dataclasses.replace(walker, travelled_m=0.3)
    assert bodies.shell_key(walker) == bodies.shell_key(later)
    assert bodies.limbs_key(walker) == bodies.limbs_key(dataclasses.replace(walker, pose=Pose(5, 5, 5)))
    first, second = (bodies.build_limbs(bodies.limbs_key(each))[0].positions for each in (walker, later))
    assert np.abs(first - second).max() > 0.1


def test_front_wheels_follow_the_steering_and_rear_wheels_do_not() -> None:
    car = ACTORS["sedan"]
    straight, right = (
        np.concatenate([part.positions for part in bodies.build_limbs(bodies.limbs_key(each))])
        for each in (car, dataclasses.replace(car, steer_deg=30.0))
    )
    moved = np.abs(straight - right).max(axis=1) > 1e-4
    assert (straight[moved][:, 0] > 0).all()
    # To the right in CARLA is clockwise seen from above: the front of a front wheel moves towards -y.
    front = straight[:, 0] > straight[:, 0].max() - 0.02
    assert (right[front][:, 1] < straight[front][:, 1]).all()


def test_lights_change_the_lamps_alone() -> None:
    car = ACTORS["sedan"]
    dark, braking = (
        bodies.build_shell(bodies.shell_key(each)) for each in (car, dataclasses.replace(car, light_state=8))
    )
    assert {part.material for part in dark} == {"plain"}
    lamps = next(part for part in braking if part.material == "lamp_glass")
    assert (lamps.positions[:, 0] < 0).all()
    assert (lamps.colors[:, 0] > 200).all()


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("van", "vehicle.ford.ambulance"),
        ("truck", "vehicle.carlamotors.firetruck"),
        ("sedan", "vehicle.dodge.charger_police"),
        ("sedan", "vehicle.ford.crown"),
    ],
)
def test_what_serves_the_public_bears_lamps_on_its_roof(name: str, variant: str) -> None:
    actor = dataclasses.replace(ACTORS[name], variant=variant)
    lamps = [part for part in bodies.build_shell(bodies.shell_key(actor)) if part.material == "lamp_glass"]
    assert lamps
    assert min(float(part.positions[:, 2].min()) for part in lamps) > 0.75 * 2 * actor.extent[2]


@pytest.mark.parametrize("name", ["sedan", "hatchback", "estate", "coupe", "van", "ambulance", "truck", "bus"])
def test_brake_lamps_are_seen_from_behind(name: str) -> None:
    actor = dataclasses.replace(ACTORS[name], light_state=8)
    parts = bodies.build_shell(bodies.shell_key(actor))
    (lamps,) = (part for part in parts if part.material == "lamp_glass")
    rear = lamps.positions[lamps.triangles][np.ptp(lamps.positions[lamps.triangles][..., 0], axis=1) < 1e-3]
    rear = rear[rear[..., 0].mean(axis=1) < lamps.positions[:, 0].min() + 1e-3].mean(axis=1)
    assert len(rear) >= 4
    (plain,) = (part for part in parts if part.material == "plain")
    corners = plain.positions[plain.triangles].astype(np.float64)
    seen_from_behind = shapely.polygons(corners[:, [0, 1, 2, 0], 1:])
    for x, y, z in rear:
        before = shapely.intersects(seen_from_behind, shapely.Point(y, z))
        assert corners[before, :, 0].min(initial=np.inf) > x + 0.003


def test_cars_of_one_kind_differ_by_blueprint_and_colour() -> None:
    shapes = {name: parts_of(ACTORS[name])[0].positions for name in ("sedan", "hatchback", "estate", "coupe")}
    normalised = [np.sort((shape / np.abs(shape).max(axis=0)).round(3).ravel()).tobytes() for shape in shapes.values()]
    assert len(set(normalised)) == 4
    blue = dataclasses.replace(ACTORS["sedan"], color=(20, 30, 200))
    assert bodies.shell_key(blue) != bodies.shell_key(ACTORS["sedan"])
    assert bodies.limbs_key(blue) == bodies.limbs_key(ACTORS["sedan"])


def test_the_same_key_gives_the_same_bytes() -> None:
    for actor in ACTORS.values():
        for first, second in zip(parts_of(actor), parts_of(actor), strict=True):
            assert first.positions.tobytes() == second.positions.tobytes()
            assert first.colors.tobytes() == second.colors.tobytes()
