"""Pictures of a run: what it trains on, what it predicts, how it learned. None of them may end a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import cv2
import numpy as np
from numpy.typing import NDArray

from carlaseg.checkpoint import RunFolder
from carlaseg.checkpoint.run import whole_file
from carlaseg.console import say
from carlaseg.labels import IGNORE_ID

Picture = NDArray[np.uint8]
Arguments = ParamSpec("Arguments")
TILE_HEIGHT = 240
"""Rows a small frame is enlarged to, so that people see something."""
GAP = 4


def never_fatal(draw: Callable[Arguments, Path]) -> Callable[Arguments, Path | None]:
    """Draw, or say in one line why it could not be drawn: a picture is never worth a run."""

    @wraps(draw)
    def drawn(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Path | None:
        try:
            return draw(*args, **kwargs)
        except Exception as error:
            say("note", f"{draw.__name__} could not be drawn ({error}); the numbers are not touched by that")
            return None

    return drawn


@never_fatal
def check_train_batch(run: RunFolder, images: Picture, masks: Picture, names: Sequence[str], palette: Picture) -> Path:
    """check_train_batch.jpg: augmented frames as the network sees them, their masks laid over, and the classes' names.

    Args:
        run: folder to write into.
        images: uint8 (B, H, W, 3) RGB.
        masks: uint8 (B, H, W): class ids, 255 for void.
        names: class names.
        palette: uint8 (256, 3) RGB.
    """
    rows = [
        np.concatenate([_tile(image), _tile(overlay(image, mask, palette), cv2.INTER_NEAREST)], axis=1)
        for image, mask in zip(images[:8], masks[:8], strict=True)
    ]
    sheet = _grid(rows, columns=2)
    shown = [index for index in np.unique(masks) if index < len(names)]
    legend = _legend([(names[i], palette[i]) for i in shown], sheet.shape[1])
    note = _caption("as the network sees it, and with labels: what has no colour is not learned", sheet)
    return _write(run.path / "check_train_batch.jpg", np.concatenate([note, sheet, legend], axis=0))


@never_fatal
def predictions(
    run: RunFolder,
    epoch: int,
    images: Picture,
    masks: Picture,
    predicted: Sequence[Picture],
    names: Sequence[str],
    palette: Picture,
) -> Path:
    """predictions/epoch_NNN.jpg: image, truth, prediction of the same validation frames every epoch."""
    rows = [
        np.concatenate(
            [
                _tile(image),
                _tile(palette[mask], cv2.INTER_NEAREST),
                _tile(palette[np.where(mask == IGNORE_ID, IGNORE_ID, ids)], cv2.INTER_NEAREST),
            ],
            axis=1,
        )
        for image, mask, ids in zip(images, masks, predicted, strict=True)
    ]
    folder = run.path / "predictions"
    folder.mkdir(exist_ok=True)
    sheet = _grid(rows, columns=2)
    shown = np.unique(np.concatenate([np.unique(mask) for mask in (*masks, *predicted)]))
    note = _caption(f"epoch {epoch}: image, truth, prediction", sheet)
    legend = _legend([(names[i], palette[i]) for i in shown if i < len(names)], sheet.shape[1])
    return _write(folder / f"epoch_{epoch:03d}.jpg", np.concatenate([note, sheet, legend], axis=0))


@never_fatal
def check_classes(run: RunFolder, shares: NDArray[np.float64], names: Sequence[str], palette: Picture) -> Path:
    """check_classes.png: the share of the training pixels a class has, on a logarithmic axis, in the class's colour."""
    figure = _figure(7, 0.8 + 0.24 * len(names))
    axes = figure.subplots()
    order = np.argsort(shares, kind="stable")
    axes.barh(
        [names[i] for i in order],
        [max(float(shares[i]), 1e-6) for i in order],
        color=[tuple(palette[i] / 255) for i in order],
        edgecolor="#444444",
        linewidth=0.5,
    )
    axes.set_xscale("log")
    axes.set_xlim(1e-6, 1.5)
    axes.set_xlabel("share of the labelled training pixels")
    axes.tick_params(labelsize=8)
    return _save(figure, run.path / "check_classes.png")


@never_fatal
def curves(run: RunFolder, records: Sequence[Mapping[str, Any]]) -> Path:
    """curves.png: loss, scores and learning rate by epoch, from the lines of metrics.jsonl."""
    figure = _figure(10, 3.6)
    left, right = figure.subplots(1, 2)
    epochs = [record["epoch"] for record in records]
    for key, label in (("loss", "training"), ("val_loss", "validation")):
        left.plot(epochs, [record[key] for record in records], label=label, marker="." if len(epochs) < 40 else "")
    left.set_title("loss", fontsize=10)
    for key, label in (("val_mean_iou", "mean IoU"), ("val_pixel_accuracy", "pixel accuracy")):
        right.plot(epochs, [record[key] for record in records], label=label, marker="." if len(epochs) < 40 else "")
    best = max(records, key=lambda record: float(record["val_mean_iou"]))
    right.axvline(best["epoch"], color="#999999", linewidth=0.8, linestyle="--", label=f"best epoch {best['epoch']}")
    right.set_ylim(0, 1)
    right.set_title("validation", fontsize=10)
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    return _save(figure, run.path / "curves.png")


