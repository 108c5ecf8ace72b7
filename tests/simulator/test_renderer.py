"""The renderer through its door: what stands where, which tag it has, how far it is, and that it is always the same."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from carlaseg.errors import SimulatorError
from carlaseg.simulator.renderer import Renderer
from carlaseg.simulator.renderer.kept import Kept
from carlaseg.simulator.scene import CameraSpec, Frame, Pose, TrafficLightSite, VisibleActor, Weather

sys.path.insert(0, str(Path(__file__).parent))
import hand_made_town as made

EYE = Pose(0.0, 0.5, 1.7, pitch=-6.0)
CAR = VisibleActor(
    4711, "car", "vehicle.tesla.model3", (2.4, 1.08, 0.74), Pose(14, -2.2, 0, yaw=160), (180, 30, 30), 14
)
RIDER = VisibleActor(
    515, "bicycle", "vehicle.bh.crossbike", (0.74, 0.43, 0.9), Pose(8, -1, 0, yaw=-60), (30, 120, 60), 19
)
WALKER = VisibleActor(
    65530, "pedestrian", "walker.pedestrian.0012", (0.19, 0.19, 0.93), Pose(6, 0.3, 0.93, yaw=120), (180, 160, 60), 12
)
ACTORS = (CAR, RIDER, WALKER)
FRAME = Frame(ACTORS)


@pytest.fixture(scope="module")
def street() -> Iterator[Renderer]:
    renderer = Renderer(made.street())
    yield renderer
    renderer.close()


def draw(
    renderer: Renderer, kind: str, pose: Pose = EYE, frame: Frame = FRAME, size: tuple[int, int] = (90, 160)
) -> np.ndarray:
    key = renderer.add_camera(CameraSpec(kind, *size, 90.0))
    try:
        return renderer.render([(key, pose)], frame)[key]
    finally:
        renderer.remove_camera(key)


def depth_m(bgra: np.ndarray) -> np.ndarray:
    blue, green, red = (bgra[..., channel].astype(np.float64) for channel in range(3))
    return (red + 256 * green + 65536 * blue) / (2**24 - 1) * 1000.0


def numbers(bgra: np.ndarray) -> np.ndarray:
    """Instance numbers of an instance picture."""
    return bgra[..., 1].astype(int) + 256 * bgra[..., 0].astype(int)


def expected_pixel(pose: Pose, town_point: tuple[float, float, float], spec: CameraSpec) -> tuple[float, float]:
    """Where the pinhole formula puts a point; matrices as CARLA documents them, written apart from the renderer's."""
    pitch, yaw, roll = (math.radians(angle) for angle in (pose.pitch, pose.yaw, pose.roll))
    about_z = np.array([[math.cos(yaw), -math.sin(yaw), 0], [math.sin(yaw), math.cos(yaw), 0], [0, 0, 1]])
    about_y = np.array([[math.cos(pitch), 0, -math.sin(pitch)], [0, 1, 0], [math.sin(pitch), 0, math.cos(pitch)]])
    about_x = np.array([[1, 0, 0], [0, math.cos(roll), math.sin(roll)], [0, -math.sin(roll), math.cos(roll)]])
    x, y, z = town_point
    local = (about_z @ about_y @ about_x).T @ (np.array([x, -y, z]) - np.array([pose.x, pose.y, pose.z]))
    focal = spec.width / (2 * math.tan(math.radians(spec.fov_deg) / 2))
    return spec.width / 2 + focal * local[1] / local[0], spec.height / 2 - focal * local[2] / local[0]


@pytest.mark.parametrize(
    ("pose", "size", "fov_deg"),
    [
        (Pose(0, 0, 0), (120, 160), 90.0),
        (Pose(-3, 2, 1, pitch=-12, yaw=7), (97, 211), 70.0),
        (Pose(-2, -4, 3, pitch=9, yaw=-21, roll=25), (200, 131), 105.0),
        (Pose(2, 1, -1, pitch=4, yaw=-4, roll=-40), (64, 65), 70.0),
    ],
)
def test_a_small_box_lands_on_the_pixel_of_the_pinhole_formula(
    pose: Pose, size: tuple[int, int], fov_deg: float
) -> None:
    spec = CameraSpec("semantic", *size, fov_deg)
    places = [(20.0, 0.5, 0.7), (22.0, -4.0, 2.0), (25.0, 4.0, -1.0)]
    found = 0
    for tag, place in enumerate(places, start=1):
        renderer = Renderer(made.town_of(made.box("plain", tag, place, (0.25, 0.25, 0.25))))
        key = renderer.add_camera(spec)
        rows, columns = np.nonzero(renderer.render([(key, pose)], Frame(()))[key][..., 2] == tag)
        renderer.close()
        u, v = expected_pixel(pose, place, spec)
        if not (6 < u < size[1] - 6 and 6 < v < size[0] - 6):
            continue
        found += 1
        assert abs(columns.mean() + 0.5 - u) < 1.0
        assert abs(rows.mean() + 0.5 - v) < 1.0
    assert found >= 2


