"""What is written is read back to the bit, by OpenCV and by others."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from carlaseg.dataset.encoding import RgbFormat, encode, encode_photograph, ids_in_colours, png
from carlaseg.labels import SCHEMES, scheme


def ids(height: int = 37, width: int = 53) -> np.ndarray:
    blocks = np.random.default_rng(3).integers(0, 29, (height // 4 + 1, width // 4 + 1), np.uint8)
    return np.kron(blocks, np.ones((4, 4), np.uint8))[:height, :width]


@pytest.mark.parametrize("shape", [(1, 1, 3), (37, 53, 3), (37, 53)])
def test_a_picture_of_bytes_comes_back_equal(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    suffix, content = encode(array)
    assert suffix == ".png"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(content))), array)


@pytest.mark.parametrize(("shape", "dtype"), [((37, 53, 4), np.uint8), ((37, 53), np.uint16), ((1, 1), np.uint16)])
def test_alpha_and_sixteen_bits_come_back_equal(shape: tuple[int, ...], dtype: type) -> None:
    array = np.random.default_rng(1).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    read = np.asarray(Image.open(io.BytesIO(png(array))))
    assert read.dtype == dtype
    assert np.array_equal(read, array)


@pytest.mark.parametrize(("rgb_format", "suffix"), [("png", ".png"), ("webp", ".webp")])
def test_a_photograph_without_loss_comes_back_equal(rgb_format: RgbFormat, suffix: str) -> None:
    image = np.random.default_rng(1).integers(0, 256, (37, 53, 3), np.uint8)
    named, content = encode_photograph(image, rgb_format)
    assert named == suffix
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(content)).convert("RGB")), image)


def test_a_jpeg_keeps_colours_where_they_are() -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    image[:, ::2] = (200, 30, 30)
    suffix, content = encode_photograph(image, "jpeg")
    read = np.asarray(Image.open(io.BytesIO(content)))
    assert suffix == ".jpg"
    assert np.abs(read.astype(int) - image).max() < 25, "columns of one pixel; halved colour would mix them"


def test_anything_else_comes_back_equal_from_numpys_own_format() -> None:
    points = np.random.default_rng(1).random((20, 4), np.float32)
    suffix, content = encode(points)
    assert suffix == ".npy"
    assert np.array_equal(np.load(io.BytesIO(content), allow_pickle=False), points)


@pytest.mark.parametrize("name", SCHEMES)
def test_ids_in_colours_show_exactly_the_colours_of_the_scheme(name: str) -> None:
    palette = scheme(name).palette
    mask = ids() % scheme(name).num_classes
    content = ids_in_colours(encode(mask)[1], palette)
    by_opencv = cv2.cvtColor(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    by_pillow = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    assert np.array_equal(by_opencv, palette[mask])
    assert np.array_equal(by_pillow, palette[mask])
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(content))), mask), "the ids are still there"
