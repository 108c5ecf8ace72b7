"""Pictures for people: image, truth, prediction, median-filtered prediction and overlay side by side, with a legend.

Titles and legend are drawn by OpenCV, so text is ASCII; a name in another script is shown by its id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from carlaseg.inference.cleaning import MEDIAN_SIZE, median_filtered

TILE_HEIGHT = 240
"""Smaller pictures are enlarged by a whole factor to at least this, so that titles fit and pixels can be seen."""
TILE_HEIGHT_MAX = 540
MARGIN, GAP, STRIP, LINE = 10, 6, 24, 22
FONT = cv2.FONT_HERSHEY_SIMPLEX
INK, PALE, PAPER = (32, 34, 38), (110, 114, 122), (255, 255, 255)
LEGEND_MAX = 24
"""Classes a legend names, by share; what is left is counted."""


@dataclass(frozen=True)
class Legend:
    """Which colour is which class.

    Attributes:
        names: class names by class id.
        palette: uint8, (256, 3), RGB by id.
    """

    names: Sequence[str]
    palette: NDArray[np.uint8]


def colours(ids: NDArray[np.uint8], palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The mask in colours.

    Args:
        ids: uint8, (H, W).
        palette: uint8, (256, 3), RGB by id.

    Returns:
        uint8, (H, W, 3), RGB.
    """
    # A colour map of one's own is OpenCV's only table from one channel to three: 2 to 3 times as fast as np.take.
    return np.asarray(cv2.applyColorMap(ids, np.ascontiguousarray(palette).reshape(256, 1, 3)), np.uint8)


def overlay(image: NDArray[np.uint8], coloured: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The colours half over the image; both uint8, (H, W, 3), RGB."""
    return np.asarray(cv2.addWeighted(image, 0.5, coloured, 0.5, 0.0), np.uint8)


def panel(
    image: NDArray[np.uint8],
    truth: NDArray[np.uint8] | None,
    prediction: NDArray[np.uint8],
    legend: Legend,
    caption: str = "",
) -> NDArray[np.uint8]:
    """Everything about one image in one picture.

    Args:
        image: uint8, (H, W, 3), RGB.
        truth: uint8, (H, W), class ids, 255 for void; its tile is left out when None.
        prediction: uint8, (H, W), class ids.
        legend: names and colours.
        caption: a line below the tiles: the file, its score.

    Returns:
        uint8, (height, width, 3), RGB.
    """
    coloured = colours(prediction, legend.palette)
    filtered = colours(median_filtered(prediction), legend.palette)
    tiles: list[tuple[str, NDArray[np.uint8], int]] = [("image", image, cv2.INTER_LINEAR)]
    if truth is not None:
        tiles.append(("truth", colours(truth, legend.palette), cv2.INTER_NEAREST))
    tiles += [
        ("prediction", coloured, cv2.INTER_NEAREST),
        (f"median {MEDIAN_SIZE}x{MEDIAN_SIZE}", filtered, cv2.INTER_NEAREST),
        ("overlay", overlay(image, coloured), cv2.INTER_LINEAR),
    ]
    row = titled(tiles)
    entries = _entries(truth, prediction, legend)
    placed, legend_height = _flow(entries, row.shape[1])
    footer = LINE if caption else 0
    below = row.shape[0] - MARGIN + GAP
    sheet = np.full((below + footer + legend_height + MARGIN, *row.shape[1:]), PAPER, np.uint8)
    sheet[: row.shape[0]] = row
    if caption:
        _write(sheet, caption, (MARGIN, below + 16), 0.45, PALE)
    for (name, colour), (x, y) in zip(entries, placed, strict=True):
        top = below + footer + y
        cv2.rectangle(sheet, (x, top + 4), (x + 14, top + 17), colour, cv2.FILLED)
        cv2.rectangle(sheet, (x, top + 4), (x + 14, top + 17), PALE, 1)
        _write(sheet, name, (x + 20, top + 16), 0.42, INK)
    return sheet


def titled(tiles: Sequence[tuple[str, NDArray[np.uint8], int]]) -> NDArray[np.uint8]:
    """Pictures side by side, large enough to be looked at, each below its title.

    Args:
        tiles: title, picture (uint8, (H, W, 3), RGB, all of one size), OpenCV's interpolation where it is enlarged.

    Returns:
        uint8, (height, width, 3), RGB.
    """
    height, width = _tile_size(*tiles[0][1].shape[:2])
    total = 2 * MARGIN + len(tiles) * width + (len(tiles) - 1) * GAP
    sheet = np.full((MARGIN + STRIP + height + MARGIN, total, 3), PAPER, np.uint8)
    for index, (title, tile, how) in enumerate(tiles):
        left = MARGIN + index * (width + GAP)
        _write(sheet, title, (left, MARGIN + STRIP - 9), 0.5, INK)
        how = cv2.INTER_AREA if tile.shape[0] > height else how
        sheet[MARGIN + STRIP : MARGIN + STRIP + height, left : left + width] = cv2.resize(
            tile, (width, height), interpolation=how
        )
    return sheet


def _tile_size(height: int, width: int) -> tuple[int, int]:
    if height > TILE_HEIGHT_MAX:
        return TILE_HEIGHT_MAX, max(1, round(width * TILE_HEIGHT_MAX / height))
    factor = -(-TILE_HEIGHT // height)
    return height * factor, width * factor


def _entries(
    truth: NDArray[np.uint8] | None, prediction: NDArray[np.uint8], legend: Legend
) -> list[tuple[str, tuple[int, int, int]]]:
    """Names and colours of the classes in the picture, the largest first."""
    counts = np.bincount(prediction.ravel(), minlength=256)
    void = 0
    if truth is not None:
        of_truth = np.bincount(truth.ravel(), minlength=256)
        counts = np.maximum(counts, of_truth)
        void = int(of_truth[len(legend.names) :].sum())
    shown = [int(i) for i in np.argsort(-counts[: len(legend.names)], kind="stable") if counts[i]]
    entries = [(_ascii(legend.names[i], i), _colour(legend.palette[i])) for i in shown[:LEGEND_MAX]]
    if len(shown) > LEGEND_MAX:
        entries.append((f"and {len(shown) - LEGEND_MAX} more", PAPER))
    if void:
        entries.append(("void (not scored)", _colour(legend.palette[255])))
    return entries


def _flow(entries: Sequence[tuple[str, tuple[int, int, int]]], width: int) -> tuple[list[tuple[int, int]], int]:
    """Left upper corners of the legend's entries, line after line, and the height of all lines."""
    places: list[tuple[int, int]] = []
    x, y = MARGIN, 0
    for name, _ in entries:
        needed = 20 + int(cv2.getTextSize(name, FONT, 0.42, 1)[0][0]) + 18
        if x > MARGIN and x + needed > width - MARGIN:
            x, y = MARGIN, y + LINE
        places.append((x, y))
        x += needed
    return places, y + LINE if entries else 0


def _write(
    sheet: NDArray[np.uint8], text: str, origin: tuple[int, int], scale: float, colour: tuple[int, int, int]
) -> None:
    cv2.putText(sheet, text.encode("ascii", "replace").decode(), origin, FONT, scale, colour, 1, cv2.LINE_AA)


def _colour(row: NDArray[np.uint8]) -> tuple[int, int, int]:
    return int(row[0]), int(row[1]), int(row[2])


def _ascii(name: str, class_id: int) -> str:
    return name if name.isascii() else f"class {class_id}"