@pytest.mark.parametrize("corner_px", [(2.3, 40.8), (30.7, 77.2), (55.1, 97.6)])
def test_edges_are_less_than_a_pixel_off_and_only_outwards(corner_px: tuple[float, float]) -> None:
    # A square 10 m ahead; fx = 50 at 100 pixels and 90 degrees, so a pixel is 0.2 m there.
    low, high = ((50 - pixel) * 0.2 for pixel in corner_px)
    wall = made.quads(
        "plain", 3, [[(10, low, high), (10, low, low), (10, high, low), (10, high, high)]], two_sided=True
    )
    renderer = Renderer(made.town_of(wall))
    rows, columns = np.nonzero(draw(renderer, "semantic", Pose(), Frame(()), (100, 100))[..., 2] == 3)
    renderer.close()
    first, last = (math.floor(pixel) for pixel in corner_px)
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (first, last, first, last)


def test_pictures_have_the_shape_and_bytes_the_contract_says(street: Renderer) -> None:
    for kind in ("rgb", "semantic", "instance", "depth"):
        picture = draw(street, kind)
        assert picture.shape == (90, 160, 4)
        assert picture.dtype == np.uint8
        assert picture.flags.c_contiguous
        assert picture.flags.owndata or picture.base is not None
        assert (picture[..., 3] == 255).all()


def test_semantic_pictures_hold_nothing_but_tags_that_are_there(street: Renderer) -> None:
    for pose in (EYE, Pose(-20, 3, 12, pitch=-30, yaw=20), Pose(40, -2, 1.2, yaw=178)):
        picture = draw(street, "semantic", pose, size=(120, 200))
        assert set(np.unique(picture[..., 2])) <= {1, 2, 3, 5, 9, 10, 11, 12, 13, 14, 19, 24}
        assert not picture[..., :2].any()


def test_instance_pictures_give_actor_ids_and_the_same_tags(street: Renderer) -> None:
    semantic, instance = draw(street, "semantic", size=(200, 300)), draw(street, "instance", size=(200, 300))
    assert (semantic[..., 2] == instance[..., 2]).all()
    found = numbers(instance)
    for actor, tags in ((CAR, {14}), (RIDER, {13, 19}), (WALKER, {12})):
        assert set(np.unique(semantic[..., 2][found == actor.actor_id])) == tags
    assert set(np.unique(found[semantic[..., 2] == 9])) == {77}
    assert not found[semantic[..., 2] == 1].any()


@pytest.mark.parametrize("weather", [Weather(), Weather(fog_density=60.0), Weather(sun_altitude_angle=-40.0)])
def test_tags_drawn_with_the_colours_are_those_drawn_for_themselves(street: Renderer, weather: Weather) -> None:
    frame = Frame(ACTORS, weather=weather)
    keys = {kind: street.add_camera(CameraSpec(kind, 200, 300, 90.0)) for kind in ("rgb", "semantic")}
    for pose in (EYE, Pose(-20, 3, 12, pitch=-30, yaw=20), Pose(40, -2, 1.2, yaw=178)):
        together = street.render([(key, pose) for key in keys.values()], frame)[keys["semantic"]]
        alone = street.render([(keys["semantic"], pose)], frame)[keys["semantic"]]
        assert (together == alone).all()
    for key in keys.values():
        street.remove_camera(key)


