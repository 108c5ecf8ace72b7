"""The results folder: what inference leaves behind, written by a few threads.

    dataset_out/<run>_<input>/
      ids/NAME.png         class ids, 8 bit, one channel, the size of the image
      colours/NAME.png     the same with the palette of the label scheme
      panels/NAME.jpg      image, truth, prediction, median-filtered prediction, overlay, legend
      confidence/NAME.png  probability of the id, 16 bit: 65535 is 1       probabilities/NAME.npz   all classes, float16
      uncertainty/NAME.jpg image, entropy and mutual information           videos/NAME.mp4          of a video
      entropy/NAME.png  mutual_information/NAME.png   16 bit: 65535 is ln(classes)
      predictions.jsonl    a line an image     config.json   the effective settings     summary.json   what was done
      classes.json         names and colours of the ids
      with truth: metrics.json  per_class.csv  confusion.csv  confusion.png   truth/NAME.png of what had no file

Rule 1: a folder is made once; another's results are never mixed into it, and only a results folder is ever replaced.
Rule 2: an image's results exist when its line in predictions.jsonl does; the line is written after the files.
"""

from __future__ import annotations

import io
import json
import shutil
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from carlaseg.dataset.encoding import encode, ids_in_colours
from carlaseg.errors import ConfigError, DatasetError
from carlaseg.files import disk_fault, write_whole
from carlaseg.inference.film_writer import FilmWriter, film_frame
from carlaseg.inference.panels import Legend, panel
from carlaseg.inference.quality import Prediction
from carlaseg.inference.uncertainty import uncertainty_picture
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
        DatasetError: it cannot be made.
    """
    refuse_taken(folder, overwrite)
    try:
        if folder.is_dir():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "predictions.jsonl").touch()
    except OSError as error:
        raise DatasetError(
            f"{folder}: expected a folder to write results into, received {disk_fault(error)}."
        ) from error


@dataclass(frozen=True)
class Written:
    """One image's results, on disk.

    Attributes:
        line: its line in predictions.jsonl.
        confusion: int64, (C, C), rows truth; None without truth.
        write_s: seconds spent on it.
        film: the video it is a frame of.
        film_frame: that frame.
    """

    line: dict[str, Any]
    confusion: NDArray[np.int64] | None
    write_s: float
    film: FilmWriter | None = None
    film_frame: NDArray[np.uint8] | None = None


class ResultsWriter:
    """Writes predictions in the background, in bounded memory. Use as a context manager: leaving it waits for the rest.

    Args:
        folder: a results folder that was claimed.
        legend: names and colours of the network's classes.
        kept: lines of an earlier, unfinished inference into this folder.
        kept_confusion: counts of these, int64, (C, C).
    """

    def __init__(
        self,
        folder: Path,
        legend: Legend,
        kept: Sequence[dict[str, Any]] = (),
        kept_confusion: NDArray[np.int64] | None = None,
    ) -> None:
        self.folder = folder
        self.confusion = np.zeros((len(legend.names), len(legend.names)), np.int64)
        if kept_confusion is not None:
            self.confusion += kept_confusion
        self.lines: list[dict[str, Any]] = list(kept)
        self.films: list[Path] = []
        self.write_s = 0.0
        self._legend = legend
        self._film: FilmWriter | None = None
        self._pool = ThreadPoolExecutor(WRITERS, thread_name_prefix="carlaseg-results")
        self._waiting: deque[Future[Written]] = deque()
        with _room(folder):
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
            if self._film is not None:
                self._film.close(whole=False)

    def begin_film(self, name: str, rate_hz: float) -> None:
        """Frames handed in from now on, until `end_film`, make a video as well."""
        with _room(self.folder):
            (self.folder / "videos").mkdir(exist_ok=True)
        self._film = FilmWriter(self.folder / "videos" / f"{name}.mp4", rate_hz)

    def end_film(self, whole: bool) -> None:
        """End the video; nothing is kept of one that is not whole.

        Raises:
            DatasetError: there was no room for it.
        """
        while self._waiting:
            self._settle()
        film, self._film = self._film, None
        path = None if film is None else film.close(whole)
        if path is not None:
            self.films.append(path)

    def add(self, frame: Frame, prediction: Prediction, write: frozenset[str] = frozenset()) -> None:
        """Hand in one prediction; waits while too many wait.

        Args:
            frame: the image and its truth.
            prediction: at the image's size.
            write: what to write of it, of `carlaseg.config.inference.WRITTEN`.

        Raises:
            DatasetError: an earlier one could not be written.
            DatasetError: an earlier one's truth has an id outside the table.
        """
        self._waiting.append(self._pool.submit(self._write, frame, prediction, write, self._film))
        while len(self._waiting) > WAITING_MAX or (self._waiting and self._waiting[0].done()):
            self._settle()

    def _settle(self) -> None:
        written = self._waiting.popleft().result()
        if written.film is not None and written.film_frame is not None:
            written.film.add(written.film_frame)
        with _room(self.folder):
            self._jsonl.write(json.dumps(written.line, ensure_ascii=False) + "\n")
            self._jsonl.flush()
        self.lines.append(written.line)
        self.write_s += written.write_s
        if written.confusion is not None:
            self.confusion += written.confusion

    def _write(self, frame: Frame, prediction: Prediction, write: frozenset[str], film: FilmWriter | None) -> Written:
        began_s = time.perf_counter()
        assert frame.image is not None
        ids, names, sample = prediction.ids, self._legend.names, frame.sample
        line: dict[str, Any] = {
            "name": sample.name,
            "image": str(sample.image_path),
            "frame": sample.frame,
            "drive": sample.drive,
            "town": sample.town,
            "weather": sample.weather,
            "size": list(ids.shape),
        }
        counts = np.bincount(ids.ravel(), minlength=len(names))
        line["shares"] = {
            names[int(i)]: round(int(counts[i]) / ids.size, 5) for i in np.argsort(-counts, kind="stable") if counts[i]
        }
        confusion, caption = None, sample.name
        if frame.truth is not None:
            confusion = confusion_matrix(frame.truth, ids, len(names))
            if confusion.any():
                scores = Scores.from_confusion(confusion, names)
                line |= {"mean_iou": scores.mean_iou, "pixel_accuracy": scores.pixel_accuracy}
                caption += f"    mean IoU {scores.mean_iou:.3f}    pixel accuracy {scores.pixel_accuracy:.3f}"
            line |= self._truth(frame, frame.truth, write)
        line |= self._masks(sample.name, prediction, write) | self._unsure(frame, prediction)
        if "panels" in write:
            picture = panel(frame.image, frame.truth, ids, self._legend, caption)
            line["panel"] = self._save(f"panels/{sample.name}.jpg", _bgr(picture))
        shown = film_frame(frame.image, frame.truth, ids, self._legend) if film is not None else None
        return Written(line, confusion, time.perf_counter() - began_s, film, shown)

    def _masks(self, name: str, prediction: Prediction, write: frozenset[str]) -> dict[str, Any]:
        line: dict[str, Any] = {}
        if write & {"ids", "colours"}:
            png = encode(prediction.ids)[1]
        if "ids" in write:
            line["ids"] = self._bytes(f"ids/{name}.png", png)
        if "colours" in write:
            line["colours"] = self._bytes(f"colours/{name}.png", ids_in_colours(png, self._legend.palette))
        if "confidence" in write and prediction.confidence is not None:
            line["confidence"] = self._save(f"confidence/{name}.png", in_16_bits(prediction.confidence))
            line["mean_confidence"] = round(float(prediction.confidence.mean()), 5)
        if "probabilities" in write and prediction.probabilities is not None:
            content = io.BytesIO()
            np.savez_compressed(content, probabilities=prediction.probabilities)
            line["probabilities"] = self._bytes(f"probabilities/{name}.npz", content.getvalue())
        return line

    def _unsure(self, frame: Frame, prediction: Prediction) -> dict[str, Any]:
        if frame.image is None or prediction.entropy is None or prediction.mutual_information is None:
            return {}
        name = frame.sample.name
        picture = uncertainty_picture(frame.image, prediction.entropy, prediction.mutual_information)
        return {
            "uncertainty": self._save(f"uncertainty/{name}.jpg", _bgr(picture)),
            "entropy": self._save(f"entropy/{name}.png", in_16_bits(prediction.entropy)),
            "mutual_information": self._save(
                f"mutual_information/{name}.png", in_16_bits(prediction.mutual_information)
            ),
            "mean_entropy": round(float(prediction.entropy.mean()), 5),
            "mean_mutual_information": round(float(prediction.mutual_information.mean()), 5),
        }

    def _truth(self, frame: Frame, truth: NDArray[np.uint8], write: frozenset[str]) -> dict[str, Any]:
        """Where the truth lies, so that it can be found again; truth without a file is written beside the ids."""
        sample = frame.sample
        if sample.mask_path is not None:
            return {
                "truth": str(sample.mask_path.absolute()),
                "truth_encoding": sample.mask_encoding,
                "truth_scheme": sample.scheme,
            }
        return {"truth": self._bytes(f"truth/{sample.name}.png", encode(truth)[1])} if "ids" in write else {}

    def _save(self, name: str, pixels: Any) -> str:
        """A JPEG, or a PNG of 16 bits."""
        jpeg = name.endswith(".jpg")
        done, content = cv2.imencode(
            Path(name).suffix, pixels, [cv2.IMWRITE_JPEG_QUALITY, PANEL_QUALITY] if jpeg else []
        )
        assert done
        return self._bytes(name, content.tobytes())

    def _bytes(self, name: str, content: bytes) -> str:
        # Through Python: OpenCV cannot open names in another script on every system.
        path = self.folder / name
        with _room(self.folder):
            try:
                path.write_bytes(content)
            except FileNotFoundError:
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)
        return name


def in_16_bits(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Values of 0 to 1 as uint16 of 0 to 65535."""
    return np.asarray(np.round(np.clip(values, 0.0, 1.0) * 65535), np.uint16)


def _bgr(picture: NDArray[np.uint8]) -> Any:
    return cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)


@contextmanager
def _room(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DatasetError(
            f"{folder}: expected room to write results, received {disk_fault(error)}. "
            "What predictions.jsonl lists is whole."
        ) from error


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file of the results.

    Raises:
        DatasetError: there is no room.
    """
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file of the results.

    Raises:
        DatasetError: there is no room.
    """
    with _room(path.parent):
        write_whole(path, text.encode())
