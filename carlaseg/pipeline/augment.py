"""Augmentation of an image and its mask together, with imgaug. The only module that imports imgaug or knows its quirks.

Rule 1: what comes out depends on (preset, seed, epoch, index) and the frame alone, whatever thread asks and in whatever
order. imgaug's `Sequential(seed=)` does not seed its children; `seed_` does, and is called before every frame.
Rule 2: a mask's ids are moved, never mixed; what comes from outside the picture is void (255). imgaug fills masks with
0, which is a real class, unless it is told otherwise in each geometric augmenter.
Rule 3: cutout and weather hide the picture, not the truth: the network learns to see what must be there.
"""

from __future__ import annotations

import difflib
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from carlaseg.errors import ConfigError
from carlaseg.labels import IGNORE_ID
from carlaseg.pipeline.scaled import scaled_and_lit

Preset = Literal["none", "flip", "scale", "road", "strong"]
PRESETS: tuple[str, ...] = get_args(Preset)
_IMPORT_LOCK = threading.Lock()


class Augmenter:
    """Changes frames as its preset says, the same way for the same (epoch, index). Any number of threads may call it.

    Args:
        preset: none, flip (mirror left and right), scale (mirror, 0.7 to 2 times as large, small turns, light, blur and
            noise, by OpenCV alone), road (mirror, scale, shift, small turns, light and contrast), strong (road and
            blur, noise, weather, cutout).
        seed: with the epoch and the index it decides everything.

    Raises:
        ConfigError: an unknown preset; the nearest known one is named.
    """

    def __init__(self, preset: str, seed: int) -> None:
        if preset not in PRESETS:
            near = difflib.get_close_matches(preset, PRESETS, n=1)
            hint = f" Nearest: {near[0]}." if near else ""
            raise ConfigError(f"augment: expected one of {', '.join(PRESETS)}, received {preset!r}.{hint}")
        self.preset = preset
        self._seed = seed
        # An imgaug augmenter holds random state, so that two threads must never share one.
        self._of_thread = threading.local()

    def __call__(
        self, image: NDArray[np.uint8], mask: NDArray[np.uint8], epoch: int, index: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Change one frame; its size stays.

        Args:
            image: uint8, (H, W, 3).
            mask: uint8, (H, W), class ids, 255 for void.
            epoch: from 0.
            index: position of the frame in the epoch, so that a frame drawn twice is changed in two ways.

        Returns:
            The image and the mask, uint8, of the same shapes; the arrays given are left alone.
        """
        if self.preset == "none":
            return image, mask
        if self.preset == "flip":
            # imgaug would cost 1 s of import and 0.3 ms a frame for what two views do.
            if seed_of(self._seed, epoch, index) & 1:
                return np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(mask[:, ::-1])
            return image, mask
        if self.preset == "scale":
            return scaled_and_lit(image, mask, np.random.default_rng(seed_of(self._seed, epoch, index)))
        imgaug = _imgaug()
        if not hasattr(self._of_thread, "sequence"):
            self._of_thread.sequence = _sequence(self.preset)
        sequence = self._of_thread.sequence
        sequence.seed_(seed_of(self._seed, epoch, index))
        # int32: imgaug refuses int64 masks and has no void of its own; 255 passes through as any other id.
        segmap = imgaug.augmentables.SegmentationMapsOnImage(mask.astype(np.int32), shape=image.shape)
        new_image, new_map = sequence(image=image, segmentation_maps=segmap)
        return new_image, new_map.get_arr().astype(np.uint8)


def seed_of(seed: int, epoch: int, index: int) -> int:
    """A well-spread number below 2**31 for one frame of one epoch; the same on every machine and in every version."""
    return int(np.random.SeedSequence((seed, epoch, index)).generate_state(1)[0] & 0x7FFFFFFF)


def augmentation_sheet(
    frames: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8]]],
    palette: NDArray[np.uint8],
    preset: str,
    seed: int = 0,
    draws: int = 4,
) -> NDArray[np.uint8]:
    """A picture of what a preset does: a row a frame, first as it is, then as `draws` epochs would see it.

    Args:
        frames: pairs of an image (uint8, (H, W, 3)) and its mask (uint8, (H, W)); all of one size.
        palette: uint8, (256, 3): the colour of each id, laid half over the image; void (255) is left as it is.
        preset: see Augmenter.
        seed: seed of the augmenter.
        draws: augmented copies a row.

    Returns:
        uint8, (rows * H, (1 + draws) * W, 3), RGB.
    """
    augmenter = Augmenter(preset, seed)
    rows = []
    for index, (image, mask) in enumerate(frames):
        shown = [(image, mask), *(augmenter(image, mask, epoch, index) for epoch in range(draws))]
        rows.append(np.concatenate(list(_overlaid(shown, palette)), axis=1))
    return np.concatenate(rows, axis=0)


def _overlaid(
    frames: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8]]], palette: NDArray[np.uint8]
) -> Iterator[NDArray[np.uint8]]:
    for image, mask in frames:
        mixed = (image.astype(np.uint16) + palette[mask]) // 2
        # Void stays as it is: what a preset turned, or pushed out of the picture, is then seen for what it is.
        yield np.where((mask == IGNORE_ID)[..., None], image, mixed).astype(np.uint8)


def _sequence(preset: str) -> Any:
    """A new augmenter tree of the preset."""
    iaa = _imgaug().augmenters
    strong = preset == "strong"
    turn = 8 if strong else 4
    affine = iaa.Affine(
        scale=(0.7, 1.6) if strong else (0.85, 1.4),
        translate_percent={"x": (-0.12, 0.12), "y": (-0.08, 0.08)},
        rotate=(-turn, turn),
        shear=(-3, 3) if strong else 0,
        order=1,
        # The image goes on as a mirror, for a black border is a clue no camera gives; the mask there is void.
        mode="reflect",
        backend="cv2",
    )
    _void_outside(affine)
    light = iaa.Sequential(
        [
            iaa.Multiply((0.6, 1.45) if strong else (0.75, 1.3)),
            iaa.LinearContrast((0.6, 1.5) if strong else (0.8, 1.25)),
            iaa.AddToHueAndSaturation((-18, 18) if strong else (-8, 8)),
        ]
    )
    steps = [iaa.Fliplr(0.5), iaa.Sometimes(0.8, affine), iaa.Sometimes(0.8, light)]
    if strong:
        blur = iaa.OneOf([iaa.GaussianBlur((0.3, 1.5)), iaa.MotionBlur(k=(3, 7), angle=(-20, 20))])
        weather = iaa.OneOf(
            [
                iaa.Fog(),
                iaa.Rain(drop_size=(0.01, 0.02), speed=(0.05, 0.15)),
                iaa.Clouds(),
                iaa.Snowflakes(flake_size=(0.2, 0.5), speed=(0.005, 0.02)),
            ]
        )
        # [blur], not blur: Sometimes takes a OneOf for its own list of children and leaves the OneOf's choice unseeded.
        steps += [
            iaa.Sometimes(0.3, [blur]),
            iaa.Sometimes(0.25, [weather]),
            iaa.Sometimes(0.3, iaa.AdditiveGaussianNoise(scale=(0, 10), per_channel=0.5)),
            iaa.Sometimes(0.3, iaa.Cutout(nb_iterations=(1, 3), size=0.18, squared=False, fill_mode="gaussian")),
        ]
    return iaa.Sequential(steps)


def _void_outside(geometric: Any) -> None:
    """Make a geometric augmenter fill masks with void. imgaug has no argument for it, only these attributes."""
    assert geometric._mode_segmentation_maps == "constant", "another imgaug: look again at how masks are padded"
    geometric._cval_segmentation_maps = IGNORE_ID


def _imgaug() -> Any:
    """The imgaug package, with the two names of old NumPy that it needs.

    imgaug 0.4.0 (2020, the last) was written for NumPy 1. It reads `np.sctypes` while it is imported and `np.complex`
    in Fog, Clouds and frequency noise; NumPy 2 has neither (it has `np.bool` again). `np.sctypes` is taken away after
    the import, so that no other package mistakes this NumPy for an old one; `np.complex` has to stay.
    """
    # Always under the lock: another thread may be in the middle of the import, and what it sees then is half a package.
    with _IMPORT_LOCK:
        old_names = cast(Any, np)
        if not hasattr(np, "complex"):
            old_names.complex = complex
        if "imgaug" in sys.modules:
            return sys.modules["imgaug"]
        lent = not hasattr(np, "sctypes")
        if lent:
            old_names.sctypes = {
                "int": [np.int8, np.int16, np.int32, np.int64],
                "uint": [np.uint8, np.uint16, np.uint32, np.uint64],
                "float": [np.float16, np.float32, np.float64],
                "complex": [np.complex64, np.complex128],
                "others": [bool, object, bytes, str, np.void],
            }
        try:
            import imgaug
        except ImportError as error:
            raise ConfigError(
                "--augment: expected imgaug for the presets road and strong, received none that can be imported "
                f"({error}).",
                (("without it", "--augment scale"),),
            ) from error
        finally:
            if lent:
                del old_names.sctypes
        return imgaug
