"""The results folder: what inference leaves behind, written by a few threads.

    dataset_out/<run>_<input>/
      ids/NAME.png         class ids, 8 bit, one channel, the size of the image
      colours/NAME.png     the same in the colours of the label scheme
      panels/NAME.jpg      image, truth, prediction, median-filtered prediction, overlay, legend
      predictions.jsonl    a line an image     config.json   the effective settings     summary.json   what was done
      with truth: metrics.json  per_class.csv  confusion.csv  confusion.png

Rule 1: a folder is made once; another's results are never mixed into it, and only a results folder is ever replaced.
Rule 2: an image's results exist when its line in predictions.jsonl does; the line is written after the files.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from carlaseg.errors import CarlasegError, ConfigError
from carlaseg.inference.panels import Legend, colours, panel
from carlaseg.metrics import Scores, confusion_matrix
from carlaseg.pipeline import Frame

PANEL_QUALITY = 92
WRITERS = 2
"""Encoding frees the GIL; more than two writers would take cores from the network."""
WAITING_MAX = 8
"""Predictions that may wait for a writer before the network is held back."""


def refuse_taken(folder: Path, overwrite: bool) -> None:
    """Refuse a folder that holds something, unless it may be replaced. Changes nothing.

    Raises:
        ConfigError: it exists and may not be replaced, or is no results folder.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not overwrite:
        raise ConfigError(
            f"{folder}: expected a name that is free, received one that holds something. Nothing was changed.",
            (("replace it", "the same command with --overwrite"), ("or keep both", "--name ANOTHER_NAME")),
        )
    if not (folder / "predictions.jsonl").is_file():
        raise ConfigError(
            f"--overwrite {folder}: expected an earlier results folder (it holds predictions.jsonl), "
            "received something else. Nothing was changed.",
            (("another name", "--name ANOTHER_NAME"),),
        )


def claim(folder: Path, overwrite: bool) -> None:
    """Make the results folder, in the place of an earlier one where that may be replaced.

    Raises:
        ConfigError: see `refuse_taken`.
        CarlasegError: it cannot be made.
    """
    refuse_taken(folder, overwrite)
    try:
        if folder.is_dir():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "predictions.jsonl").touch()
    except OSError as error:
        raise CarlasegError(f"{folder}: expected a folder to write results into, received {error}.") from error


@dataclass(frozen=True)
class Written:
    """One image's results, on disk.

    Attributes:
        line: its line in predictions.jsonl.
        confusion: int64, (C, C), rows truth; None without truth.
        write_s: seconds spent on it.
    """

    line: dict[str, Any]
    confusion: NDArray[np.int64] | None
    write_s: float


class ResultsWriter:
    """Writes predictions in the background, in bounded memory. Use as a context manager: leaving it waits for the rest.

    Args:
        folder: an empty results folder.
        legend: names and colours of the network's classes.
        panels: whether to draw panels.
    """

    def __init__(self, folder: Path, legend: Legend, panels: bool) -> None:
        self.folder = folder
        self.confusion = np.zeros((len(legend.names), len(legend.names)), np.int64)
        self.lines: list[dict[str, Any]] = []
        self.write_s = 0.0
        self._legend = legend
        self._panels = panels
        self._pool = ThreadPoolExecutor(WRITERS, thread_name_prefix="carlaseg-results")
        self._waiting: deque[Future[Written]] = deque()
        with _room(folder):
            for name in ("ids", "colours", *(("panels",) if panels else ())):
                (folder / name).mkdir()
            self._jsonl = (folder / "predictions.jsonl").open("a", encoding="utf-8")

    def __enter__(self) -> ResultsWriter:
        """Ready at once."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait for what was handed in and close; after an error what waits is dropped."""
        try:
            while self._waiting and kind is None:
                self._settle()
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._jsonl.close()

    def add(self, frame: Frame, ids: NDArray[np.uint8]) -> None:
        """Hand in one prediction; waits while too many wait.

        Args:
            frame: the image and its truth.
            ids: uint8, (H, W), class ids at the image's size.

        Raises:
            CarlasegError: an earlier one could not be written.
            DatasetError: an earlier one's truth has an id outside the table.
        """
        self._waiting.append(self._pool.submit(self._write, frame, ids))
        while len(self._waiting) > WAITING_MAX or (self._waiting and self._waiting[0].done()):
            self._settle()

    def _settle(self) -> None:
        written = self._waiting.popleft().result()
        with _room(self.folder):
            self._jsonl.write(json.dumps(written.line, ensure_ascii=False) + "\n")
            self._jsonl.flush()
        self.lines.append(written.line)
        self.write_s += written.write_s
        if written.confusion is not None:
            self.confusion += written.confusion

    def _write(self, frame: Frame, ids: NDArray[np.uint8]) -> Written:
        began_s = time.perf_counter()
        assert frame.image is not None
        name, names = frame.sample.name, self._legend.names
        line: dict[str, Any] = {
            "name": name,
            "image": str(frame.sample.image_path),
            "drive": frame.sample.drive,
            "town": frame.sample.town,
            "weather": frame.sample.weather,
            "size": list(ids.shape),
            "ids": f"ids/{name}.png",
            "colours": f"colours/{name}.png",
        }
        counts = np.bincount(ids.ravel(), minlength=len(names))
        line["shares"] = {
            names[int(i)]: round(int(counts[i]) / ids.size, 5) for i in np.argsort(-counts, kind="stable") if counts[i]
        }
        confusion, caption = None, name
        if frame.truth is not None:
            confusion = confusion_matrix(frame.truth, ids, len(names))
            if confusion.any():
                scores = Scores.from_confusion(confusion, names)
                line |= {"mean_iou": scores.mean_iou, "pixel_accuracy": scores.pixel_accuracy}
                caption += f"    mean IoU {scores.mean_iou:.3f}    pixel accuracy {scores.pixel_accuracy:.3f}"
        self._save(line["ids"], ids)
        self._save(line["colours"], cv2.cvtColor(colours(ids, self._legend.palette), cv2.COLOR_RGB2BGR))
        if self._panels:
            line["panel"] = f"panels/{name}.jpg"
            picture = panel(frame.image, frame.truth, ids, self._legend, caption)
            self._save(
                line["panel"], cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, PANEL_QUALITY]
            )
        return Written(line, confusion, time.perf_counter() - began_s)

    def _save(self, name: str, pixels: Any, options: list[int] | None = None) -> None:
        # No PNG level: any level, even 1, makes OpenCV's encoder slower. Bytes through Python: OpenCV cannot open names
        # in another script on every system.
        done, content = cv2.imencode(Path(name).suffix, pixels, options or [])
        assert done
        with _room(self.folder):
            (self.folder / name).write_bytes(content.tobytes())


@contextmanager
def _room(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CarlasegError(
            f"{folder}: expected room to write results, received {error}. What predictions.jsonl lists is whole."
        ) from error


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file of the results.

    Raises:
        CarlasegError: there is no room.
    """
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file of the results.

    Raises:
        CarlasegError: there is no room.
    """
    with _room(path.parent):
        path.write_text(text, encoding="utf-8")