def test_instances_of_solid_and_alpha_tested_things_are_exact_and_never_two_the_same() -> None:
    for material in ("leaves", "plain"):
        parts = []
        for number in range(256):
            y, z = number % 16 - 8.0, number // 16 - 8.0
            corners = [[(8, y + 1, z), (8, y, z), (8, y, z + 1), (8, y + 1, z + 1)]]
            leaf = made.quads(material, 9, corners, instance=number * 256 + 255 - number, two_sided=True)
            parts.append(dataclasses.replace(leaf, uvs=np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)))
        renderer = Renderer(made.town_of(*parts))
        picture = draw(renderer, "instance", Pose(), Frame(()), (160, 160))
        renderer.close()
        middles = picture[159 - np.arange(5, 160, 10)][:, 159 - np.arange(5, 160, 10)]
        assert (middles[..., 2] == 9).all(), material
        found, given = numbers(middles).ravel(), np.arange(256) * 256 + 255 - np.arange(256)
        assert len(set(found.tolist())) == 256
        # The first and the last have a byte of 255, which alpha-tested things cannot show: they get another number.
        assert (found[1:-1] == given[1:-1]).all()


def test_every_byte_of_an_actor_id_is_exact() -> None:
    renderer = Renderer(made.town_of())
    key = renderer.add_camera(CameraSpec("instance", 5, 5, 90.0))
    for number in range(256):
        box = VisibleActor(number * 257, "prop", "static.prop.box01", (1, 1, 1), Pose(4, 0, -1), (9, 9, 9), 20)
        picture = renderer.render([(key, Pose())], Frame((box,)))[key]
        assert picture[2, 2].tolist() == [number, number, 20, 255]
    renderer.close()


def test_an_actors_mask_is_where_the_picture_changes_when_it_comes(street: Renderer) -> None:
    for actor in ACTORS:
        # In the air, so that it throws no shadow on the ground.
        raised = dataclasses.replace(actor, pose=dataclasses.replace(actor.pose, z=actor.pose.z + 2.0))
        frame = Frame((raised,))
        changed = (draw(street, "rgb", EYE, frame) != draw(street, "rgb", EYE, Frame(()))).any(axis=-1)
        mask = numbers(draw(street, "instance", EYE, frame)) == actor.actor_id
        assert mask.sum() > 20
        assert (changed == mask).all()


def test_leaves_are_cut_out_alike_in_colour_semantics_and_depth() -> None:
    full = made.street()
    bare = dataclasses.replace(full, parts=tuple(part for part in full.parts if part.material != "leaves"))
    pictures = {}
    for name, town in (("full", full), ("bare", bare)):
        renderer = Renderer(town, Weather())
        for kind in ("rgb", "semantic", "depth"):
            pictures[name, kind] = draw(renderer, kind, Pose(0, 0, 1.7, yaw=-40), Frame(()))
        renderer.close()
    mask = pictures["full", "semantic"][..., 2] == 9
    assert mask.sum() > 100
    # The shadow of the crown changes the ground as well, but nothing above the horizon.
    changed = (pictures["full", "rgb"] != pictures["bare", "rgb"]).any(axis=-1)
    assert (changed[:45] == mask[:45]).all()
    nearer = (pictures["full", "depth"] != pictures["bare", "depth"]).any(axis=-1)
    assert (nearer == mask).all()


def test_colours_and_tags_of_the_static_town_agree_at_every_pixel() -> None:
    town = made.street()
    # Unshaded and untextured, a colour shows which part was drawn.
    painted = []
    for part in town.parts:
        if part.material == "leaves":
            continue
        colors = np.tile(np.array([part.tag * 8, 100, 0], np.uint8), (len(part.positions), 1))
        painted.append(dataclasses.replace(part, material="lamp_glass", colors=colors))
    renderer = Renderer(dataclasses.replace(town, parts=tuple(painted)), Weather(cloudiness=100))
    for pose in (EYE, Pose(-20, 3, 12, pitch=-30, yaw=20), Pose(40, -2, 1.2, yaw=178, roll=10)):
        color, semantic = draw(renderer, "rgb", pose, Frame((), weather=Weather(cloudiness=100))), None
        semantic = draw(renderer, "semantic", pose, Frame((), weather=Weather(cloudiness=100)))
        solid = semantic[..., 2] != 11
        assert (np.round(color[..., 2] / 8) == semantic[..., 2])[solid].all()
    renderer.close()


def test_depth_of_a_wall_is_planar_and_the_sky_is_at_1000_m() -> None:
    wall = made.quads("plain", 3, [[(30, 20, -9), (30, 20, 9), (30, -20, 9), (30, -20, -9)]], two_sided=True)
    renderer = Renderer(made.town_of(wall))
    depth, semantic = (draw(renderer, kind, Pose(), Frame(()), (80, 120)) for kind in ("depth", "semantic"))
    renderer.close()
    assert (depth_m(depth)[semantic[..., 2] == 11] == 1000.0).all()
    on_wall = depth_m(depth)[semantic[..., 2] == 3]
    assert len(on_wall) > 1000
    assert np.abs(on_wall - 30.0).max() < 0.02


