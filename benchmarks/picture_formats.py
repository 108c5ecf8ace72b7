"""What a picture format costs: milliseconds to encode and decode, and bytes, for each way to write an RGB picture.

    python benchmarks/picture_formats.py [--quick] [FOLDER ...]

Pictures are drawn by the embedded simulator, 600x800 and 720x1280; folders of other pictures (real CARLA frames, say)
are measured beside them. Processor time of one thread; ways are interleaved, picture by picture; medians. The first row
is what `carlaseg record` writes unless asked otherwise.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import cv2  # noqa: E402
import numpy as np  # noqa: E402
from measuring import write_results  # noqa: E402

from carlaseg.config import RecordConfig, Size  # noqa: E402
from carlaseg.dataset import open_dataset, read_image  # noqa: E402
from carlaseg.dataset.encoding import encode, encode_photograph  # noqa: E402
from carlaseg.dataset.pictures import read_raw_mask  # noqa: E402
from carlaseg.recording.recorder import record  # noqa: E402

Encoder = Callable[[np.ndarray], bytes]
SIZES = (Size(600, 800), Size(720, 1280))


def by_opencv(suffix: str, *flags: int) -> Encoder:
    return lambda image: cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), flags)[1].tobytes()


QUICKEST = (
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_SUB, cv2.IMWRITE_PNG_COMPRESSION, 1),
)
PHOTOGRAPHS: dict[str, Encoder] = {
    "png (--rgb-format png)": lambda image: encode_photograph(image, "png")[1],
    "png, OpenCV's quickest": by_opencv(".png", *QUICKEST),
    **{f"png, OpenCV, level {n}": by_opencv(".png", cv2.IMWRITE_PNG_COMPRESSION, n) for n in (1, 3, 6, 9)},
    "webp, no loss (--rgb-format webp)": lambda image: encode_photograph(image, "webp")[1],
    "jpeg 95, 4:4:4 (--rgb-format jpeg)": lambda image: encode_photograph(image, "jpeg")[1],
    "jpeg 95, 4:2:0": by_opencv(".jpg", cv2.IMWRITE_JPEG_QUALITY, 95),
}
MASKS: dict[str, Encoder] = {
    "ids, png (ours)": lambda ids: encode(ids)[1],
    "ids, png, OpenCV": lambda ids: cv2.imencode(".png", ids)[1].tobytes(),
    "ids, png, level 9": lambda ids: cv2.imencode(".png", ids, (cv2.IMWRITE_PNG_COMPRESSION, 9))[1].tobytes(),
}


def measured(pictures: Sequence[np.ndarray], ways: dict[str, Encoder]) -> list[dict[str, Any]]:
    encode_s: dict[str, list[float]] = {way: [] for way in ways}
    decode_s: dict[str, list[float]] = {way: [] for way in ways}
    sizes: dict[str, list[int]] = {way: [] for way in ways}
    errors: dict[str, list[float]] = {way: [] for way in ways}
    for picture in pictures:
        for way, encoder in ways.items():
            began_s = time.thread_time()
            content = encoder(picture)
            encode_s[way].append(time.thread_time() - began_s)
            began_s = time.thread_time()
            flag = cv2.IMREAD_UNCHANGED if picture.ndim == 2 else cv2.IMREAD_COLOR_RGB
            back = cv2.imdecode(np.frombuffer(content, np.uint8), flag)
            decode_s[way].append(time.thread_time() - began_s)
            sizes[way].append(len(content))
            errors[way].append(float(np.abs(back.astype(np.int16) - picture).mean()))
    return [
        {
            "way": way,
            "encode_ms": 1e3 * statistics.median(encode_s[way]),
            "decode_ms": 1e3 * statistics.median(decode_s[way]),
            "kilobytes": statistics.mean(sizes[way]) / 1e3,
            "mean_error_of_255": statistics.mean(errors[way]),
        }
        for way in ways
    ]


def show(title: str, rows: Sequence[dict[str, Any]]) -> None:
    print(f"\n{title:<36} {'encode ms':>10} {'decode ms':>10} {'kB':>9} {'mean error of 255':>18}")
    for row in rows:
        figures = f"{row['encode_ms']:10.1f} {row['decode_ms']:10.1f} {row['kilobytes']:9.1f}"
        print(f"{row['way']:<36} {figures} {row['mean_error_of_255']:18.2f}", flush=True)


def drawn(size: Size, frames: int, folder: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    config = RecordConfig(simulator="embedded", size=size, frames=frames, every=20, output=folder, name=str(size))
    samples = open_dataset(record(config).folder).samples
    masks = [sample.mask_path for sample in samples if sample.mask_path is not None]
    return [read_image(sample.image_path) for sample in samples], [read_raw_mask(path, "ids", None) for path in masks]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="datasets of other pictures")
    parser.add_argument("--quick", action="store_true", help="a few pictures of one size; nothing is written")
    arguments = parser.parse_args()
    count = 3 if arguments.quick else 12
    cv2.setNumThreads(1)
    tables: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES[:1] if arguments.quick else SIZES:
            images, masks = drawn(size, count, Path(folder))
            tables[f"embedded simulator, {size}"] = measured(images, PHOTOGRAPHS) + measured(masks, MASKS)
    for other in arguments.folders:
        samples = open_dataset(other).samples
        images = [read_image(samples[number * len(samples) // count].image_path) for number in range(count)]
        height, width = images[0].shape[:2]
        tables[f"{other.name}, {height}x{width}"] = measured(images, PHOTOGRAPHS)
    for title, rows in tables.items():
        show(title, rows)
    if not arguments.quick:
        write_results("picture_formats", ("opencv-python", "numpy"), tables=tables)
    return 0


if __name__ == "__main__":
    sys.exit(main())
