"""Any folder as a dataset: which layout it has, which label scheme, which samples."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from carlaseg import labels
from carlaseg.dataset.layouts import LAYOUTS, LOOKED_FOR, Listing
from carlaseg.dataset.layouts.listing import folders_in
from carlaseg.dataset.layouts.recordings import recordings_in
from carlaseg.dataset.pictures import Mask, mask_encoding, read_image, read_raw_mask
from carlaseg.dataset.samples import Dataset, MaskEncoding, Sample, SampleTable
from carlaseg.dataset.shards import SHARDS, bring_back
from carlaseg.errors import DatasetError
from carlaseg.labels import LabelScheme

_PICTURES_LOOKED_AT = 8

ItemT = TypeVar("ItemT")


def open_dataset(
    folder: Path, scheme: str | None = None, split: str | None = None, masks_required: bool = False
) -> Dataset:
    """The samples of a folder in any layout we know.

    Args:
        folder: a recording, a folder of recordings, or any layout of `carlaseg.dataset.layouts`.
        scheme: label scheme of the masks; found out when not given.
        split: read this split alone; all of them when not given.
        masks_required: refuse images without masks and masks of a scheme that nobody can tell.

    Raises:
        ConfigError: there is no such label scheme.
        DatasetError: the folder is not a dataset (says what was looked for), is empty, lacks the split or lacks masks.
    """
    given = None if scheme is None else labels.scheme(scheme)
    if not folder.is_dir():
        what = "a file" if folder.exists() else "nothing"
        raise DatasetError(
            f"{folder}: expected a folder with a dataset, received {what} there.",
            (("record one", f"carlaseg record --simulator embedded --output {shlex.quote(str(folder))}"),),
        )
    listing = next((answer for layout in LAYOUTS if (answer := layout(folder, split)) is not None), None)
    if listing is None:
        inside = [name for name in folders_in(folder) if recordings_in(folder / name)]
        if inside:
            raise DatasetError(
                f"{folder}: expected a dataset, received a folder of several ({', '.join(inside)}). Name one of them.",
                (("for example", shlex.quote(str(folder / inside[0]))),),
            )
        raise DatasetError(f"{folder}: expected a dataset, received none of: {LOOKED_FOR}.")
    if len(listing.samples) == 0:
        where = f"the split {split!r} of {folder}" if split else str(folder)
        packed = any((recording / SHARDS).is_dir() for recording in recordings_in(folder))
        raise DatasetError(
            f"{where}: expected images ({listing.layout}), received none.", (bring_back(folder),) if packed else ()
        )
    samples = listing.samples if isinstance(listing.samples, SampleTable) else SampleTable(listing.samples)
    masked = samples.masked
    left_out: tuple[str, ...] = ()
    if masks_required and len(masked) < len(samples):
        _require_masks(folder, listing, samples, len(masked))
        left_out = (f"{len(samples) - len(masked)} images without a mask are left out",)
        samples = masked
    found, evidence, encoding = _scheme_of(listing, masked, given)
    if masks_required and found is None:
        raise DatasetError(
            f"{folder}: expected to find out the label scheme of its masks, received {'; '.join(evidence)}.",
            (("name it", f"--scheme {' | '.join(labels.SCHEMES)}"),),
        )
    samples = samples.with_labels(encoding, found.name if found is not None else None)
    return Dataset(folder, listing.layout, found, samples, evidence + left_out, listing.splits, split, listing.orphans)


def _require_masks(folder: Path, listing: Listing, samples: SampleTable, masked: int) -> None:
    if masked and listing.some_unlabelled:
        return
    first = next(sample for sample in samples if sample.mask_path is None)
    raise DatasetError(
        f"{first.image_path}: expected a mask for every image ({listing.layout}), received none for "
        f"{len(samples) - masked} of {len(samples)} images.",
        (("all of them", f"carlaseg verify {shlex.quote(str(folder))}"),),
    )


def _scheme_of(
    listing: Listing, masked: SampleTable, given: LabelScheme | None
) -> tuple[LabelScheme | None, tuple[str, ...], MaskEncoding | None]:
    """The scheme, the evidence, and how masks of unknown encoding hold their ids."""
    if len(masked) == 0:
        return given, ("no masks",), None
    encoding = None
    if masked[0].mask_encoding is None:
        encoding = next(_readable(mask_encoding, _paths(masked[:_PICTURES_LOOKED_AT])), None)
    if given is None and listing.scheme is not None:
        return labels.scheme(listing.scheme), listing.evidence, encoding
    paths = _paths(spread(masked, _PICTURES_LOOKED_AT))
    if encoding == "colors":
        if given is not None:
            return given, ("named by the user",), encoding
        detection = labels.detect([], None, list(_readable(read_image, paths)))
    else:
        masks = list(_readable(lambda path: thinned(read_raw_mask(path, "ids", None)), paths))
        detection = labels.detect(masks)
        if given is not None:
            return given, ("named by the user", *_doubt(given, detection, masks)), encoding
    found = detection.scheme if detection.confident else None
    evidence = detection.evidence
    if found is None and detection.scheme is not None:
        evidence = (f"perhaps {detection.scheme.name}, but not clearly", *evidence)
    return found, evidence, encoding


def _doubt(given: LabelScheme, detection: labels.Detection, masks: Sequence[Mask]) -> tuple[str, ...]:
    """A sentence when masks look like another scheme than the one that was named; whoever named it may know better."""
    other = detection.scheme
    if other is None or not detection.confident:
        return ()
    seen = np.unique(np.concatenate([np.unique(mask) for mask in masks]))
    if labels.same_meaning(given, other, seen):
        return ()
    return (f"although its masks look like {other.name}: {'; '.join(detection.evidence)}",)


def _paths(samples: Sequence[Sample]) -> list[Path]:
    return [sample.mask_path for sample in samples if sample.mask_path is not None]


def _readable(read: Callable[[Path], ItemT], paths: Sequence[Path]) -> Iterator[ItemT]:
    """What can be read. A damaged file must not keep anybody from opening, or verifying, the rest."""
    for path in paths:
        try:
            yield read(path)
        except DatasetError:
            continue


def thinned(mask: Mask) -> Mask:
    """Every n-th pixel of a large mask (uint8 (H, W)): shares are enough to tell a scheme."""
    step = max(1, min(mask.shape) // 256)
    return mask[::step, ::step]


def spread(samples: Sequence[ItemT], count: int) -> list[ItemT]:
    """`count` items evenly spread over all."""
    if len(samples) <= count:
        return list(samples)
    return [samples[round(position)] for position in np.linspace(0, len(samples) - 1, count)]