@never_fatal
def confusion(run: RunFolder, matrix: NDArray[np.int64], names: Sequence[str]) -> Path:
    """confusion.png: rows are what is true, columns what was predicted, shades are shares of a row.

    Args:
        run: folder to write into.
        matrix: int64, (C, C), rows truth; classes that neither shows are left out.
        names: C class names.
    """
    shown = np.flatnonzero(matrix.sum(axis=0) + matrix.sum(axis=1))
    counts = matrix[np.ix_(shown, shown)]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 2.6 + 0.4 * len(shown)
    figure = _figure(side, side)
    axes = figure.subplots()
    axes.imshow(shares, vmin=0.0, vmax=1.0, cmap="Blues")
    ticks = [names[int(i)] for i in shown]
    axes.set_xticks(range(len(shown)), ticks, rotation=60, ha="right", fontsize=8)
    rows = [
        name if any_true else f"{name} (nowhere)"
        for name, any_true in zip(ticks, np.any(counts, axis=1).tolist(), strict=True)
    ]
    axes.set_yticks(range(len(shown)), rows, fontsize=8)
    axes.set_xlabel("predicted")
    axes.set_ylabel("truth")
    axes.set_title("% of the true class's pixels, best weights", fontsize=9, loc="left")
    for row, column in np.argwhere(shares >= 0.005):
        share = shares[row, column]
        ink = "w" if share > 0.55 else "k"
        axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=7, color=ink)
    return _save(figure, run.path / "confusion.png")


def overlay(image: Picture, mask: Picture, palette: Picture) -> Picture:
    """The mask's colours, half through, over the image; void stays as it is.

    Args:
        image: uint8 (H, W, 3) RGB.
        mask: uint8 (H, W).
        palette: uint8 (256, 3) RGB.

    Returns:
        uint8 (H, W, 3) RGB.
    """
    mixed = cv2.addWeighted(image, 0.5, palette[mask], 0.5, 0)
    return np.where((mask == IGNORE_ID)[..., None], image, mixed).astype(np.uint8)


def _tile(picture: Picture, interpolation: int = cv2.INTER_LINEAR) -> Picture:
    height, width = picture.shape[:2]
    if height >= TILE_HEIGHT:
        return picture
    size_wh = (round(width * TILE_HEIGHT / height), TILE_HEIGHT)
    return np.asarray(cv2.resize(picture, size_wh, interpolation=interpolation), np.uint8)


def _grid(rows: Sequence[Picture], columns: int) -> Picture:
    height, width = rows[0].shape[:2]
    columns = min(columns, len(rows))
    lines = -(-len(rows) // columns)
    sheet = np.full((lines * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, np.uint8)
    for index, row in enumerate(rows):
        top, left = index // columns * (height + GAP), index % columns * (width + GAP)
        sheet[top : top + height, left : left + width] = row
    return sheet


def _caption(text: str, sheet: Picture) -> Picture:
    strip = np.full((22, sheet.shape[1], 3), 255, np.uint8)
    cv2.putText(strip, text, (4, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return strip


def _legend(entries: Sequence[tuple[str, Picture]], width: int) -> Picture:
    cell_wh = (150, 22)
    columns = max(1, width // cell_wh[0])
    lines = max(1, -(-len(entries) // columns))
    legend = np.full((lines * cell_wh[1] + 6, width, 3), 255, np.uint8)
    for index, (name, color) in enumerate(entries):
        left, top = index % columns * cell_wh[0] + 4, index // columns * cell_wh[1] + 5
        cv2.rectangle(legend, (left, top), (left + 16, top + 14), tuple(int(c) for c in color), -1)
        cv2.rectangle(legend, (left, top), (left + 16, top + 14), (68, 68, 68), 1)
        cv2.putText(legend, name, (left + 22, top + 12), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return legend


def _write(path: Path, picture: Picture) -> Path:
    done, encoded = cv2.imencode(path.suffix, np.ascontiguousarray(picture[..., ::-1]))
    if not done:
        raise OSError(f"{path} could not be encoded")
    with whole_file(path) as beside:
        beside.write_bytes(encoded.tobytes())  # OpenCV itself would not say why it cannot write
    return path


def _figure(width: float, height: float) -> Any:
    # The figure's own canvas draws without a display and leaves pyplot's global state alone.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Any, path: Path) -> Path:
    with whole_file(path) as beside:
        figure.savefig(beside)
    return path
