"""What a dataset is to everyone who reads one: samples, whatever layout they lie in on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from carlaseg.labels import LabelScheme

MaskEncoding = Literal["ids", "red", "colors"]
"""How a mask file holds its ids: one channel of ids, ids in the red channel, or the scheme's colours."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One image, with its mask where there is one.

    Attributes:
        image_path: RGB picture.
        mask_path: its mask, None where there is no truth.
        mask_encoding: how the mask holds its ids, None without a mask.
        scheme: name of the label scheme of the mask, None without a mask or while nobody knows it.
        drive: the recording or sequence the frame belongs to; a split never puts one drive on both sides.
        frame: frame number, None where the name has none.
        town: where it was recorded, None when not known.
        weather: weather preset, None when not known.
        name: stem for files made from this sample; unique in its dataset.
    """

    image_path: Path
    mask_path: Path | None
    mask_encoding: MaskEncoding | None
    scheme: str | None
    drive: str
    frame: int | None
    town: str | None
    weather: str | None
    name: str


@dataclass(frozen=True)
class Dataset:
    """An opened folder.

    Attributes:
        folder: what was opened.
        layout: name of the layout it was found to have.
        scheme: label scheme of its masks, None when it has none or nobody could tell.
        samples: in order of drive and frame.
        evidence: how the scheme was found, a sentence each.
        splits: names of the splits the layout has ("train", "val", "test"), empty when it has none.
        split: the split that was asked for; all of them together when None.
        orphans: masks without an image, which are in no sample.
    """

    folder: Path
    layout: str
    scheme: LabelScheme | None
    samples: Sequence[Sample]
    evidence: tuple[str, ...]
    splits: tuple[str, ...] = ()
    split: str | None = None
    orphans: tuple[Path, ...] = ()

    @property
    def labelled(self) -> int:
        """How many samples have a mask."""
        return sum(sample.mask_path is not None for sample in self.samples)
