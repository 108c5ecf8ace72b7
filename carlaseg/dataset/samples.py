"""What a dataset is to everyone who reads one: samples, whatever layout they lie in on disk."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

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


class _Kind(NamedTuple):
    """What many samples have in common, kept once for all of them."""

    image_folder: Path
    mask_folder: Path | None
    mask_encoding: MaskEncoding | None
    scheme: str | None
    drive: str
    town: str | None
    weather: str | None


class _Texts:
    """Many short texts in one block of memory."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._ends = array("Q", [0])

    def append(self, text: str) -> None:
        self._bytes += text.encode("utf-8", "surrogateescape")
        self._ends.append(len(self._bytes))

    def __getitem__(self, position: int) -> str:
        return self._bytes[self._ends[position] : self._ends[position + 1]].decode("utf-8", "surrogateescape")


_NO_FRAME = -1


class SampleTable(Sequence[Sample]):
    """Samples kept in columns and made when asked for: about 100 bytes each, where objects take some thousand.

    A slice, or `take`, is a view on the same columns.

    Args:
        samples: read once, in order.
    """

    def __init__(self, samples: Iterable[Sample]) -> None:
        kinds: dict[_Kind, int] = {}
        self._image_names, self._mask_names, self._names = _Texts(), _Texts(), _Texts()
        kind_of, frames = array("I"), array("q")
        for sample in samples:
            image_folder, image_name = sample.image_path.parent, sample.image_path.name
            mask_folder = None if sample.mask_path is None else sample.mask_path.parent
            kind = _Kind(
                image_folder,
                mask_folder,
                sample.mask_encoding,
                sample.scheme,
                sample.drive,
                sample.town,
                sample.weather,
            )
            kind_of.append(kinds.setdefault(kind, len(kinds)))
            frames.append(_NO_FRAME if sample.frame is None else sample.frame)
            self._image_names.append(image_name)
            self._mask_names.append("" if sample.mask_path is None else sample.mask_path.name)
            self._names.append(sample.name)
        self._kinds = tuple(kinds)
        self._kind_of = np.frombuffer(kind_of, np.uint32) if kind_of else np.empty(0, np.uint32)
        self._frames = np.frombuffer(frames, np.int64) if frames else np.empty(0, np.int64)
        self._rows: NDArray[np.int64] = np.arange(len(kind_of), dtype=np.int64)

    def __len__(self) -> int:
        """How many samples."""
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> SampleTable: ...
    def __getitem__(self, index: int | slice) -> Sample | SampleTable:
        """One sample, or a view of several."""
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        row = int(self._rows[index])
        kind = self._kinds[self._kind_of[row]]
        frame = int(self._frames[row])
        return Sample(
            image_path=kind.image_folder / self._image_names[row],
            mask_path=None if kind.mask_folder is None else kind.mask_folder / self._mask_names[row],
            mask_encoding=kind.mask_encoding,
            scheme=kind.scheme,
            drive=kind.drive,
            frame=None if frame == _NO_FRAME else frame,
            town=kind.town,
            weather=kind.weather,
            name=self._names[row],
        )

    def take(self, positions: NDArray[np.integer]) -> SampleTable:
        """The samples at these positions, in this order."""
        view = self._view()
        view._rows = self._rows[positions]
        return view

    def with_labels(self, encoding: MaskEncoding | None, scheme: str | None) -> SampleTable:
        """The same samples with what was found out about their masks.

        Args:
            encoding: for masks whose encoding nobody knew.
            scheme: for all masks, where one is given.
        """
        view = self._view()
        view._kinds = tuple(
            kind
            if kind.mask_folder is None
            else kind._replace(mask_encoding=kind.mask_encoding or encoding, scheme=scheme or kind.scheme)
            for kind in self._kinds
        )
        return view

    @property
    def drives(self) -> tuple[str, ...]:
        """The drive of each sample, without making the samples."""
        drives = [kind.drive for kind in self._kinds]
        return tuple(drives[kind] for kind in self._kind_of[self._rows])

    @property
    def masked(self) -> SampleTable:
        """The samples that have a mask."""
        has_mask = np.array([kind.mask_folder is not None for kind in self._kinds], bool)
        return self.take(np.flatnonzero(has_mask[self._kind_of[self._rows]]))

    def _view(self) -> SampleTable:
        view = SampleTable.__new__(SampleTable)
        view.__dict__.update(self.__dict__)
        return view


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
    samples: SampleTable
    evidence: tuple[str, ...]
    splits: tuple[str, ...] = ()
    split: str | None = None
    orphans: tuple[Path, ...] = ()

    @property
    def labelled(self) -> int:
        """How many samples have a mask."""
        return len(self.samples.masked)
