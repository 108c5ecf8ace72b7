"""What a label scheme is: numbered, named, coloured classes, and what counts as void."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from carlaseg.errors import DatasetError

IGNORE_ID = 255
"""Void in memory: pixels that no loss and no metric looks at."""

UNKNOWN_COLOR = (255, 255, 255)
"""Colour of ids outside a scheme. No scheme has a white class, so a mistake shows; CARLA's own palette wraps and hides
it."""

VOID_COLOR = (0, 0, 0)

Mask = NDArray[np.uint8]
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class LabelClass:
    """One class: its id, its name, its colour (red, green, blue), each 0 to 255."""

    class_id: int
    name: str
    color: tuple[int, int, int]


@dataclass(frozen=True)
class LabelScheme:
    """An ordered table of classes.

    Class ids run from 0 to `num_classes - 1` without gaps: they are the outputs of a network trained on the scheme.

    Attributes:
        name: what users type, for example "carla-0.9.14".
        title: what people read, for example "CARLA 0.9.14 to 0.9.16".
        classes: the table, sorted by id.
        ignore_ids: ids that mean void on disk; `IGNORE_ID` is always one of them. An id may be both a class with a name
            and ignored (Cityscapes' "out of roi"): it is shown by name and never trained or scored.
    """

    name: str
    title: str
    classes: tuple[LabelClass, ...]
    ignore_ids: frozenset[int]

    def __post_init__(self) -> None:
        """Refuse a table with gaps: the class id is the network's output number."""
        ids = [label.class_id for label in self.classes]
        if ids != list(range(len(ids))):
            raise ValueError(
                f"label scheme {self.name}: expected class ids 0 to {len(ids) - 1} in order, received {ids}."
            )

    @property
    def num_classes(self) -> int:
        """How many classes, class 0 included: the outputs of a network."""
        return len(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """Class names by class id."""
        return tuple(label.name for label in self.classes)

    @cached_property
    def palette(self) -> NDArray[np.uint8]:
        """Colours by id: uint8 (256, 3) RGB, read-only. Void is black, ids outside the scheme are white."""
        palette = np.full((256, 3), UNKNOWN_COLOR, np.uint8)
        palette[list(self.ignore_ids)] = VOID_COLOR
        for label in self.classes:
            palette[label.class_id] = label.color
        palette.setflags(write=False)
        return palette

    @cached_property
    def void_table(self) -> NDArray[np.uint8]:
        """uint8 (256,), read-only: every id as it is, the ignored ones as `IGNORE_ID`."""
        table = np.arange(256, dtype=np.uint8)
        table[list(self.ignore_ids)] = IGNORE_ID
        table.setflags(write=False)
        return table

    @cached_property
    def _known(self) -> NDArray[np.bool_]:
        known = np.zeros(256, bool)
        known[: self.num_classes] = True
        known[list(self.ignore_ids)] = True
        return known

    @cached_property
    def _colors_sorted(self) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
        """Packed colours in rising order and the id of each; the lowest id has a colour that classes share."""
        ids: dict[int, int] = {}
        for label in self.classes:
            red, green, blue = label.color
            value = IGNORE_ID if label.class_id in self.ignore_ids else label.class_id
            ids.setdefault(red << 16 | green << 8 | blue, value)
        ids.setdefault(0, IGNORE_ID)
        packed = np.array(sorted(ids), np.uint32)
        return packed, np.array([ids[int(color)] for color in packed], np.uint8)

    def colorize(self, mask: Mask) -> Picture:
        """The mask in the scheme's colours.

        Args:
            mask: uint8 (H, W), or any shape. Class ids.

        Returns:
            uint8 (H, W, 3) RGB, new memory.
        """
        # take() into a packed palette is about twice as fast as fancy indexing of a (256, 3) table.
        return np.take(self.palette, mask, axis=0)

    def known_colors(self, rgb: Picture) -> NDArray[np.bool_]:
        """Which pixels of an RGB picture have a colour of this scheme, void's included.

        Args:
            rgb: uint8 (H, W, 3).

        Returns:
            bool (H, W).
        """
        return self._match_colors(rgb)[1]

    def _match_colors(self, rgb: Picture) -> tuple[Mask, NDArray[np.bool_]]:
        channels = rgb.astype(np.uint32)
        packed = channels[..., 0] << 16 | channels[..., 1] << 8 | channels[..., 2]
        colors, ids = self._colors_sorted
        position = np.minimum(np.searchsorted(colors, packed), len(colors) - 1)
        return ids[position], colors[position] == packed

    def ids_from_colors(self, rgb: Picture, *, nearest: bool = False, where: str = "picture") -> Mask:
        """Class ids from a picture in the scheme's colours, void as `IGNORE_ID`.

        Args:
            rgb: uint8 (H, W, 3) RGB.
            nearest: take the nearest colour where none fits exactly (pictures that went through JPEG). Borders between
                classes are then guesses; without it an unknown colour is an error.
            where: what to call the picture in an error.

        Returns:
            uint8 (H, W).

        Raises:
            DatasetError: a colour is not in the scheme; names the first such pixel and its colour.
        """
        mask, known = self._match_colors(rgb)
        if known.all():
            return mask
        if nearest:
            colors, ids = self._colors_sorted
            table = np.stack([colors >> 16, colors >> 8 & 255, colors & 255], axis=1).astype(np.int32)
            strangers, inverse = np.unique(rgb[~known], axis=0, return_inverse=True)
            closest = np.empty(len(strangers), np.uint8)
            for start in range(0, len(strangers), 4096):
                distance = ((strangers[start : start + 4096, None].astype(np.int32) - table) ** 2).sum(axis=2)
                closest[start : start + 4096] = ids[distance.argmin(axis=1)]
            mask[~known] = closest[inverse.ravel()]
            return mask
        row, column = (int(value) for value in np.argwhere(~known)[0])
        color = tuple(int(value) for value in rgb[row, column])
        raise DatasetError(
            f"{where}, pixel ({row}, {column}): expected a colour of scheme {self.name}, received {color}; "
            f"{int((~known).sum())} pixels have such a colour. Was it saved as JPEG, or by another CARLA release?"
        )

    def unknown_pixels(self, mask: Mask) -> NDArray[np.intp]:
        """Where a mask has ids outside the scheme.

        Args:
            mask: uint8 (H, W).

        Returns:
            integer (N, 2), row and column of each such pixel; N is 0 when all is well.
        """
        if self._known[: int(mask.max(initial=0)) + 1].all():
            return np.empty((0, 2), np.intp)
        return np.argwhere(~self._known[mask])

    def check_ids(self, mask: Mask, where: str) -> None:
        """Refuse a mask with an id outside the scheme.

        Args:
            mask: uint8 (H, W).
            where: the file the mask came from, for the error.

        Raises:
            DatasetError: names the first pixel (row, column), its id and how many such pixels there are.
        """
        wrong = self.unknown_pixels(mask)
        if len(wrong):
            row, column = (int(value) for value in wrong[0])
            raise DatasetError(
                f"{where}, pixel ({row}, {column}): expected an id of scheme {self.name} (0-{self.num_classes - 1}), "
                f"received {int(mask[row, column])}; {len(wrong)} pixels have such an id."
            )


def require_one_scheme(named: Mapping[str, LabelScheme]) -> None:
    """Refuse to mix label schemes.

    Args:
        named: the scheme of each dataset, by a name that tells the user which one it is (its folder).

    Raises:
        DatasetError: two differ; names both and the first class that differs.
    """
    items = list(named.items())
    for where, other in items[1:]:
        first_where, first = items[0]
        if other == first:
            continue
        for class_id in range(max(first.num_classes, other.num_classes)):
            ours = first.names[class_id] if class_id < first.num_classes else "no class"
            theirs = other.names[class_id] if class_id < other.num_classes else "no class"
            if ours != theirs:
                break
        raise DatasetError(
            f"{where}: expected label scheme {first.name} as in {first_where}, received {other.name}; first "
            f"difference: class {class_id} is {theirs} here and {ours} there. Mixing them would teach nonsense.",
            (("by meaning", f"--classes {first.name}"), ("or leave out", where)),
        )
