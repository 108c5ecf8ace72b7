"""Label schemes, against the real client's own table and, where they lie beside the checkout, against real masks."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from carlaseg.errors import ConfigError, DatasetError
from carlaseg.labels import (
    IGNORE_ID,
    SCHEMES,
    detect,
    remap,
    require_one_scheme,
    scheme,
    scheme_of_carla_version,
    scheme_of_tag_names,
)

S0, S1, S2, S3 = (scheme(name) for name in ("carla-0.9.0", "carla-0.9.10", "carla-0.9.14", "carla-ue5"))


def test_tags_are_those_of_the_real_client() -> None:
    carla = pytest.importorskip("carla")
    tags = {name: int(tag) for name, tag in carla.CityObjectLabel.names.items()}
    assert {tag: name for name, tag in tags.items() if 0 < tag < 255} == dict(list(enumerate(S2.names))[1:])
    assert scheme_of_tag_names(tags) is S2


def test_a_table_of_tags_of_no_release_has_no_scheme() -> None:
    assert scheme_of_tag_names({"NONE": 0, "Roads": 1, "TrafficCone": 2}) is None


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("carla-0.9.0", 13),
        ("carla-0.9.10", 23),
        ("carla-0.9.14", 29),
        ("carla-ue5", 30),
        ("cityscapes", 34),
        ("cityscapes-train", 19),
        ("camvid", 11),
        ("kitti-road", 2),
    ],
)
def test_each_scheme_has_its_classes(name: str, count: int) -> None:
    assert scheme(name).num_classes == count
    assert IGNORE_ID in scheme(name).ignore_ids


@pytest.mark.parametrize(
    ("name", "class_id", "class_name", "color"),
    [
        ("carla-0.9.0", 2, "Fence", (190, 153, 153)),
        ("carla-0.9.0", 3, "Other", (250, 170, 160)),
        ("carla-0.9.10", 2, "Fences", (100, 40, 40)),
        ("carla-0.9.10", 12, "TrafficSigns", (220, 220, 0)),
        ("carla-0.9.10", 22, "Terrain", (145, 170, 100)),
        ("carla-0.9.14", 5, "Fences", (190, 153, 153)),
        ("carla-0.9.14", 10, "Terrain", (152, 251, 152)),
        ("carla-0.9.14", 12, "Pedestrians", (220, 20, 60)),
        ("carla-0.9.14", 24, "RoadLines", (157, 234, 50)),
        ("carla-ue5", 29, "Rock", (180, 130, 70)),
        ("cityscapes", 7, "road", (128, 64, 128)),
        ("cityscapes-train", 18, "bicycle", (119, 11, 32)),
        ("camvid", 10, "Bicyclist", (0, 128, 192)),
        ("kitti-road", 1, "road", (255, 0, 255)),
    ],
)
def test_golden_rows(name: str, class_id: int, class_name: str, color: tuple[int, int, int]) -> None:
    label = scheme(name).classes[class_id]
    assert (label.class_id, label.name, label.color) == (class_id, class_name, color)


def test_an_unknown_scheme_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"received 'carla-0\.9\.41'\. Nearest: carla-0\.9\.14"):
        scheme("carla-0.9.41")


@pytest.mark.parametrize(
    "name", ["carla-0.9.0", "carla-0.9.10", "carla-0.9.14", "carla-ue5", "cityscapes-train", "camvid"]
)
def test_colours_come_back_as_the_same_ids(name: str) -> None:
    one = scheme(name)
    mask = np.arange(one.num_classes, dtype=np.uint8).repeat(7).reshape(-1, 7)
    assert np.array_equal(one.ids_from_colors(one.colorize(mask)), mask)


def test_void_and_unknown_ids_never_get_the_colour_of_a_class() -> None:
    for one in SCHEMES.values():
        colors = {label.color for label in one.classes}
        assert tuple(one.palette[IGNORE_ID]) == (0, 0, 0)
        assert tuple(one.palette[200]) == (255, 255, 255)
        assert (255, 255, 255) not in colors


def test_black_is_void_where_no_class_is_black() -> None:
    black = np.zeros((2, 2, 3), np.uint8)
    assert (scheme("camvid").ids_from_colors(black) == IGNORE_ID).all()
    assert (scheme("kitti-road").ids_from_colors(black) == IGNORE_ID).all()
    assert (S2.ids_from_colors(black) == 0).all()


def test_an_unknown_colour_is_an_error_with_its_pixel() -> None:
    picture = S2.colorize(np.full((20, 30), 1, np.uint8))
    picture[17, 4] = (1, 2, 3)
    with pytest.raises(DatasetError, match=r"a\.png, pixel \(17, 4\): .*carla-0\.9\.14, received \(1, 2, 3\)"):
        S2.ids_from_colors(picture, where="a.png")


def test_nearest_colours_forgive_a_lossy_picture() -> None:
    mask = np.random.default_rng(0).choice([1, 9, 11, 14], (24, 24)).astype(np.uint8)
    noisy = np.clip(S2.colorize(mask).astype(int) + np.random.default_rng(1).integers(-9, 10, (24, 24, 3)), 0, 255)
    assert np.array_equal(S2.ids_from_colors(noisy.astype(np.uint8), nearest=True), mask)


def test_an_id_outside_the_scheme_is_an_error_with_its_pixel() -> None:
    mask = np.zeros((40, 50), np.uint8)
    mask[17, 42] = 31
    with pytest.raises(
        DatasetError, match=r"x\.png, pixel \(17, 42\): .*carla-0\.9\.14 \(0-28\), received 31; 1 pixels"
    ):
        S2.check_ids(mask, "x.png")
    S2.check_ids(np.full((3, 3), IGNORE_ID, np.uint8), "void is no stranger")
    with pytest.raises(DatasetError, match="received 12"):
        scheme("camvid").check_ids(np.array([[11, 12]], np.uint8), "11 is void there, 12 is nothing")


def test_23_tags_become_29_by_meaning_and_come_back() -> None:
    expected = [0, 3, 5, 22, 12, 6, 24, 1, 2, 9, 14, 4, 8, 11, 25, 26, 27, 28, 7, 20, 21, 23, 10]
    assert remap(S1, S2).table[:23].tolist() == expected
    everything = np.arange(23, dtype=np.uint8)[None]
    assert np.array_equal(remap(S2, S1).apply(remap(S1, S2).apply(everything)), everything)
    assert remap(S2, S1).table[13:20].tolist() == [4, 10, 10, 10, 10, 10, 10]


def test_29_tags_become_cityscapes() -> None:
    train = remap(S2, scheme("cityscapes-train")).table
    assert train[1:20].tolist() == list(range(19))
    assert train[24] == 0
    assert (np.delete(train, [*range(1, 20), 24]) == IGNORE_ID).all()
    full = remap(S2, scheme("cityscapes"))
    assert full.table[:29].tolist() == (
        [0, 7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33, 4, 5, 0, 0, 7, 6, 15, 10, 14]
    )
    # On disk it is 0, unlabelled; a network never sees that.
    assert full.apply(np.array([[22]], np.uint8)).tolist() == [[IGNORE_ID]]


@pytest.mark.parametrize("pair", list(itertools.permutations(SCHEMES, 2)), ids="->".join)
def test_every_remap_stays_inside_its_target(pair: tuple[str, str]) -> None:
    source, target = scheme(pair[0]), scheme(pair[1])
    if source.name == "kitti-road":
        with pytest.raises(ConfigError, match="road and not road"):
            remap(source, target)
        return
    found = remap(source, target)
    ids = found.apply(np.arange(256, dtype=np.uint8)[None])
    assert set(ids.ravel().tolist()) <= {*range(target.num_classes), IGNORE_ID}
    for void in source.ignore_ids:
        assert found.apply(np.full((1, 1), void, np.uint8)).item() == IGNORE_ID
    road = next(label.class_id for label in source.classes if label.name.lower() in ("road", "roads"))
    assert target.names[int(found.table[road])].lower() in ("road", "roads")


def test_what_a_remap_loses_is_said_in_words() -> None:
    assert "Car, Truck, Bus, Train, Motorcycle, Bicycle -> Vehicles" in remap(S2, S1).lossy
    assert any(text.startswith("Vehicles -> Car, although it may hold Truck") for text in remap(S1, S2).lossy)
    assert any(text.endswith("-> void") and "Water" in text for text in remap(S2, scheme("camvid")).lossy)
    assert remap(S2, S3).lossy == ("Other -> Other, although it may hold Rock",)
    assert remap(S1, S1).lossy == ()
    assert remap(S2, S2).lossy == ()


def test_mixing_schemes_names_the_first_class_that_differs() -> None:
    require_one_scheme({"a": S2, "b": scheme("carla-0.9.14")})
    with pytest.raises(
        DatasetError, match=r"b: .*carla-0\.9\.14 as in a, received carla-0\.9\.10; .*class 1 is Buildings"
    ):
        require_one_scheme({"a": S2, "b": S1})
    with pytest.raises(DatasetError, match="class 29 is Rock here and no class there"):
        require_one_scheme({"a": S2, "b": S3})


@pytest.mark.parametrize(
    ("version", "name"),
    [
        ("0.9.5", "carla-0.9.0"),
        ("0.9.10.1", "carla-0.9.10"),
        ("0.9.13", "carla-0.9.10"),
        ("0.9.14", "carla-0.9.14"),
        ("0.9.16-dirty", "carla-0.9.14"),
        ("0.10.0", "carla-ue5"),
        ("a9d2f1c", None),
    ],
)
def test_a_release_has_its_scheme(version: str, name: str | None) -> None:
    found = scheme_of_carla_version(version)
    assert (found.name if found else None) == name


def test_metadata_goes_before_pictures() -> None:
    found = detect([np.full((9, 9), 7, np.uint8)], {"label_scheme": {"name": "carla-0.9.10"}})
    assert found.scheme is S1
    assert found.confident
    assert detect([], {"server_version": "0.9.15"}).scheme is S2


def test_nothing_to_look_at_gives_no_scheme() -> None:
    found = detect([])
    assert found.scheme is None
    assert not found.confident


def test_noise_is_never_read_with_confidence() -> None:
    noise = np.random.default_rng(0).integers(0, 11, (60, 60), dtype=np.uint8)
    assert not detect([noise]).confident


def test_one_foreign_mask_does_not_hide_what_the_others_say() -> None:
    good = np.full((30, 30), 11, np.uint8)
    good[15:], good[15:18, 10:20] = 1, 14
    bad = good.copy()
    bad[3, 3] = 77
    found = detect([good, good, good, bad])
    assert found.scheme is S2
    assert found.confident
    assert "3 of 4 masks alone read as carla-0.9.14" in found.evidence


def read(path: Path) -> NDArray[np.uint8]:
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., 2])


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("carla_tags23/seg_raw/*.png", "carla-0.9.10"),
        ("carla_legacy13_pairs/lyft/*/CameraSeg/*.png", "carla-0.9.0"),
        ("carla_modern29_pairs/carlascapes/*_labelIds.png", "carla-0.9.14"),
        ("camvid/trainannot/*.png", "camvid"),
    ],
)
def test_real_masks_are_told_apart_each_alone(shared_data: Path, pattern: str, name: str) -> None:
    paths = sorted(shared_data.glob(pattern))
    paths = paths[:: max(1, len(paths) // 40)]
    assert paths
    for path in paths:
        found = detect([read(path)])
        assert (found.scheme.name if found.scheme else None, found.confident) == (name, True), (path, found.evidence)


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("carla_legacy13_pairs/nikos134/Segmentation_Images/*.png", "carla-0.9.0"),
        ("carla_legacy13_pairs/shift/seg.png", "carla-0.9.10"),
        ("carla_modern29_pairs/carlascapes/*_color.png", "carla-0.9.14"),
        ("kitti_road_sample/data_road/training/gt_image_2/um_road_*.png", "kitti-road"),
    ],
)
def test_real_colours_are_told_apart(shared_data: Path, pattern: str, name: str) -> None:
    pictures = [cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) for path in sorted(shared_data.glob(pattern))]
    found = detect([], colors=pictures)
    assert (found.scheme.name if found.scheme else None, found.confident) == (name, True), found.evidence


def test_real_colours_give_the_ids_that_were_saved_beside_them(shared_data: Path) -> None:
    colors = sorted((shared_data / "carla_modern29_pairs/carlascapes").glob("*_color.png"))
    assert colors
    for path in colors:
        rgb = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        assert np.array_equal(S2.ids_from_colors(rgb), read(path.with_name(path.name.replace("_color", "_labelIds"))))


def test_colours_through_jpeg_are_refused_unless_the_nearest_is_asked_for(shared_data: Path) -> None:
    path = sorted((shared_data / "carla_modern29_pairs/danielchen_jpeg/Segment_Camera").glob("*.jpg"))[0]
    rgb = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    with pytest.raises(DatasetError, match="Was it saved as JPEG"):
        S2.ids_from_colors(rgb)
    mask = S2.ids_from_colors(rgb, nearest=True)
    assert int(mask.max()) < 29
    assert (mask[-100:] == 1).mean() > 0.5
