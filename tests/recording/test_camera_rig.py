"""Cameras as data, and their bytes as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from carlaseg.config import RecordConfig, Size
from carlaseg.recording import pictures
from carlaseg.recording.preview import overlay
from carlaseg.recording.rig import CameraView, front_pair


@dataclass
class CameraImage:
    """The part of a `carla.Image` that pictures are made from."""

    height: int
    width: int
    raw_data: bytes


def camera_image(height: int, width: int, seed: int = 0) -> tuple[CameraImage, np.ndarray]:
    bgra = np.random.default_rng(seed).integers(0, 256, (height, width, 4), np.uint8)
    return CameraImage(height, width, bgra.tobytes()), bgra


def test_both_cameras_of_the_pair_see_through_the_same_pinhole() -> None:
    rgb, semantic = front_pair(RecordConfig(camera_size=Size(600, 800), size=Size(160, 160), fov=70.0)).pair
    assert (rgb.kind, semantic.kind) == ("rgb", "semantic")
    assert (rgb.folder, semantic.folder) == ("rgb", "seg_raw")
    assert rgb.pose_ego == semantic.pose_ego
    assert rgb.view == semantic.view == CameraView(size=(160, 160), camera_size=(600, 800), fov_deg=70.0)


def test_rgb_and_tags_come_out_of_bgra_unchanged_at_the_drawn_size() -> None:
    image, bgra = camera_image(6, 8)
    np.testing.assert_array_equal(pictures.rgb(image, (6, 8)), bgra[:, :, 2::-1])
    np.testing.assert_array_equal(pictures.tags(image, (6, 8)), bgra[:, :, 2])


def test_a_smaller_size_averages_colours_and_picks_tags() -> None:
    image, bgra = camera_image(8, 8)
    small = pictures.rgb(image, (4, 4))
    means = bgra[:, :, 2::-1].reshape(4, 2, 4, 2, 3).mean(axis=(1, 3))
    assert np.abs(small.astype(float) - means).max() <= 0.51
    tags = pictures.tags(image, (4, 4))
    assert set(tags.ravel()) <= set(bgra[:, :, 2].ravel()), "a tag between two tags would be a third class"
    np.testing.assert_array_equal(tags, bgra[::2, ::2, 2])


def test_a_truncated_picture_is_refused() -> None:
    image, _ = camera_image(6, 8)
    image.raw_data = image.raw_data[:-4]
    with pytest.raises(ValueError, match="reshape"):
        pictures.rgb(image, (6, 8))


def test_the_overlay_lies_between_picture_and_colours() -> None:
    black, white = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)
    assert 80 < int(overlay(black, white).mean()) < 150
