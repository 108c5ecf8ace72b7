"""How well `verify --deep --alignment` tells good pairs of image and mask from pairs that do not belong together.

Every pair of the given data sets is scored as it is, and with the mask of another frame far away in the list:

    python benchmarks/alignment.py DATASET [DATASET ...] [--pairs 150]

Prints the share of good pairs that would be named (false alarms) and of swapped ones (found), at the limit in use.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from carlaseg.dataset import open_dataset, read_image, read_mask
from carlaseg.dataset.alignment import alignment_score, doubtful_below
from carlaseg.dataset.opening import spread


def main() -> None:
    """Score, swap, score again, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="+", type=Path)
    parser.add_argument("--pairs", type=int, default=150)
    parser.add_argument("--quick", action="store_true", help="20 pairs")
    options = parser.parse_args()
    print(
        f"{'dataset':<32} {'pairs':>6} {'limit':>6} {'false alarms':>13} {'found':>8}   good 1 %, median"
        "    swapped median, 99 %"
    )
    for folder in options.datasets:
        samples = spread(open_dataset(folder, masks_required=True).samples, 20 if options.quick else options.pairs)
        pairs = [(read_image(sample.image_path), read_mask(sample)) for sample in samples]
        good = scores(pairs)
        away = len(pairs) // 2
        swapped = scores([(image, pairs[(number + away) % len(pairs)][1]) for number, (image, _) in enumerate(pairs)])
        limit = doubtful_below(good.tolist())
        print(
            f"{folder.name:<32} {len(good):>6} {limit:>6.3f} {np.mean(good < limit):>13.1%} "
            f"{np.mean(swapped < limit):>8.1%}   {np.percentile(good, 1):+.3f}, {np.median(good):+.3f}"
            f"      {np.median(swapped):+.3f}, {np.percentile(swapped, 99):+.3f}"
        )


def scores(pairs: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The score of each pair that has one."""
    found = (alignment_score(image, mask) for image, mask in pairs)
    return np.array([score for score in found if score is not None])


if __name__ == "__main__":
    main()
