"""Two results folders on the same images: is one better, or is that chance?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carlaseg.errors import ConfigError
from carlaseg.evaluation.answers import Answers, read_pair
from carlaseg.evaluation.groups import Resampling, units_of
from carlaseg.evaluation.measure import Image
from carlaseg.metrics import Comparison, Interval, compare, confusion_matrix, sums_of
from carlaseg.pipeline.batches import WORKERS, ahead

SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Against:
    """The results less those they are held against.

    Attributes:
        folder: the other results.
        run: the run or file they come from.
        images: how many images both have.
        left_out: how many only one has, or cannot be scored.
        figures: by name.
        classes: difference of each class's IoU; None where the truth does not show it.
    """

    folder: Path
    run: str
    images: int
    left_out: int
    figures: dict[str, Comparison]
    classes: tuple[Interval, ...]

    @property
    def verdict(self) -> str:
        """What the test says of mean IoU, in a sentence."""
        compared = self.figures["mean_iou"]
        value, p_value = compared.difference.value or 0.0, compared.p_value
        if p_value >= SIGNIFICANT:
            return f"mean IoU differs by {value:+.4f}, which chance alone explains (p = {p_value:.3f})"
        how = "better" if value > 0 else "worse"
        return f"mean IoU is {how} by {abs(value):.4f}, and not by chance (p = {p_value:.3f})"

    def to_json(self, names: Sequence[str]) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "results": str(self.folder),
            "run": self.run,
            "images": self.images,
            "left_out": self.left_out,
            "verdict": self.verdict,
            "figures": {
                name: {"difference": compared.difference.to_json(), "p_value": compared.p_value}
                for name, compared in self.figures.items()
            },
            "iou": {
                name: interval.to_json()
                for name, interval in zip(names, self.classes, strict=True)
                if interval.value is not None
            },
        }


def compared(answers: Answers, ours: Sequence[Image], other: Answers, how: Resampling) -> Against:
    """Hold results against others.

    Args:
        answers: the results.
        ours: what was measured of them.
        other: those they are held against.
        how: resamples are made.

    Raises:
        ConfigError: the two do not predict the same classes, or have no image in common.
        DatasetError: a file of the other results is damaged.
    """
    if (answers.scheme, answers.names) != (other.scheme, other.names):
        raise ConfigError(
            f"--against {other.folder}: expected predictions of the same classes ({answers.scheme}, "
            f"{answers.num_classes}), received {other.scheme}, {other.num_classes}. Nothing was compared."
        )
    of_name = {answer.name: answer for answer in other.answers}
    both = [image for image in ours if image.answer.name in of_name and image.shows_anything]
    if not both:
        raise ConfigError(
            f"--against {other.folder}: expected predictions of images that {answers.folder} has as well, received "
            "none of the same name. Nothing was compared."
        )

    def confusion_of(image: Image) -> NDArray[np.int64]:
        truth, ids = read_pair(of_name[image.answer.name], other.scheme, other.num_classes)
        return confusion_matrix(truth, ids, other.num_classes)

    theirs = np.stack([sums_of(confusion[None])[0] for confusion in ahead(confusion_of, both, WORKERS)])
    mine = np.stack([image.sums for image in both])
    if not np.array_equal(mine[:, 1], theirs[:, 1]):
        raise ConfigError(
            f"--against {other.folder}: expected the same truth for images of the same name, received another. "
            "Nothing was compared."
        )
    units = None if how.unit == "images" else units_of([image.answer.sample.drive for image in both])
    figures, classes = compare(theirs, mine, units, how.resamples, how.seed)
    left_out = len({image.answer.name for image in ours} | set(of_name)) - len(both)
    return Against(other.folder, other.run, len(both), left_out, figures, classes)