def test_depth_of_the_ground_follows_the_pinhole() -> None:
    renderer = Renderer(made.town_of(made.floor("asphalt", 1, (-40, 200), (-100, 100), 0.0, 10.0)))
    depth = depth_m(draw(renderer, "depth", Pose(z=1.7), Frame(()), (120, 160)))
    renderer.close()

    def at_row(row: np.ndarray) -> np.ndarray:
        exact: np.ndarray = 1.7 * 80 / (row - 60)
        return exact

    rows = np.arange(64, 120)
    for column in (5, 80, 154):
        # Between the distances seen through the upper and the lower edge of the pixel, and a little beyond.
        assert (depth[64:, column] < at_row(rows - 0.1)).all()
        assert (depth[64:, column] > at_row(rows + 1.3)).all()


def test_the_same_scene_gives_the_same_bytes_in_another_process(street: Renderer) -> None:
    program = (
        "import sys, hashlib; sys.path.insert(0, sys.argv[1])\n"
        "import test_renderer as t\n"
        "renderer = t.Renderer(t.made.street())\n"
        "print(t.fingerprint(renderer)); renderer.close()\n"
    )
    other = subprocess.run(
        [sys.executable, "-c", program, str(Path(__file__).parent)],
        capture_output=True, text=True, timeout=120, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert other.stdout.strip() == fingerprint(street)


def fingerprint(renderer: Renderer) -> str:
    """One number for many pictures."""
    digest = hashlib.sha256()
    weathers = (Weather(), Weather(sun_altitude_angle=-30.0), Weather(precipitation=80.0, fog_density=30.0))
    for weather in weathers:
        for kind in ("rgb", "instance", "depth"):
            digest.update(draw(renderer, kind, EYE, Frame(ACTORS, {}, weather, 1.25)).tobytes())
    return digest.hexdigest()


def test_the_order_of_actors_and_what_was_drawn_before_leave_no_trace(street: Renderer) -> None:
    first = draw(street, "rgb", EYE, Frame(ACTORS))
    draw(street, "rgb", Pose(30, 2, 3, yaw=200), Frame((), weather=Weather(sun_altitude_angle=-50.0)))
    again = draw(street, "rgb", EYE, Frame(ACTORS[::-1]))
    assert (first == again).all()


def test_one_call_draws_many_cameras_from_different_places(street: Renderer) -> None:
    poses = [EYE, Pose(10, 2, 2, yaw=90), EYE, Pose(-30, 0, 9, pitch=-20)]
    kinds = ["rgb", "rgb", "semantic", "semantic"]
    keys = [street.add_camera(CameraSpec(kind, 40, 60, 90.0)) for kind in kinds]
    together = street.render(list(zip(keys, poses, strict=True)), Frame(ACTORS))
    for key, pose in zip(keys, poses, strict=True):
        assert (street.render([(key, pose)], Frame(ACTORS))[key] == together[key]).all()
    for key in keys:
        street.remove_camera(key)


def test_pictures_stay_what_they_were_when_the_next_are_drawn(street: Renderer) -> None:
    key = street.add_camera(CameraSpec("semantic", 40, 60, 90.0))
    first = street.render([(key, EYE)], Frame(ACTORS))[key]
    kept = first.copy()
    street.render([(key, Pose(30, 0, 2, yaw=90))], Frame(()))
    street.remove_camera(key)
    assert (first == kept).all()


def test_two_renderers_live_beside_each_other_and_one_survives_the_other(street: Renderer) -> None:
    before = draw(street, "semantic")
    other = Renderer(made.town_of(made.box("plain", 4, (5, 0, 1.7), (1, 1, 1))))
    assert (draw(other, "semantic", frame=Frame(()))[..., 2] == 4).any()
    other.close()
    other.close()
    assert (draw(street, "semantic") == before).all()


def test_a_closed_renderer_and_unknown_cameras_are_refused_in_words() -> None:
    renderer = Renderer(made.town_of())
    with pytest.raises(SimulatorError, match="key of a camera"):
        renderer.render([(99, EYE)], Frame(()))
    renderer.close()
    with pytest.raises(SimulatorError, match=r"after close"):
        renderer.render([], Frame(()))


@pytest.mark.parametrize(("height", "width", "fov_deg"), [(0, 10, 90.0), (10, 4097, 90.0), (10, 10, 180.0)])
def test_sizes_and_angles_that_cannot_be_drawn_are_refused_with_their_limits(
    street: Renderer, height: int, width: int, fov_deg: float
) -> None:
    with pytest.raises(SimulatorError, match=r"expected a .* from 1 to"):
        street.add_camera(CameraSpec("rgb", height, width, fov_deg))


def test_a_camera_of_one_pixel_works(street: Renderer) -> None:
    assert draw(street, "semantic", Pose(0, 0, 1, pitch=-90), Frame(()), (1, 1))[0, 0, 2] in (1, 24)


def resident_mb() -> float:
    """Memory of this process."""
    if not Path("/proc/self/statm").exists():
        pytest.skip("no /proc on this system")
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def test_closed_renderers_give_their_memory_back() -> None:
    town = made.street()

    def cycle() -> None:
        renderer = Renderer(town)
        draw(renderer, "rgb")
        renderer.close()

    for _ in range(3):
        cycle()
    before = resident_mb()
    for _ in range(6):
        cycle()
    # Textures alone are 8 MB a renderer.
    assert resident_mb() - before < 12


def test_removed_cameras_give_their_memory_back(street: Renderer) -> None:
    for _ in range(3):
        draw(street, "rgb", size=(500, 500))
    before = resident_mb()
    for _ in range(30):
        draw(street, "rgb", size=(500, 500))
    assert resident_mb() - before < 15


def test_a_car_that_drives_on_and_on_leaves_no_memory_behind(street: Renderer) -> None:
    from panda3d.core import TransformState

    key = street.add_camera(CameraSpec("rgb", 4, 4, 90.0))

    def drive(steps: int) -> int:
        for step in range(steps):
            car = dataclasses.replace(CAR, pose=Pose(8.0 + 0.01 * step, -1.75, 0.0))
            street.render([(key, Pose(0.01 * step, 0.5, 1.7))], Frame((car,)))
        return int(TransformState.getNumStates())

    before = drive(20)
    after = drive(100)
    street.remove_camera(key)
    assert after < before + 20


def test_night_is_darker_than_day_and_lit_windows_shine(street: Renderer) -> None:
    far_from_the_lamp = Pose(50, 0.5, 1.7, pitch=-6.0)
    day = draw(street, "rgb", far_from_the_lamp, Frame(()))[..., :3]
    night = draw(street, "rgb", far_from_the_lamp, Frame((), weather=Weather(sun_altitude_angle=-40.0)))[..., :3]
    assert night.mean() < 0.4 * day.mean()
    wall = draw(street, "semantic", far_from_the_lamp, Frame(()))[..., 2] == 3
    assert night[wall].max() > 150


@pytest.mark.parametrize("distance_m", [25.0, 29.0, 60.0])
def test_an_actor_looks_as_if_it_had_never_been_elsewhere(street: Renderer, distance_m: float) -> None:
    there = dataclasses.replace(CAR, pose=Pose(distance_m, 0.0, 0.0, yaw=90.0), travelled_m=0.2, steer_deg=40.0)
    frame = Frame((there,), weather=Weather(sun_azimuth_angle=100.0))
    for x, steer_deg in ((8.0, -40.0), (-30.0, 0.0), (distance_m, 0.0)):  # near, behind the camera, there but not so
        before = dataclasses.replace(CAR, pose=Pose(x, 0.0, 0.0, yaw=90.0), steer_deg=steer_deg)
        draw(street, "rgb", frame=dataclasses.replace(frame, actors=(before,)))
    fresh = Renderer(made.street())
    try:
        assert np.array_equal(draw(street, "rgb", frame=frame), draw(fresh, "rgb", frame=frame))
    finally:
        fresh.close()


def test_fog_hides_what_is_far_and_leaves_what_is_near(street: Renderer) -> None:
    # Both under clouds, which even out light as fog does.
    foggy = Frame((), weather=Weather(cloudiness=80.0, fog_density=60.0))
    clear = draw(street, "rgb", EYE, Frame((), weather=Weather(cloudiness=80.0)))[..., :3].astype(int)
    fog = draw(street, "rgb", EYE, foggy)[..., :3].astype(int)
    depth = depth_m(draw(street, "depth", EYE, Frame(())))
    difference = np.abs(clear - fog).mean(axis=-1)
    far, near = (depth > 50) & (depth < 900), depth < 4
    # In the fog everything far has one colour.
    assert fog[far].std(axis=0).max() < 12
    assert difference[near].mean() < 0.5 * difference[far].mean()


def test_rain_wets_the_road_and_falls_differently_each_tick(street: Renderer) -> None:
    wet = Weather(wetness=100.0, sun_altitude_angle=45.0)
    road = draw(street, "semantic", EYE, Frame(()))[..., 2] == 1
    dry_road = draw(street, "rgb", EYE, Frame(()))[road][:, :3].mean()
    assert draw(street, "rgb", EYE, Frame((), weather=wet))[road][:, :3].mean() < 0.8 * dry_road
    rain = Weather(precipitation=90.0)
    one, two = (draw(street, "rgb", EYE, Frame((), {}, rain, t)) for t in (1.0, 1.05))
    assert (one != two).any()


def test_the_sun_shines_on_the_side_it_stands_on() -> None:
    def brightness(azimuth_deg: float) -> float:
        renderer = Renderer(made.town_of(made.box("plain", 3, (20, 0, 0), (1, 9, 9), color=(150, 150, 150))))
        weather = Weather(sun_azimuth_angle=azimuth_deg, sun_altitude_angle=20.0, cloudiness=0.0)
        picture = draw(renderer, "rgb", Pose(), Frame((), weather=weather), (31, 31))
        renderer.close()
        return float(picture[15, 15, :3].mean())

    # The wall faces the camera, towards -x: azimuth 180 is behind the camera.
    assert brightness(180.0) > 1.3 * brightness(0.0)


@pytest.mark.parametrize("azimuth_deg", [0.0, 180.0])
def test_an_actor_is_as_bright_as_a_wall_of_its_colour_in_sun_and_shade(azimuth_deg: float) -> None:
    grey = (150, 150, 150)
    renderer = Renderer(made.town_of(made.box("plain", 3, (14, 6, 0), (1, 4, 4), color=grey)))
    van = VisibleActor(7, "van", "vehicle.mercedes.sprinter", (2.96, 0.99, 1.28), Pose(9, 1, -1.3), grey, 14)
    frame = Frame((van,), weather=Weather(sun_azimuth_angle=azimuth_deg, sun_altitude_angle=30.0, cloudiness=0.0))
    picture, tags = (draw(renderer, kind, Pose(), frame) for kind in ("rgb", "semantic"))
    renderer.close()
    wall, body = (np.median(picture[tags[..., 2] == tag][:, :3]) for tag in (3, 14))
    assert 0.6 * wall < body < 1.5 * wall


def test_a_traffic_light_shows_the_colour_of_its_state_and_keeps_its_tag() -> None:
    site = TrafficLightSite(
        "7", Pose(10, 0, 0), (0, 0, 1), (1, 1, 1), 1, 0, (), np.array([[10, 0, 2]], np.float32), math.pi
    )  # faces -x, towards the camera
    head = made.box("plain", 7, (10, 0, 2), (0.13, 0.2, 0.5), color=(20, 20, 20), instance=900)
    renderer = Renderer(made.town_of(head, lights=(site,)))
    eye = Pose(7, 0, 2)
    brightest = {0: 2, 1: 2, 2: 1}  # state -> strongest of B, G, R
    for state, channel in brightest.items():
        frame = Frame((), {"7": state})
        color, instance = (draw(renderer, kind, eye, frame, (120, 120)) for kind in ("rgb", "instance"))
        lamp = (color[..., :3].max(axis=-1) > 200) & (instance[..., 2] == 7)
        assert lamp.sum() > 20
        assert color[lamp][:, :3].mean(axis=0).argmax() == channel
        assert set(numbers(instance)[lamp].tolist()) == {900}
        row = np.flatnonzero(lamp.any(axis=1)).mean()
        assert (row < 55, 55 <= row <= 65, row > 65)[state]
    dark = draw(renderer, "rgb", eye, Frame((), {"7": 3}), (120, 120))
    assert not ((dark[..., :3].max(axis=-1) > 200) & (instance[..., 2] == 7)).any()
    renderer.close()


def test_what_was_not_asked_for_longest_is_made_again() -> None:
    made_keys: list[str] = []
    kept: Kept[str] = Kept(2)
    for key in "abacab":
        assert kept.get(key, lambda key=key: made_keys.append(key) or key.upper()) == key.upper()
    assert made_keys == ["a", "b", "c", "b"]
