"""The bytes an export writes: the files of the dataset where they serve as they are, newly encoded ones where not."""

from __future__ import annotations

from pathlib import Path

from carlaseg.dataset.encoding import png
from carlaseg.dataset.headers import size_in
from carlaseg.dataset.pictures import Mask, read_image, read_mask
from carlaseg.dataset.samples import Sample
from carlaseg.errors import DatasetError
from carlaseg.files import write_whole
from carlaseg.labels import IGNORE_ID, Remap

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_DEPTH_AND_KIND = slice(24, 26)
_RGB_OF_8_BIT, _GREY_OF_8_BIT = bytes((8, 2)), bytes((8, 0))


def translated(sample: Sample, to: Remap) -> Mask:
    """The sample's ids in the target's scheme, void as `IGNORE_ID`: uint8 (H, W).

    Raises:
        DatasetError: the mask is damaged or holds an id outside its scheme.
    """
    return to.apply(read_mask(sample))


def image_as_it_is(sample: Sample) -> tuple[bytes, tuple[int, int]]:
    """The image file's bytes and its (height, width).

    Raises:
        DatasetError: the file is damaged.
    """
    return picture_as_it_is(sample.image_path)


def picture_as_it_is(path: Path) -> tuple[bytes, tuple[int, int]]:
    """A picture file's bytes and its (height, width).

    Raises:
        DatasetError: the file is damaged.
    """
    content = _read(path)
    return content, size_in(memoryview(content), path)


def image_as_png(sample: Sample) -> tuple[bytes, tuple[int, int]]:
    """The image as 8-bit RGB PNG, the file itself where it is one, and its (height, width).

    Raises:
        DatasetError: the file is damaged.
    """
    content, size = image_as_it_is(sample)
    if content.startswith(_PNG_SIGNATURE) and content[_DEPTH_AND_KIND] == _RGB_OF_8_BIT:
        return content, size
    return png(read_image(sample.image_path)), size


def mask_as_png(sample: Sample, to: Remap) -> bytes:
    """The ids as single-channel 8-bit PNG, void as `IGNORE_ID`: the file itself where that is what it holds.

    Raises:
        DatasetError: the mask is damaged or holds an id outside its scheme.
    """
    mask = translated(sample, to)
    as_on_disk = to.source == to.target and to.target.ignore_ids == {IGNORE_ID}
    if as_on_disk and sample.mask_encoding == "ids" and sample.mask_path is not None:
        content = _read(sample.mask_path)
        if content.startswith(_PNG_SIGNATURE) and content[_DEPTH_AND_KIND] == _GREY_OF_8_BIT:
            return content
    return png(mask)


def put(path: Path, content: bytes) -> None:
    """Write a file, and the folders it lies in, so that it is seen whole or not at all.

    Raises:
        OSError: it could not be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)


def slug(text: str, allowed: str = "-_") -> str:
    """Text as part of a file name: letters, digits and `allowed` stay, everything else goes."""
    kept = "".join(sign for sign in text if (sign.isascii() and sign.isalnum()) or sign in allowed)
    return kept or "unnamed"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: expected a readable picture, received {error.strerror}.") from error
